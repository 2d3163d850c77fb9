// SPDX-License-Identifier: Apache-2.0
using System;
using System.Runtime.InteropServices;

namespace EmotionLlama.Tests
{
    internal static class LiveTests
    {
        private const int Width = 64;
        private const int Height = 48;

        public static void PicturesAndSoundAreAnalysed()
        {
            using (LiveBuffer live = new LiveBuffer(seconds: 5, maxSide: 256))
            {
                byte[] picture = new byte[3 * Width * Height];
                short[] sound = new short[1600];
                for (int i = 0; i < 10; i++)
                {
                    live.PushFrame(PixelFormat.Rgb, Width, Height, picture, i * 0.1);
                    live.PushSamples(sound, 16000, 1, i * 0.1);
                }
                LiveInfo info = live.Info;
                Check.Equal(10L, info.Frames);
                Check.Near(1, info.DurationSeconds, 0.11, "duration");
                Check.That(info.MemoryBytes > 0, "memory");
                AnalyzeRequest request = new AnalyzeRequest { Live = live, LiveSeconds = 0.5, Transcript = "none" };
                Analysis result = Places.Engine.Analyze(request);
                Check.That(result.Emotion.Length > 0 && result.Faces.Count == 0, "an analysis");
                live.Clear();
                Check.Equal(0L, live.Info.Frames, "after clearing");
            }
        }

        public static void EveryFormatIsTaken()
        {
            using (LiveBuffer live = new LiveBuffer(maxFramesPerSecond: 240))
            {
                int i = 0;
                foreach (PixelFormat format in Enum.GetValues(typeof(PixelFormat)))
                {
                    // Odd sizes: chroma planes are rounded up.
                    const int width = 63;
                    const int height = 47;
                    int halves = (width + 1) / 2 * ((height + 1) / 2);
                    int bytes = format == PixelFormat.Nv12 || format == PixelFormat.I420 ? width * height + 2 * halves
                        : format == PixelFormat.Gray ? width * height : (format == PixelFormat.Rgba || format == PixelFormat.Bgra ? 4 : 3) * width * height;
                    live.PushFrame(format, width, height, new byte[bytes], i);
                    live.PushFrame(format, width, height, new byte[bytes + 5], i + 0.25, offset: 5);
                    Check.Fails(
                        ErrorCode.InvalidArgument, "invalid_argument", () => live.PushFrame(format, width, height, new byte[bytes - 1], i + 0.5));
                    int stride = 4 * width + 10;
                    live.PushFrame(format, width, height, new byte[stride * height * 2], i + 0.75, stride);
                    i++;
                }
                Check.That(live.Info.Frames > 0, "frames");
            }
        }

        public static void MemoryOfTheCallerIsReadInPlace()
        {
            IntPtr memory = Marshal.AllocHGlobal(4 * Width * Height);
            try
            {
                using (LiveBuffer live = new LiveBuffer())
                {
                    live.PushFrame(PixelFormat.Gray, Width, Height, memory, Width * Height, 0);
                    IntPtr chroma = (IntPtr)(memory.ToInt64() + Width * Height);
                    live.PushFrame(
                        PixelFormat.Nv12, Width, Height, 0.5, new FramePlane(memory, Width * Height, Width), new FramePlane(chroma, Width * Height / 2, Width));
                    live.PushSamples(SampleFormat.F32, memory, 100, 16000, 1, 0);
                    Check.Equal(2L, live.Info.Frames);
                }
            }
            finally
            {
                Marshal.FreeHGlobal(memory);
            }
        }

        public static void WrongPicturesAndSoundAreRefused()
        {
            using (LiveBuffer live = new LiveBuffer())
            {
                byte[] picture = new byte[3 * Width * Height];
                Action<Action> refused = action => Check.Fails(ErrorCode.InvalidArgument, "invalid_argument", action);
                refused(() => live.PushFrame((PixelFormat)99, Width, Height, picture, 0));
                refused(() => live.PushFrame(PixelFormat.Rgb, -1, Height, picture, 0));
                refused(() => live.PushFrame(PixelFormat.Rgb, Width, 0, picture, 0));
                refused(() => live.PushFrame(PixelFormat.Rgb, Width, Height, picture, double.NaN));
                refused(() => live.PushSamples(new short[3], 16000, 2, 0));
                refused(() => live.PushSamples(new short[2], -1, 2, 0));
                Check.Throws<ArgumentOutOfRangeException>(() => live.PushSamples(new short[2], 16000, 1, 0, 3));
                Check.Throws<ArgumentOutOfRangeException>(() => live.PushSamples(new short[2], 16000, 1, 0, 1, 2));
                Check.Throws<ArgumentOutOfRangeException>(() => live.PushFrame(PixelFormat.Rgb, Width, Height, picture, 0, offset: picture.Length + 1));
                Check.Throws<ArgumentNullException>(() => live.PushFrame(PixelFormat.Rgb, Width, Height, null, 0));
                Check.Equal(0L, live.Info.Frames, "nothing was taken");
            }
            Check.Fails(ErrorCode.InvalidArgument, "invalid_argument", () => new LiveBuffer(seconds: 1000));
        }

        public static void PartsOfAnArrayAreTaken()
        {
            using (LiveBuffer live = new LiveBuffer())
            {
                live.PushSamples(new float[48000], 48000, 1, 0, 100, 24000);
                Check.Near(0.5, live.Info.DurationSeconds, 0.01);
            }
        }

#if NETSTANDARD2_1_OR_GREATER
        public static void SpansAreTaken()
        {
            using (LiveBuffer live = new LiveBuffer())
            {
                live.PushFrame(PixelFormat.Gray, Width, Height, new ReadOnlySpan<byte>(new byte[Width * Height + 9], 9, Width * Height), 0);
                live.PushSamples(new ReadOnlySpan<short>(new short[1600]), 16000, 1, 0);
                live.PushSamples(new ReadOnlySpan<float>(new float[1600]), 16000, 1, 0.1);
                Check.Equal(1L, live.Info.Frames);
                Check.Near(0.2, live.Info.DurationSeconds, 0.01);
                Check.Fails(
                    ErrorCode.InvalidArgument, "invalid_argument",
                    () => live.PushFrame(PixelFormat.Gray, Width, Height, ReadOnlySpan<byte>.Empty, 0.5));
            }
        }
#endif

        public static void ADisposedBufferSaysSo()
        {
            LiveBuffer live = new LiveBuffer();
            live.Dispose();
            live.Dispose();
            Check.Throws<ObjectDisposedException>(() => live.Clear());
            Check.Throws<ObjectDisposedException>(() => live.PushSamples(new short[2], 16000, 1, 0));
            Check.Throws<ObjectDisposedException>(() => Places.Engine.Analyze(new AnalyzeRequest { Live = live }));
        }
    }
}

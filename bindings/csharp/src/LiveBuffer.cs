// SPDX-License-Identifier: Apache-2.0
using System;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using EmotionLlama.Json;
using EmotionLlama.Native;

namespace EmotionLlama
{
    /// <summary>How the pixels of a picture lie.</summary>
    public enum PixelFormat
    {
        /// <summary>3 bytes a pixel, red first.</summary>
        Rgb = 1,

        /// <summary>3 bytes a pixel, blue first.</summary>
        Bgr = 2,

        /// <summary>4 bytes a pixel, red first, then alpha, which is dropped.</summary>
        Rgba = 3,

        /// <summary>4 bytes a pixel, blue first, then alpha, which is dropped.</summary>
        Bgra = 4,

        /// <summary>A plane of luma, and one with a blue and a red chroma byte for every 2 x 2 pixels.</summary>
        Nv12 = 5,

        /// <summary>A plane of luma, one of blue and one of red chroma with a byte for every 2 x 2 pixels.</summary>
        I420 = 6,

        /// <summary>1 byte a pixel.</summary>
        Gray = 7,
    }

    /// <summary>The type of a sound's samples.</summary>
    public enum SampleFormat
    {
        /// <summary>16-bit signed integers.</summary>
        I16 = 1,

        /// <summary>32-bit floats, full scale 1.</summary>
        F32 = 2,
    }

    /// <summary>One plane of a picture, in memory that the caller keeps until the call returns.</summary>
    public struct FramePlane
    {
        /// <summary>A plane whose uppermost row begins at <paramref name="data"/>.</summary>
        public FramePlane(IntPtr data, long length, long stride) : this()
        {
            Data = data;
            Length = length;
            Stride = stride;
        }

        /// <summary>The first byte of the uppermost row.</summary>
        public IntPtr Data { get; private set; }

        /// <summary>Bytes that may be read.</summary>
        public long Length { get; private set; }

        /// <summary>Bytes from the start of one row to the start of the next.</summary>
        public long Stride { get; private set; }
    }

    /// <summary>
    /// The last seconds of a camera and a microphone. May be used by several threads at once. What is pushed is read in place and not used
    /// after the call.
    /// </summary>
    public sealed class LiveBuffer : IDisposable
    {
        /// <summary>An empty buffer. What is null has the library's default.</summary>
        public LiveBuffer(double? seconds = null, int? maxSide = null, double? maxFramesPerSecond = null)
        {
            LibraryLoader.Load();
            Handle = Make(new JsonWriter()
                .Field("seconds", seconds)
                .Field("max_side", maxSide)
                .Field("max_frames_per_second", maxFramesPerSecond)
                .End());
        }

        internal LiveHandle Handle { get; private set; }

        /// <summary>
        /// Takes a picture whose planes follow each other in <paramref name="pixels"/>. <paramref name="stride"/> is the bytes of a row of the first
        /// plane, 0 where rows follow each other without a gap.
        /// </summary>
        public unsafe void PushFrame(
            PixelFormat format, int width, int height, byte[] pixels, double timeSeconds, int stride = 0, int offset = 0)
        {
            if (pixels == null) throw new ArgumentNullException("pixels");
            if (offset < 0 || offset > pixels.Length) throw new ArgumentOutOfRangeException("offset");
            fixed (byte* start = pixels)
            {
                PushFrame(format, width, height, (IntPtr)(start + offset), pixels.Length - offset, timeSeconds, stride);
            }
        }

        /// <summary>As with an array; <paramref name="length"/> bytes may be read at <paramref name="pixels"/>.</summary>
        public void PushFrame(
            PixelFormat format, int width, int height, IntPtr pixels, long length, double timeSeconds, int stride = 0)
        {
            if (stride < 0) throw new ArgumentOutOfRangeException("stride");
            long rows = height;
            long halfRows = (rows + 1) / 2;
            long halfWidth = ((long)width + 1) / 2;
            switch (format)
            {
                case PixelFormat.Nv12:
                {
                    long luma = stride == 0 ? width : stride;
                    FramePlane y = new FramePlane(pixels, length, luma);
                    PushFrame(format, width, height, timeSeconds, y, After(y, rows, stride == 0 ? 2 * halfWidth : luma));
                    break;
                }
                case PixelFormat.I420:
                {
                    long luma = stride == 0 ? width : stride;
                    long chroma = stride == 0 ? halfWidth : (luma + 1) / 2;
                    FramePlane y = new FramePlane(pixels, length, luma);
                    FramePlane u = After(y, rows, chroma);
                    PushFrame(format, width, height, timeSeconds, y, u, After(u, halfRows, chroma));
                    break;
                }
                default:
                {
                    int bytes = format == PixelFormat.Gray ? 1 : format == PixelFormat.Rgba || format == PixelFormat.Bgra ? 4 : 3;
                    PushFrame(format, width, height, timeSeconds, new FramePlane(pixels, length, stride == 0 ? (long)bytes * width : stride));
                    break;
                }
            }
        }

        /// <summary>Takes a picture whose planes lie anywhere, as cameras give them.</summary>
        public unsafe void PushFrame(
            PixelFormat format,
            int width,
            int height,
            double timeSeconds,
            FramePlane first,
            FramePlane second = default(FramePlane),
            FramePlane third = default(FramePlane))
        {
            NativeMethods.Frame frame = new NativeMethods.Frame();
            frame.size = (UIntPtr)(uint)sizeof(NativeMethods.Frame);
            frame.format = (uint)format;
            frame.width = (uint)Math.Max(width, 0);
            frame.height = (uint)Math.Max(height, 0);
            frame.time_s = timeSeconds;
            frame.planes0 = first.Data;
            frame.planes1 = second.Data;
            frame.planes2 = third.Data;
            frame.strides0 = Size(first.Stride);
            frame.strides1 = Size(second.Stride);
            frame.strides2 = Size(third.Stride);
            frame.lengths0 = Size(first.Length);
            frame.lengths1 = Size(second.Length);
            frame.lengths2 = Size(third.Length);
            using (NativeHandle.Borrowed live = Borrow())
            {
                Status.Check(NativeMethods.emotion_llama_live_push_frame(live.Pointer, &frame));
            }
        }

        /// <summary>
        /// Takes sound: samples of all channels by turns. <paramref name="count"/> is over all channels; -1 for what is there after
        /// <paramref name="offset"/>.
        /// </summary>
        public unsafe void PushSamples(short[] samples, int rate, int channels, double timeSeconds, int offset = 0, int count = -1)
        {
            if (samples == null) throw new ArgumentNullException("samples");
            count = Part(samples.Length, offset, count);
            fixed (short* start = samples)
            {
                PushSamples(SampleFormat.I16, (IntPtr)(start + offset), count, rate, channels, timeSeconds);
            }
        }

        /// <summary>As with 16-bit integers.</summary>
        public unsafe void PushSamples(float[] samples, int rate, int channels, double timeSeconds, int offset = 0, int count = -1)
        {
            if (samples == null) throw new ArgumentNullException("samples");
            count = Part(samples.Length, offset, count);
            fixed (float* start = samples)
            {
                PushSamples(SampleFormat.F32, (IntPtr)(start + offset), count, rate, channels, timeSeconds);
            }
        }

        /// <summary>As with an array; <paramref name="count"/> samples can be read at <paramref name="samples"/>.</summary>
        public unsafe void PushSamples(
            SampleFormat format, IntPtr samples, long count, int rate, int channels, double timeSeconds)
        {
            NativeMethods.Samples given = new NativeMethods.Samples();
            given.size = (UIntPtr)(uint)sizeof(NativeMethods.Samples);
            given.format = (uint)format;
            given.rate = (uint)Math.Max(rate, 0);
            given.channels = (uint)Math.Max(channels, 0);
            given.time_s = timeSeconds;
            given.data = samples;
            given.count = Size(count);
            using (NativeHandle.Borrowed live = Borrow())
            {
                Status.Check(NativeMethods.emotion_llama_live_push_samples(live.Pointer, &given));
            }
        }

#if NETSTANDARD2_1_OR_GREATER || NETCOREAPP3_0_OR_GREATER
        /// <summary>As with an array.</summary>
        public unsafe void PushFrame(
            PixelFormat format, int width, int height, ReadOnlySpan<byte> pixels, double timeSeconds, int stride = 0)
        {
            fixed (byte* start = &MemoryMarshal.GetReference(pixels))
            {
                PushFrame(format, width, height, (IntPtr)start, pixels.Length, timeSeconds, stride);
            }
        }

        /// <summary>As with an array.</summary>
        public unsafe void PushSamples(ReadOnlySpan<short> samples, int rate, int channels, double timeSeconds)
        {
            fixed (short* start = &MemoryMarshal.GetReference(samples))
            {
                PushSamples(SampleFormat.I16, (IntPtr)start, samples.Length, rate, channels, timeSeconds);
            }
        }

        /// <summary>As with an array.</summary>
        public unsafe void PushSamples(ReadOnlySpan<float> samples, int rate, int channels, double timeSeconds)
        {
            fixed (float* start = &MemoryMarshal.GetReference(samples))
            {
                PushSamples(SampleFormat.F32, (IntPtr)start, samples.Length, rate, channels, timeSeconds);
            }
        }
#endif

        /// <summary>What the buffer holds.</summary>
        public LiveInfo Info
        {
            get
            {
                using (NativeHandle.Borrowed live = Borrow())
                {
                    IntPtr text;
                    Status.Check(NativeMethods.emotion_llama_live_info(live.Pointer, out text));
                    return new LiveInfo(Utf8.Take(text));
                }
            }
        }

        /// <summary>Forgets all pictures and all sound; the clock begins anew.</summary>
        public void Clear()
        {
            using (NativeHandle.Borrowed live = Borrow()) NativeMethods.emotion_llama_live_clear(live.Pointer);
        }

        /// <summary>Lets go of the buffer; an analysis that was given it goes on. Safe to be called twice and from any thread.</summary>
        public void Dispose()
        {
            Handle.Dispose();
        }

        [MethodImpl(MethodImplOptions.NoInlining)]
        private static unsafe LiveHandle Make(string options)
        {
            fixed (byte* text = Utf8.Terminated(options))
            {
                IntPtr live;
                Status.Check(NativeMethods.emotion_llama_live_new(text, out live));
                return new LiveHandle(live);
            }
        }

        private static FramePlane After(FramePlane plane, long rows, long stride)
        {
            // A picture that is too short has no bytes here, and the library says so.
            long skipped = Math.Max(0, Math.Min(plane.Length, plane.Stride * rows));
            return new FramePlane((IntPtr)(plane.Data.ToInt64() + skipped), plane.Length - skipped, stride);
        }

        private static int Part(int length, int offset, int count)
        {
            if (offset < 0 || offset > length) throw new ArgumentOutOfRangeException("offset");
            if (count > length - offset || count < -1) throw new ArgumentOutOfRangeException("count");
            return count == -1 ? length - offset : count;
        }

        private static UIntPtr Size(long value)
        {
            return (UIntPtr)(ulong)Math.Max(value, 0);
        }

        private NativeHandle.Borrowed Borrow()
        {
            try
            {
                return Handle.Borrow();
            }
            catch (ObjectDisposedException)
            {
                throw new ObjectDisposedException("LiveBuffer");
            }
        }
    }

    /// <summary>What a live buffer holds.</summary>
    public sealed class LiveInfo
    {
        internal LiveInfo(string text)
        {
            JsonObject json = JsonReader.ParseObject(text);
            Frames = json.Whole("frames");
            DurationSeconds = json.Number("duration_s") ?? 0;
            MemoryBytes = json.Whole("memory_bytes");
        }

        /// <summary>Pictures.</summary>
        public long Frames { get; private set; }

        /// <summary>From the first picture or sound to the last.</summary>
        public double DurationSeconds { get; private set; }

        /// <summary>Memory that pictures and sound take.</summary>
        public long MemoryBytes { get; private set; }
    }
}

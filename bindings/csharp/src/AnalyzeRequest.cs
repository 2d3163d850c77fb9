// SPDX-License-Identifier: Apache-2.0
using System;
using System.Collections.Generic;
using System.IO;
using System.Threading;
using System.Threading.Tasks;
using EmotionLlama.Json;
using EmotionLlama.Native;

namespace EmotionLlama
{
    /// <summary>
    /// A clip and a question about it. What is null has the library's default. Not to be changed while a call that was given it runs.
    /// </summary>
    public sealed class AnalyzeRequest
    {
        /// <summary>The clip as a file.</summary>
        public string VideoPath { get; set; }

        /// <summary>The clip as a file's bytes. They are used in place, not copied before the call.</summary>
        public ArraySegment<byte>? VideoBytes { get; set; }

        /// <summary>The clip as a file's bytes in a stream, which is read to its end and not closed.</summary>
        public Stream VideoStream { get; set; }

        /// <summary>The clip as what a live buffer holds.</summary>
        public LiveBuffer Live { get; set; }

        /// <summary>How many of the last seconds of <see cref="Live"/> are meant; 0 for all.</summary>
        public double LiveSeconds { get; set; }

        /// <summary><c>emotion</c> (the label alone) or <c>reason</c> (with what shows it).</summary>
        public string Task { get; set; }

        /// <summary>A question of your own; may begin with <c>[emotion]</c> or <c>[reason]</c>.</summary>
        public string Prompt { get; set; }

        /// <summary><c>auto</c>, <c>none</c>, or the words that are said.</summary>
        public string Transcript { get; set; }

        /// <summary>The labels among which the model chooses.</summary>
        public IEnumerable<string> Labels { get; set; }

        /// <summary>Which frame is described: <c>"peak"</c>, <c>"first"</c>, <c>"middle"</c>, or seconds.</summary>
        public FrameChoice? Frame { get; set; }

        /// <summary>Which of the published prompts is written: <c>train</c>, <c>eval</c> or <c>demo</c>.</summary>
        public string PromptPath { get; set; }

        /// <summary>Vectors in place of what the encoders would give.</summary>
        public ClipFeatures Features { get; set; }

        /// <summary>How many tokens the answer may have.</summary>
        public int? MaxNewTokens { get; set; }

        /// <summary>Sampling temperature.</summary>
        public double? Temperature { get; set; }

        /// <summary>Nucleus sampling.</summary>
        public double? TopP { get; set; }

        /// <summary>Sampling among so many tokens.</summary>
        public int? TopK { get; set; }

        /// <summary>How much tokens that were written are avoided.</summary>
        public double? RepetitionPenalty { get; set; }

        /// <summary>Seed of the sampling.</summary>
        public ulong? Seed { get; set; }

        /// <summary>The likeliest token every time.</summary>
        public bool? Greedy { get; set; }

        /// <summary>What a file may be at most.</summary>
        public ClipLimits Limits { get; set; }

        /// <summary>Further fields, by the names of the C ABI, for libraries that are newer than this binding.</summary>
        public IDictionary<string, object> Additional { get; set; }

        internal string ToJson()
        {
            return new JsonWriter()
                .Field("path", VideoPath)
                .Field("task", Task)
                .Field("prompt", Prompt)
                .Field("transcript", Transcript)
                .Field("labels", Labels)
                .Field("frame", Frame == null ? null : Frame.Value.Value)
                .Field("prompt_path", PromptPath)
                .Field("features", Features == null ? null : Features.ToFields())
                .Field("max_new_tokens", MaxNewTokens)
                .Field("temperature", Temperature)
                .Field("top_p", TopP)
                .Field("top_k", TopK)
                .Field("repetition_penalty", RepetitionPenalty)
                .Field("seed", Seed)
                .Field("greedy", Greedy)
                .Field("limits", Limits == null ? null : Limits.ToFields())
                .Fields(Additional)
                .End();
        }

        /// <summary>The clip that is not a file, after the stream was read.</summary>
        internal Clip Clip(ArraySegment<byte>? streamed)
        {
            return new Clip
            {
                Bytes = streamed ?? VideoBytes,
                Live = Live == null ? null : Live.Handle,
                Seconds = LiveSeconds,
            };
        }

        internal ArraySegment<byte>? ReadStream()
        {
            if (VideoStream == null) return null;
            ArraySegment<byte>? held = Held();
            if (held != null) return held;
            using (MemoryStream memory = new MemoryStream())
            {
                VideoStream.CopyTo(memory);
                return new ArraySegment<byte>(memory.GetBuffer(), 0, (int)memory.Length);
            }
        }

        internal async Task<ArraySegment<byte>?> ReadStreamAsync(CancellationToken token)
        {
            if (VideoStream == null) return null;
            ArraySegment<byte>? held = Held();
            if (held != null) return held;
            using (MemoryStream memory = new MemoryStream())
            {
                await VideoStream.CopyToAsync(memory, 81920, token).ConfigureAwait(false);
                return new ArraySegment<byte>(memory.GetBuffer(), 0, (int)memory.Length);
            }
        }

        /// <summary>A stream over bytes that lie in memory already needs no copy.</summary>
        private ArraySegment<byte>? Held()
        {
            if (VideoBytes != null)
            {
                throw new EmotionLlamaException(
                    ErrorCode.InvalidArgument, "invalid_argument", "VideoBytes and VideoStream are given; give one of them");
            }
            MemoryStream memory = VideoStream as MemoryStream;
            ArraySegment<byte> all;
            if (memory == null || !memory.TryGetBuffer(out all)) return null;
            int position = (int)Math.Min(memory.Position, memory.Length);
            memory.Position = memory.Length;
            return new ArraySegment<byte>(all.Array, all.Offset + position, (int)memory.Length - position);
        }
    }

    /// <summary>Which frame is described.</summary>
    public struct FrameChoice
    {
        private FrameChoice(object value) : this()
        {
            Value = value;
        }

        internal object Value { get; private set; }

        /// <summary><c>"peak"</c>, <c>"first"</c> or <c>"middle"</c>.</summary>
        public static implicit operator FrameChoice(string name)
        {
            return new FrameChoice(name);
        }

        /// <summary>Seconds from the start.</summary>
        public static implicit operator FrameChoice(double seconds)
        {
            return new FrameChoice(seconds);
        }
    }

    /// <summary>Vectors in place of what the encoders would give.</summary>
    public sealed class ClipFeatures
    {
        /// <summary>Of the encoder MAE.</summary>
        public IEnumerable<float> Mae { get; set; }

        /// <summary>Of the encoder VideoMAE.</summary>
        public IEnumerable<float> VideoMae { get; set; }

        /// <summary>Of the encoder HuBERT.</summary>
        public IEnumerable<float> Hubert { get; set; }

        internal Dictionary<string, object> ToFields()
        {
            Dictionary<string, object> fields = new Dictionary<string, object>();
            if (Mae != null) fields["mae"] = Mae;
            if (VideoMae != null) fields["videomae"] = VideoMae;
            if (Hubert != null) fields["hubert"] = Hubert;
            return fields;
        }
    }

    /// <summary>What a file may be at most.</summary>
    public sealed class ClipLimits
    {
        /// <summary>Seconds.</summary>
        public double? MaxDurationSeconds { get; set; }

        /// <summary>Pixels of a picture.</summary>
        public long? MaxPixels { get; set; }

        /// <summary>Streams of a file.</summary>
        public int? MaxStreams { get; set; }

        /// <summary>Bytes of a file.</summary>
        public long? MaxBytes { get; set; }

        internal Dictionary<string, object> ToFields()
        {
            Dictionary<string, object> fields = new Dictionary<string, object>();
            if (MaxDurationSeconds != null) fields["max_duration_s"] = MaxDurationSeconds.Value;
            if (MaxPixels != null) fields["max_pixels"] = MaxPixels.Value;
            if (MaxStreams != null) fields["max_streams"] = MaxStreams.Value;
            if (MaxBytes != null) fields["max_bytes"] = MaxBytes.Value;
            return fields;
        }
    }
}

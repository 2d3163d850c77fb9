// SPDX-License-Identifier: Apache-2.0
using System;
using System.Collections;
using System.Collections.Generic;
using EmotionLlama.Json;

namespace EmotionLlama
{
    /// <summary>What a person in a clip feels, and what shows it.</summary>
    public sealed class Analysis
    {
        internal Analysis(JsonObject json, string text)
        {
            Json = text;
            Response = json.Text("response") ?? "";
            Emotion = json.Text("emotion") ?? "";
            Confidence = json.Number("confidence");
            Probabilities = new OrderedNumbers(json.Object("probabilities"));
            Explanation = json.Text("explanation") ?? "";
            Transcript = json.Text("transcript");
            Language = json.Text("language");
            Faces = json.List("faces", face => new Face(face));
            JsonObject frame = json.Object("frame");
            Frame = frame == null ? null : new DescribedFrame(frame);
            Cues = json.List("cues", cue => new Cue(cue));
            Usage = new TokenUsage(json.Object("usage") ?? new JsonObject());
            Timings = new StageTimings(json.Object("timings_ms") ?? new JsonObject());
            TimeToLabelMs = json.Number("time_to_label_ms") ?? 0;
            Model = new ModelInfo(json.Object("model") ?? new JsonObject());
            Notes = json.List("notes", note => new AnalysisNote(note));
        }

        /// <summary>Reads what <see cref="Json"/> gave, so that a result can be stored. Throws FormatException.</summary>
        public static Analysis Parse(string json)
        {
            if (json == null) throw new ArgumentNullException("json");
            return new Analysis(JsonReader.ParseObject(json), json);
        }

        /// <summary>The whole result as JSON, with fields that this version does not know.</summary>
        public string Json { get; private set; }

        /// <summary>The text as the model gave it.</summary>
        public string Response { get; private set; }

        /// <summary>The label with the highest probability.</summary>
        public string Emotion { get; private set; }

        /// <summary>Its probability, 0..1; null when a server does not tell.</summary>
        public double? Confidence { get; private set; }

        /// <summary>Each allowed label with its probability, in the order of the labels.</summary>
        public IReadOnlyDictionary<string, double> Probabilities { get; private set; }

        /// <summary>What shows it; empty when only the label was asked for.</summary>
        public string Explanation { get; private set; }

        /// <summary>What is said in the clip; null when nothing is, or when it was not wanted.</summary>
        public string Transcript { get; private set; }

        /// <summary>ISO 639-1 code of the language that was heard; null when none was.</summary>
        public string Language { get; private set; }

        /// <summary>Every face that was found, the described one first.</summary>
        public IReadOnlyList<Face> Faces { get; private set; }

        /// <summary>The frame that was described; null without a face or without pictures.</summary>
        public DescribedFrame Frame { get; private set; }

        /// <summary>What was measured.</summary>
        public IReadOnlyList<Cue> Cues { get; private set; }

        /// <summary>Tokens read and written.</summary>
        public TokenUsage Usage { get; private set; }

        /// <summary>Where the time went.</summary>
        public StageTimings Timings { get; private set; }

        /// <summary>Milliseconds until the label and its probability were known; the text follows. 0 where a server does not tell.</summary>
        public double TimeToLabelMs { get; private set; }

        /// <summary>Which model answered.</summary>
        public ModelInfo Model { get; private set; }

        /// <summary>What the caller should know of this clip.</summary>
        public IReadOnlyList<AnalysisNote> Notes { get; private set; }

        /// <summary>The label and its probability.</summary>
        public override string ToString()
        {
            return Confidence == null ? Emotion : Emotion + " (" + Confidence.Value.ToString("0.00") + ")";
        }
    }

    /// <summary>A rectangle in pixels of the source picture, after rotation.</summary>
    public struct Box
    {
        internal Box(JsonObject json) : this()
        {
            X = json.Number("x") ?? 0;
            Y = json.Number("y") ?? 0;
            Width = json.Number("width") ?? 0;
            Height = json.Number("height") ?? 0;
        }

        /// <summary>Left edge.</summary>
        public double X { get; private set; }

        /// <summary>Upper edge.</summary>
        public double Y { get; private set; }

        /// <summary>Width.</summary>
        public double Width { get; private set; }

        /// <summary>Height.</summary>
        public double Height { get; private set; }

        internal static Box? Of(JsonObject json)
        {
            return json == null ? (Box?)null : new Box(json);
        }
    }

    /// <summary>A face, followed through the clip.</summary>
    public sealed class Face
    {
        internal Face(JsonObject json)
        {
            Box = EmotionLlama.Box.Of(json.Object("box")) ?? default(Box);
            Score = json.Number("score") ?? 0;
            Track = json.Whole("track");
            TimeSeconds = json.Number("time_s") ?? 0;
        }

        /// <summary>Where it is, in the frame at <see cref="TimeSeconds"/>.</summary>
        public Box Box { get; private set; }

        /// <summary>How sure the detector is, 0..1.</summary>
        public double Score { get; private set; }

        /// <summary>Number of the person, the same through the clip.</summary>
        public long Track { get; private set; }

        /// <summary>Time of the frame.</summary>
        public double TimeSeconds { get; private set; }
    }

    /// <summary>The frame that was described.</summary>
    public sealed class DescribedFrame
    {
        internal DescribedFrame(JsonObject json)
        {
            TimeSeconds = json.Number("time_s") ?? 0;
            Index = json.Whole("index");
            Face = Box.Of(json.Object("face"));
        }

        /// <summary>Its time.</summary>
        public double TimeSeconds { get; private set; }

        /// <summary>Its number in the stream, from 0.</summary>
        public long Index { get; private set; }

        /// <summary>The face in it.</summary>
        public Box? Face { get; private set; }
    }

    /// <summary>Something that was measured.</summary>
    public sealed class Cue
    {
        internal Cue(JsonObject json)
        {
            Name = json.Text("name") ?? "";
            Value = json.Number("value");
            Unit = json.Text("unit");
            Z = json.Number("z") ?? 0;
            Level = json.Text("level") ?? "";
            Reading = json.Text("reading") ?? "";
        }

        /// <summary>Stable name, for example <c>mouth_corner</c> or <c>pitch</c>.</summary>
        public string Name { get; private set; }

        /// <summary>The measurement in <see cref="Unit"/>, where it has one.</summary>
        public double? Value { get; private set; }

        /// <summary>Unit of <see cref="Value"/>, for example <c>hertz</c>.</summary>
        public string Unit { get; private set; }

        /// <summary>Standard deviations from the norm.</summary>
        public double Z { get; private set; }

        /// <summary><c>low</c>, <c>normal</c> or <c>high</c>.</summary>
        public string Level { get; private set; }

        /// <summary>The level in words, for example <c>raised</c>.</summary>
        public string Reading { get; private set; }
    }

    /// <summary>Tokens read and written.</summary>
    public sealed class TokenUsage
    {
        internal TokenUsage(JsonObject json)
        {
            PromptTokens = json.Whole("prompt_tokens");
            CompletionTokens = json.Whole("completion_tokens");
            CachedTokens = json.Whole("cached_tokens");
        }

        /// <summary>Positions of the prompt.</summary>
        public long PromptTokens { get; private set; }

        /// <summary>Tokens of the response.</summary>
        public long CompletionTokens { get; private set; }

        /// <summary>Positions of the prompt that a session did not read again.</summary>
        public long CachedTokens { get; private set; }
    }

    /// <summary>Milliseconds of each stage. Stages run side by side, so that their sum may be more than the total.</summary>
    public sealed class StageTimings
    {
        internal StageTimings(JsonObject json)
        {
            DecodeMs = json.Number("decode") ?? 0;
            PreprocessMs = json.Number("preprocess") ?? 0;
            EncodeMs = json.Number("encode") ?? 0;
            PrefillMs = json.Number("prefill") ?? 0;
            GenerateMs = json.Number("generate") ?? 0;
            TotalMs = json.Number("total") ?? 0;
        }

        /// <summary>Reading and decoding.</summary>
        public double DecodeMs { get; private set; }

        /// <summary>Finding and reading faces.</summary>
        public double PreprocessMs { get; private set; }

        /// <summary>The voice and the words.</summary>
        public double EncodeMs { get; private set; }

        /// <summary>Reading the prompt.</summary>
        public double PrefillMs { get; private set; }

        /// <summary>Scoring the labels and writing the answer.</summary>
        public double GenerateMs { get; private set; }

        /// <summary>The whole call.</summary>
        public double TotalMs { get; private set; }
    }

    /// <summary>Which model answered.</summary>
    public sealed class ModelInfo
    {
        internal ModelInfo(JsonObject json)
        {
            Name = json.Text("name") ?? "";
            Version = json.Text("version") ?? "";
            Digest = json.Text("digest") ?? "";
        }

        /// <summary>Name of the pack; empty when a server does not tell.</summary>
        public string Name { get; private set; }

        /// <summary>Version of the pack.</summary>
        public string Version { get; private set; }

        /// <summary>SHA-256 of the pack's manifest.</summary>
        public string Digest { get; private set; }
    }

    /// <summary>Something that is no failure but that the caller should know.</summary>
    public sealed class AnalysisNote
    {
        internal AnalysisNote(JsonObject json)
        {
            Name = json.Text("name") ?? "";
            Message = json.Text("message") ?? "";
        }

        /// <summary>Stable name, for example <c>no_face</c>.</summary>
        public string Name { get; private set; }

        /// <summary>One sentence for a person.</summary>
        public string Message { get; private set; }
    }

    /// <summary>Names and numbers in the order in which they came.</summary>
    internal sealed class OrderedNumbers : IReadOnlyDictionary<string, double>
    {
        private readonly List<KeyValuePair<string, double>> items = new List<KeyValuePair<string, double>>();

        internal OrderedNumbers(JsonObject json)
        {
            if (json == null) return;
            foreach (KeyValuePair<string, object> field in json.Fields)
            {
                if (field.Value is double) items.Add(new KeyValuePair<string, double>(field.Key, (double)field.Value));
            }
        }

        public int Count
        {
            get { return items.Count; }
        }

        public double this[string key]
        {
            get
            {
                double value;
                if (!TryGetValue(key, out value)) throw new KeyNotFoundException("there is no label " + key);
                return value;
            }
        }

        public IEnumerable<string> Keys
        {
            get
            {
                foreach (KeyValuePair<string, double> item in items) yield return item.Key;
            }
        }

        public IEnumerable<double> Values
        {
            get
            {
                foreach (KeyValuePair<string, double> item in items) yield return item.Value;
            }
        }

        public bool ContainsKey(string key)
        {
            double value;
            return TryGetValue(key, out value);
        }

        public bool TryGetValue(string key, out double value)
        {
            foreach (KeyValuePair<string, double> item in items)
            {
                if (!string.Equals(item.Key, key, StringComparison.Ordinal)) continue;
                value = item.Value;
                return true;
            }
            value = 0;
            return false;
        }

        public IEnumerator<KeyValuePair<string, double>> GetEnumerator()
        {
            return items.GetEnumerator();
        }

        IEnumerator IEnumerable.GetEnumerator()
        {
            return items.GetEnumerator();
        }
    }
}

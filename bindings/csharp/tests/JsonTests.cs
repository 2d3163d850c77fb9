// SPDX-License-Identifier: Apache-2.0
using System;
using System.Collections.Generic;
using System.Globalization;
using System.Linq;
using System.Threading;
using EmotionLlama.Json;

namespace EmotionLlama.Tests
{
    internal static class JsonTests
    {
        public static void ReadsWhatTheStandardHas()
        {
            JsonObject json = JsonReader.ParseObject(
                " {\"a\": [1, -2.5e3, true, false, null, \"\\u0041\\n\\\"\\ud83d\\ude00😀حزين\"], \"b\": {}, \"c\": [], \"b\": {\"d\": 0}}\n");
            List<object> list = (List<object>)json["a"];
            Check.Same(new object[] { 1.0, -2500.0, true, false, null, "A\n\"😀😀حزين" }, list);
            Check.Equal(0.0, json.Object("b").Number("d").Value, "the last of two fields counts");
            Check.Same(new[] { "a", "b", "c" }, json.Fields.Select(field => field.Key), "order");
            Check.That(json["nothing"] == null && json.Text("a") == null, "another type or nothing is null");
        }

        public static void RefusesWhatIsNoJson()
        {
            string[] wrong =
            {
                "", " ", "{", "}", "[1,]", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{a:1}", "tru", "01", "1.", ".5", "+1", "1e", "-", "\"", "\"\\x\"",
                "\"\\u12\"", "\"\\u+123\"", "\"\n\"", "1 2", "[1 2]", "nulls", "'a'", "1e999", new string('[', 100),
            };
            foreach (string text in wrong)
            {
                try
                {
                    JsonReader.Parse(text);
                }
                catch (FormatException)
                {
                    continue;
                }
                throw new CheckFailed("this was read: " + text);
            }
        }

        public static void WritesTheSameInEveryCulture()
        {
            CultureInfo before = Thread.CurrentThread.CurrentCulture;
            Thread.CurrentThread.CurrentCulture = new CultureInfo("");
            CultureInfo comma = (CultureInfo)CultureInfo.InvariantCulture.Clone();
            comma.NumberFormat.NumberDecimalSeparator = ",";
            comma.NumberFormat.NegativeSign = "~";
            Thread.CurrentThread.CurrentCulture = comma;
            try
            {
                AnalyzeRequest request = new AnalyzeRequest
                {
                    VideoPath = "a\"\\\u0001\u0000/😀حزين.mp4", Labels = new[] { "a", "b" }, Frame = 1.5, Temperature = -0.25, Seed = ulong.MaxValue, Greedy = false,
                    Features = new ClipFeatures { Hubert = new[] { 0.1f, -1f } }, Limits = new ClipLimits { MaxBytes = 5 },
                    Additional = new Dictionary<string, object> { { "later", new object[] { 1, "x", null } } },
                };
                Check.Equal(
                    "{\"path\":\"a\\\"\\\\\\u0001\\u0000/😀حزين.mp4\",\"labels\":[\"a\",\"b\"],\"frame\":1.5,\"features\":{\"hubert\":[0.1,-1]},\"temperature\":-0.25,"
                    + "\"seed\":18446744073709551615,\"greedy\":false,\"limits\":{\"max_bytes\":5},\"later\":[1,\"x\",null]}",
                    request.ToJson());
                Check.Equal(-2.5, (double)JsonReader.Parse("-2.5"), "reading");
            }
            finally
            {
                Thread.CurrentThread.CurrentCulture = before;
            }
        }

        public static void HalfOfAPairIsEscapedAndNotReplaced()
        {
            Check.Equal("{\"prompt\":\"\\ud83d x \\ude00\"}", new AnalyzeRequest { Prompt = "\ud83d x \ude00" }.ToJson());
        }

        public static void WhatIsWrittenIsReadAgain()
        {
            Random random = new Random(7);
            for (int round = 0; round < 200; round++)
            {
                char[] letters = new char[random.Next(40)];
                for (int i = 0; i < letters.Length; i++) letters[i] = (char)random.Next(0x10000);
                string text = new string(letters);
                double number = random.NextDouble() * Math.Pow(10, random.Next(-20, 20));
                JsonObject json = JsonReader.ParseObject(new JsonWriter().Field("t", text).Field("n", number).End());
                Check.That(json.Text("t") == text, "text of round " + round);
                Check.Equal(number, json.Number("n").Value, "number");
            }
        }

        public static void AResultOfALaterVersionIsRead()
        {
            const string json = "{\"response\":\"x\",\"emotion\":\"happy\",\"confidence\":null,\"probabilities\":{\"z\":0.75,\"a\":0.25},\"faces\":[{\"box\":{\"x\":1,"
                + "\"y\":2,\"width\":3,\"height\":4},\"score\":0.5,\"track\":7,\"time_s\":1.5,\"mask\":[1]}],\"frame\":{\"time_s\":2,\"index\":3,\"face\":null},"
                + "\"cues\":[{\"name\":\"pitch\",\"z\":1.5,\"level\":\"high\",\"reading\":\"raised\"}, 5],\"usage\":{\"cached_tokens\":9},\"timings_ms\":{\"total\":12.5},"
                + "\"model\":null,\"notes\":[{\"name\":\"no_sound\",\"message\":\"m\"}],\"mood\":{\"of\":\"later\"}}";
            Analysis result = Analysis.Parse(json);
            Check.Equal(null, result.Confidence, "confidence");
            Check.Same(new[] { "z", "a" }, result.Probabilities.Keys, "order");
            Check.Equal(0.25, result.Probabilities["a"]);
            Check.That(!result.Probabilities.ContainsKey("b"), "no label b");
            Check.Throws<KeyNotFoundException>(() => result.Probabilities["b"].ToString());
            Check.Equal(4.0, result.Faces.Single().Box.Height);
            Check.Equal(7L, result.Faces.Single().Track);
            Check.That(result.Frame.Index == 3 && result.Frame.Face == null, "frame");
            Check.That(result.Cues.Single().Name == "pitch" && result.Cues.Single().Value == null, "cues");
            Check.Equal(9L, result.Usage.CachedTokens);
            Check.Equal(12.5, result.Timings.TotalMs);
            Check.Equal("", result.Model.Name);
            Check.Equal("no_sound", result.Notes.Single().Name);
            Check.That(result.Transcript == null && result.Language == null && result.Explanation == "", "what is absent");
            Check.Equal(json, result.Json, "all of it is kept");
            Check.Throws<FormatException>(() => Analysis.Parse("[]"));
        }

        public static void AnEventOfALaterVersionIsNoFailure()
        {
            AnalysisEvent later = AnalysisEvent.Parse("{\"type\":\"thought\",\"text\":\"hm\"}");
            Check.That(later.Type == "thought" && later.GetType() == typeof(AnalysisEvent) && later.Json.Contains("hm"), "an event");
            ResultEvent result = (ResultEvent)AnalysisEvent.Parse("{\"type\":\"result\",\"analysis\":{\"emotion\":\"sad\",\"x\":[1,{\"y\":null}]}}");
            Check.Equal("{\"emotion\":\"sad\",\"x\":[1,{\"y\":null}]}", result.Analysis.Json);
        }
    }
}

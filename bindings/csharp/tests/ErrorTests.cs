// SPDX-License-Identifier: Apache-2.0
using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Text;

namespace EmotionLlama.Tests
{
    internal static class ErrorTests
    {
        public static void WhatIsMissingIsNamed()
        {
            EmotionLlamaException file = Check.Fails(
                ErrorCode.NotFound, "not_found", () => Places.Engine.Analyze("/no/such/قصير 😀 clip.mp4"));
            Check.That(file.Message.Contains("/no/such/قصير 😀 clip.mp4"), file.Message);
            Check.Fails(ErrorCode.NotFound, "not_found", () => Check.Wait(Places.Engine.AnalyzeAsync("/no/such/clip.mp4")));
            Check.Fails(ErrorCode.NotFound, "not_found", () => Places.Engine.AnalyzeStream("/no/such/clip.mp4").Count());
            Check.Fails(ErrorCode.NotFound, "not_found", () => Places.Engine.StartSession("/no/such/clip.mp4"));
            Check.Fails(ErrorCode.NotFound, "not_found", () => new EmotionLLaMA(pack: "/no/such/pack"));
            Check.Fails(ErrorCode.NotFound, "not_found", () => Check.Wait(EmotionLLaMA.OpenAsync(new EngineOptions { Pack = "/no/such/pack" })));
        }

        public static void WrongValuesAreNamed()
        {
            AnalyzeRequest request = Places.Quick();
            request.Temperature = -1;
            Check.That(
                Check.Fails(ErrorCode.InvalidArgument, "invalid_argument", () => Places.Engine.Analyze(request)).Message.Contains("temperature"), "name");
            request = Places.Quick();
            request.Additional = new Dictionary<string, object> { { "tsk", "emotion" } };
            Check.That(Check.Fails(ErrorCode.InvalidArgument, "invalid_argument", () => Places.Engine.Analyze(request)).Message.Contains("tsk"), "name");
            request = Places.Quick();
            request.Prompt = "half a pair: \ud83d";
            Check.Fails(ErrorCode.InvalidArgument, "invalid_argument", () => Places.Engine.Analyze(request));
            Check.Fails(ErrorCode.InvalidArgument, "invalid_argument", () => Places.Engine.Analyze(new AnalyzeRequest { Task = "emotion" }));
            Check.Fails(ErrorCode.InvalidArgument, "invalid_argument", () => new EmotionLLaMA(pack: Places.Pack, apiUrl: "http://localhost:1"));
            Check.Throws<ArgumentNullException>(() => Places.Engine.Analyze((string)null));
            Check.Throws<ArgumentNullException>(() => Places.Engine.Analyze((AnalyzeRequest)null));
            Check.Throws<ArgumentNullException>(() => Check.Wait(Places.Engine.AnalyzeAsync((AnalyzeRequest)null)));
        }

        public static void TwoClipsAreOneTooMany()
        {
            AnalyzeRequest request = Places.Quick();
            request.VideoBytes = new ArraySegment<byte>(new byte[] { 1 });
            Check.Fails(ErrorCode.InvalidArgument, "invalid_argument", () => Places.Engine.Analyze(request));
            request.VideoPath = null;
            request.VideoStream = new MemoryStream();
            Check.Fails(ErrorCode.InvalidArgument, "invalid_argument", () => Places.Engine.Analyze(request));
        }

        public static void WhatIsNoMediaCannotBeDecoded()
        {
            byte[] text = Encoding.ASCII.GetBytes(string.Concat(Enumerable.Repeat("no clip ", 100)));
            Check.Fails(
                ErrorCode.MediaUndecodable, "media_undecodable",
                () => Places.Engine.Analyze(new AnalyzeRequest { VideoBytes = new ArraySegment<byte>(text) }));
            Check.Fails(
                ErrorCode.MediaUndecodable, "media_undecodable",
                () => Places.Engine.Analyze(new AnalyzeRequest { VideoBytes = new ArraySegment<byte>(new byte[0]) }));
        }

        public static void LimitsHold()
        {
            AnalyzeRequest request = Places.Quick();
            request.Limits = new ClipLimits { MaxBytes = 1000 };
            Check.Fails(ErrorCode.MediaTooLarge, "media_too_large", () => Places.Engine.Analyze(request));
        }

        public static void TheBuiltInModelIsLookedForAndNamed()
        {
            string before = Environment.GetEnvironmentVariable(EngineOptions.PackVariable);
            try
            {
                Environment.SetEnvironmentVariable(EngineOptions.PackVariable, Places.Pack);
                using (EmotionLLaMA engine = new EmotionLLaMA()) Check.Equal("emotion-llama-mini", engine.Info.Pack.Name);
                Environment.SetEnvironmentVariable(EngineOptions.PackVariable, null);
                EmotionLlamaException missing = Check.Fails(ErrorCode.NotFound, "not_found", () => new EmotionLLaMA());
                Check.That(missing.Message.Contains("EMOTION_LLAMA_PACK") && missing.Message.Contains("emotion-llama-mini"), missing.Message);
            }
            finally
            {
                Environment.SetEnvironmentVariable(EngineOptions.PackVariable, before);
            }
        }

        public static void APackIsFoundByItsName()
        {
            EngineOptions options = new EngineOptions { Pack = "emotion-llama-mini", Search = new[] { Path.GetDirectoryName(Places.Pack) } };
            using (EmotionLLaMA engine = new EmotionLLaMA(options)) Check.Equal("emotion-llama-mini", engine.Info.Pack.Name);
        }

        public static void AServerThatIsNotThereIsUnreachable()
        {
            Check.Fails(
                ErrorCode.Unreachable, "unreachable",
                () => new EmotionLLaMA(new EngineOptions { ApiUrl = "http://127.0.0.1:9", ConnectTimeout = TimeSpan.FromSeconds(5) }));
        }
    }
}

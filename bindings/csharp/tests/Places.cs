// SPDX-License-Identifier: Apache-2.0
using System;
using System.IO;

namespace EmotionLlama.Tests
{
    /// <summary>What the tests read. EMOTION_LLAMA_ROOT is the repository; the script that runs the tests sets it.</summary>
    internal static class Places
    {
        internal static string Root
        {
            get { return Environment.GetEnvironmentVariable("EMOTION_LLAMA_ROOT") ?? Directory.GetCurrentDirectory(); }
        }

        internal static string Pack
        {
            get { return Named("EMOTION_LLAMA_PACK", "build/packs/emotion-llama-mini"); }
        }

        internal static string Clips
        {
            get { return Named("EMOTION_LLAMA_CLIPS", "build/clips"); }
        }

        internal static string Clip
        {
            get { return Path.Combine(Clips, "1001_DFA_ANG_XX.flv"); }
        }

        internal static string Abi
        {
            get { return Path.Combine(Root, "ffi/abi.json"); }
        }

        /// <summary>A question that is answered soon.</summary>
        internal static AnalyzeRequest Quick()
        {
            return new AnalyzeRequest { VideoPath = Clip, Transcript = "none", MaxNewTokens = 8, Greedy = true };
        }

        /// <summary>One engine for all tests, as one program would have it.</summary>
        internal static EmotionLLaMA Engine
        {
            get { return Opened.Value; }
        }

        private static readonly Lazy<EmotionLLaMA> Opened = new Lazy<EmotionLLaMA>(() => new EmotionLLaMA(pack: Pack));

        private static string Named(string variable, string place)
        {
            return Path.GetFullPath(Environment.GetEnvironmentVariable(variable) ?? Path.Combine(Root, place));
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
using System;
using System.Diagnostics;
using System.IO;
using System.Threading;

namespace EmotionLlama.Tests
{
    /// <summary>Many analyses in one process. Figures are for people to read; nothing depends on them.</summary>
    internal static class Memory
    {
        internal static int Run(int count)
        {
            // A small model and a short clip: what is measured here is the binding.
            string pack = Environment.GetEnvironmentVariable("EMOTION_LLAMA_SMALL_PACK");
            byte[] clip = File.ReadAllBytes(Places.Clip);
            Stopwatch clock = Stopwatch.StartNew();
            long first = 0;
            long last = 0;
            using (EmotionLLaMA engine = new EmotionLLaMA(pack: string.IsNullOrEmpty(pack) ? Places.Pack : pack))
            using (CancellationTokenSource source = new CancellationTokenSource())
            {
                for (int i = 0; i < count; i++)
                {
                    AnalyzeRequest request = new AnalyzeRequest
                    {
                        VideoBytes = new ArraySegment<byte>(clip, 0, 20000), Transcript = "none", MaxNewTokens = 4, Greedy = true, Task = "emotion",
                    };
                    if (i % 2 == 0) Check.That(engine.Analyze(request, source.Token).Emotion.Length > 0, "an emotion");
                    else foreach (AnalysisEvent next in engine.AnalyzeStream(request, source.Token)) GC.KeepAlive(next);
                    if (i == Math.Min(10, count - 1)) first = Resident();
                }
                last = Resident();
            }
            Console.WriteLine(
                "csharp: {0} analyses in {1:0.0} s: {2} kB resident after the eleventh, {3} kB after the last", count, clock.Elapsed.TotalSeconds, first, last);
            return 0;
        }

        private static long Resident()
        {
            GC.Collect();
            GC.WaitForPendingFinalizers();
            foreach (string line in File.Exists("/proc/self/status") ? File.ReadAllLines("/proc/self/status") : new string[0])
            {
                if (line.StartsWith("VmRSS:", StringComparison.Ordinal)) return long.Parse(line.Substring(6).Replace("kB", "").Trim());
            }
            return Process.GetCurrentProcess().WorkingSet64 / 1024;
        }
    }
}

// Seconds that an analysis with its text takes through the C# SDK: Sdk PACK CLIP THREADS, one for each line that comes in.
using System;
using System.Diagnostics;
using System.Globalization;
using EmotionLlama;

internal static class Sdk
{
    private static void Main(string[] arguments)
    {
        int threads = int.Parse(arguments[2], CultureInfo.InvariantCulture);
        AnalyzeRequest request = new AnalyzeRequest { VideoPath = arguments[1], Task = "reason", Greedy = true };
        using (EmotionLLaMA client = new EmotionLLaMA(new EngineOptions { Pack = arguments[0], Threads = threads, Verify = false }))
        {
            while (Console.In.ReadLine() != null)
            {
                Stopwatch watch = Stopwatch.StartNew();
                foreach (AnalysisEvent next in client.AnalyzeStream(request)) GC.KeepAlive(next);
                Console.WriteLine(watch.Elapsed.TotalSeconds.ToString(CultureInfo.InvariantCulture));
            }
        }
    }
}

// Analyses a file, tells how far it is, and prints the answer as it is written: Analyze CLIP [SERVER]
// Ctrl+C cancels. Without SERVER the built-in model answers, which EMOTION_LLAMA_PACK may name.
using System;
using System.Threading;
using System.Threading.Tasks;
using EmotionLlama;

internal static class Analyze
{
    private sealed class Loading : IProgress<LoadProgress>
    {
        public void Report(LoadProgress progress)
        {
            Console.Error.Write("\rloading {0} %", 100 * progress.Done / Math.Max(1, progress.Total));
        }
    }

    private static int Main(string[] arguments)
    {
        if (arguments.Length < 1)
        {
            Console.Error.WriteLine("usage: Analyze CLIP [SERVER]");
            return 2;
        }
        using (CancellationTokenSource stop = new CancellationTokenSource())
        {
            Console.CancelKeyPress += (sender, key) =>
            {
                key.Cancel = true;
                stop.Cancel();
            };
            try
            {
                Run(arguments[0], arguments.Length > 1 ? arguments[1] : null, stop.Token).GetAwaiter().GetResult();
                return 0;
            }
            catch (OperationCanceledException)
            {
                Console.Error.WriteLine("cancelled");
                return 130;
            }
            catch (EmotionLlamaException failure)
            {
                Console.Error.WriteLine("{0} ({1})", failure.Message, failure.Name);
                return 1;
            }
        }
    }

    private static async Task Run(string clip, string server, CancellationToken token)
    {
        EngineOptions options = new EngineOptions { ApiUrl = server };
        using (EmotionLLaMA client = await EmotionLLaMA.OpenAsync(options, new Loading(), token))
        {
            Console.Error.WriteLine();
            Analysis result = await client.AnalyzeStream(clip, task: "reason", cancellationToken: token).ForEachAsync(Show);
            Console.WriteLine();
            Console.WriteLine("emotion: {0}, confidence: {1:0.00}", result.Emotion, result.Confidence);
        }
    }

    private static void Show(AnalysisEvent next)
    {
        StageEvent stage = next as StageEvent;
        TextEvent text = next as TextEvent;
        if (stage != null) Console.Error.WriteLine("[{0}]", stage.Stage);
        if (text != null) Console.Write(text.Text);
    }
}

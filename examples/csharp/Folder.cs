// Analyses every file of a folder, four at a time: Folder DIRECTORY [SERVER]
using System;
using System.IO;
using System.Linq;
using System.Threading;
using System.Threading.Tasks;
using EmotionLlama;

internal static class Folder
{
    private static int Main(string[] arguments)
    {
        if (arguments.Length < 1)
        {
            Console.Error.WriteLine("usage: Folder DIRECTORY [SERVER]");
            return 2;
        }
        try
        {
            return Run(arguments[0], arguments.Length > 1 ? arguments[1] : null).GetAwaiter().GetResult();
        }
        catch (Exception failure) when (failure is EmotionLlamaException || failure is IOException)
        {
            Console.Error.WriteLine(failure.Message);
            return 1;
        }
    }

    private static async Task<int> Run(string directory, string server)
    {
        using (SemaphoreSlim places = new SemaphoreSlim(4))
        using (EmotionLLaMA client = new EmotionLLaMA(apiUrl: server))
        {
            bool[] isWell = await Task.WhenAll(Directory.GetFiles(directory).OrderBy(file => file).Select(file => One(client, file, places)));
            return isWell.All(well => well) ? 0 : 1;
        }
    }

    private static async Task<bool> One(EmotionLLaMA client, string file, SemaphoreSlim places)
    {
        await places.WaitAsync();
        try
        {
            Analysis result = await client.AnalyzeAsync(file, task: "emotion");
            Console.WriteLine("{0}: {1} ({2:0.00})", Path.GetFileName(file), result.Emotion, result.Confidence);
            return true;
        }
        catch (EmotionLlamaException failure)
        {
            Console.WriteLine("{0}: {1}: {2}", Path.GetFileName(file), failure.Name, failure.Message);
            return false;
        }
        finally
        {
            places.Release();
        }
    }
}

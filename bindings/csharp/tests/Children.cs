// SPDX-License-Identifier: Apache-2.0
using System;
using System.Diagnostics;
using System.IO;
using System.Linq;
using System.Reflection;
using System.Threading;
using System.Threading.Tasks;

namespace EmotionLlama.Tests
{
    /// <summary>Processes that end in the middle of a call.</summary>
    internal static class Children
    {
        internal static Process Start(string kind)
        {
            return Start(Assembly.GetExecutingAssembly().Location, "child " + kind, start => { });
        }

        internal static Process Start(string program, string arguments, Action<ProcessStartInfo> change)
        {
            // The first argument of the runtime (mono, dotnet) is what was run.
            string runtime = Process.GetCurrentProcess().MainModule.FileName;
            string before = Environment.GetEnvironmentVariable("EMOTION_LLAMA_TEST_HOST") ?? "";
            ProcessStartInfo start = new ProcessStartInfo(runtime, before + " \"" + program + "\" " + arguments)
            {
                UseShellExecute = false, RedirectStandardOutput = true,
            };
            change(start);
            return Process.Start(start);
        }

        /// <summary>What the threads of a process do, where the system tells.</summary>
        internal static string State(int process)
        {
            string threads = "/proc/" + process + "/task";
            if (!Directory.Exists(threads)) return "unknown";
            return string.Join("; ", Directory.GetDirectories(threads).Select(thread => string.Join(
                " ", File.ReadAllLines(Path.Combine(thread, "status")).Where(line => line.StartsWith("Name:", StringComparison.Ordinal)
                    || line.StartsWith("State:", StringComparison.Ordinal)))));
        }

        internal static int Run(string kind)
        {
            // Where there is a small model, there is more of what is tested in the same time.
            string small = Environment.GetEnvironmentVariable("EMOTION_LLAMA_SMALL_PACK");
            bool isSmall = kind == "many" && !string.IsNullOrEmpty(small);
            EmotionLLaMA engine = new EmotionLLaMA(pack: isSmall ? small : Places.Pack);
            if (kind == "stream")
            {
                Log.Set(message => { }, LogLevel.Trace);
                EventStream stream = engine.AnalyzeStream(Places.Clip, "reason");
                stream.Next();
                Task<Analysis> rest = stream.ForEachAsync(next => { });
                Running(rest);
                Environment.Exit(9);
            }
            if (kind == "many")
            {
                // Calls and messages on many threads: each end meets others of them.
                Log.Set(message => { }, LogLevel.Trace);
                for (int i = 0; i < 4; i++) new Thread(() => WithoutEnd(engine)) { IsBackground = true }.Start();
                engine.AnalyzeStream(Places.Quick()).Next();
                Console.WriteLine("running");
                Thread.Sleep(new Random().Next(60));
                Environment.Exit(6);
            }
            Task<Analysis>[] tasks = { engine.AnalyzeAsync(Places.Clip, "reason"), engine.AnalyzeAsync(Places.Clip, "reason") };
            Thread.Sleep(100);
            Running(tasks[0]);
            if (kind == "exit") Environment.Exit(8);
            return 7;
        }

        private static void WithoutEnd(EmotionLLaMA engine)
        {
            try
            {
                while (true)
                {
                    foreach (AnalysisEvent next in engine.AnalyzeStream(Places.Quick())) GC.KeepAlive(next);
                }
            }
            catch (EmotionLlamaCanceledException)
            {
            }
        }

        private static void Running(Task task)
        {
            Console.WriteLine(task.IsCompleted ? "over" : "running");
        }
    }
}

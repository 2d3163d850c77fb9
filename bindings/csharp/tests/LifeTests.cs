// SPDX-License-Identifier: Apache-2.0
using System;
using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Threading;
using System.Threading.Tasks;

namespace EmotionLlama.Tests
{
    /// <summary>Handles, the collector, and the end of the process while a call runs.</summary>
    internal static class LifeTests
    {
        public static void ADisposedEngineSaysSo()
        {
            EmotionLLaMA engine = new EmotionLLaMA(pack: Places.Pack);
            engine.Dispose();
            engine.Dispose();
            Check.Equal("EmotionLLaMA", Check.Throws<ObjectDisposedException>(() => engine.Analyze(Places.Quick())).ObjectName);
            Check.Throws<ObjectDisposedException>(() => engine.Info.ToString());
        }

        public static void ACallEndsWellWhenItsEngineIsDisposed()
        {
            EmotionLLaMA engine = new EmotionLLaMA(pack: Places.Pack);
            Task<Analysis> task = engine.AnalyzeAsync(Places.Quick());
            EventStream stream = engine.AnalyzeStream(Places.Quick());
            Thread.Sleep(30);
            engine.Dispose();
            Check.That(Check.Wait(stream.ForEachAsync(next => { })).Emotion.Length > 0, "the stream");
            try
            {
                Check.That(Check.Wait(task).Emotion.Length > 0, "the call");
            }
            catch (ObjectDisposedException)
            {
                // The call had yet to begin.
            }
        }

        [MethodImpl(MethodImplOptions.NoInlining)]
        private static Task<Analysis> Dropped()
        {
            return new EmotionLLaMA(pack: Places.Pack).AnalyzeAsync(Places.Quick());
        }

        public static void TheCollectorWaitsForACall()
        {
            Task<Analysis> task = Dropped();
            while (!task.IsCompleted)
            {
                GC.Collect();
                GC.WaitForPendingFinalizers();
            }
            Check.That(Check.Wait(task).Emotion.Length > 0, "the call");
        }

        [MethodImpl(MethodImplOptions.NoInlining)]
        private static void Drop()
        {
            for (int i = 0; i < 20; i++)
            {
                new LiveBuffer();
                Places.Engine.AnalyzeStream(Places.Quick()).Next();
            }
        }

        public static void DroppedStreamsAndBuffersAreCollected()
        {
            Drop();
            GC.Collect();
            GC.WaitForPendingFinalizers();
            Check.That(Places.Engine.Analyze(Places.Quick()).Emotion.Length > 0, "the next call");
        }

        public static void AnInterruptedThreadEndsItsCallWell()
        {
            Analysis result = null;
            bool isInterrupted = false;
            Thread thread = new Thread(() =>
            {
                try
                {
                    result = Places.Engine.Analyze(Places.Quick());
                    Thread.Sleep(Timeout.Infinite);
                }
                catch (ThreadInterruptedException)
                {
                    isInterrupted = true;
                }
            });
            Check.That(Places.Engine.Info != null, "an engine");
            thread.Start();
            Thread.Sleep(20);
            // Native code is not interrupted: the call ends, and the thread hears of it when it waits.
            thread.Interrupt();
            thread.Join();
            Check.That(isInterrupted, "the interrupt is heard");
            Check.That(result == null || result.Emotion.Length > 0, "the call");
            Check.That(Places.Engine.Analyze(Places.Quick()).Emotion.Length > 0, "the next call");
        }

        public static void TheProcessEndsWhileACallRuns()
        {
            Ends("return", 7);
        }

        public static void TheProcessExitsWhileACallRuns()
        {
            Ends("exit", 8);
        }

        public static void TheProcessExitsWhileEventsAndMessagesCome()
        {
            Ends("stream", 9);
        }

        public static void TheProcessExitsWhileManyThreadsCallAndAreCalled()
        {
            for (int round = 0; round < 5; round++) Ends("many", 6);
        }

        /// <summary>Not a crash (a signal gives another status) and not a hang.</summary>
        private static void Ends(string kind, int status)
        {
            for (int round = 0; round < 3; round++)
            {
                using (Process child = Children.Start(kind))
                {
                    if (!child.WaitForExit(180000))
                    {
                        string state = Children.State(child.Id);
                        child.Kill();
                        throw new CheckFailed(kind + ": the process hangs: " + state);
                    }
                    string said = child.StandardOutput.ReadToEnd();
                    Check.That(said.StartsWith("running", StringComparison.Ordinal), kind + " said: " + said);
                    Check.Equal(status, child.ExitCode, kind);
                }
            }
        }
    }
}

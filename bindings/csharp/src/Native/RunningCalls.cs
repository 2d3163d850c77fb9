// SPDX-License-Identifier: Apache-2.0
using System;
using System.Collections.Generic;
using System.Threading;

namespace EmotionLlama.Native
{
    /// <summary>
    /// The calls and streams that run. When the process ends, or the domain is unloaded (Unity's editor reloads it), they are cancelled: a runtime
    /// waits for threads that are in native code. Mono 6.8 hangs or aborts when such a thread comes back or ends while the runtime goes down, so
    /// there the end waits until they are over, nothing more begins, and nothing is freed.
    /// </summary>
    internal static class RunningCalls
    {
        private const int LongestWait = 2000;
        private static readonly Dictionary<object, CancelHandle> Calls = new Dictionary<object, CancelHandle>();
        private static readonly HashSet<CancelHandle> Streams = new HashSet<CancelHandle>();
        private static bool hasEnded;

        static RunningCalls()
        {
            AppDomain.CurrentDomain.ProcessExit += (sender, arguments) => End(ForeignThread.IsMono);
            AppDomain.CurrentDomain.DomainUnload += (sender, arguments) => End(false);
        }

        /// <summary>Whether Mono ends: native objects go with the process.</summary>
        internal static bool IsMonoEnding
        {
            get { return Volatile.Read(ref hasEnded); }
        }

        /// <summary>Throws EmotionLlamaCanceledException when Mono ends.</summary>
        internal static void Add(object call, CancelHandle cancel)
        {
            lock (Calls)
            {
                if (hasEnded) throw new EmotionLlamaCanceledException("the program ends", CancellationToken.None);
                Calls.Add(call, cancel);
            }
        }

        internal static void Remove(object call)
        {
            lock (Calls)
            {
                Calls.Remove(call);
                Monitor.PulseAll(Calls);
            }
        }

        /// <summary>A stream runs on while nobody waits for its next event.</summary>
        internal static void AddStream(CancelHandle cancel)
        {
            lock (Calls) Streams.Add(cancel);
        }

        internal static void RemoveStream(CancelHandle cancel)
        {
            lock (Calls) Streams.Remove(cancel);
        }

        private static void End(bool isLast)
        {
            bool wasBusy;
            lock (Calls)
            {
                hasEnded = isLast;
                wasBusy = Calls.Count + Streams.Count > 0;
                foreach (CancelHandle cancel in Calls.Values) cancel.Request();
                foreach (CancelHandle cancel in Streams) cancel.Request();
                DateTime last = DateTime.UtcNow.AddMilliseconds(LongestWait);
                while (ForeignThread.IsMono && Calls.Count > 0 && DateTime.UtcNow < last) Monitor.Wait(Calls, 50);
            }
            Log.End();
            ForeignThread.Wait();
            // Threads that were in a call are on their way out of it; Mono may block for ever when it stops them in its compiler.
            if (isLast && wasBusy) Thread.Sleep(200);
        }
    }
}

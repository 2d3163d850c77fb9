// SPDX-License-Identifier: Apache-2.0
using System;
using System.Collections.Generic;

namespace EmotionLlama.Native
{
    /// <summary>
    /// The calls that run. When the process ends, or the domain is unloaded (Unity's editor reloads it), they are cancelled: a runtime waits
    /// for threads that are in native code.
    /// </summary>
    internal static class RunningCalls
    {
        private static readonly Dictionary<object, CancelHandle> Calls = new Dictionary<object, CancelHandle>();

        static RunningCalls()
        {
            AppDomain.CurrentDomain.ProcessExit += CancelAll;
            AppDomain.CurrentDomain.DomainUnload += CancelAll;
        }

        internal static void Add(object call, CancelHandle cancel)
        {
            lock (Calls) Calls.Add(call, cancel);
        }

        internal static void Remove(object call)
        {
            lock (Calls) Calls.Remove(call);
        }

        private static void CancelAll(object sender, EventArgs arguments)
        {
            lock (Calls)
            {
                foreach (CancelHandle cancel in Calls.Values) cancel.Request();
            }
        }
    }
}

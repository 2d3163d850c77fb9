// SPDX-License-Identifier: Apache-2.0
using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.Reflection;
using System.Runtime.CompilerServices;
using System.Threading;

namespace EmotionLlama.Native
{
    /// <summary>
    /// The library's own threads, as Mono sees them. A thread that calls a handler stays attached to Mono when the handler has returned, and at the
    /// end of a process Mono 6.8 waits until every attached thread is back in managed code. A worker that sleeps in the library is never back, so
    /// the process would hang. Such a thread is marked as one that Mono does not wait for.
    /// </summary>
    internal static class ForeignThread
    {
        /// <summary>MONO_THREAD_FLAG_DONT_MANAGE of Mono: the thread is neither waited for nor stopped.</summary>
        private const int DoNotManage = 1;

        private static readonly FieldInfo Inner = Field(typeof(Thread), "internal_thread");
        private static readonly FieldInfo Flags = Inner == null ? null : Field(Inner.FieldType, "flags");

        private static readonly List<Thread> Seen = new List<Thread>();

        [ThreadStatic]
        private static bool isSeen;

        internal static bool IsMono
        {
            get { return Flags != null; }
        }

        /// <summary>To be called first in what the library calls. Does nothing in other runtimes, and on threads that they made.</summary>
        internal static void Release()
        {
            if (isSeen || Flags == null) return;
            isSeen = true;
            if (!IsForeign()) return;
            object thread = Inner.GetValue(Thread.CurrentThread);
            if (thread == null) return;
            Flags.SetValue(thread, (IntPtr)(((IntPtr)Flags.GetValue(thread)).ToInt64() | DoNotManage));
            lock (Seen)
            {
                Seen.RemoveAll(other => !other.IsAlive);
                Seen.Add(Thread.CurrentThread);
            }
        }

        /// <summary>Gives threads whose work was cancelled a while to end, as they must not do that later. Those that sleep stay.</summary>
        internal static void Wait()
        {
            for (int waited = 0; waited < 200 && IsAnyAlive(); waited += 10) Thread.Sleep(10);
        }

        private static bool IsAnyAlive()
        {
            lock (Seen) return Seen.Exists(thread => thread.IsAlive);
        }

        /// <summary>Whether nothing but the library's callback is below on this thread's stack: a thread of the runtime began elsewhere.</summary>
        [MethodImpl(MethodImplOptions.NoInlining)]
        private static bool IsForeign()
        {
            foreach (StackFrame frame in new StackTrace().GetFrames() ?? new StackFrame[0])
            {
                MethodBase method = frame.GetMethod();
                Type type = method == null ? null : method.DeclaringType;
                if (type != null && type != typeof(ForeignThread) && type != typeof(Log) && type != typeof(object)) return false;
            }
            return true;
        }

        private static FieldInfo Field(Type type, string name)
        {
            // .NET has no such fields, and IL2CPP no Mono.Runtime.
            if (Type.GetType("Mono.Runtime", false) == null) return null;
            FieldInfo field = type.GetField(name, BindingFlags.Instance | BindingFlags.NonPublic);
            return field != null && (name != "flags" || field.FieldType == typeof(IntPtr)) ? field : null;
        }
    }
}

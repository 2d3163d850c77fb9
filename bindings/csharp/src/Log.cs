// SPDX-License-Identifier: Apache-2.0
using System;
using System.Runtime.CompilerServices;
using System.Threading;
using EmotionLlama.Native;

namespace EmotionLlama
{
    /// <summary>How much a message of the log matters.</summary>
    public enum LogLevel
    {
        /// <summary>Something failed, although no call may have.</summary>
        Error = 1,

        /// <summary>Something is not as it should be.</summary>
        Warn = 2,

        /// <summary>What happens, in broad strokes.</summary>
        Info = 3,

        /// <summary>What happens, for those who look for a mistake.</summary>
        Debug = 4,

        /// <summary>Everything.</summary>
        Trace = 5,
    }

    /// <summary>A message of the log. It holds no media, transcripts or answers.</summary>
    public sealed class LogMessage
    {
        internal LogMessage(LogLevel level, string target, string text)
        {
            Level = level;
            Target = target;
            Text = text;
        }

        /// <summary>How much it matters.</summary>
        public LogLevel Level { get; private set; }

        /// <summary>The part of the library that it comes from.</summary>
        public string Target { get; private set; }

        /// <summary>What it says.</summary>
        public string Text { get; private set; }
    }

    /// <summary>The library's log. There is one for the process; in the beginning it is off.</summary>
    public static class Log
    {
        // The library keeps the pointer: these live as long as the program.
        private static readonly NativeMethods.LogFunction Hook = OnMessage;
        private static volatile Action<LogMessage> handler;
        private static volatile bool isSet;

        /// <summary>
        /// Sends messages up to <paramref name="level"/> to <paramref name="handler"/>, from any thread and several at once. What the handler
        /// throws is dropped. Null turns the log off; once this returns, the handler before is not called any more.
        /// </summary>
        public static void Set(Action<LogMessage> handler, LogLevel level = LogLevel.Info)
        {
            LibraryLoader.Load();
            if (handler == null)
            {
                Off();
                return;
            }
            // A hook into an ended runtime, or into an unloaded domain, would end the program: this watches for the end.
            RuntimeHelpers.RunClassConstructor(typeof(RunningCalls).TypeHandle);
            isSet = true;
            Action<LogMessage> before = Log.handler;
            Log.handler = handler;
            try
            {
                Send(Hook, level);
            }
            catch
            {
                Log.handler = before;
                throw;
            }
        }

        private static void Off()
        {
            Send(null, 0);
            handler = null;
        }

        [MethodImpl(MethodImplOptions.NoInlining)]
        private static void Send(NativeMethods.LogFunction hook, LogLevel level)
        {
            Status.Check(NativeMethods.emotion_llama_set_log(hook, IntPtr.Zero, (uint)level));
        }

        /// <summary>The process ends, or the domain is unloaded.</summary>
        internal static void End()
        {
            if (!isSet) return;
            // Messages that still come find no handler. Turning the log off waits for handlers that run; the end of a process must not.
            handler = null;
            Thread off = new Thread(() =>
            {
                try
                {
                    Off();
                }
                catch (EmotionLlamaException)
                {
                }
            });
            off.IsBackground = true;
            off.Start();
            off.Join(1000);
        }

        [MonoPInvokeCallback(typeof(NativeMethods.LogFunction))]
        private static void OnMessage(IntPtr userdata, uint level, IntPtr target, IntPtr message)
        {
            try
            {
                ForeignThread.Release();
                Action<LogMessage> current = handler;
                if (current != null) current(new LogMessage((LogLevel)level, Utf8.Read(target), Utf8.Read(message)));
            }
            catch (Exception)
            {
                // No exception may cross native code.
            }
        }
    }
}

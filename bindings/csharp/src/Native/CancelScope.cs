// SPDX-License-Identifier: Apache-2.0
using System;
using System.Threading;

namespace EmotionLlama.Native
{
    /// <summary>The library's cancel token of a call that runs. It follows a CancellationToken, and the end of the process.</summary>
    internal sealed class CancelScope : IDisposable
    {
        private readonly CancelHandle handle;
        private readonly NativeHandle.Borrowed borrowed;
        private CancellationTokenRegistration registration;

        /// <summary>Throws EmotionLlamaCanceledException when the token was cancelled before.</summary>
        internal CancelScope(CancellationToken token)
        {
            EmotionLlamaCanceledException.ThrowIf(token);
            handle = CancelHandle.Make();
            borrowed = handle.Borrow();
            RunningCalls.Add(this, handle);
            registration = token.Register(Request, handle);
        }

        internal IntPtr Pointer
        {
            get { return borrowed.Pointer; }
        }

        internal static void Request(object handle)
        {
            ((CancelHandle)handle).Request();
        }

        public void Dispose()
        {
            registration.Dispose();
            RunningCalls.Remove(this);
            borrowed.Dispose();
            handle.Dispose();
        }
    }
}

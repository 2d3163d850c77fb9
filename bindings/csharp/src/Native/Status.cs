// SPDX-License-Identifier: Apache-2.0
using System;
using System.Threading;

namespace EmotionLlama.Native
{
    /// <summary>Failures of the library as exceptions.</summary>
    internal static class Status
    {
        internal static void Check(IntPtr status)
        {
            Check(status, CancellationToken.None);
        }

        /// <summary>Frees `status`, and throws what it says. `token` is the one that may have stopped the call.</summary>
        internal static void Check(IntPtr status, CancellationToken token)
        {
            if (status == IntPtr.Zero) return;
            uint code;
            string name;
            string message;
            try
            {
                code = NativeMethods.emotion_llama_status_code(status);
                name = Utf8.Read(NativeMethods.emotion_llama_status_name(status));
                message = Utf8.Read(NativeMethods.emotion_llama_status_message(status));
            }
            finally
            {
                NativeMethods.emotion_llama_status_free(status);
            }
            if (code == (uint)ErrorCode.Cancelled) throw new EmotionLlamaCanceledException(message, token);
            throw new EmotionLlamaException((ErrorCode)code, name, message);
        }
    }
}

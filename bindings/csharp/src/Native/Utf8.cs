// SPDX-License-Identifier: Apache-2.0
using System;
using System.Text;

namespace EmotionLlama.Native
{
    /// <summary>Text goes over the ABI by hand: LPUTF8Str is not everywhere, and LPStr is not UTF-8 everywhere.</summary>
    internal static class Utf8
    {
        /// <summary>With a NUL at the end. JSON text holds no other NUL.</summary>
        internal static byte[] Terminated(string text)
        {
            byte[] bytes = new byte[Encoding.UTF8.GetByteCount(text) + 1];
            Encoding.UTF8.GetBytes(text, 0, text.Length, bytes, 0);
            return bytes;
        }

        internal static unsafe string Read(IntPtr text)
        {
            if (text == IntPtr.Zero) return null;
            int length = 0;
            while (((byte*)text)[length] != 0) length++;
            return Read(text, length);
        }

        internal static unsafe string Read(IntPtr text, int length)
        {
            return length == 0 ? "" : Encoding.UTF8.GetString((byte*)text, length);
        }

        /// <summary>Takes a text of the library and frees it. Null for NULL.</summary>
        internal static string Take(IntPtr text)
        {
            if (text == IntPtr.Zero) return null;
            try
            {
                int length = checked((int)NativeMethods.emotion_llama_text_length(text).ToUInt64());
                return Read(NativeMethods.emotion_llama_text_data(text), length);
            }
            finally
            {
                NativeMethods.emotion_llama_text_free(text);
            }
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
using System;
using System.Runtime.InteropServices;

namespace EmotionLlama.Native
{
    /// <summary>The C ABI, as include/emotion_llama.h declares it. Everything is blittable: no marshalling stub is made at run time.</summary>
    internal static class NativeMethods
    {
        /// <summary>The loader adds what the platform has: libemotionllama.so, libemotionllama.dylib, emotionllama.dll.</summary>
        internal const string Library = "emotionllama";

        /// <summary>EMOTION_LLAMA_ABI_VERSION.</summary>
        internal const uint AbiVersion = 1;

        private const CallingConvention C = CallingConvention.Cdecl;

        /// <summary>emotion_llama_media.</summary>
        [StructLayout(LayoutKind.Sequential)]
        internal struct Media
        {
            internal UIntPtr size;
            internal IntPtr data;
            internal UIntPtr length;
            internal IntPtr live;
            internal double seconds;
        }

        /// <summary>emotion_llama_frame. C's arrays of three are written out.</summary>
        [StructLayout(LayoutKind.Sequential)]
        internal struct Frame
        {
            internal UIntPtr size;
            internal uint format;
            internal uint width;
            internal uint height;
            internal uint reserved;
            internal double time_s;
            internal IntPtr planes0;
            internal IntPtr planes1;
            internal IntPtr planes2;
            internal UIntPtr strides0;
            internal UIntPtr strides1;
            internal UIntPtr strides2;
            internal UIntPtr lengths0;
            internal UIntPtr lengths1;
            internal UIntPtr lengths2;
        }

        /// <summary>emotion_llama_samples.</summary>
        [StructLayout(LayoutKind.Sequential)]
        internal struct Samples
        {
            internal UIntPtr size;
            internal uint format;
            internal uint rate;
            internal uint channels;
            internal uint reserved;
            internal double time_s;
            internal IntPtr data;
            internal UIntPtr count;
        }

        /// <summary>emotion_llama_progress_function. C's bool is a byte.</summary>
        [UnmanagedFunctionPointer(C)]
        internal delegate byte ProgressFunction(IntPtr userdata, ulong done, ulong total);

        /// <summary>emotion_llama_log_function.</summary>
        [UnmanagedFunctionPointer(C)]
        internal delegate void LogFunction(IntPtr userdata, uint level, IntPtr target, IntPtr message);

        [DllImport(Library, CallingConvention = C)]
        internal static extern uint emotion_llama_abi_version();

        [DllImport(Library, CallingConvention = C)]
        internal static extern IntPtr emotion_llama_version();

        [DllImport(Library, CallingConvention = C)]
        internal static extern IntPtr emotion_llama_cancel_new(out IntPtr cancel);

        [DllImport(Library, CallingConvention = C)]
        internal static extern void emotion_llama_cancel_request(IntPtr cancel);

        [DllImport(Library, CallingConvention = C)]
        internal static extern byte emotion_llama_cancel_requested(IntPtr cancel);

        [DllImport(Library, CallingConvention = C)]
        internal static extern void emotion_llama_cancel_free(IntPtr cancel);

        [DllImport(Library, CallingConvention = C)]
        internal static extern void emotion_llama_set_thread_count(uint threads);

        [DllImport(Library, CallingConvention = C)]
        internal static extern unsafe IntPtr emotion_llama_engine_open(
            byte* options, IntPtr cancel, ProgressFunction progress, IntPtr userdata, out IntPtr engine);

        [DllImport(Library, CallingConvention = C)]
        internal static extern IntPtr emotion_llama_engine_info(IntPtr engine, out IntPtr text);

        [DllImport(Library, CallingConvention = C)]
        internal static extern unsafe IntPtr emotion_llama_analyze(
            IntPtr engine, byte* request, Media* media, IntPtr cancel, out IntPtr text);

        [DllImport(Library, CallingConvention = C)]
        internal static extern void emotion_llama_engine_free(IntPtr engine);

        [DllImport(Library, CallingConvention = C)]
        internal static extern unsafe IntPtr emotion_llama_live_new(byte* options, out IntPtr live);

        [DllImport(Library, CallingConvention = C)]
        internal static extern unsafe IntPtr emotion_llama_live_push_frame(IntPtr live, Frame* frame);

        [DllImport(Library, CallingConvention = C)]
        internal static extern unsafe IntPtr emotion_llama_live_push_samples(IntPtr live, Samples* samples);

        [DllImport(Library, CallingConvention = C)]
        internal static extern IntPtr emotion_llama_live_info(IntPtr live, out IntPtr text);

        [DllImport(Library, CallingConvention = C)]
        internal static extern void emotion_llama_live_clear(IntPtr live);

        [DllImport(Library, CallingConvention = C)]
        internal static extern void emotion_llama_live_free(IntPtr live);

        [DllImport(Library, CallingConvention = C)]
        internal static extern IntPtr emotion_llama_set_log(LogFunction function, IntPtr userdata, uint level);

        [DllImport(Library, CallingConvention = C)]
        internal static extern unsafe IntPtr emotion_llama_session_new(
            IntPtr engine, byte* request, Media* media, IntPtr cancel, out IntPtr session);

        [DllImport(Library, CallingConvention = C)]
        internal static extern unsafe IntPtr emotion_llama_session_ask(
            IntPtr session, byte* request, IntPtr cancel, out IntPtr text);

        [DllImport(Library, CallingConvention = C)]
        internal static extern unsafe IntPtr emotion_llama_session_ask_stream(
            IntPtr session, byte* request, IntPtr cancel, out IntPtr stream);

        [DllImport(Library, CallingConvention = C)]
        internal static extern IntPtr emotion_llama_session_reset(IntPtr session);

        [DllImport(Library, CallingConvention = C)]
        internal static extern void emotion_llama_session_free(IntPtr session);

        [DllImport(Library, CallingConvention = C)]
        internal static extern uint emotion_llama_status_code(IntPtr status);

        [DllImport(Library, CallingConvention = C)]
        internal static extern IntPtr emotion_llama_status_name(IntPtr status);

        [DllImport(Library, CallingConvention = C)]
        internal static extern IntPtr emotion_llama_status_message(IntPtr status);

        [DllImport(Library, CallingConvention = C)]
        internal static extern void emotion_llama_status_free(IntPtr status);

        [DllImport(Library, CallingConvention = C)]
        internal static extern unsafe IntPtr emotion_llama_analyze_stream(
            IntPtr engine, byte* request, Media* media, IntPtr cancel, out IntPtr stream);

        [DllImport(Library, CallingConvention = C)]
        internal static extern IntPtr emotion_llama_stream_next(IntPtr stream, out IntPtr text);

        [DllImport(Library, CallingConvention = C)]
        internal static extern void emotion_llama_stream_free(IntPtr stream);

        [DllImport(Library, CallingConvention = C)]
        internal static extern IntPtr emotion_llama_text_data(IntPtr text);

        [DllImport(Library, CallingConvention = C)]
        internal static extern UIntPtr emotion_llama_text_length(IntPtr text);

        [DllImport(Library, CallingConvention = C)]
        internal static extern void emotion_llama_text_free(IntPtr text);
    }
}

// SPDX-License-Identifier: Apache-2.0
using System;
using System.Runtime.InteropServices;

namespace EmotionLlama.Native
{
    /// <summary>A handle of the library. It is freed once, and not while a call that was given it runs.</summary>
    internal abstract class NativeHandle : SafeHandle
    {
        protected NativeHandle(IntPtr taken) : base(IntPtr.Zero, true)
        {
            SetHandle(taken);
        }

        /// <summary>Frees, unless the process ends and takes it along.</summary>
        protected sealed override bool ReleaseHandle()
        {
            if (!RunningCalls.IsMonoEnding) Free();
            return true;
        }

        protected abstract void Free();

        public override bool IsInvalid
        {
            get { return handle == IntPtr.Zero; }
        }

        /// <summary>The pointer, which lives until what this gives is disposed. Throws ObjectDisposedException when it was freed.</summary>
        internal Borrowed Borrow()
        {
            return new Borrowed(this);
        }

        internal struct Borrowed : IDisposable
        {
            private readonly NativeHandle owner;
            private readonly bool held;

            internal Borrowed(NativeHandle owner)
            {
                this.owner = owner;
                held = false;
                owner.DangerousAddRef(ref held);
            }

            internal IntPtr Pointer
            {
                get { return owner.handle; }
            }

            public void Dispose()
            {
                if (held) owner.DangerousRelease();
            }
        }
    }

    internal sealed class EngineHandle : NativeHandle
    {
        internal EngineHandle(IntPtr taken) : base(taken) { }

        protected override void Free()
        {
            NativeMethods.emotion_llama_engine_free(handle);
        }
    }

    internal sealed class SessionHandle : NativeHandle
    {
        internal SessionHandle(IntPtr taken) : base(taken) { }

        protected override void Free()
        {
            NativeMethods.emotion_llama_session_free(handle);
        }
    }

    internal sealed class LiveHandle : NativeHandle
    {
        internal LiveHandle(IntPtr taken) : base(taken) { }

        protected override void Free()
        {
            NativeMethods.emotion_llama_live_free(handle);
        }
    }

    internal sealed class StreamHandle : NativeHandle
    {
        private readonly CancelHandle cancel;

        /// <summary>`cancel` stops the stream when the process ends.</summary>
        internal StreamHandle(IntPtr taken, CancelHandle cancel) : base(taken)
        {
            this.cancel = cancel;
            RunningCalls.AddStream(cancel);
        }

        protected override void Free()
        {
            RunningCalls.RemoveStream(cancel);
            NativeMethods.emotion_llama_stream_free(handle);
        }
    }

    internal sealed class CancelHandle : NativeHandle
    {
        private CancelHandle(IntPtr taken) : base(taken) { }

        internal static CancelHandle Make()
        {
            IntPtr cancel;
            Status.Check(NativeMethods.emotion_llama_cancel_new(out cancel));
            return new CancelHandle(cancel);
        }

        /// <summary>Does nothing when the token was freed: what it stopped is over then.</summary>
        internal void Request()
        {
            try
            {
                using (Borrowed cancel = Borrow()) NativeMethods.emotion_llama_cancel_request(cancel.Pointer);
            }
            catch (ObjectDisposedException)
            {
            }
        }

        internal bool IsRequested
        {
            get
            {
                using (Borrowed cancel = Borrow()) return NativeMethods.emotion_llama_cancel_requested(cancel.Pointer) != 0;
            }
        }

        protected override void Free()
        {
            NativeMethods.emotion_llama_cancel_free(handle);
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
using System;

namespace EmotionLlama.Native
{
    /// <summary>What a request is about when it is not a file: bytes that are held in place, or a live buffer that is kept.</summary>
    internal struct Clip
    {
        internal ArraySegment<byte>? Bytes;
        internal LiveHandle Live;
        internal double Seconds;

        /// <summary>A call that gives a status and writes a pointer.</summary>
        internal unsafe delegate IntPtr Call(NativeMethods.Media* media, out IntPtr result);

        /// <summary>Makes the media of the ABI for the time of `call`.</summary>
        internal unsafe IntPtr With(Call call, out IntPtr result)
        {
            if (Bytes == null && Live == null) return call(null, out result);
            NativeMethods.Media media = new NativeMethods.Media();
            media.size = (UIntPtr)(uint)sizeof(NativeMethods.Media);
            media.seconds = Seconds;
            // `fixed` gives NULL for an empty array, which would be no media at all.
            byte[] bytes = Bytes == null ? null : Bytes.Value.Count == 0 ? new byte[1] : Bytes.Value.Array;
            fixed (byte* start = bytes)
            {
                if (Bytes != null)
                {
                    media.data = (IntPtr)(start + (Bytes.Value.Count == 0 ? 0 : Bytes.Value.Offset));
                    media.length = (UIntPtr)(uint)Bytes.Value.Count;
                }
                if (Live == null) return call(&media, out result);
                using (NativeHandle.Borrowed live = Live.Borrow())
                {
                    media.live = live.Pointer;
                    return call(&media, out result);
                }
            }
        }
    }
}

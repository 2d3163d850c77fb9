//! Fields of FFmpeg's structures that `ffmpeg-next` does not expose, each read by one small function.

#![allow(unsafe_code, reason = "fields that the bindings do not wrap")]

use std::ptr;

use ffmpeg_next::codec::{self, packet::Ref as _};
use ffmpeg_next::{ffi, format, frame, Packet};

/// `AV_PKT_FLAG_DISCARD`.
const PACKET_DISCARD: i32 = 4;

/// Width and height in pixels that the container or parser tells, `(0, 0)` when unknown.
pub(super) fn picture_size(parameters: &codec::Parameters) -> (u32, u32) {
    // SAFETY: `parameters` wraps a live `AVCodecParameters`; plain integers are read.
    let (width, height) = unsafe { ((*parameters.as_ptr()).width, (*parameters.as_ptr()).height) };
    (u32::try_from(width).unwrap_or(0), u32::try_from(height).unwrap_or(0))
}

/// Samples per second of a sound stream, 0 when unknown.
pub(super) fn sample_rate(parameters: &codec::Parameters) -> u32 {
    // SAFETY: `parameters` wraps a live `AVCodecParameters`; a plain integer is read.
    let rate = unsafe { (*parameters.as_ptr()).sample_rate };
    u32::try_from(rate).unwrap_or(0)
}

/// What the container tells the decoder ahead of the packets.
pub(super) fn extradata(parameters: &codec::Parameters) -> &[u8] {
    // SAFETY: `parameters` wraps a live `AVCodecParameters`, whose buffer of that many bytes lives as long and is not written to.
    unsafe {
        let (data, size) = ((*parameters.as_ptr()).extradata, (*parameters.as_ptr()).extradata_size);
        match usize::try_from(size) {
            Ok(size) if !data.is_null() => std::slice::from_raw_parts(data, size),
            _ => &[],
        }
    }
}

/// Whether the container says that the packet is decoded but not shown (before the start of an edit list).
pub(super) fn is_discarded(packet: &Packet) -> bool {
    // SAFETY: `packet` wraps a live `AVPacket`; a plain integer is read.
    unsafe { (*packet.as_ptr()).flags & PACKET_DISCARD != 0 }
}

/// Declared length of the clip in seconds; `None` when absent or guessed from the bit rate.
pub(super) fn declared_duration_s(input: &format::context::Input) -> Option<f64> {
    // SAFETY: `input` wraps a live, opened context; plain fields are read.
    let (duration, method) =
        unsafe { ((*input.as_ptr()).duration, (*input.as_ptr()).duration_estimation_method as u32) };
    let guessed = method == ffi::AVDurationEstimationMethod::AVFMT_DURATION_FROM_BITRATE as u32;
    (duration > 0 && !guessed).then(|| duration as f64 / f64::from(ffi::AV_TIME_BASE))
}

/// Makes the decoder refuse pictures far above `pixels` before it allocates them. Codecs count whole blocks, up to 128 pixels
/// more on each side than are shown, so the exact limit is for the caller to check on each frame.
pub(super) fn limit_pixels(context: &mut codec::Context, pixels: u64) {
    let allowed = pixels.saturating_mul(2).saturating_add(1 << 16);
    // SAFETY: `context` wraps a live codec context that is not opened yet; a plain integer is written.
    unsafe { (*context.as_mut_ptr()).max_pixels = i64::try_from(allowed).unwrap_or(i64::MAX) }
}

/// `AVFrame.colorspace` as a number: a hostile stream must not be able to make an enum value that Rust does not know.
pub(super) fn color_matrix(frame: &frame::Video) -> i32 {
    // SAFETY: `frame` wraps a live `AVFrame`; the field is a C enum of the size of `i32`, read as that.
    unsafe { ptr::addr_of!((*frame.as_ptr()).colorspace).cast::<i32>().read() }
}

/// `AVFrame.color_range` as a number, for the same reason as [`color_matrix`].
pub(super) fn color_range(frame: &frame::Video) -> i32 {
    // SAFETY: as in `color_matrix`.
    unsafe { ptr::addr_of!((*frame.as_ptr()).color_range).cast::<i32>().read() }
}

/// Forgets what `frame` refers to.
pub(super) fn unref(frame: &mut frame::Video) {
    // SAFETY: `frame` owns a live `AVFrame`; afterwards it is an empty frame, as when it was allocated.
    unsafe { ffi::av_frame_unref(frame.as_mut_ptr()) }
}

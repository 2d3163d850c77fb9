//! Pictures and sound of a running program.

use std::ffi::{c_char, c_void};
use std::mem::{offset_of, size_of};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use emotion_llama_core::live::{LiveBuffer, LiveOptions, Pcm, PcmSamples, PixelFormat, Plane, Planes, RawFrame};
use emotion_llama_core::{Error, Result};
use serde::Deserialize;
use serde_json::json;

use crate::pointer::Versioned;
use crate::status::Status;
use crate::text::Text;
use crate::{boundary, pointer};

/// A pixel format: 3 bytes a pixel, red first; one plane. Since 0.1.
pub const EMOTION_LLAMA_PIXELS_RGB: u32 = 1;
/// A pixel format: 3 bytes a pixel, blue first; one plane. Since 0.1.
pub const EMOTION_LLAMA_PIXELS_BGR: u32 = 2;
/// A pixel format: 4 bytes a pixel, red first, then alpha, which is dropped; one plane. Since 0.1.
pub const EMOTION_LLAMA_PIXELS_RGBA: u32 = 3;
/// A pixel format: 4 bytes a pixel, blue first, then alpha, which is dropped; one plane. Since 0.1.
pub const EMOTION_LLAMA_PIXELS_BGRA: u32 = 4;
/// A pixel format: a plane of luma, and one with a blue and a red chroma byte for every 2 x 2 pixels; two planes. Since 0.1.
pub const EMOTION_LLAMA_PIXELS_NV12: u32 = 5;
/// A pixel format: a plane of luma, one of blue and one of red chroma with a byte for every 2 x 2 pixels; three planes. Since 0.1.
pub const EMOTION_LLAMA_PIXELS_I420: u32 = 6;
/// A pixel format: 1 byte a pixel; one plane. Since 0.1.
pub const EMOTION_LLAMA_PIXELS_GRAY: u32 = 7;

/// A sample format: 16-bit signed integers in the machine's byte order. Since 0.1.
pub const EMOTION_LLAMA_SAMPLES_I16: u32 = 1;
/// A sample format: 32-bit floats in the machine's byte order, full scale 1. Since 0.1.
pub const EMOTION_LLAMA_SAMPLES_F32: u32 = 2;

/// The last seconds of a camera and a microphone. May be used by several threads at once: a camera's, a microphone's, and one that analyses.
/// Counts its references: an analysis that was given it keeps it. Freed with `emotion_llama_live_free`. Since 0.1.
pub struct Live(pub(crate) Arc<Mutex<LiveBuffer>>);

/// One picture as a camera gives it. Set everything that is not named to 0. Since 0.1.
///
/// NV12 and I420 are taken for limited range, by BT.709 when the shorter side has 720 pixels or more, otherwise by BT.601.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Frame {
    /// Bytes of this struct: `sizeof(emotion_llama_frame)`.
    pub size: usize,
    /// How the pixels lie: one of `EMOTION_LLAMA_PIXELS_…`.
    pub format: u32,
    /// Width in pixels, 1 to 16384.
    pub width: u32,
    /// Height in pixels, 1 to 16384.
    pub height: u32,
    /// 0.
    pub reserved: u32,
    /// When it was taken, in seconds, on the clock that the sound has too. Any clock that does not go back will do.
    pub time_s: f64,
    /// The first byte of the uppermost row of each plane that the format has.
    pub planes: [*const u8; 3],
    /// Bytes from the start of one row to the start of the next, for each plane.
    pub strides: [usize; 3],
    /// Bytes that may be read at each plane; the last row may end where its pixels do.
    pub lengths: [usize; 3],
}

/// A piece of sound as a microphone gives it, of any length. Set everything that is not named to 0. Since 0.1.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Samples {
    /// Bytes of this struct: `sizeof(emotion_llama_samples)`.
    pub size: usize,
    /// The type of a sample: one of `EMOTION_LLAMA_SAMPLES_…`.
    pub format: u32,
    /// Samples per second and channel, in hertz, 1000 to 384000.
    pub rate: u32,
    /// Channels, 1 to 64; their mean is heard.
    pub channels: u32,
    /// 0.
    pub reserved: u32,
    /// When the first sample was taken, in seconds, on the clock that the pictures have too.
    pub time_s: f64,
    /// The samples of all channels by turns (interleaved), at any address.
    pub data: *const c_void,
    /// How many samples there are over all channels, a multiple of `channels`.
    pub count: usize,
}

// SAFETY: numbers and raw pointers only, the size first.
unsafe impl Versioned for Frame {
    const FIRST_SIZE: usize = offset_of!(Frame, lengths) + size_of::<[usize; 3]>();
}

// SAFETY: numbers and raw pointers only, the size first.
unsafe impl Versioned for Samples {
    const FIRST_SIZE: usize = offset_of!(Samples, count) + size_of::<usize>();
}

/// The options of `emotion_llama_live_new`.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Options {
    seconds: f64,
    max_side: usize,
    max_frames_per_second: f64,
}

impl Default for Options {
    fn default() -> Self {
        let LiveOptions { seconds, max_side, max_frames_per_second } = LiveOptions::default();
        Self { seconds, max_side, max_frames_per_second }
    }
}

impl Live {
    /// The buffer. Each of its operations leaves it whole, so that a lock that a panic poisoned is taken as it is.
    pub(crate) fn buffer(&self) -> MutexGuard<'_, LiveBuffer> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes an empty buffer for pictures and sound and writes it to `*out`.
///
/// `options` is a JSON object, or NULL for the defaults: `seconds` that are kept (0.1 to 120, default 10), `max_side` (pictures are scaled
/// down so that the longer side has at most so many pixels, 16 to 8192, default 1280), `max_frames_per_second` (pictures that come
/// faster are left out, 0.1 to 240, default 15).
///
/// Fails with `invalid_argument`. Since 0.1.
///
/// # Safety
/// `options` is NULL or NUL-terminated; `out` points at a place for a pointer. NULL there is `invalid_argument`.
#[no_mangle]
pub unsafe extern "C" fn emotion_llama_live_new(options: *const c_char, out: *mut *mut Live) -> *mut Status {
    boundary::status(|| {
        pointer::check_out(out, "out")?;
        let options: Options = match options.is_null() {
            true => Options::default(),
            // SAFETY: as this function asks of its caller.
            false => pointer::json(unsafe { pointer::text(options, "options") }?)?,
        };
        let Options { seconds, max_side, max_frames_per_second } = options;
        let buffer = LiveBuffer::new(LiveOptions { seconds, max_side, max_frames_per_second })?;
        // SAFETY: as this function asks of its caller.
        unsafe { pointer::give(out, Live(Arc::new(Mutex::new(buffer))), "out") }
    })
}

/// Takes one picture, or leaves it out when pictures come faster than `max_frames_per_second`. Its memory is not used after the call.
///
/// Fails with `invalid_argument` when format, size, planes or time stamp cannot be used, `media_too_large` or `out_of_memory`; the
/// buffer is as before then. Since 0.1.
///
/// # Safety
/// `live` was not freed; `frame` begins with its size, and its planes can be read for their lengths. NULL is `invalid_argument`.
#[no_mangle]
pub unsafe extern "C" fn emotion_llama_live_push_frame(live: *const Live, frame: *const Frame) -> *mut Status {
    boundary::status(|| {
        // SAFETY: as this function asks of its caller.
        let (live, frame) = unsafe { (pointer::handle(live, "live")?, pointer::versioned(frame, "frame")?) };
        // SAFETY: as this function asks of its caller.
        let raw = unsafe { raw_frame(&frame) }?;
        live.buffer().push_frame(&raw)
    })
}

/// The picture that `frame` describes.
///
/// # Safety
/// The planes of `frame` can be read for their lengths while the result is used.
unsafe fn raw_frame<'a>(frame: &Frame) -> Result<RawFrame<'a>> {
    pointer::check_reserved(frame.reserved, "frame")?;
    let plane = |index: usize| -> Result<Plane<'a>> {
        let (data, length) = (frame.planes[index], frame.lengths[index]);
        // SAFETY: as this function asks of its caller.
        let data = unsafe { pointer::bytes(data, length, "a plane of the frame") }?;
        Ok(Plane { data: data.ok_or_else(|| pointer::null("a plane of the frame"))?, stride: frame.strides[index] })
    };
    let format = match frame.format {
        EMOTION_LLAMA_PIXELS_RGB => PixelFormat::Rgb24,
        EMOTION_LLAMA_PIXELS_BGR => PixelFormat::Bgr24,
        EMOTION_LLAMA_PIXELS_RGBA => PixelFormat::Rgba32,
        EMOTION_LLAMA_PIXELS_BGRA => PixelFormat::Bgra32,
        EMOTION_LLAMA_PIXELS_NV12 => PixelFormat::Nv12,
        EMOTION_LLAMA_PIXELS_I420 => PixelFormat::I420,
        EMOTION_LLAMA_PIXELS_GRAY => PixelFormat::Gray8,
        other => {
            return Err(Error::invalid_argument(format!(
                "there is no pixel format {other}; give one of EMOTION_LLAMA_PIXELS_…, 1 to 7"
            )))
        }
    };
    let planes = match format {
        PixelFormat::Nv12 => Planes::Nv12 { luma: plane(0)?, chroma: plane(1)? },
        PixelFormat::I420 => Planes::I420 { luma: plane(0)?, blue: plane(1)?, red: plane(2)? },
        _ => Planes::Packed(plane(0)?),
    };
    Ok(RawFrame { format, width: frame.width as usize, height: frame.height as usize, planes, time_s: frame.time_s })
}

/// Takes a piece of sound. Pieces that follow each other become one sound without seams; a gap of more than 0.1 s between the end of one
/// and the stamp of the next becomes silence. Its memory is not used after the call.
///
/// Fails with `invalid_argument` when format, rate, channels, count or time stamp cannot be used; the buffer is as before then. Since 0.1.
///
/// # Safety
/// `live` was not freed; `samples` begins with its size, and its `count` samples can be read. NULL is `invalid_argument`.
#[no_mangle]
pub unsafe extern "C" fn emotion_llama_live_push_samples(live: *const Live, samples: *const Samples) -> *mut Status {
    boundary::status(|| {
        // SAFETY: as this function asks of its caller.
        let (live, given) = unsafe { (pointer::handle(live, "live")?, pointer::versioned(samples, "samples")?) };
        pointer::check_reserved(given.reserved, "samples")?;
        let channels = u16::try_from(given.channels).unwrap_or(u16::MAX);
        let push = |samples: PcmSamples<'_>| {
            live.buffer().push_audio(&Pcm { samples, rate: given.rate, channels, time_s: given.time_s })
        };
        let data = given.data.cast::<u8>();
        // SAFETY: as this function asks of its caller.
        unsafe {
            match given.format {
                EMOTION_LLAMA_SAMPLES_I16 => {
                    pointer::numbers(data, given.count, i16::from_ne_bytes, |samples| push(PcmSamples::I16(samples)))
                }
                EMOTION_LLAMA_SAMPLES_F32 => {
                    pointer::numbers(data, given.count, f32::from_ne_bytes, |samples| push(PcmSamples::F32(samples)))
                }
                other => Err(Error::invalid_argument(format!(
                    "there is no sample format {other}; give one of EMOTION_LLAMA_SAMPLES_…, 1 or 2"
                ))),
            }
        }
    })
}

/// Writes what `live` holds to `*out`: a JSON object with `frames`, `duration_s` and `memory_bytes`. Since 0.1.
///
/// # Safety
/// `live` was not freed; `out` points at a place for a pointer. NULL is `invalid_argument`.
#[no_mangle]
pub unsafe extern "C" fn emotion_llama_live_info(live: *const Live, out: *mut *mut Text) -> *mut Status {
    boundary::status(|| {
        pointer::check_out(out, "out")?;
        // SAFETY: as this function asks of its caller.
        let live = unsafe { pointer::handle(live, "live") }?;
        let text = {
            let buffer = live.buffer();
            json!({"frames": buffer.frame_count(), "duration_s": buffer.duration_s(), "memory_bytes": buffer.memory_bytes()})
        };
        // SAFETY: as this function asks of its caller.
        unsafe { pointer::give(out, Text::json(&text)?, "out") }
    })
}

/// Forgets all pictures and all sound; the clock begins anew. Does nothing for NULL. Since 0.1.
///
/// # Safety
/// `live` is NULL or a buffer that was not freed.
#[no_mangle]
pub unsafe extern "C" fn emotion_llama_live_clear(live: *const Live) {
    // SAFETY: as this function asks of its caller.
    boundary::value((), || unsafe { live.as_ref() }.into_iter().for_each(|live| live.buffer().clear()));
}

/// Frees the handle; an analysis that was given it goes on. NULL is allowed. Since 0.1.
///
/// # Safety
/// `live` is NULL, or a buffer that was not freed and that no call is being given.
#[no_mangle]
pub unsafe extern "C" fn emotion_llama_live_free(live: *mut Live) {
    // SAFETY: as this function asks of its caller.
    boundary::value((), || unsafe { pointer::free(live) });
}

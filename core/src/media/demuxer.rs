//! Opens a demuxer over this crate's own reader, for files and for bytes in memory alike.
//!
//! libavformat never sees a name, only bytes, so a path is never taken for a URL and the content alone decides the format.

#![allow(unsafe_code, reason = "demuxer options are set through FFmpeg itself")]

use std::ffi::{c_int, c_void};
use std::ops::{Deref, DerefMut};
use std::ptr;
use std::sync::Once;

use ffmpeg_next::format::context::{Input, StreamIo};
use ffmpeg_next::{ffi, Dictionary, Error as FfmpegError};

use super::source::Reader;
use super::{raw, Limits};
use crate::cancel::CancelToken;
use crate::error::{Error, Result};

/// The admitted formats by libavformat's names. Playlists, scripts, text and capture devices are left out, as they open
/// other files, a network or hardware, and so are game and studio formats nobody films a face with.
const FORMATS: &str = "mov,mp4,matroska,webm,avi,flv,live_flv,kux,gif,apng,asf,mpeg,mpegts,mpegvideo,h264,hevc,h261,h263,m4v,\
    obu,av1,ivf,vc1,mjpeg,dv,mxf,nut,rm,wtv,yuv4mpegpipe,ogg,wav,w64,mp3,aac,loas,flac,ac3,eac3,dts,aiff,caf,au,amr,amrnb,amrwb,\
    ape,wv,tta,voc,tak,mpc,mpc8,png_pipe,jpeg_pipe,webp_pipe,bmp_pipe,tiff_pipe,jpegxl_pipe,jpegls_pipe,j2k_pipe,qoi_pipe,\
    pam_pipe,pbm_pipe,pgm_pipe,ppm_pipe";

/// A demuxer that stops when its cancel token is set.
pub(super) struct Demuxer {
    // Dropped first: closing the demuxer may still ask the token.
    input: Input,
    _cancel: Box<CancelToken>,
}

impl Deref for Demuxer {
    type Target = Input;

    fn deref(&self) -> &Input {
        &self.input
    }
}

impl DerefMut for Demuxer {
    fn deref_mut(&mut self) -> &mut Input {
        &mut self.input
    }
}

/// Opens `reader` and reads enough of it to know its streams.
///
/// # Errors
/// `media_undecodable` when no admitted format fits, `media_too_large` when the header already tells that, `cancelled`.
pub(super) fn open(reader: Reader, limits: &Limits, cancel: &CancelToken) -> Result<Demuxer> {
    // FFmpeg prints to stderr unless told otherwise; a library prints nothing by itself.
    static QUIET: Once = Once::new();
    QUIET.call_once(|| ffmpeg_next::log::set_level(ffmpeg_next::log::Level::Quiet));
    let cancel = Box::new(cancel.clone());
    let mut demuxer = open_header(reader, cancel)?;
    // The probe below decodes some frames where the header does not tell all, so absurd sizes must be refused before it.
    check_streams(&demuxer, limits)?;
    // SAFETY: the pointer comes from a live, opened context that nothing else uses; null options are allowed.
    let found = unsafe { ffi::avformat_find_stream_info(demuxer.input.as_mut_ptr(), ptr::null_mut()) };
    demuxer._cancel.check()?;
    if found < 0 {
        return Err(undecodable(FfmpegError::from(found)));
    }
    check_streams(&demuxer, limits)?;
    Ok(demuxer)
}

fn open_header(reader: Reader, cancel: Box<CancelToken>) -> Result<Demuxer> {
    let mut io = StreamIo::from_read_seek(reader).map_err(|_| out_of_memory())?;
    let mut options = Dictionary::new();
    options.set("format_whitelist", FORMATS);
    options.set("protocol_whitelist", "none");
    // SAFETY: a context is allocated and, before it is opened, given its I/O (which outlives it: `Input` frees the context
    // first, then `io`) and its interrupt callback (whose token is boxed in the `Demuxer`, dropped after `input`).
    // `avformat_open_input` frees the context itself when it fails, leaves custom I/O alone, and replaces `options`, which is
    // owned again right after the call. On failure `io` and `cancel` are dropped here, after the context.
    unsafe {
        let mut context = ffi::avformat_alloc_context();
        if context.is_null() {
            return Err(out_of_memory());
        }
        (*context).pb = io.as_mut_ptr();
        (*context).flags |= ffi::AVFMT_FLAG_CUSTOM_IO;
        (*context).interrupt_callback = ffi::AVIOInterruptCB {
            callback: Some(is_cancelled),
            opaque: ptr::from_ref::<CancelToken>(&cancel).cast_mut().cast(),
        };
        let mut options = options.disown();
        let opened = ffi::avformat_open_input(&mut context, ptr::null(), ptr::null_mut(), &mut options);
        drop(Dictionary::own(options));
        if opened < 0 {
            cancel.check()?;
            return Err(undecodable(FfmpegError::from(opened)));
        }
        Ok(Demuxer { input: Input::wrap_with_custom_io(context, io), _cancel: cancel })
    }
}

extern "C" fn is_cancelled(token: *mut c_void) -> c_int {
    // SAFETY: `token` is the boxed token that `open_header` installed; it outlives the context that makes this call.
    let token = unsafe { &*token.cast::<CancelToken>() };
    c_int::from(token.is_cancelled())
}

fn check_streams(demuxer: &Demuxer, limits: &Limits) -> Result<()> {
    limits.check_streams(demuxer.nb_streams() as usize)?;
    for stream in demuxer.streams() {
        let (width, height) = raw::picture_size(&stream.parameters());
        limits.check_pixels(width, height)?;
    }
    Ok(())
}

fn undecodable(error: FfmpegError) -> Error {
    Error::undecodable(format!(
        "not a media file that can be decoded ({error}); give a video, sound or picture file that is complete"
    ))
}

fn out_of_memory() -> Error {
    Error::new(crate::error::ErrorKind::OutOfMemory, "no memory for a demuxer; free some memory and try again")
}

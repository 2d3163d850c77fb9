//! Decoding on a graphics processor: FFmpeg's own decoders, which leave the work to NVDEC where that can do it, and go on by themselves where not.
//!
//! Only where the codec's standard says what every pixel is are pictures the same whoever decodes them, so no others are left to NVDEC. A
//! damaged stream has no such pictures: it is decoded on the processor after all, see `streams`.

#![allow(unsafe_code, reason = "FFmpeg's devices are not wrapped")]

use std::ptr;
use std::sync::Arc;

use cudarc::driver::CudaContext;
use ffmpeg_next::codec::{self, Id};
use ffmpeg_next::ffi::{self, AVPixelFormat};
use ffmpeg_next::format::Pixel;
use ffmpeg_next::frame;

use super::convert::{Converter, Unscaled};
use super::Frame;
use crate::cuda::devices;
use crate::cuda::surface::{DevicePicture, Surface};
use crate::error::{Error, Result};
use crate::preprocess::color::YuvLayout;

/// Codecs without leeway in their pictures.
const EXACT_CODECS: [Id; 5] = [Id::H264, Id::HEVC, Id::VP8, Id::VP9, Id::AV1];
/// What they are decoded to on the processor where NVDEC's pictures are converted alike.
const EXACT_FORMATS: [AVPixelFormat; 3] =
    [AVPixelFormat::AV_PIX_FMT_YUV420P, AVPixelFormat::AV_PIX_FMT_YUVJ420P, AVPixelFormat::AV_PIX_FMT_YUV420P10LE];
/// Pictures that [`super::video`] holds on to at a time.
const HELD: i32 = 3;

/// The device that a decoder has for its work.
pub(super) struct Hardware {
    gpu: usize,
    context: Arc<CudaContext>,
}

impl Hardware {
    /// Gives `decoder`, which is not open yet, the device of number `gpu`. None where it has no use for it.
    pub fn attach(decoder: &mut codec::Context, gpu: usize) -> Option<Self> {
        if !EXACT_CODECS.contains(&decoder.id()) {
            return None;
        }
        let context = devices::context(gpu).and_then(|context| attach(decoder, &context).map(|()| context));
        match context {
            Ok(context) => Some(Self { gpu, context }),
            Err(reason) => {
                tracing::debug!(reason, "decoding stays on the processor");
                None
            }
        }
    }

    /// As [`Converter::convert`]. A picture that NVDEC has made stays on the device, too, where the encoders can make theirs of it.
    pub fn convert(&self, converter: &mut Converter, picture: &frame::Video, time_s: f64, index: u64) -> Result<Frame> {
        if picture.format() != Pixel::CUDA {
            return converter.convert(picture, time_s, index);
        }
        let host = self.download(picture)?;
        let on_device = converter.unscaled(&host).and_then(|unscaled| self.kept(picture, host.format(), unscaled));
        let frame = converter.convert(&host, time_s, index)?;
        Ok(Frame { on_device: on_device.map(Arc::new), ..frame })
    }

    /// `picture` in the host's memory.
    fn download(&self, picture: &frame::Video) -> Result<frame::Video> {
        let mut host = frame::Video::empty();
        // SAFETY: both are live frames; the first is empty, and gets buffers of its own. For a picture on a device FFmpeg has not cropped what is
        // left of it and above it, which it does here.
        let code = unsafe {
            let (to, from) = (host.as_mut_ptr(), picture.as_ptr());
            match ffi::av_hwframe_transfer_data(to, from, 0) {
                0 => match ffi::av_frame_copy_props(to, from) {
                    0 => ffi::av_frame_apply_cropping(to, 0),
                    failed => failed,
                },
                failed => failed,
            }
        };
        if code < 0 {
            let error = ffmpeg_next::Error::from(code);
            return Err(Error::undecodable(format!("a picture did not come back from the GPU: {error}")));
        }
        // FFmpeg keeps what the driver says of the copy to itself.
        let failed = |error| Error::undecodable(format!("a picture did not come back from the GPU: {error}"));
        self.context.synchronize().map_err(failed)?;
        Ok(host)
    }

    /// A copy of `picture` that stays on the device. None where the kernels do not know its `format`, or there is no memory for it.
    fn kept(&self, picture: &frame::Video, format: Pixel, unscaled: Unscaled) -> Option<DevicePicture> {
        let (layout, bytes) = match format {
            Pixel::NV12 => (YuvLayout::Nv12, 1),
            Pixel::P010LE => (YuvLayout::P010, 2),
            _ => return None,
        };
        // SAFETY: `picture` is a live frame; plain fields are read.
        let (data, strides, is_cropped) = unsafe {
            let frame = &*picture.as_ptr();
            (frame.data, frame.linesize, frame.crop_left > 0 || frame.crop_top > 0)
        };
        let stride = |plane: usize| strides.get(plane).and_then(|stride| usize::try_from(*stride).ok());
        let (width, height) = (picture.width() as usize, picture.height() as usize);
        let surface = Surface {
            device: self.gpu,
            layout,
            planes: [data[0] as u64, data[1] as u64],
            strides: [stride(0)?, stride(1)?],
            width,
            height,
            orientation: unscaled.orientation.bits(),
            colors: unscaled.colors,
        };
        let fits = surface.strides.iter().all(|stride| *stride >= width * bytes) && (width | height) % 2 == 0;
        if is_cropped || !fits {
            return None;
        }
        // SAFETY: the frame is one of this device, as its format says, and of the primary context, which FFmpeg was given. It holds the planes, of
        // that many bytes a row, and is held until after the copy.
        let copy = unsafe { DevicePicture::copy_of(&surface) };
        copy.inspect_err(|error| tracing::debug!(%error, "a picture is not kept on the GPU")).ok()
    }
}

/// Lets the decoder use the device that `context` is of.
fn attach(decoder: &mut codec::Context, context: &Arc<CudaContext>) -> Result<(), String> {
    // SAFETY: FFmpeg allocates the structures, whose kinds follow from the type of device that is asked for, and they are filled before they are
    // initialised. The context stays alive as long as they do: `release` gives back the share of it that `user_opaque` is.
    // The decoder is not open yet, and owns the reference that it is given.
    unsafe {
        let mut device = ffi::av_hwdevice_ctx_alloc(ffi::AVHWDeviceType::AV_HWDEVICE_TYPE_CUDA);
        if device.is_null() {
            return Err("FFmpeg was built without CUDA".to_owned());
        }
        let base = (*device).data.cast::<ffi::AVHWDeviceContext>();
        let cuda = (*base).hwctx.cast::<ffi::AVCUDADeviceContext>();
        // The context that everything else here is in. Left to itself FFmpeg refuses a primary context that is in use already.
        (*cuda).cuda_ctx = context.cu_ctx().cast();
        (*cuda).stream = ptr::null_mut();
        (*base).user_opaque = Arc::into_raw(Arc::clone(context)).cast_mut().cast();
        (*base).free = Some(release);
        let code = ffi::av_hwdevice_ctx_init(device);
        if code < 0 {
            ffi::av_buffer_unref(&mut device);
            return Err(format!("FFmpeg does not get on with CUDA: {}", ffmpeg_next::Error::from(code)));
        }
        let decoder = decoder.as_mut_ptr();
        (*decoder).hw_device_ctx = device;
        (*decoder).get_format = Some(choose);
        (*decoder).extra_hw_frames = HELD;
    }
    Ok(())
}

/// Gives back a device's share of the context.
unsafe extern "C" fn release(device: *mut ffi::AVHWDeviceContext) {
    // SAFETY: FFmpeg calls this once, as the last thing that it does with the device, on which `attach` has put the share.
    drop(unsafe { Arc::from_raw((*device).user_opaque.cast::<CudaContext>()) });
}

/// Which of the `offered` formats a decoder is to make: the device's, if the processor would make the same pictures.
unsafe extern "C" fn choose(decoder: *mut ffi::AVCodecContext, offered: *const AVPixelFormat) -> AVPixelFormat {
    // SAFETY: FFmpeg gives a live decoder, and a list that ends with -1; numbers are read, for a newer FFmpeg may have formats that the bindings
    // do not know. The processor's format is the last of the list, so what begins there is a list as well. FFmpeg's own choice is the device's
    // format where it has one, and otherwise the last.
    unsafe {
        let mut numbers = Vec::new();
        while let number @ 0.. = offered.cast::<i32>().add(numbers.len()).read() {
            numbers.push(number);
        }
        let is_left = is_left_to_the_device(&numbers, (*decoder).width, (*decoder).height);
        let skipped = if is_left { 0 } else { numbers.len().saturating_sub(1) };
        ffi::avcodec_default_get_format(decoder, offered.add(skipped))
    }
}

/// Whether pictures of this size may be decoded on the device. FFmpeg loses the last row of chroma of those of odd height.
fn is_left_to_the_device(offered: &[i32], width: i32, height: i32) -> bool {
    let is_exact = |number: i32| EXACT_FORMATS.iter().any(|format| *format as i32 == number);
    offered.last().is_some_and(|&last| is_exact(last)) && (width | height) & 1 == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_that_would_differ_stay_with_the_processor() {
        let offered = |software: AVPixelFormat| [AVPixelFormat::AV_PIX_FMT_CUDA as i32, software as i32];
        for format in EXACT_FORMATS {
            assert!(is_left_to_the_device(&offered(format), 640, 360));
            assert!(!is_left_to_the_device(&offered(format), 641, 360));
            assert!(!is_left_to_the_device(&offered(format), 640, 361));
        }
        assert!(!is_left_to_the_device(&offered(AVPixelFormat::AV_PIX_FMT_YUV444P), 640, 360));
        assert!(!is_left_to_the_device(&[], 640, 360));
    }

    #[test]
    fn what_is_chosen_without_a_device_is_the_processors() {
        let mut context = codec::Context::new();
        for last in [AVPixelFormat::AV_PIX_FMT_YUV420P, AVPixelFormat::AV_PIX_FMT_YUV444P] {
            let offered = [AVPixelFormat::AV_PIX_FMT_CUDA, last, AVPixelFormat::AV_PIX_FMT_NONE];
            // SAFETY: a live decoder, and a list that ends as FFmpeg's do.
            assert_eq!(unsafe { choose(context.as_mut_ptr(), offered.as_ptr()) }, last);
        }
    }
}

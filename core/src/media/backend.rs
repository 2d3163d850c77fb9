//! What the FFmpeg at hand can do.

use std::ptr;

use ffmpeg_next as ffmpeg;
use ffmpeg_next::ffi;

/// The version of FFmpeg's codec library, for example `libavcodec 59.37.100`.
pub fn backend_version() -> String {
    let version = ffmpeg::codec::version();
    format!("libavcodec {}.{}.{}", version >> 16, (version >> 8) & 0xff, version & 0xff)
}

/// Whether this FFmpeg has the decoder called `name`, for example `h264`.
pub fn has_decoder(name: &str) -> bool {
    ffmpeg::codec::decoder::find_by_name(name).is_some()
}

/// Whether this FFmpeg can have the decoder called `name` leave its work to NVIDIA's NVDEC.
#[allow(unsafe_code, reason = "what hardware a decoder knows is not wrapped")]
pub fn has_nvdec(name: &str) -> bool {
    let Some(decoder) = ffmpeg::codec::decoder::find_by_name(name) else { return false };
    let is_nvdec = |index: i32| {
        // SAFETY: the decoder is one of FFmpeg's constants, and so is what it says of hardware, until a null comes. The type is read as a number: a
        // newer FFmpeg may have one that the bindings do not know.
        unsafe {
            let known = ffi::avcodec_get_hw_config(decoder.as_ptr(), index);
            let kind = (!known.is_null()).then(|| ptr::addr_of!((*known).device_type).cast::<u32>().read());
            kind.map(|kind| kind == ffi::AVHWDeviceType::AV_HWDEVICE_TYPE_CUDA as u32)
        }
    };
    (0..).map_while(is_nvdec).any(|is_nvdec| is_nvdec)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_decoder_has_no_hardware() {
        assert!(!has_nvdec("nothing") && !has_nvdec("gif"));
        println!("NVDEC for h264: {}", has_nvdec("h264"));
    }
}

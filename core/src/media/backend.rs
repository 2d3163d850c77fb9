//! What the FFmpeg at hand can do.

use ffmpeg_next as ffmpeg;

/// The version of FFmpeg's codec library, for example `libavcodec 59.37.100`.
pub fn backend_version() -> String {
    let version = ffmpeg::codec::version();
    format!("libavcodec {}.{}.{}", version >> 16, (version >> 8) & 0xff, version & 0xff)
}

/// Whether this FFmpeg has the decoder called `name`, for example `h264`.
pub fn has_decoder(name: &str) -> bool {
    ffmpeg::codec::decoder::find_by_name(name).is_some()
}

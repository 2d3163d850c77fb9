//! When a decoder has given all that it has for now.

use ffmpeg_next::Error as FfmpegError;

/// Errors of a decoder after one packet before the packet counts as done.
pub(super) const MAX_ERRORS_PER_PACKET: u32 = 64;

/// Whether a decoder only says that it wants more packets, or is at its end.
pub(super) fn drained(error: FfmpegError) -> bool {
    matches!(error, FfmpegError::Eof | FfmpegError::Other { errno: ffmpeg_next::error::EAGAIN })
}

//! From a file or bytes to frames and sound.

/// One decoded picture.
#[derive(Debug, Clone)]
pub struct Frame {
    /// Width in pixels, after rotation.
    pub width: usize,
    /// Height in pixels, after rotation.
    pub height: usize,
    /// `[height, width, 3]`, 8-bit sRGB, rows without padding.
    pub rgb: Vec<u8>,
    /// Presentation time in seconds from the start of the clip.
    pub time_s: f64,
    /// Number of the frame in the stream, counted from 0 over all decoded frames.
    pub index: u64,
}

/// Mono sound.
#[derive(Debug, Clone)]
pub struct Waveform {
    /// 16 kHz mono samples, nominally in -1..1.
    pub samples: Vec<f32>,
}

impl Waveform {
    /// Samples per second of every waveform in this crate.
    pub const SAMPLE_RATE: u32 = 16_000;

    /// Length in seconds.
    pub fn duration_s(&self) -> f64 {
        self.samples.len() as f64 / f64::from(Self::SAMPLE_RATE)
    }
}

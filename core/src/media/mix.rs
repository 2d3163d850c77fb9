//! Sound of any layout, rate and sample format to 16 kHz mono f32, through libswresample.

#![allow(unsafe_code, reason = "the resampler is driven through FFmpeg itself")]

use std::ffi::c_int;
use std::ptr;

use ffmpeg_next::format::sample::{Sample, Type};
use ffmpeg_next::software::resampling;
use ffmpeg_next::{ffi, frame, ChannelLayout, Dictionary};

use super::Waveform;
use crate::error::{Error, Result};

/// Most samples of one decoded frame that are taken at a time; more is not sound but an attack.
const MAX_FRAME_SAMPLES: usize = 1 << 24;

/// Sample rates outside of this, in hertz, are damage: the filters for them would need absurd memory.
const RATES: std::ops::RangeInclusive<u32> = 1_000..=1_600_000;

/// Resamples sound of one layout, rate and sample format.
pub(crate) struct Mixer {
    context: resampling::Context,
    input: Input,
    averages: bool,
}

/// What a [`Mixer`] is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Input {
    format: Sample,
    layout: ChannelLayout,
    channels: u16,
    rate: u32,
}

impl Input {
    /// The kind of sound in `frame`.
    pub fn of(frame: &frame::Audio) -> Self {
        Self { format: frame.format(), layout: frame.channel_layout(), channels: frame.channels(), rate: frame.rate() }
    }
}

impl Mixer {
    pub fn new(input: Input) -> Result<Self> {
        if !RATES.contains(&input.rate) || input.channels == 0 || input.format == Sample::None {
            return Err(unmixable(&input));
        }
        let channels = i32::from(input.channels);
        let known = [input.layout, ChannelLayout::default(channels)];
        let known = known.into_iter().filter(|layout| !layout.is_empty() && layout.channels() == channels);
        for layout in known {
            if let Ok(context) = context(input.format, layout, input.rate) {
                return Ok(Self { context, input, averages: false });
            }
        }
        // Channels in places that nobody knows: their plain mean.
        let context =
            context(Sample::F32(Type::Packed), ChannelLayout::MONO, input.rate).map_err(|_| unmixable(&input))?;
        Ok(Self { context, input, averages: true })
    }

    /// A mixer for [`Mixer::mix_mono`] at `rate` hertz.
    pub fn mono(rate: u32) -> Result<Self> {
        Self::new(Input { format: Sample::F32(Type::Packed), layout: ChannelLayout::MONO, channels: 1, rate })
    }

    /// Whether this mixer takes `input`.
    pub fn takes(&self, input: Input) -> bool {
        self.input == input
    }

    /// Adds the sound of `frame` to `samples`, but for what the filter holds back.
    pub fn mix(&mut self, frame: &frame::Audio, samples: &mut Vec<f32>) -> Result<()> {
        let count = frame.samples();
        if !self.takes(Input::of(frame)) || count > MAX_FRAME_SAMPLES {
            return Err(unmixable(&self.input));
        }
        if self.averages {
            let mono = average(frame, usize::from(self.input.channels), count).ok_or_else(|| unmixable(&self.input))?;
            // SAFETY: one plane of `count` f32, which is what the context takes when `averages` is set.
            return unsafe { self.run([mono.as_ptr().cast::<u8>()].as_ptr(), count, samples) };
        }
        // SAFETY: the context was made for the format, layout and rate of `frame` (`takes`), whose planes hold `count` samples of
        // each channel as the decoder made them.
        unsafe { self.run((*frame.as_ptr()).extended_data.cast::<*const u8>().cast_const(), count, samples) }
    }

    /// Adds the sound of `mono` to `samples`, but for what the filter holds back. For a mixer made by [`Mixer::mono`].
    pub fn mix_mono(&mut self, mono: &[f32], samples: &mut Vec<f32>) -> Result<()> {
        let is_mono = self.input.format == Sample::F32(Type::Packed) && self.input.channels == 1;
        if !is_mono || mono.len() > MAX_FRAME_SAMPLES {
            return Err(unmixable(&self.input));
        }
        // SAFETY: one plane of `mono.len()` f32, which is what the context was made for (`is_mono`).
        unsafe { self.run([mono.as_ptr().cast::<u8>()].as_ptr(), mono.len(), samples) }
    }

    /// Adds what the filter still holds.
    pub fn finish(mut self, samples: &mut Vec<f32>) -> Result<()> {
        // SAFETY: null input flushes the context.
        unsafe { self.run(ptr::null(), 0, samples) }
    }

    /// # Safety
    /// `planes` is null, or points to as many pointers as the context's input has planes, each to `count` samples.
    unsafe fn run(&mut self, planes: *const *const u8, count: usize, samples: &mut Vec<f32>) -> Result<()> {
        let failed = || Error::undecodable("the sound cannot be resampled; convert it to 16 kHz mono WAV");
        let count = c_int::try_from(count).map_err(|_| failed())?;
        // SAFETY: the context is live and initialised.
        let room = unsafe { ffi::swr_get_out_samples(self.context.as_mut_ptr(), count) };
        let room = usize::try_from(room).map_err(|_| failed())?;
        let mut mono = vec![0f32; room];
        let mut planes_out = [mono.as_mut_ptr().cast::<u8>()];
        // SAFETY: the output is one plane with room for `room` f32; the input is as this function's caller warrants.
        let written = unsafe {
            ffi::swr_convert(
                self.context.as_mut_ptr(),
                planes_out.as_mut_ptr().cast(),
                c_int::try_from(room).map_err(|_| failed())?,
                planes.cast_mut().cast(),
                count,
            )
        };
        let written = usize::try_from(written).map_err(|_| failed())?;
        samples.extend(mono.iter().take(written).map(|sample| if sample.is_finite() { *sample } else { 0.0 }));
        Ok(())
    }
}

fn context(format: Sample, layout: ChannelLayout, rate: u32) -> Result<resampling::Context, ffmpeg_next::Error> {
    let mut options = Dictionary::new();
    // Weights that add up to 1: the same voice on two channels is as loud as on one.
    options.set("rematrix_maxval", "1.0");
    let mono = Sample::F32(Type::Packed);
    resampling::Context::get_with(format, layout, rate, mono, ChannelLayout::MONO, Waveform::SAMPLE_RATE, options)
}

fn unmixable(input: &Input) -> Error {
    Error::undecodable(format!(
        "sound of {} channels at {} Hz in the sample format {:?} cannot be mixed to mono; convert it to 16 kHz mono WAV",
        input.channels, input.rate, input.format
    ))
}

/// The mean of all channels, in -1..1.
fn average(frame: &frame::Audio, channels: usize, count: usize) -> Option<Vec<f32>> {
    let (kind, bytes, decode): (_, usize, fn(&[u8]) -> f32) = match frame.format() {
        Sample::U8(kind) => (kind, 1, |b| (f32::from(b[0]) - 128.0) / 128.0),
        Sample::I16(kind) => (kind, 2, |b| f32::from(i16::from_ne_bytes([b[0], b[1]])) / 32768.0),
        Sample::I32(kind) => (kind, 4, |b| i32::from_ne_bytes([b[0], b[1], b[2], b[3]]) as f32 / 2_147_483_648.0),
        Sample::F32(kind) => (kind, 4, |b| f32::from_ne_bytes([b[0], b[1], b[2], b[3]])),
        _ => return None,
    };
    let planes = if kind == Type::Planar { channels } else { 1 };
    let per_plane = count.checked_mul(channels / planes)?.checked_mul(bytes)?;
    let mut mono = vec![0f32; count];
    for plane in 0..planes {
        // SAFETY: a decoded frame has one plane per channel (planar) or one for all (packed), each of `per_plane` bytes or more.
        let data = unsafe { std::slice::from_raw_parts(*(*frame.as_ptr()).extended_data.add(plane), per_plane) };
        for (sample, group) in mono.iter_mut().zip(data.chunks_exact(bytes * (channels / planes))) {
            *sample += group.chunks_exact(bytes).map(decode).sum::<f32>() / channels as f32;
        }
    }
    Some(mono)
}

//! Raw sound, and the last seconds of it as 16 kHz mono on the host's clock.

use std::collections::VecDeque;

use crate::error::{Error, Result};
use crate::media::audio::MIN_GAP_S;
use crate::media::mix::Mixer;
use crate::media::Waveform;

/// Sample rates that are taken, in hertz.
const RATES: std::ops::RangeInclusive<u32> = 1_000..=384_000;
/// Most channels.
const MAX_CHANNELS: u16 = 64;
/// Sound that is stamped earlier than the end of what is there by up to this is put behind it: devices deliver in bursts. In seconds.
const BURST_S: f64 = 0.5;
/// Sound that is stamped earlier than the end of what is there by more than this is an error; between the two the overlap is left
/// out, which takes up the drift of the sound's clock against the host's. In seconds.
const MAX_OVERLAP_S: f64 = 2.0;
/// Sound that is left out as overlap one push after the other, beyond which the stamps are taken for wrong. In seconds.
const MAX_DROPPED_S: f64 = 1.0;
/// Most samples that are mixed at a time.
const CHUNK: usize = 1 << 16;
const RATE: f64 = Waveform::SAMPLE_RATE as f64;

/// The type of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PcmFormat {
    /// 16-bit signed integers, full scale 32768.
    I16,
    /// 32-bit floats, full scale 1.
    F32,
}

impl PcmFormat {
    /// Every format.
    pub const ALL: [PcmFormat; 2] = [Self::I16, Self::F32];

    /// The stable name: `i16` or `f32`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::I16 => "i16",
            Self::F32 => "f32",
        }
    }

    /// The format called `name`.
    ///
    /// # Errors
    /// `invalid_argument` listing the names there are.
    pub fn parse(name: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|format| format.name() == name)
            .ok_or_else(|| Error::invalid_argument(format!("there is no sample format {name:?}; give i16 or f32")))
    }
}

/// Samples of all channels by turns (interleaved), borrowed.
#[derive(Debug, Clone, Copy)]
pub enum PcmSamples<'a> {
    /// As [`PcmFormat::I16`].
    I16(&'a [i16]),
    /// As [`PcmFormat::F32`]. What is no finite number becomes 0, and the clip gets the note `damaged`.
    F32(&'a [f32]),
}

impl PcmSamples<'_> {
    /// The samples' type.
    pub fn format(&self) -> PcmFormat {
        match self {
            Self::I16(_) => PcmFormat::I16,
            Self::F32(_) => PcmFormat::F32,
        }
    }

    /// How many there are, over all channels.
    pub fn len(&self) -> usize {
        match self {
            Self::I16(samples) => samples.len(),
            Self::F32(samples) => samples.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A piece of sound as a microphone gives it, borrowed. May be of any length.
#[derive(Debug, Clone, Copy)]
pub struct Pcm<'a> {
    /// The samples, interleaved; a multiple of `channels`.
    pub samples: PcmSamples<'a>,
    /// Samples per second and channel, in hertz, 1000..=384000.
    pub rate: u32,
    /// Channels, 1..=64. The mean of all of them is heard.
    pub channels: u16,
    /// When the first sample was taken, in seconds, on the clock that the pictures have too.
    pub time_s: f64,
}

impl Pcm<'_> {
    /// Whether rate, channels and number of samples can be used.
    ///
    /// # Errors
    /// `invalid_argument` naming what cannot.
    pub fn check(&self) -> Result<()> {
        if !RATES.contains(&self.rate) {
            return Err(Error::invalid_argument(format!(
                "the sound's rate is {} Hz; give {} to {} Hz",
                self.rate,
                RATES.start(),
                RATES.end()
            )));
        }
        if !(1..=MAX_CHANNELS).contains(&self.channels) {
            return Err(Error::invalid_argument(format!(
                "the sound has {} channels; give 1 to {MAX_CHANNELS}",
                self.channels
            )));
        }
        let over = self.samples.len() % usize::from(self.channels);
        if over != 0 {
            return Err(Error::invalid_argument(format!(
                "{} samples are not whole for {} channels: {over} too many, or {} too few; give each channel a sample",
                self.samples.len(),
                self.channels,
                usize::from(self.channels) - over
            )));
        }
        Ok(())
    }

    /// Samples of each channel.
    pub(super) fn frames(&self) -> usize {
        self.samples.len() / usize::from(self.channels).max(1)
    }

    /// Length in seconds.
    pub(super) fn duration_s(&self) -> f64 {
        self.frames() as f64 / f64::from(self.rate.max(1))
    }

    /// Samples `range` of each channel as their mean, into `mono`. Gives how many were no finite numbers.
    fn mean(&self, range: std::ops::Range<usize>, mono: &mut Vec<f32>) -> u64 {
        let channels = usize::from(self.channels).max(1);
        let range = range.start * channels..range.end * channels;
        let mut bad = 0;
        mono.clear();
        match self.samples {
            PcmSamples::I16(samples) => {
                mono.extend(samples.get(range).unwrap_or_default().chunks_exact(channels).map(|group| {
                    let sum: i64 = group.iter().copied().map(i64::from).sum();
                    (sum as f64 / (32768.0 * channels as f64)) as f32
                }))
            }
            PcmSamples::F32(samples) => {
                mono.extend(samples.get(range).unwrap_or_default().chunks_exact(channels).map(|group| {
                    let finite = group.iter().filter(|sample| sample.is_finite());
                    bad += (channels - finite.clone().count()) as u64;
                    (finite.copied().map(f64::from).sum::<f64>() / channels as f64) as f32
                }))
            }
        }
        bad
    }
}

/// The last seconds of sound.
#[derive(Default)]
pub(super) struct Sound {
    /// With its rate.
    mixer: Option<(u32, Mixer)>,
    /// 16 kHz mono. The first one is number `dropped` since `origin_s`.
    samples: VecDeque<f32>,
    origin_s: f64,
    dropped: u64,
    /// Where what was pushed ends, by stamps and lengths.
    end_s: Option<f64>,
    overlapped_s: f64,
    /// Samples that were no numbers, and when the last of them came.
    bad: Option<(u64, f64)>,
    mono: Vec<f32>,
    mixed: Vec<f32>,
}

impl Sound {
    /// The time that the mixed sound reaches to. None: there is none.
    pub(super) fn end_s(&self) -> Option<f64> {
        let end = self.origin_s + (self.dropped as f64 + self.samples.len() as f64) / RATE;
        (!self.samples.is_empty()).then_some(end)
    }

    /// How many samples are held.
    pub(super) fn len(&self) -> usize {
        self.samples.len()
    }

    /// How many samples from `from_s` on and before it were no numbers.
    pub(super) fn bad_since(&self, from_s: f64) -> Option<u64> {
        self.bad.filter(|(_, last_s)| *last_s >= from_s).map(|(count, _)| count)
    }

    /// Adds `pcm`, checked before, and forgets what is older than `keep_s`.
    ///
    /// # Errors
    /// `invalid_argument` when it is stamped too far before the end of what is there; nothing is changed then.
    pub(super) fn push(&mut self, pcm: &Pcm<'_>, keep_s: f64) -> Result<()> {
        let frames = pcm.frames();
        if frames == 0 {
            return Ok(());
        }
        let rate = f64::from(pcm.rate);
        let overlap_s = self.end_s.map_or(0.0, |end_s| end_s - pcm.time_s);
        let skip = if overlap_s > BURST_S { ((overlap_s * rate).round() as usize).min(frames) } else { 0 };
        let overlapped_s = if skip > 0 { self.overlapped_s + skip as f64 / rate } else { 0.0 };
        if overlap_s > MAX_OVERLAP_S || overlapped_s > MAX_DROPPED_S {
            return Err(Error::invalid_argument(format!(
                "sound stamped {} s comes after sound up to {} s; stamp each piece with the time of its first sample, or clear the buffer",
                pcm.time_s,
                self.end_s.unwrap_or(pcm.time_s)
            )));
        }
        self.overlapped_s = overlapped_s;
        if skip == frames {
            return Ok(());
        }
        if self.mixer.as_ref().is_some_and(|(rate, _)| *rate != pcm.rate) {
            self.flush()?;
        }
        let start_s = match self.end_s {
            None => {
                self.origin_s = pcm.time_s;
                pcm.time_s
            }
            Some(end_s) if pcm.time_s - end_s > MIN_GAP_S => {
                self.silence_to(pcm.time_s, keep_s)?;
                pcm.time_s
            }
            Some(end_s) => end_s,
        };
        self.end_s = Some(start_s);
        let mut at = skip;
        while at < frames {
            let next = frames.min(at + CHUNK);
            self.mix(pcm, at..next)?;
            self.end_s = Some(start_s + (next - skip) as f64 / rate);
            at = next;
            self.forget(self.end_s.unwrap_or(start_s) - keep_s);
        }
        Ok(())
    }

    /// Forgets what is older than `horizon_s`.
    pub(super) fn forget(&mut self, horizon_s: f64) {
        let old = self.position(horizon_s).saturating_sub(self.dropped);
        let old = usize::try_from(old).unwrap_or(usize::MAX).min(self.samples.len());
        self.samples.drain(..old);
        self.dropped += old as u64;
    }

    /// The time of the first sample from `from_s` on, and the samples from there. None: there are none.
    pub(super) fn since(&self, from_s: f64) -> Option<(f64, impl Iterator<Item = f32> + '_)> {
        let first = self.position(from_s).max(self.dropped);
        let skip = usize::try_from(first - self.dropped).ok()?;
        let start_s = self.origin_s + first as f64 / RATE;
        (skip < self.samples.len()).then(|| (start_s, self.samples.range(skip..).copied()))
    }

    /// The number of the first sample at `time_s` or later.
    fn position(&self, time_s: f64) -> u64 {
        // Stamps are sums of rounded numbers: a thousandth of a sample is no difference. The cast stops at 0.
        ((time_s - self.origin_s) * RATE - 1e-3).ceil() as u64
    }

    fn mix(&mut self, pcm: &Pcm<'_>, range: std::ops::Range<usize>) -> Result<()> {
        let bad = pcm.mean(range, &mut self.mono);
        if bad > 0 {
            let before = self.bad.map_or(0, |(count, _)| count);
            self.bad = Some((before.saturating_add(bad), pcm.time_s + pcm.duration_s()));
        }
        let (_, mixer) = match &mut self.mixer {
            Some(mixer) => mixer,
            none => none.insert((pcm.rate, Mixer::mono(pcm.rate)?)),
        };
        self.mixed.clear();
        mixer.mix_mono(&self.mono, &mut self.mixed)?;
        self.samples.extend(&self.mixed);
        Ok(())
    }

    /// Fills a gap with silence; where nothing before it would be kept, begins anew behind it.
    fn silence_to(&mut self, time_s: f64, keep_s: f64) -> Result<()> {
        if self.end_s.is_none_or(|end_s| time_s - end_s > keep_s) {
            self.mixer = None;
            self.samples.clear();
            (self.origin_s, self.dropped) = (time_s, 0);
            return Ok(());
        }
        self.flush()?;
        let position = ((time_s - self.origin_s) * RATE).round() as u64;
        let length = usize::try_from(position.saturating_sub(self.dropped)).unwrap_or(0);
        if length > self.samples.len() {
            self.samples.resize(length, 0.0);
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        if let Some((_, mixer)) = self.mixer.take() {
            self.mixed.clear();
            mixer.finish(&mut self.mixed)?;
            self.samples.extend(&self.mixed);
        }
        Ok(())
    }
}

//! The ring of the last seconds, and clips cut from it.

use std::collections::VecDeque;
use std::ops::RangeInclusive;

use super::picture::PictureConverter;
use super::pixels::RawFrame;
use super::sound::{Pcm, Sound};
use crate::error::{Error, Result};
use crate::media::audio::is_silent;
use crate::media::pick::{choose, wanted_times};
use crate::media::{check_sampling, pairs, Clip, Frame, Note, Sampling, Waveform};
use crate::preprocess::{resize, Filter};

/// What options may be.
const SECONDS: RangeInclusive<f64> = 0.1..=120.0;
const SIDES: RangeInclusive<usize> = 16..=8192;
const RATES: RangeInclusive<f64> = 0.1..=240.0;
/// Pictures that are stamped earlier than the one before by up to this are left out; by more is an error. In seconds.
const MAX_BACK_S: f64 = 0.1;
/// A step of the clock beyond this, either way, is another clock or another unit. In seconds.
const MAX_JUMP_S: f64 = 3600.0;
/// Beyond this, a time in seconds is in another unit, or too coarse to tell frames apart.
const MAX_TIME_S: f64 = 1e12;
/// Stamps that differ by less, in seconds, are equal.
const TIE_S: f64 = 1e-6;
/// A picture may come by this share of the shortest interval early, as cameras' clocks shake.
const EARLY_SHARE: f64 = 0.25;

/// What a [`LiveBuffer`] keeps.
#[derive(Debug, Clone, PartialEq)]
pub struct LiveOptions {
    /// How much is kept, in seconds, 0.1..=120. Default 10.
    pub seconds: f64,
    /// Pictures are scaled down so that the longer side has at most this many pixels, 16..=8192. Default 1280.
    pub max_side: usize,
    /// Pictures that come faster, on the average, are left out, 0.1..=240 a second. Default 15.
    pub max_frames_per_second: f64,
}

impl Default for LiveOptions {
    fn default() -> Self {
        Self { seconds: 10.0, max_side: 1280, max_frames_per_second: 15.0 }
    }
}

impl LiveOptions {
    fn check(&self) -> Result<()> {
        let refused = |name: &str, value: String, low: String, high: String| {
            Err(Error::invalid_argument(format!("{name} is {value}; give {low} to {high}")))
        };
        let check = |name, value: f64, range: RangeInclusive<f64>| match range.contains(&value) {
            true => Ok(()),
            false => refused(name, value.to_string(), range.start().to_string(), range.end().to_string()),
        };
        check("seconds", self.seconds, SECONDS)?;
        check("max_frames_per_second", self.max_frames_per_second, RATES)?;
        if !SIDES.contains(&self.max_side) {
            let (low, high) = (SIDES.start().to_string(), SIDES.end().to_string());
            return refused("max_side", self.max_side.to_string(), low, high);
        }
        Ok(())
    }
}

/// The last seconds of a camera and a microphone.
///
/// Pictures and sound are converted when they are pushed and kept in that form: at most `seconds * max_frames_per_second + 2` pictures
/// of at most `max_side` pixels a side at 3 bytes each (1280 x 720 at the default options: 400 MiB after 10 s), 64 kB of sound a second, and
/// one raw picture. One thread at a time may use it, any thread.
pub struct LiveBuffer {
    options: LiveOptions,
    converter: PictureConverter,
    /// With times of the host's clock.
    frames: VecDeque<Frame>,
    sound: Sound,
    /// Pictures that were taken so far.
    count: u64,
    /// The stamp of the newest picture, taken or not.
    picture_s: Option<f64>,
    /// The newest stamp of either.
    clock_s: Option<f64>,
    /// When the next picture is to be taken.
    due_s: f64,
}

impl LiveBuffer {
    /// An empty buffer.
    ///
    /// # Errors
    /// `invalid_argument` naming the option and what to give.
    pub fn new(options: LiveOptions) -> Result<Self> {
        options.check()?;
        Ok(Self {
            converter: PictureConverter::new(options.max_side),
            options,
            frames: VecDeque::new(),
            sound: Sound::default(),
            count: 0,
            picture_s: None,
            clock_s: None,
            due_s: f64::NEG_INFINITY,
        })
    }

    /// What is kept.
    pub fn options(&self) -> &LiveOptions {
        &self.options
    }

    /// Pictures that are held.
    pub fn frame_count(&self) -> usize {
        self.frames.len()
    }

    /// Seconds from the oldest picture or sample that is held to the newest.
    pub fn duration_s(&self) -> f64 {
        let sound_s = self.sound.since(f64::NEG_INFINITY).map(|(start_s, _)| start_s);
        let first_s = self.frames.front().map(|frame| frame.time_s).into_iter().chain(sound_s).min_by(f64::total_cmp);
        match (first_s, self.end_s()) {
            (Some(first_s), Some(end_s)) => (end_s - first_s).max(0.0),
            _ => 0.0,
        }
    }

    /// Bytes of the pictures and the sound that are held.
    pub fn memory_bytes(&self) -> usize {
        let pictures: usize = self.frames.iter().map(|frame| frame.rgb.len()).sum();
        pictures + self.sound.len() * std::mem::size_of::<f32>()
    }

    /// Takes one picture, or leaves it out when pictures come faster than `max_frames_per_second`. Its memory is not used after the call.
    ///
    /// # Errors
    /// `invalid_argument` when planes, size or time stamp cannot be used, `media_too_large`, `out_of_memory`. The buffer is as before then.
    pub fn push_frame(&mut self, raw: &RawFrame<'_>) -> Result<()> {
        raw.check()?;
        self.check_stamp("picture", raw.time_s)?;
        if let Some(newest_s) = self.picture_s.filter(|newest_s| newest_s - raw.time_s > MAX_BACK_S) {
            return Err(Error::invalid_argument(format!(
                "a picture stamped {} s comes after one of {newest_s} s; push them in the order of time, or clear the buffer",
                raw.time_s
            )));
        }
        let is_newer = self.picture_s.is_none_or(|newest_s| raw.time_s > newest_s);
        let interval_s = 1.0 / self.options.max_frames_per_second;
        if is_newer && raw.time_s >= self.due_s - EARLY_SHARE * interval_s {
            let frame = self.converter.convert(raw, self.count)?;
            // Kept to a grid, so that 25 a second become 15 and not 12.5; after a pause the grid begins anew.
            let late = raw.time_s - self.due_s > interval_s;
            self.due_s = if late { raw.time_s } else { self.due_s } + interval_s;
            self.count += 1;
            self.frames.push_back(frame);
        }
        self.picture_s = Some(self.picture_s.unwrap_or(raw.time_s).max(raw.time_s));
        self.advance(raw.time_s);
        Ok(())
    }

    /// Takes a piece of sound. Pieces that follow each other become one sound without seams, whatever their lengths; a gap of more than
    /// 0.1 s between the end of one and the stamp of the next becomes silence; where pieces overlap by more than 0.5 s, what was
    /// there already is left out. The last milliseconds wait for the next piece, as the filter needs them.
    ///
    /// # Errors
    /// `invalid_argument` when rate, channels, number of samples or time stamp cannot be used. The buffer is as before then.
    pub fn push_audio(&mut self, pcm: &Pcm<'_>) -> Result<()> {
        pcm.check()?;
        self.check_stamp("sound", pcm.time_s)?;
        self.sound.push(pcm, self.options.seconds)?;
        self.advance(pcm.time_s + pcm.duration_s());
        Ok(())
    }

    /// The last `last_seconds` before the newest picture or sample that is held (or what there is of them), as a clip of its own: time 0 is its
    /// start, frames are numbered from 0 and chosen as [`crate::media::decode`] does, sound that begins later than the pictures has
    /// silence before it. The clip may be longer by the time of the last picture.
    ///
    /// # Errors
    /// `invalid_argument` when the buffer is empty, or for seconds or a sampling that cannot be used.
    pub fn clip(&self, last_seconds: f64, sampling: &Sampling) -> Result<Clip> {
        check_sampling(sampling)?;
        if !last_seconds.is_finite() || last_seconds <= 0.0 {
            return Err(Error::invalid_argument(format!(
                "a clip of the last {last_seconds} s cannot be cut; give a finite number of seconds above 0"
            )));
        }
        let end_s = self.end_s().ok_or_else(|| {
            Error::invalid_argument("the live buffer holds neither a picture nor a sound; push some first")
        })?;
        let from_s = end_s - last_seconds.min(self.options.seconds);
        let first = self.frames.partition_point(|frame| frame.time_s < from_s - TIE_S);
        let frames: Vec<&Frame> = self.frames.range(first..).collect();
        let sound = self.sound.since(from_s);
        let starts = frames.first().map(|frame| frame.time_s).into_iter().chain(sound.as_ref().map(|sound| sound.0));
        let zero_s = starts.min_by(f64::total_cmp).unwrap_or(from_s);
        let audio = sound.map(|(start_s, samples)| {
            let late = ((start_s - zero_s) * f64::from(Waveform::SAMPLE_RATE)).round() as usize;
            Waveform { samples: std::iter::repeat_n(0.0, late).chain(samples).collect() }
        });
        let times: Vec<f64> = frames.iter().map(|frame| (frame.time_s - zero_s).max(0.0)).collect();
        let span = span(&times);
        let count = frames.len() as u64;
        let chosen = choose(times.iter().copied(), wanted_times(sampling, span), pairs::numbers(count, sampling.pairs));
        let kept = chosen.into_iter().filter_map(|at| {
            let (frame, time_s) = (frames.get(at)?, times.get(at)?);
            Some(scaled(frame, sampling.max_side).map(|frame| Frame { time_s: *time_s, index: at as u64, ..frame }))
        });
        let kept = kept.collect::<Result<Vec<_>>>()?;
        let is_still = count == 1 && audio.is_none();
        let audio_s = audio.as_ref().map_or(0.0, Waveform::duration_s);
        Ok(Clip {
            pairs: pairs::positions(count, count, sampling.pairs, &kept),
            frames: kept,
            duration_s: if is_still { 0.0 } else { span.1.max(audio_s) },
            has_video: count > 0,
            has_audio: audio.is_some(),
            video_span_s: span,
            rotation_deg: 0,
            frame_count: count,
            frames_decoded: count,
            notes: notes(count, audio.as_ref(), self.sound.bad_since(from_s)),
            audio,
        })
    }

    /// Forgets everything but the options. The clock begins anew.
    pub fn clear(&mut self) {
        self.frames.clear();
        self.sound = Sound::default();
        self.count = 0;
        (self.picture_s, self.clock_s, self.due_s) = (None, None, f64::NEG_INFINITY);
    }

    /// The time of the newest picture or sample that is held.
    fn end_s(&self) -> Option<f64> {
        let picture_s = self.frames.back().map(|frame| frame.time_s);
        picture_s.into_iter().chain(self.sound.end_s()).max_by(f64::total_cmp)
    }

    /// Refuses a time that cannot be of the clock that the others are of.
    fn check_stamp(&self, what: &str, time_s: f64) -> Result<()> {
        if !time_s.is_finite() || time_s.abs() > MAX_TIME_S {
            return Err(Error::invalid_argument(format!(
                "the {what}'s time stamp is {time_s}; give a finite number of seconds (not of milliseconds or nanoseconds)"
            )));
        }
        match self.clock_s {
            Some(clock_s) if (time_s - clock_s).abs() > MAX_JUMP_S => Err(Error::invalid_argument(format!(
                "the {what}'s time stamp of {time_s} s lies {:.0} s from the newest, {clock_s} s; give pictures and sound on one clock in seconds, \
                 or clear the buffer after a long pause",
                (time_s - clock_s).abs()
            ))),
            _ => Ok(()),
        }
    }

    /// Moves the clock on to `time_s` and forgets what is too old.
    fn advance(&mut self, time_s: f64) {
        self.clock_s = Some(self.clock_s.unwrap_or(time_s).max(time_s));
        let Some(end_s) = self.end_s() else { return };
        let horizon_s = end_s - self.options.seconds;
        let old = self.frames.partition_point(|frame| frame.time_s < horizon_s - TIE_S);
        self.frames.drain(..old);
        self.sound.forget(horizon_s);
    }
}

/// From the first picture to the end of the last, which lasts as long as the mean of the others.
fn span(times: &[f64]) -> (f64, f64) {
    let (Some(&first), Some(&last)) = (times.first(), times.last()) else { return (0.0, 0.0) };
    (first, last + (last - first) / times.len().saturating_sub(1).max(1) as f64)
}

/// A copy of `frame` whose longer side has at most `max_side` pixels.
fn scaled(frame: &Frame, max_side: usize) -> Result<Frame> {
    let side = frame.width.max(frame.height);
    if side <= max_side {
        return Ok(frame.clone());
    }
    let to = |length: usize| ((length as f64 * max_side as f64 / side as f64).round() as usize).max(1);
    let (width, height) = (to(frame.width), to(frame.height));
    let rgb = resize(&frame.rgb, frame.width, frame.height, width, height, Filter::Bilinear)?;
    Ok(Frame {
        width,
        height,
        rgb,
        #[cfg(feature = "cuda")]
        on_device: None,
        ..*frame
    })
}

fn notes(pictures: u64, audio: Option<&Waveform>, bad: Option<u64>) -> Vec<Note> {
    let mut notes = Vec::new();
    let mut note = |name, message: String| notes.push(Note::new(name, message));
    match (pictures, audio) {
        (1, None) => {
            note(Note::STILL_PICTURE, "there is one picture: there is no motion and no voice to go by".into());
        }
        (_, None) => note(Note::NO_AUDIO, "no sound came in this time".into()),
        (0, _) => note(Note::NO_VIDEO, "no picture came in this time".into()),
        _ => {}
    }
    if audio.is_some_and(is_silent) {
        note(Note::SILENT_AUDIO, "the sound is silence from end to end".into());
    }
    if let Some(bad) = bad {
        note(Note::DAMAGED, format!("{bad} samples of the sound were no finite numbers and were taken for silence"));
    }
    notes
}

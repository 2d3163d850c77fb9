//! Second reading: the chosen streams, decoded.

use std::cell::Cell;

use super::audio::{is_silent, nothing_decoded, AudioStream};
use super::pairs;
use super::pick::wanted_times;
use super::plan::{Plan, Wanted};
use super::scan::{self, Kind, Packets, Scan, StreamScan};
use super::video::{Choice, VideoStream};
use super::{check_options, demuxer, Clip, Frame, Limits, Note, Sampling, Source, Waveform};
use crate::cancel::CancelToken;
use crate::error::{Error, ErrorKind, Result};

/// Streams of a kind that are tried before the file is given up.
const MAX_TRIES: usize = 3;
/// A clip that ends this much before its declared length, in seconds and as a share of it, is truncated.
const TRUNCATED_S: f64 = 0.5;
const TRUNCATED_SHARE: f64 = 0.05;

/// A source whose packets were read once: what there is to decode, and when it plays.
///
/// Pictures and sound can be decoded apart, on two threads: each then reads the source on its own, and gives what it gives when they are
/// decoded together.
pub(crate) struct Reel<'a> {
    source: &'a Source,
    scan: Scan,
    sampling: &'a Sampling,
    limits: &'a Limits,
}

/// What came of the picture stream, besides the frames.
#[derive(Default)]
pub(crate) struct Pictures {
    /// Frames that the packets promise.
    expected: u64,
    /// Frames of the video, decoded or left out.
    count: u64,
    decoded: u64,
    /// How many of the first frames that were handed on are void, because what followed was decoded anew.
    pub(crate) void: usize,
    rotation_deg: u32,
    span_s: (f64, f64),
    failed: u64,
    failure: Option<String>,
}

/// What came of the sound stream.
#[derive(Default)]
pub(crate) struct Sound {
    /// `None` without decodable sound.
    pub(crate) waveform: Option<Waveform>,
    failed: u64,
    failure: Option<String>,
}

impl<'a> Reel<'a> {
    /// Reads all packets of `source`.
    ///
    /// # Errors
    /// As [`decode`](super::decode), but for what shows only when it is decoded.
    pub(crate) fn open(
        source: &'a Source,
        sampling: &'a Sampling,
        limits: &'a Limits,
        cancel: &CancelToken,
    ) -> Result<Self> {
        check_options(sampling, limits)?;
        cancel.check()?;
        let scan = source.check(limits).and_then(|()| scan::scan(source, limits, cancel));
        Ok(Self { source, scan: explained(scan, source, cancel)?, sampling, limits })
    }

    /// Decodes the pictures. `keep` gets each frame that is kept as soon as that is known: in the order of time, but for the last two. Where it
    /// turns out that all has to be decoded anew, the first [`Pictures::void`] of them are not to be used.
    ///
    /// # Errors
    /// As [`decode`](super::decode).
    pub(crate) fn pictures(&self, keep: &mut dyn FnMut(Frame), cancel: &CancelToken) -> Result<Pictures> {
        let decoded = self.decode(&self.scan.candidates(Kind::Video), &[], keep, cancel);
        Ok(explained(decoded, self.source, cancel)?.0)
    }

    /// Decodes the sound.
    ///
    /// # Errors
    /// As [`decode`](super::decode).
    pub(crate) fn sound(&self, cancel: &CancelToken) -> Result<Sound> {
        let decoded = self.decode(&[], &self.scan.candidates(Kind::Audio), &mut |_| {}, cancel);
        Ok(explained(decoded, self.source, cancel)?.1)
    }

    /// [`Reel::pictures`] and [`Reel::sound`] in one reading.
    ///
    /// # Errors
    /// As [`decode`](super::decode).
    pub(super) fn both(&self, keep: &mut dyn FnMut(Frame), cancel: &CancelToken) -> Result<(Pictures, Sound)> {
        let (videos, sounds) = (self.scan.candidates(Kind::Video), self.scan.candidates(Kind::Audio));
        explained(self.decode(&videos, &sounds, keep, cancel), self.source, cancel)
    }

    /// The clip of the `frames` that were kept, in any order.
    ///
    /// # Errors
    /// `media_undecodable` if there is neither a picture nor a sound.
    pub(crate) fn clip(&self, mut frames: Vec<Frame>, pictures: Pictures, sound: Sound) -> Result<Clip> {
        if pictures.decoded == 0 && sound.waveform.is_none() {
            return Err(nothing_decoded(&reason(&self.scan, &pictures, &sound)).context(self.source));
        }
        frames.sort_by_key(|frame| frame.index);
        Ok(clip(&self.scan, self.sampling, frames, pictures, sound))
    }

    /// Decodes the first of `videos` and of `sounds`, the next ones where the first of a kind give nothing.
    fn decode(
        &self,
        videos: &[&StreamScan],
        sounds: &[&StreamScan],
        keep: &mut dyn FnMut(Frame),
        cancel: &CancelToken,
    ) -> Result<(Pictures, Sound)> {
        let mut pictures = Pictures::default();
        let mut sound = Sound::default();
        let given = Cell::new(0);
        let mut keep = |frame| {
            given.update(|given| given + 1);
            keep(frame);
        };
        for attempt in 0..MAX_TRIES {
            let next_video = videos.get(attempt).filter(|_| pictures.decoded == 0).copied();
            let next_sound = sounds.get(attempt).filter(|_| sound.waveform.is_none()).copied();
            if next_video.is_none() && next_sound.is_none() {
                break;
            }
            let plan = next_video.and_then(|video| self.plan(video));
            let is_short_cut = plan.is_some() || self.sampling.has_gpu();
            let void = given.get();
            let (new_pictures, new_sound) =
                self.read(next_video, next_sound, plan, self.sampling, &mut keep, cancel)?;
            if next_sound.is_some() {
                sound = new_sound;
            }
            if next_video.is_none() {
                continue;
            }
            pictures = Pictures { void, ..new_pictures };
            // What failed may be no fault of the file's.
            if is_short_cut && (pictures.failed > 0 || pictures.decoded == 0) {
                let reason = pictures.failure.as_deref();
                tracing::debug!(failed = pictures.failed, reason, "all pictures are decoded, on the processor");
                let void = given.get();
                let sampling = self.sampling.without_gpu();
                pictures = Pictures { void, ..self.read(next_video, None, None, &sampling, &mut keep, cancel)?.0 };
            }
        }
        Ok((pictures, sound))
    }

    /// Which packets of `video` are decoded, if not all.
    fn plan(&self, video: &StreamScan) -> Option<Plan> {
        let time_s = |stamp: i64| stamp as f64 * video.time_base_s - self.scan.zero_s;
        Plan::of(&video.marks, time_s, self.wanted(video))
    }

    /// Which frames of `video` are kept.
    fn wanted(&self, video: &StreamScan) -> Wanted {
        Wanted {
            times: wanted_times(self.sampling, self.span_s(video)),
            numbers: pairs::numbers(video.pictures, self.sampling.pairs),
        }
    }

    /// Start and end of `video` in seconds of the clip.
    fn span_s(&self, video: &StreamScan) -> (f64, f64) {
        let (start, end) = video.span.unwrap_or((self.scan.zero_s, self.scan.zero_s));
        (start - self.scan.zero_s, end - self.scan.zero_s)
    }

    /// Reads the source once and decodes the two streams side by side; of the pictures what the `plan` says, or all.
    fn read(
        &self,
        video: Option<&StreamScan>,
        sound: Option<&StreamScan>,
        plan: Option<Plan>,
        sampling: &Sampling,
        keep: &mut dyn FnMut(Frame),
        cancel: &CancelToken,
    ) -> Result<(Pictures, Sound)> {
        let (scan, limits) = (&self.scan, self.limits);
        let mut demuxer = demuxer::open(self.source.open(cancel)?, limits, cancel)?;
        let (mut pictures, mut sound_out) = (Pictures::default(), Sound::default());
        let mut video_stream = None;
        if let Some((found, stream)) = video.and_then(|found| Some((found, demuxer.stream(found.index)?))) {
            pictures.span_s = self.span_s(found);
            pictures.expected = found.pictures;
            let choice = plan.map_or_else(|| Choice::passing(self.wanted(found)), Choice::planned);
            match VideoStream::open(&stream, found, scan.zero_s, scan.still, choice, sampling, limits) {
                Ok(opened) => video_stream = Some(opened),
                Err(error) => pictures.failure = Some(format!("{}: {error}", found.codec)),
            }
        }
        let mut audio_stream = None;
        if let Some((found, stream)) = sound.and_then(|found| Some((found, demuxer.stream(found.index)?))) {
            match AudioStream::open(&stream, scan.zero_s, limits) {
                Ok(opened) => audio_stream = Some(opened),
                Err(error) => sound_out.failure = Some(format!("{}: {error}", found.codec)),
            }
        }
        let mut packets = Packets::new();
        while let Some(packet) = packets.next(&mut demuxer, cancel)? {
            let index = Some(packet.stream());
            if let Some(stream) = video_stream.as_mut().filter(|_| index == video.map(|found| found.index)) {
                stream.decode(packet, keep)?;
                if stream.is_done() && audio_stream.is_none() {
                    break;
                }
            } else if let Some(stream) = audio_stream.as_mut().filter(|_| index == sound.map(|found| found.index)) {
                stream.decode(Some(packet), limits)?;
            }
        }
        if let Some(mut stream) = video_stream {
            stream.finish(keep)?;
            pictures = Pictures {
                count: stream.count,
                decoded: stream.decoded,
                rotation_deg: stream.rotation_deg,
                failed: stream.failed,
                failure: stream.failure,
                ..pictures
            };
        }
        if let Some(mut stream) = audio_stream {
            stream.decode(None, limits)?;
            sound_out.failed = stream.failed;
            sound_out.failure = stream.failure.take();
            sound_out.waveform = stream.finish();
        }
        cancel.check()?;
        Ok((pictures, sound_out))
    }
}

/// `result`, whose error names `source`.
fn explained<T>(result: Result<T>, source: &Source, cancel: &CancelToken) -> Result<T> {
    result.map_err(|error| match error.kind {
        ErrorKind::Cancelled => error,
        // A cancelled read surfaces as whatever the demuxer or decoder made of it.
        _ if cancel.is_cancelled() => Error::cancelled(),
        _ => error.context(source),
    })
}

fn clip(scan: &Scan, sampling: &Sampling, frames: Vec<Frame>, video: Pictures, sound: Sound) -> Clip {
    let has_video = video.decoded > 0;
    let has_audio = sound.waveform.is_some();
    let is_still = scan.still && video.decoded == 1 && !has_audio;
    let mut notes = Vec::new();
    let mut note = |name, message: String| notes.push(Note::new(name, message));
    if is_still {
        note(Note::STILL_PICTURE, "the input is one still picture: there is no motion and no voice to go by".into());
    } else {
        if !has_audio {
            match scan.any(Kind::Audio) {
                None => note(Note::NO_AUDIO, "the file has no sound".into()),
                Some(stream) => note(
                    Note::AUDIO_UNDECODABLE,
                    format!(
                        "the sound ({}) could not be decoded ({})",
                        stream.codec,
                        why(stream, sound.failure.as_deref())
                    ),
                ),
            }
        }
        if !has_video {
            match scan.any(Kind::Video) {
                None => note(Note::NO_VIDEO, "the file has no picture".into()),
                Some(stream) => note(
                    Note::VIDEO_UNDECODABLE,
                    format!(
                        "the picture ({}) could not be decoded ({})",
                        stream.codec,
                        why(stream, video.failure.as_deref())
                    ),
                ),
            }
        }
    }
    if sound.waveform.as_ref().is_some_and(is_silent) {
        note(Note::SILENT_AUDIO, "the sound is silence from end to end".into());
    }
    let missing_s = scan.declared_s.unwrap_or(0.0) - scan.duration_s;
    let is_short = missing_s > TRUNCATED_S && missing_s > scan.declared_s.unwrap_or(0.0) * TRUNCATED_SHARE;
    let failed = video.failed + sound.failed;
    if scan.cut || is_short {
        note(
            Note::TRUNCATED,
            format!(
                "the data ends early: {:.2} s were decoded{}",
                scan.duration_s,
                scan.declared_s.map_or_else(String::new, |declared| format!(" of {declared:.2} s")),
            ),
        );
    } else if failed > 0 && (has_video || sound.failed > 0) {
        note(Note::DAMAGED, format!("{failed} packets could not be decoded and were left out"));
    }
    Clip {
        pairs: pairs::positions(video.expected, video.count, sampling.pairs, &frames),
        frames,
        audio: sound.waveform,
        duration_s: if is_still { 0.0 } else { scan.duration_s },
        has_video,
        has_audio,
        video_span_s: video.span_s,
        rotation_deg: video.rotation_deg,
        frame_count: video.count,
        frames_decoded: video.decoded,
        notes,
    }
}

fn why<'a>(stream: &StreamScan, failure: Option<&'a str>) -> &'a str {
    match failure {
        _ if !stream.decodable => "no decoder for this codec in the installed FFmpeg",
        Some(failure) => failure,
        None => "no data came out of it",
    }
}

/// Why nothing could be decoded.
fn reason(scan: &Scan, video: &Pictures, sound: &Sound) -> String {
    if let Some(failure) = video.failure.as_ref().or(sound.failure.as_ref()) {
        return failure.clone();
    }
    match scan.streams.iter().find(|stream| !stream.decodable) {
        Some(stream) => format!("no decoder for {} in the installed FFmpeg", stream.codec),
        None if scan.streams.is_empty() => "there is no picture or sound stream".into(),
        None => "the streams hold no data".into(),
    }
}

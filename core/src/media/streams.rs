//! Second reading: the chosen streams, decoded.

use super::audio::{is_silent, nothing_decoded, AudioStream};
use super::pairs;
use super::pick::wanted_times;
use super::scan::{Kind, Packets, Scan, StreamScan};
use super::video::{VideoStream, Wanted};
use super::{demuxer, Clip, Frame, Limits, Note, Sampling, Source, Waveform};
use crate::cancel::CancelToken;
use crate::error::Result;

/// Streams of a kind that are tried before the file is given up.
const MAX_TRIES: usize = 3;
/// A clip that ends this much before its declared length, in seconds and as a share of it, is truncated.
const TRUNCATED_S: f64 = 0.5;
const TRUNCATED_SHARE: f64 = 0.05;

/// Decodes the streams that `scan` found, the next ones where the first of a kind give nothing.
pub(super) fn decode_streams(
    source: &Source,
    scan: &Scan,
    sampling: &Sampling,
    limits: &Limits,
    cancel: &CancelToken,
) -> Result<Clip> {
    let (videos, sounds) = (scan.candidates(Kind::Video), scan.candidates(Kind::Audio));
    let mut pass = Pass { source, scan, sampling, limits, cancel };
    let mut video = Video::default();
    let mut sound = Sound::default();
    for attempt in 0..MAX_TRIES {
        let next_video = videos.get(attempt).filter(|_| video.decoded == 0).copied();
        let next_sound = sounds.get(attempt).filter(|_| sound.waveform.is_none()).copied();
        if next_video.is_none() && next_sound.is_none() {
            break;
        }
        let (new_video, new_sound) = pass.run(next_video, next_sound)?;
        if next_video.is_some() {
            video = new_video;
        }
        if next_sound.is_some() {
            sound = new_sound;
        }
    }
    if video.decoded == 0 && sound.waveform.is_none() {
        return Err(nothing_decoded(&reason(scan, &video, &sound)));
    }
    Ok(clip(scan, video, sound))
}

/// What came of a picture stream.
#[derive(Default)]
struct Video {
    frames: Vec<Frame>,
    pairs: Vec<usize>,
    decoded: u64,
    rotation_deg: u32,
    span_s: (f64, f64),
    failed: u64,
    failure: Option<String>,
}

/// What came of a sound stream.
#[derive(Default)]
struct Sound {
    waveform: Option<Waveform>,
    failed: u64,
    failure: Option<String>,
}

struct Pass<'a> {
    source: &'a Source,
    scan: &'a Scan,
    sampling: &'a Sampling,
    limits: &'a Limits,
    cancel: &'a CancelToken,
}

impl Pass<'_> {
    /// Reads the source once and decodes the two streams side by side.
    fn run(&mut self, video: Option<&StreamScan>, sound: Option<&StreamScan>) -> Result<(Video, Sound)> {
        let (scan, limits) = (self.scan, self.limits);
        let mut demuxer = demuxer::open(self.source.open(self.cancel)?, limits, self.cancel)?;
        let (mut video_out, mut sound_out) = (Video::default(), Sound::default());
        let mut video_stream = None;
        if let Some((found, stream)) = video.and_then(|found| Some((found, demuxer.stream(found.index)?))) {
            let (start, end) = found.span.unwrap_or((scan.zero_s, scan.zero_s));
            video_out.span_s = (start - scan.zero_s, end - scan.zero_s);
            let wanted = Wanted {
                times: wanted_times(self.sampling, video_out.span_s),
                numbers: pairs::numbers(found.pictures, self.sampling.pairs),
            };
            match VideoStream::open(&stream, found, scan.zero_s, scan.still, wanted, self.sampling, limits) {
                Ok(opened) => video_stream = Some(opened),
                Err(error) => video_out.failure = Some(format!("{}: {error}", found.codec)),
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
        while let Some(packet) = packets.next(&mut demuxer, self.cancel)? {
            let index = Some(packet.stream());
            if let Some(stream) = video_stream.as_mut().filter(|_| index == video.map(|found| found.index)) {
                stream.decode(Some(packet))?;
            } else if let Some(stream) = audio_stream.as_mut().filter(|_| index == sound.map(|found| found.index)) {
                stream.decode(Some(packet), limits)?;
            }
        }
        if let (Some(mut stream), Some(found)) = (video_stream, video) {
            stream.decode(None)?;
            stream.finish();
            video_out = Video {
                pairs: pairs::positions(found.pictures, stream.decoded, self.sampling.pairs, &stream.frames),
                frames: stream.frames,
                decoded: stream.decoded,
                rotation_deg: stream.rotation_deg,
                span_s: video_out.span_s,
                failed: stream.failed,
                failure: stream.failure,
            };
        }
        if let Some(mut stream) = audio_stream {
            stream.decode(None, limits)?;
            sound_out.failed = stream.failed;
            sound_out.failure = stream.failure.take();
            sound_out.waveform = stream.finish();
        }
        self.cancel.check()?;
        Ok((video_out, sound_out))
    }
}

fn clip(scan: &Scan, video: Video, sound: Sound) -> Clip {
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
        frames: video.frames,
        pairs: video.pairs,
        audio: sound.waveform,
        duration_s: if is_still { 0.0 } else { scan.duration_s },
        has_video,
        has_audio,
        video_span_s: video.span_s,
        rotation_deg: video.rotation_deg,
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
fn reason(scan: &Scan, video: &Video, sound: &Sound) -> String {
    if let Some(failure) = video.failure.as_ref().or(sound.failure.as_ref()) {
        return failure.clone();
    }
    match scan.streams.iter().find(|stream| !stream.decodable) {
        Some(stream) => format!("no decoder for {} in the installed FFmpeg", stream.codec),
        None if scan.streams.is_empty() => "there is no picture or sound stream".into(),
        None => "the streams hold no data".into(),
    }
}

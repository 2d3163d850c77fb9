//! A clip to a file, for a program that takes files: Matroska with JPEG pictures and 16-bit sound.

use std::io::{self, Cursor, Seek, SeekFrom, Write};
use std::sync::{Arc, Mutex, PoisonError};

use ffmpeg_next::codec::{self, encoder, Flags, Id};
use ffmpeg_next::format::context::{Output, StreamIo};
use ffmpeg_next::format::sample::Type as SampleType;
use ffmpeg_next::format::{output_to_stream, Pixel, Sample};
use ffmpeg_next::{frame, ChannelLayout, Dictionary, Error as FfmpegError, Packet, Rational};

use super::convert::blank;
use super::{Clip, Frame, Waveform};
use crate::cancel::CancelToken;
use crate::error::{Error, Result};

/// JPEG's quantiser, of 1..31: 2 is the finest that FFmpeg recommends.
const QUANTISER: i32 = 2;
/// FFmpeg's unit of quality: `FF_QP2LAMBDA`.
const LAMBDA: i32 = 118;
/// Samples in one packet: 0.1 s, a whole number of the file's ticks.
const PACKET_SAMPLES: usize = 1600;
/// The file's clock, ticks per second.
const TICKS: i32 = 1000;

/// Writes `clip` as a file that [`super::decode`] reads: pictures as JPEG without subsampled colours, stamped to the millisecond,
/// sound as 16-bit samples. One picture without sound becomes a JPEG file.
///
/// The same clip gives the same bytes. Without sound, time 0 of the file is the first picture.
///
/// # Errors
/// `invalid_argument` for a clip without pictures and sound, `cancelled`, `out_of_memory`; `internal` when this FFmpeg lacks the
/// encoder `mjpeg` or `pcm_s16le` or the muxer `matroska`.
pub fn encode(clip: &Clip, cancel: &CancelToken) -> Result<Vec<u8>> {
    match (clip.frames.as_slice(), &clip.audio) {
        ([], None) => Err(Error::invalid_argument("the clip has neither a picture nor a sound to be sent")),
        ([picture], None) => {
            let mut jpeg = Vec::new();
            JpegEncoder::new(picture)?.encode(picture, |packet| {
                jpeg.extend_from_slice(packet.data().unwrap_or_default());
                Ok(())
            })?;
            Ok(jpeg)
        }
        (frames, audio) => matroska(frames, audio.as_ref(), cancel),
    }
}

fn matroska(frames: &[Frame], audio: Option<&Waveform>, cancel: &CancelToken) -> Result<Vec<u8>> {
    let file = SharedFile::default();
    let io = StreamIo::from_write_seek(file.clone()).map_err(|error| failed("a file in memory", error))?;
    let mut output =
        output_to_stream(io, None, Some("matroska")).map_err(|error| failed("the muxer matroska", error))?;
    let mut pictures = frames.first().map(JpegEncoder::new).transpose()?;
    let picture_stream = pictures.as_ref().map(|encoder| add_stream(&mut output, &encoder.0)).transpose()?;
    let mut sound = audio.map(|_| sound_encoder()).transpose()?;
    let sound_stream = sound.as_ref().map(|encoder| add_stream(&mut output, encoder)).transpose()?;
    let mut options = Dictionary::new();
    // No random identifiers, no version of FFmpeg.
    options.set("fflags", "+bitexact");
    output.write_header_with(options).map_err(|error| failed("the file's header", error))?;

    let samples = audio.map_or(&[][..], |audio| audio.samples.as_slice());
    let mut pieces = samples.chunks(PACKET_SAMPLES).enumerate().peekable();
    let step = step_ticks(frames);
    for frame in frames {
        cancel.check()?;
        let due = |piece: &(usize, &[f32])| {
            (piece.0 * PACKET_SAMPLES) as f64 / f64::from(Waveform::SAMPLE_RATE) <= frame.time_s
        };
        while let Some((number, piece)) = pieces.next_if(due) {
            write_sound(&mut output, sound.as_mut(), sound_stream, number, piece)?;
        }
        let Some(encoder) = pictures.as_mut() else { continue };
        if encoder.size() != (frame.width, frame.height) {
            // A camera that changed its size: each JPEG says its own.
            *encoder = JpegEncoder::new(frame)?;
        }
        let time = (frame.time_s * f64::from(TICKS)).round() as i64;
        encoder.encode(frame, |packet| {
            packet.set_pts(Some(time));
            packet.set_dts(Some(time));
            packet.set_duration(step);
            write(&mut output, packet, picture_stream)
        })?;
    }
    for (number, piece) in pieces {
        cancel.check()?;
        write_sound(&mut output, sound.as_mut(), sound_stream, number, piece)?;
    }
    output.write_trailer().map_err(|error| failed("the file's end", error))?;
    drop(output);
    let mut file = file.0.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(std::mem::take(file.get_mut()))
}

/// How long a picture lasts, in ticks: the mean.
fn step_ticks(frames: &[Frame]) -> i64 {
    let (Some(first), Some(last)) = (frames.first(), frames.last()) else { return 0 };
    let steps = frames.len().saturating_sub(1).max(1) as f64;
    ((last.time_s - first.time_s) / steps * f64::from(TICKS)).round() as i64
}

fn add_stream(output: &mut Output, context: &codec::Context) -> Result<usize> {
    let mut stream = output.add_stream_with(context).map_err(|error| failed("a stream", error))?;
    stream.set_time_base(Rational(1, TICKS));
    Ok(stream.index())
}

fn write(output: &mut Output, packet: &mut Packet, stream: Option<usize>) -> Result<()> {
    packet.set_stream(stream.unwrap_or(0));
    packet.write_interleaved(output).map_err(|error| failed("a packet", error))
}

fn write_sound(
    output: &mut Output,
    encoder: Option<&mut encoder::audio::Encoder>,
    stream: Option<usize>,
    number: usize,
    samples: &[f32],
) -> Result<()> {
    let Some(encoder) = encoder else { return Ok(()) };
    let mut piece = frame::Audio::new(Sample::I16(SampleType::Packed), samples.len(), ChannelLayout::MONO);
    piece.set_rate(Waveform::SAMPLE_RATE);
    let scaled = |sample: &f32| (sample * 32768.0).round().clamp(-32768.0, 32767.0) as i16;
    for (to, sample) in piece.plane_mut::<i16>(0).iter_mut().zip(samples) {
        *to = scaled(sample);
    }
    let milliseconds = 1000 * PACKET_SAMPLES / Waveform::SAMPLE_RATE as usize;
    let time = (number * milliseconds) as i64;
    encoder.send_frame(&piece).map_err(|error| failed("a piece of sound", error))?;
    let mut packet = Packet::empty();
    while encoder.receive_packet(&mut packet).is_ok() {
        packet.set_pts(Some(time));
        packet.set_dts(Some(time));
        packet.set_duration((samples.len() * 1000).div_ceil(Waveform::SAMPLE_RATE as usize) as i64);
        write(output, &mut packet, stream)?;
    }
    Ok(())
}

fn sound_encoder() -> Result<encoder::audio::Encoder> {
    let codec = encoder::find(Id::PCM_S16LE).ok_or_else(|| lacks("pcm_s16le"))?;
    let mut audio = codec::Context::new_with_codec(codec)
        .encoder()
        .audio()
        .map_err(|error| failed("the encoder pcm_s16le", error))?;
    audio.set_rate(Waveform::SAMPLE_RATE as i32);
    audio.set_format(Sample::I16(SampleType::Packed));
    audio.set_channel_layout(ChannelLayout::MONO);
    audio.set_time_base(Rational(1, Waveform::SAMPLE_RATE as i32));
    audio.open().map_err(|error| failed("the encoder pcm_s16le", error))
}

/// Writes pictures of one size.
struct JpegEncoder(encoder::video::Encoder);

impl JpegEncoder {
    fn new(frame: &Frame) -> Result<Self> {
        let codec = encoder::find(Id::MJPEG).ok_or_else(|| lacks("mjpeg"))?;
        let failed = |error| failed(&format!("the encoder mjpeg for {} x {} pixels", frame.width, frame.height), error);
        let mut video = codec::Context::new_with_codec(codec).encoder().video().map_err(failed)?;
        let side = |side: usize| u32::try_from(side).map_err(|_| Error::internal("a picture is too large for JPEG"));
        video.set_width(side(frame.width)?);
        video.set_height(side(frame.height)?);
        video.set_format(Pixel::YUVJ444P);
        video.set_time_base(Rational(1, TICKS));
        video.set_flags(Flags::QSCALE);
        video.set_global_quality(QUANTISER * LAMBDA);
        video.set_qmin(QUANTISER);
        video.set_qmax(QUANTISER);
        video.open().map(Self).map_err(failed)
    }

    fn size(&self) -> (usize, usize) {
        (self.0.width() as usize, self.0.height() as usize)
    }

    fn encode(&mut self, frame: &Frame, mut take: impl FnMut(&mut Packet) -> Result<()>) -> Result<()> {
        let picture = full_range(frame)?;
        self.0.send_frame(&picture).map_err(|error| failed("a picture", error))?;
        let mut packet = Packet::empty();
        let mut is_taken = false;
        while self.0.receive_packet(&mut packet).is_ok() {
            is_taken = true;
            take(&mut packet)?;
        }
        if is_taken {
            Ok(())
        } else {
            Err(Error::internal("a picture could not be written as JPEG: the encoder gave nothing"))
        }
    }
}

/// JFIF's luma and chroma: BT.601 over the whole range of 0..255.
fn full_range(frame: &Frame) -> Result<frame::Video> {
    let too_large = |_| Error::internal("a picture is too large for JPEG");
    let (width, height) =
        (u32::try_from(frame.width).map_err(too_large)?, u32::try_from(frame.height).map_err(too_large)?);
    let mut picture = blank(Pixel::YUVJ444P, width, height)?;
    const PLANES: [([f32; 3], f32); 3] =
        [([0.299, 0.587, 0.114], 0.0), ([-0.168_736, -0.331_264, 0.5], 128.0), ([0.5, -0.418_688, -0.081_312], 128.0)];
    for (plane, ([red, green, blue], zero)) in PLANES.into_iter().enumerate() {
        let stride = picture.stride(plane).max(1);
        let rows = picture.data_mut(plane).chunks_mut(stride).zip(frame.rgb.chunks(3 * frame.width.max(1)));
        for (row, pixels) in rows {
            for (to, pixel) in row.iter_mut().zip(pixels.chunks_exact(3)) {
                if let [r, g, b] = *pixel {
                    let value = red * f32::from(r) + green * f32::from(g) + blue * f32::from(b) + zero;
                    *to = value.round().clamp(0.0, 255.0) as u8;
                }
            }
        }
    }
    Ok(picture)
}

fn failed(what: &str, error: FfmpegError) -> Error {
    Error::internal(format!("the clip could not be written as a file: {what}: {error}"))
}

fn lacks(encoder: &str) -> Error {
    Error::internal(format!("this FFmpeg lacks the encoder {encoder}; use one that has it, or send a file"))
}

/// A file in memory that two hold.
#[derive(Clone, Default)]
struct SharedFile(Arc<Mutex<Cursor<Vec<u8>>>>);

impl Write for SharedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for SharedFile {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).seek(position)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{decode, Limits, Sampling};
    use super::*;

    /// A smooth picture, which JPEG keeps well, moving with `number`.
    fn frame(width: usize, height: usize, number: usize, time_s: f64) -> Frame {
        let mut rgb = Vec::new();
        for y in 0..height {
            for x in 0..width {
                let wave = |phase: f64| {
                    (127.0 + 100.0 * ((x as f64 / 17.0 + y as f64 / 23.0 + number as f64) + phase).sin()) as u8
                };
                rgb.extend([wave(0.0), wave(1.0), wave(2.5)]);
            }
        }
        Frame {
            width,
            height,
            rgb,
            time_s,
            index: number as u64,
            source_width: width,
            source_height: height,
            #[cfg(feature = "cuda")]
            on_device: None,
        }
    }

    fn clip(frames: Vec<Frame>, audio: Option<Vec<f32>>) -> Clip {
        Clip {
            pairs: Vec::new(),
            duration_s: 0.0,
            has_video: !frames.is_empty(),
            has_audio: audio.is_some(),
            video_span_s: (0.0, 0.0),
            rotation_deg: 0,
            frame_count: frames.len() as u64,
            frames_decoded: frames.len() as u64,
            notes: Vec::new(),
            audio: audio.map(|samples| Waveform { samples }),
            frames,
        }
    }

    fn again(clip: &Clip) -> Clip {
        let bytes = encode(clip, &CancelToken::new()).unwrap();
        assert_eq!(bytes, encode(clip, &CancelToken::new()).unwrap());
        let sampling = Sampling { max_frames: 1000, ..Sampling::default() };
        decode(&bytes.into(), &sampling, &Limits::default(), &CancelToken::new()).unwrap()
    }

    fn check_frames(sent: &Clip, got: &Clip, offset_s: f64) {
        assert_eq!(got.frames.len(), sent.frames.len());
        for (sent, got) in sent.frames.iter().zip(&got.frames) {
            assert_eq!((got.width, got.height), (sent.width, sent.height));
            assert!((got.time_s + offset_s - sent.time_s).abs() <= 1e-3, "{} {}", got.time_s, sent.time_s);
            let differences = sent.rgb.iter().zip(&got.rgb).map(|(a, b)| a.abs_diff(*b));
            let worst = differences.clone().max().unwrap_or(0);
            let mean = differences.map(f64::from).sum::<f64>() / sent.rgb.len() as f64;
            println!("{} x {}: mean difference {mean:.2}, worst {worst}", sent.width, sent.height);
            assert!(worst <= 12 && mean < 2.0, "{worst} {mean}");
        }
    }

    #[test]
    fn pictures_times_and_sound_come_back() {
        let times = [0.0, 0.0334, 0.1, 0.7777, 1.2];
        let frames = times.iter().enumerate().map(|(number, time_s)| frame(321, 199, number, *time_s)).collect();
        let samples: Vec<f32> = (0..23_456).map(|i| 1.1 * (i as f32 * 0.07).sin()).collect();
        let sent = clip(frames, Some(samples.clone()));
        let got = again(&sent);
        check_frames(&sent, &got, 0.0);
        let sound = &got.audio.as_ref().unwrap().samples;
        assert_eq!(sound.len(), samples.len());
        for (sent, got) in samples.iter().zip(sound) {
            assert!((sent.clamp(-1.0, 1.0) - got).abs() <= 1.0 / 32768.0, "{sent} {got}");
        }
        assert!((got.video_span_s.1 - 1.5).abs() < 2e-3, "{:?}", got.video_span_s);
    }

    #[test]
    fn without_sound_time_begins_at_the_first_picture_and_sizes_may_change() {
        let sent = clip(vec![frame(64, 48, 0, 0.4), frame(64, 48, 1, 0.5), frame(33, 17, 2, 0.65)], None);
        let got = again(&sent);
        check_frames(&clip(sent.frames[..2].to_vec(), None), &clip(got.frames[..2].to_vec(), None), 0.4);
        assert_eq!(got.frames.len(), 3);
        assert!(got.audio.is_none());
    }

    #[test]
    fn one_picture_is_a_still_and_sound_may_be_alone() {
        let still = again(&clip(vec![frame(50, 40, 3, 0.4)], None));
        assert_eq!(still.notes.iter().map(|note| note.name).collect::<Vec<_>>(), ["still_picture"]);
        let sound = again(&clip(Vec::new(), Some(vec![0.5; 5000])));
        assert_eq!((sound.frames.len(), sound.audio.unwrap().samples.len()), (0, 5000));
        assert_eq!(encode(&clip(Vec::new(), None), &CancelToken::new()).unwrap_err().name(), "invalid_argument");
    }

    #[test]
    fn a_cancelled_token_stops_it() {
        let cancel = CancelToken::new();
        cancel.cancel();
        let sent = clip(vec![frame(64, 48, 0, 0.0), frame(64, 48, 1, 0.1)], None);
        assert_eq!(encode(&sent, &cancel).unwrap_err().name(), "cancelled");
    }
}

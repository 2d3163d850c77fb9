//! First reading: the packets without decoding them, for the true time line and the choice of streams.

use ffmpeg_next::codec::packet::side_data::Type as SideDataType;
use ffmpeg_next::codec::Id;
use ffmpeg_next::format::stream::Disposition;
use ffmpeg_next::media::Type as MediaType;
use ffmpeg_next::{decoder, Error as FfmpegError, Packet, Rational, Stream};

use super::access::{Coding, Mark};
use super::demuxer::{self, Demuxer};
use super::{raw, Limits, Source};
use crate::cancel::CancelToken;
use crate::error::{Error, ErrorKind, Result};

/// No clip within sensible limits has more packets; a hostile index can claim billions.
const MAX_PACKETS: u64 = 4_000_000;
/// Reads in a row that may fail before the rest of the file counts as lost.
const MAX_FAILED_READS: u32 = 256;

/// Packets of a stream of which it is noted what they are; longer ones are decoded from end to end.
const MAX_MARKS: usize = 1 << 18;

/// What kind of stream is of use here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Video,
    Audio,
}

/// One stream of use: what it is and when it plays.
#[derive(Debug, Clone)]
pub(super) struct StreamScan {
    /// Position in the file.
    pub index: usize,
    pub kind: Kind,
    /// Whether this FFmpeg has a decoder for it.
    pub decodable: bool,
    /// Codec name for messages.
    pub codec: String,
    pub packets: u64,
    /// Packets of a picture stream that hold a picture to show: the number of frames, unless some are damaged.
    pub pictures: u64,
    /// Start of the first and end of the last packet that is shown, in seconds of the file's clock. `None` without time stamps.
    pub span: Option<(f64, f64)>,
    /// Seconds from one packet to the next, on average or as declared.
    pub step_s: f64,
    /// Seconds of a unit of time stamps.
    pub time_base_s: f64,
    /// Of a picture stream, what is known of its packets, in the order of the file. Empty where that does not tell which ones a frame needs.
    pub marks: Vec<Mark>,
}

/// The time line of a file.
#[derive(Debug)]
pub(super) struct Scan {
    pub streams: Vec<StreamScan>,
    /// Length in seconds that the header declares.
    pub declared_s: Option<f64>,
    /// Whether reading stopped before a proper end, or the last data was cut.
    pub cut: bool,
    /// Whether the container is one of a single picture.
    pub still: bool,
    /// Time of the file's clock in seconds that is 0 in the clip.
    pub zero_s: f64,
    /// Length of the clip in seconds as far as there are packets.
    pub duration_s: f64,
}

impl Scan {
    /// The streams of `kind` that hold data, in the order in which to try them: those with a decoder.
    pub fn candidates(&self, kind: Kind) -> Vec<&StreamScan> {
        self.streams.iter().filter(|stream| stream.kind == kind && stream.decodable && stream.packets > 0).collect()
    }

    /// A stream of `kind` with or without a decoder.
    pub fn any(&self, kind: Kind) -> Option<&StreamScan> {
        self.streams.iter().find(|stream| stream.kind == kind && (stream.packets > 0 || !stream.decodable))
    }
}

/// Reads all packets of `source`.
pub(super) fn scan(source: &Source, limits: &Limits, cancel: &CancelToken) -> Result<Scan> {
    let mut demuxer = demuxer::open(source.open(cancel)?, limits, cancel)?;
    let format = demuxer.format().name().to_owned();
    let declared_s = declared_s(&demuxer, &format);
    let mut lines: Vec<Line> = Vec::new();
    let mut packets = Packets::new();
    let mut cut = false;
    while let Some(packet) = packets.next(&mut demuxer, cancel)? {
        cut = packet.is_corrupt();
        let index = packet.stream();
        while lines.len() <= index && lines.len() < demuxer.nb_streams() as usize {
            limits.check_streams(lines.len() + 1)?;
            lines.push(Line::of(demuxer.stream(lines.len())));
        }
        if let Some(line) = lines.get_mut(index) {
            line.take(packet);
            limits.check_duration(line.length_s())?;
        }
    }
    for index in lines.len()..demuxer.nb_streams() as usize {
        lines.push(Line::of(demuxer.stream(index)));
    }
    let scan = Scan::of(lines, declared_s, cut || packets.broken, is_still(&format));
    limits.check_duration(scan.duration_s)?;
    Ok(scan)
}

impl Scan {
    fn of(lines: Vec<Line>, declared_s: Option<f64>, cut: bool, still: bool) -> Self {
        let streams: Vec<StreamScan> =
            lines.into_iter().enumerate().filter_map(|(index, line)| line.finish(index)).collect();
        let spans = || streams.iter().filter(|stream| stream.decodable).filter_map(|stream| stream.span);
        let zero_s = spans().map(|span| span.0).min_by(f64::total_cmp).unwrap_or(0.0);
        let end_s = spans().map(|span| span.1).max_by(f64::total_cmp).unwrap_or(zero_s);
        Self { streams, declared_s, cut, still, zero_s, duration_s: (end_s - zero_s).max(0.0) }
    }
}

/// Length in seconds that the header declares.
fn declared_s(demuxer: &Demuxer, format: &str) -> Option<f64> {
    let declared_s = raw::declared_duration_s(demuxer);
    if format != "avi" {
        return declared_s;
    }
    // The AVI demuxer shortens the length to what is there, but keeps the number of frames from the header.
    let by_frames = demuxer.streams().filter_map(|stream| match seconds(stream.avg_frame_rate()) {
        rate if rate > 0.0 => Some(stream.frames() as f64 / rate),
        _ => None,
    });
    by_frames.chain(declared_s).max_by(f64::total_cmp)
}

/// Whether the format named by libavformat holds one picture.
fn is_still(format: &str) -> bool {
    format.ends_with("_pipe")
}

/// Reads packets, over damaged places, to the end.
pub(super) struct Packets {
    packet: Packet,
    failed_in_a_row: u32,
    count: u64,
    /// Whether the end was an error.
    pub broken: bool,
}

impl Packets {
    pub fn new() -> Self {
        Self { packet: Packet::empty(), failed_in_a_row: 0, count: 0, broken: false }
    }

    /// The next packet; `None` at the end. Fails when cancelled, or for an absurd number of packets.
    pub fn next(&mut self, demuxer: &mut Demuxer, cancel: &CancelToken) -> Result<Option<&Packet>> {
        loop {
            cancel.check()?;
            // `av_read_frame` does not free what the packet held.
            self.packet = Packet::empty();
            match self.packet.read(demuxer) {
                Ok(()) => {
                    self.failed_in_a_row = 0;
                    self.count += 1;
                    if self.count > MAX_PACKETS {
                        return Err(Error::new(
                            ErrorKind::MediaTooLarge,
                            format!("the input has more than {MAX_PACKETS} packets; cut it into shorter clips"),
                        ));
                    }
                    return Ok(Some(&self.packet));
                }
                Err(FfmpegError::Eof) => return Ok(None),
                Err(error) => {
                    cancel.check()?;
                    self.failed_in_a_row += 1;
                    // Demuxers go on after invalid data; any other error is final.
                    if error != FfmpegError::InvalidData || self.failed_in_a_row >= MAX_FAILED_READS {
                        self.broken = true;
                        return Ok(None);
                    }
                }
            }
        }
    }
}

/// One stream while its packets come by.
struct Line {
    kind: Option<Kind>,
    decodable: bool,
    codec: String,
    time_base_s: f64,
    declared_step_s: f64,
    rate: u32,
    is_vp8: bool,
    /// None once packets do not tell what they are.
    coding: Option<Coding>,
    marks: Vec<Mark>,
    packets: u64,
    pictures: u64,
    start: Option<i64>,
    last: Option<i64>,
    end: Option<i64>,
    lead_s: f64,
}

impl Line {
    fn of(stream: Option<Stream<'_>>) -> Self {
        let mut line = Self {
            kind: None,
            decodable: false,
            codec: String::new(),
            time_base_s: 0.0,
            declared_step_s: 0.0,
            rate: 0,
            is_vp8: false,
            coding: None,
            marks: Vec::new(),
            packets: 0,
            pictures: 0,
            start: None,
            last: None,
            end: None,
            lead_s: 0.0,
        };
        let Some(stream) = stream else { return line };
        let parameters = stream.parameters();
        line.kind = match parameters.medium() {
            // A cover picture is no video.
            MediaType::Video if !stream.disposition().contains(Disposition::ATTACHED_PIC) => Some(Kind::Video),
            MediaType::Audio => Some(Kind::Audio),
            _ => None,
        };
        line.decodable = decoder::find(parameters.id()).is_some();
        line.codec = parameters.id().name().to_owned();
        line.time_base_s = seconds(stream.time_base());
        line.declared_step_s = match seconds(stream.avg_frame_rate()) {
            rate if rate > 0.0 => 1.0 / rate,
            _ => 0.0,
        };
        line.is_vp8 = parameters.id() == Id::VP8;
        line.coding = Coding::of(&parameters).filter(|_| line.kind == Some(Kind::Video));
        line.rate = raw::sample_rate(&parameters);
        line
    }

    fn take(&mut self, packet: &Packet) {
        self.packets += 1;
        let is_discarded = raw::is_discarded(packet);
        let is_hidden = self.is_vp8 && is_hidden_vp8(packet);
        let is_shown = !is_discarded && !is_hidden;
        self.mark(packet, is_shown);
        if is_discarded {
            return;
        }
        self.pictures += u64::from(is_shown);
        let Some(time) = packet.pts().or(packet.dts()) else { return };
        if self.start.is_none_or(|start| time < start) {
            self.start = Some(time);
            self.lead_s = self.skipped_s(packet);
        }
        self.last = self.last.max(Some(time));
        self.end = self.end.max(Some(time.saturating_add(packet.duration().max(0))));
    }

    /// Notes what a packet of pictures says of itself, as long as all of them do.
    fn mark(&mut self, packet: &Packet, is_shown: bool) {
        let Some(coding) = self.coding else { return };
        match packet.pts() {
            Some(pts) if self.marks.len() < MAX_MARKS => {
                self.marks.push(coding.mark(packet, pts, is_shown, self.last));
            }
            _ => {
                self.coding = None;
                self.marks = Vec::new();
            }
        }
    }

    /// Seconds at the start of a sound packet that the decoder will drop (encoder delay).
    fn skipped_s(&self, packet: &Packet) -> f64 {
        if self.kind != Some(Kind::Audio) || self.rate == 0 {
            return 0.0;
        }
        packet
            .side_data()
            .filter(|data| data.kind() == SideDataType::SkipSamples)
            .filter_map(|data| data.data().first_chunk::<4>().map(|bytes| u32::from_le_bytes(*bytes)))
            .map(|samples| f64::from(samples) / f64::from(self.rate))
            .next()
            .unwrap_or(0.0)
    }

    /// Seconds between the first and the last packet so far.
    fn length_s(&self) -> f64 {
        match (self.kind, self.start, self.last) {
            (Some(_), Some(start), Some(last)) => (last as f64 - start as f64) * self.time_base_s,
            _ => 0.0,
        }
    }

    fn finish(self, index: usize) -> Option<StreamScan> {
        let kind = self.kind?;
        let measured_step_s = self.length_s() / self.packets.saturating_sub(1).max(1) as f64;
        let step_s = if self.declared_step_s > 0.0 { self.declared_step_s } else { measured_step_s };
        let span = match (self.start, self.last, self.end) {
            (Some(start), Some(last), Some(end)) => {
                let seconds = |time: i64| time as f64 * self.time_base_s;
                // Without a declared length the last packet is taken to last as long as the others.
                let end_s = if end > last { seconds(end) } else { seconds(last) + measured_step_s };
                Some((seconds(start) + self.lead_s, end_s))
            }
            _ if self.packets > 0 => Some((0.0, self.packets as f64 * step_s)),
            _ => None,
        };
        let span = span.filter(|(start, end)| start.is_finite() && end.is_finite());
        Some(StreamScan {
            index,
            kind,
            decodable: self.decodable,
            codec: self.codec,
            packets: self.packets,
            pictures: self.pictures,
            span,
            step_s,
            time_base_s: self.time_base_s,
            marks: self.marks,
        })
    }
}

/// Whether a VP8 packet holds a frame that is only referred to: bit 4 of its first byte says whether it is shown (RFC 6386,
/// section 9.1). Other codecs hide such frames inside packets that show one.
fn is_hidden_vp8(packet: &Packet) -> bool {
    packet.data().and_then(<[u8]>::first).is_some_and(|tag| tag & 0x10 == 0)
}

/// A rational number of seconds (or per second); 0 where it has no value.
pub(super) fn seconds(value: Rational) -> f64 {
    match (value.numerator(), value.denominator()) {
        (_, 0) => 0.0,
        (numerator, denominator) => f64::from(numerator) / f64::from(denominator),
    }
}

//! One picture stream to the kept frames.

use ffmpeg_next::codec::packet::side_data::Type as SideDataType;
use ffmpeg_next::{codec, decoder, frame, threading, Packet, Stream};

use super::convert::{Converter, Orientation};
use super::drain::{drained, MAX_ERRORS_PER_PACKET};
#[cfg(feature = "cuda")]
use super::hardware::Hardware;
use super::pick::{Keep, Picker};
use super::scan::{seconds, StreamScan};
use super::{raw, Frame, Limits, Sampling};
use crate::error::Result;

/// Threads of one decoder. More gain little on short clips and compete with the rest of the analysis.
const DECODER_THREADS: usize = 2;

/// Which frames are kept, each list ascending.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    /// Times in seconds of the clip, to each of which the nearest frame is kept.
    pub times: Vec<f64>,
    /// Numbers of frames.
    pub numbers: Vec<u64>,
}

/// Decodes one picture stream and keeps the wanted frames.
pub(super) struct VideoStream {
    decoder: decoder::Video,
    converter: Converter,
    #[cfg(feature = "cuda")]
    hardware: Option<Hardware>,
    picker: Picker,
    limits: Limits,
    time_base_s: f64,
    zero_s: f64,
    step_s: f64,
    /// The newest frame and the one before.
    newest: Picture,
    previous: Picture,
    /// What the decoder writes to: it empties it even where it has nothing to give.
    incoming: frame::Video,
    /// Frames decoded so far.
    pub decoded: u64,
    /// Clockwise rotation of the first frame in degrees.
    pub rotation_deg: u32,
    /// Packets or frames that could not be decoded.
    pub failed: u64,
    /// The reason of the last failure.
    pub failure: Option<String>,
}

struct Picture {
    frame: frame::Video,
    time_s: f64,
    index: u64,
}

impl Picture {
    fn empty() -> Self {
        Self { frame: frame::Video::empty(), time_s: 0.0, index: 0 }
    }
}

impl VideoStream {
    /// Opens the decoder.
    pub fn open(
        stream: &Stream<'_>,
        scan: &StreamScan,
        zero_s: f64,
        is_still: bool,
        wanted: Wanted,
        sampling: &Sampling,
        limits: &Limits,
    ) -> Result<Self, ffmpeg_next::Error> {
        let mut context = codec::Context::from_parameters(stream.parameters())?;
        context.set_threading(threading::Config {
            kind: threading::Type::Frame,
            count: DECODER_THREADS,
            ..threading::Config::default()
        });
        raw::limit_pixels(&mut context, limits.max_pixels);
        #[cfg(feature = "cuda")]
        let hardware = sampling.gpu.and_then(|gpu| Hardware::attach(&mut context, gpu));
        let mut decoder = context.decoder();
        decoder.set_packet_time_base(stream.time_base());
        let orientation = stream
            .side_data()
            .filter(|data| data.kind() == SideDataType::DisplayMatrix)
            .find_map(|data| Orientation::from_matrix(data.data()))
            .unwrap_or_default();
        Ok(Self {
            decoder: decoder.video()?,
            converter: Converter::new(sampling.max_side, orientation, is_still),
            #[cfg(feature = "cuda")]
            hardware,
            picker: Picker::new(wanted.times, wanted.numbers),
            limits: limits.clone(),
            time_base_s: seconds(stream.time_base()),
            zero_s,
            step_s: scan.step_s,
            newest: Picture::empty(),
            previous: Picture::empty(),
            incoming: frame::Video::empty(),
            decoded: 0,
            rotation_deg: 0,
            failed: 0,
            failure: None,
        })
    }

    /// Decodes one packet, or with `None` what the decoder still holds. `keep` gets the frames that are kept.
    ///
    /// # Errors
    /// `media_too_large` for a picture above the limit on pixels.
    pub fn decode(&mut self, packet: Option<&Packet>, keep: &mut dyn FnMut(Frame)) -> Result<()> {
        let sent = match packet {
            Some(packet) => self.decoder.send_packet(packet),
            None => self.decoder.send_eof(),
        };
        if let (Err(error), true) = (sent, packet.is_some()) {
            self.fail(error.to_string());
        }
        let mut errors = 0;
        loop {
            match self.decoder.receive_frame(&mut self.incoming) {
                Ok(()) => {
                    std::mem::swap(&mut self.newest, &mut self.previous);
                    std::mem::swap(&mut self.newest.frame, &mut self.incoming);
                    // The frame before the previous one.
                    raw::unref(&mut self.incoming);
                    self.take(keep)?;
                }
                Err(error) => {
                    if drained(error) {
                        return Ok(());
                    }
                    self.fail(error.to_string());
                    errors += 1;
                    if errors >= MAX_ERRORS_PER_PACKET {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Ends the video: the times and numbers after the last frame get the last frames.
    pub fn finish(&mut self, keep: &mut dyn FnMut(Frame)) {
        let last = self.picker.finish();
        self.keep(&last, keep);
        raw::unref(&mut self.newest.frame);
        raw::unref(&mut self.previous.frame);
    }

    fn take(&mut self, keep: &mut dyn FnMut(Frame)) -> Result<()> {
        let frame = &self.newest.frame;
        self.limits.check_pixels(frame.width(), frame.height())?;
        let stamp = frame.timestamp().map(|time| time as f64 * self.time_base_s - self.zero_s);
        let stamp = stamp.filter(|time| time.is_finite());
        self.newest.index = self.decoded;
        self.newest.time_s = if self.decoded == 0 {
            self.rotation_deg = self.converter.orientation(frame).rotation_deg();
            stamp.unwrap_or(0.0).max(0.0)
        } else {
            // Time never runs backwards: a stamp that does is as good as none.
            let previous_s = self.previous.time_s;
            stamp.filter(|time| *time >= previous_s).unwrap_or(previous_s + self.step_s)
        };
        self.decoded += 1;
        let now = self.picker.advance(self.newest.time_s);
        self.keep(&now, keep);
        Ok(())
    }

    fn keep(&mut self, which: &Keep, keep: &mut dyn FnMut(Frame)) {
        let kept = [(which.previous, &self.previous), (which.newest, &self.newest)];
        for picture in kept.into_iter().filter_map(|(wanted, picture)| wanted.then_some(picture)) {
            let (frame, time_s, index) = (&picture.frame, picture.time_s, picture.index);
            #[cfg(feature = "cuda")]
            let converted = match &self.hardware {
                Some(hardware) => hardware.convert(&mut self.converter, frame, time_s, index),
                None => self.converter.convert(frame, time_s, index),
            };
            #[cfg(not(feature = "cuda"))]
            let converted = self.converter.convert(frame, time_s, index);
            match converted {
                Ok(frame) => keep(frame),
                Err(error) => {
                    self.failed += 1;
                    self.failure = Some(error.message);
                }
            }
        }
    }

    fn fail(&mut self, reason: String) {
        self.failed += 1;
        self.failure = Some(reason);
    }
}

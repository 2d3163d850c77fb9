//! One picture stream to the kept frames.

use ffmpeg_next::codec::packet::side_data::Type as SideDataType;
use ffmpeg_next::{codec, decoder, frame, threading, Packet, Stream};

use super::convert::{Converter, Orientation};
use super::drain::{drained, MAX_ERRORS_PER_PACKET};
#[cfg(feature = "cuda")]
use super::hardware::Hardware;
use super::pick::{Keep, Picker};
use super::plan::{Plan, Step, Wanted};
use super::scan::StreamScan;
use super::{raw, Frame, Limits, Sampling};
use crate::error::Result;

/// Threads of one decoder. More gain little on short clips and compete with the rest of the analysis.
const DECODER_THREADS: usize = 2;

/// What tells which frames are kept.
pub(super) enum Choice {
    /// The frames as they come by: all are decoded.
    Passing(Picker),
    /// The packets, before any is decoded.
    Planned(Following),
}

impl Choice {
    pub fn passing(wanted: Wanted) -> Self {
        Self::Passing(Picker::new(wanted.times, wanted.numbers))
    }

    pub fn planned(plan: Plan) -> Self {
        Self::Planned(Following { plan, packets: 0, due: 0, begun: None, kept: 0 })
    }
}

/// A plan, and how far it was followed.
pub(super) struct Following {
    plan: Plan,
    /// Packets that came by.
    packets: usize,
    /// Frames that the decoder owes.
    due: u64,
    /// The time stamp at which the decoder began.
    begun: Option<i64>,
    /// Frames that were kept.
    kept: usize,
}

impl Following {
    /// What to do with the next packet.
    fn step(&self) -> Step {
        self.plan.steps.get(self.packets).copied().unwrap_or(Step::Skip)
    }

    /// Goes on to the next packet, with what was done with `packet`.
    fn advance(&mut self, packet: &Packet, step: Step) {
        if step != Step::Skip && self.plan.is_shown.get(self.packets) == Some(&true) {
            self.due += 1;
            if self.packets == 0 || step == Step::Begin {
                self.begun = packet.pts();
            }
        }
        self.packets += 1;
    }

    /// The number of a frame that came out, and whether it is kept. An error if it is not the one that it should be.
    fn take(&mut self, frame: &frame::Video) -> Result<(usize, bool), &'static str> {
        let pts = frame.pts().ok_or("a frame has no time")?;
        let number = self.plan.stamps.binary_search(&pts).map_err(|_| "a frame has a time of no packet")?;
        self.due = self.due.checked_sub(1).ok_or("there are more frames than packets")?;
        if self.begun.take_if(|begun| *begun == pts).is_some() && !frame.is_key() {
            return Err("a frame that depends on others is marked as one that does not");
        }
        let is_kept = self.plan.kept.binary_search(&number).is_ok();
        self.kept += usize::from(is_kept);
        Ok((number, is_kept))
    }

    /// Once the decoder is empty.
    fn check(&self) -> Result<(), &'static str> {
        (self.due == 0).then_some(()).ok_or("there are fewer frames than packets")
    }
}

/// Decodes one picture stream and keeps the wanted frames.
pub(super) struct VideoStream {
    decoder: decoder::Video,
    converter: Converter,
    #[cfg(feature = "cuda")]
    hardware: Option<Hardware>,
    choice: Choice,
    limits: Limits,
    time_base_s: f64,
    zero_s: f64,
    step_s: f64,
    /// The newest frame that came out, and the one before.
    newest: Picture,
    previous: Picture,
    /// What the decoder writes to: it empties it even where it has nothing to give.
    incoming: frame::Video,
    /// Frames decoded so far.
    pub decoded: u64,
    /// Frames of the video so far, decoded or left out.
    pub count: u64,
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
        choice: Choice,
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
            choice,
            limits: limits.clone(),
            time_base_s: scan.time_base_s,
            zero_s,
            step_s: scan.step_s,
            newest: Picture::empty(),
            previous: Picture::empty(),
            incoming: frame::Video::empty(),
            decoded: 0,
            count: 0,
            rotation_deg: 0,
            failed: 0,
            failure: None,
        })
    }

    /// Decodes one packet, unless it is left out. `keep` gets the frames that are kept.
    ///
    /// # Errors
    /// `media_too_large` for a picture above the limit on pixels.
    pub fn decode(&mut self, packet: &Packet, keep: &mut dyn FnMut(Frame)) -> Result<()> {
        let step = match &self.choice {
            Choice::Passing(_) => Step::Decode,
            Choice::Planned(following) => following.step(),
        };
        if step == Step::Begin {
            self.empty(keep)?;
            self.decoder.flush();
        }
        if let Choice::Planned(following) = &mut self.choice {
            following.advance(packet, step);
        }
        if step == Step::Skip {
            return Ok(());
        }
        if let Err(error) = self.decoder.send_packet(packet) {
            self.fail(error.to_string());
        }
        self.receive(keep)
    }

    /// Whether no packet that is still to come will be decoded.
    pub fn is_done(&self) -> bool {
        matches!(&self.choice, Choice::Planned(following) if following.packets >= following.plan.steps.len())
    }

    /// Ends the video: the decoder gives what it holds, and the times and numbers after the last frame get the last frames.
    ///
    /// # Errors
    /// As [`VideoStream::decode`].
    pub fn finish(&mut self, keep: &mut dyn FnMut(Frame)) -> Result<()> {
        self.empty(keep)?;
        match &mut self.choice {
            Choice::Passing(picker) => {
                let last = picker.finish();
                self.keep(&last, keep);
                self.count = self.decoded;
            }
            Choice::Planned(following) => {
                self.count = following.plan.stamps.len() as u64;
                if following.kept < following.plan.kept.len() {
                    self.fail("frames are missing".to_owned());
                }
            }
        }
        raw::unref(&mut self.newest.frame);
        raw::unref(&mut self.previous.frame);
        Ok(())
    }

    /// Lets the decoder give all that it holds.
    fn empty(&mut self, keep: &mut dyn FnMut(Frame)) -> Result<()> {
        // An empty decoder may refuse this.
        let _ = self.decoder.send_eof();
        self.receive(keep)?;
        if let Choice::Planned(following) = &self.choice {
            if let Err(reason) = following.check() {
                self.fail(reason.to_owned());
            }
        }
        Ok(())
    }

    fn receive(&mut self, keep: &mut dyn FnMut(Frame)) -> Result<()> {
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

    fn take(&mut self, keep: &mut dyn FnMut(Frame)) -> Result<()> {
        let frame = &self.newest.frame;
        self.limits.check_pixels(frame.width(), frame.height())?;
        if self.decoded == 0 {
            self.rotation_deg = self.converter.orientation(frame).rotation_deg();
        }
        self.decoded += 1;
        let which = match &mut self.choice {
            Choice::Passing(picker) => {
                let stamp = frame.timestamp().map(|time| time as f64 * self.time_base_s - self.zero_s);
                let stamp = stamp.filter(|time| time.is_finite());
                self.newest.index = self.decoded - 1;
                self.newest.time_s = if self.decoded == 1 {
                    stamp.unwrap_or(0.0).max(0.0)
                } else {
                    // Time never runs backwards: a stamp that does is as good as none.
                    let previous_s = self.previous.time_s;
                    stamp.filter(|time| *time >= previous_s).unwrap_or(previous_s + self.step_s)
                };
                picker.advance(self.newest.time_s)
            }
            Choice::Planned(following) => match following.take(frame) {
                Ok((number, is_kept)) => {
                    self.newest.index = number as u64;
                    self.newest.time_s = following.plan.times[number];
                    Keep { previous: false, newest: is_kept }
                }
                Err(reason) => {
                    self.fail(reason.to_owned());
                    return Ok(());
                }
            },
        };
        self.keep(&which, keep);
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

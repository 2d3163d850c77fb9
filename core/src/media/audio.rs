//! One sound stream to a waveform on the clip's clock.

use ffmpeg_next::{codec, decoder, frame, Packet, Stream};

use super::drain::{drained, MAX_ERRORS_PER_PACKET};
use super::mix::{Input, Mixer};
use super::scan::seconds;
use super::{Limits, Waveform};
use crate::error::{Error, Result};

/// Gaps in the time stamps above this are silence; below it they are rounding of the container. In seconds.
pub(crate) const MIN_GAP_S: f64 = 0.1;
/// A waveform whose loudest sample is below this (-80 dB) is silence.
const SILENCE_PEAK: f32 = 1e-4;

/// Decodes one sound stream.
pub(super) struct AudioStream {
    decoder: decoder::Audio,
    frame: frame::Audio,
    time_base_s: f64,
    zero_s: f64,
    max_samples: usize,
    mixer: Option<Mixer>,
    /// Waveform from time 0.
    samples: Vec<f32>,
    /// Samples before time 0 that are still to be dropped from the front.
    early: usize,
    decoded: bool,
    /// Seconds of sound that came in, by frame lengths, since the last place on the clock was fixed.
    cursor_s: Option<f64>,
    /// Packets that could not be decoded.
    pub failed: u64,
    /// The reason of the last failure.
    pub failure: Option<String>,
}

impl AudioStream {
    /// Opens the decoder. `zero_s` is the time of the file's clock that is 0 in the clip.
    pub fn open(stream: &Stream<'_>, zero_s: f64, limits: &Limits) -> Result<Self, ffmpeg_next::Error> {
        let mut decoder = codec::Context::from_parameters(stream.parameters())?.decoder();
        // The time base lets the decoder move the time stamp when it drops the encoder's delay.
        decoder.set_packet_time_base(stream.time_base());
        let rate = f64::from(Waveform::SAMPLE_RATE);
        Ok(Self {
            decoder: decoder.audio()?,
            frame: frame::Audio::empty(),
            time_base_s: seconds(stream.time_base()),
            zero_s,
            max_samples: ((limits.max_duration_s + 1.0) * rate) as usize,
            mixer: None,
            samples: Vec::new(),
            early: 0,
            decoded: false,
            cursor_s: None,
            failed: 0,
            failure: None,
        })
    }

    /// Decodes one packet, or with `None` what the decoder still holds.
    ///
    /// # Errors
    /// `media_too_large` when there is more sound than the limit on duration allows.
    pub fn decode(&mut self, packet: Option<&Packet>, limits: &Limits) -> Result<()> {
        let sent = match packet {
            Some(packet) => self.decoder.send_packet(packet),
            None => self.decoder.send_eof(),
        };
        if let (Err(error), true) = (sent, packet.is_some()) {
            self.fail(error.to_string());
        }
        let mut errors = 0;
        loop {
            match self.decoder.receive_frame(&mut self.frame) {
                Ok(()) => {
                    if let Err(error) = self.place() {
                        self.fail(error.message);
                    }
                    if self.samples.len() > self.max_samples {
                        return limits.check_duration(self.samples.len() as f64 / f64::from(Waveform::SAMPLE_RATE));
                    }
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

    /// The waveform; `None` when nothing could be decoded.
    pub fn finish(mut self) -> Option<Waveform> {
        self.flush();
        self.drop_early();
        self.samples.truncate(self.max_samples);
        (self.decoded && !self.samples.is_empty()).then_some(Waveform { samples: self.samples })
    }

    /// Puts the decoded frame where its time stamp says.
    fn place(&mut self) -> Result<()> {
        let input = Input::of(&self.frame);
        if self.frame.samples() == 0 {
            return Ok(());
        }
        let length_s = self.frame.samples() as f64 / f64::from(self.frame.rate().max(1));
        if length_s * f64::from(Waveform::SAMPLE_RATE) > self.max_samples as f64 {
            return Err(Error::undecodable(format!("one sound frame claims to last {length_s:.0} s")));
        }
        let mixer = match self.mixer.take() {
            Some(mixer) if mixer.takes(input) => mixer,
            other => {
                self.mixer = other;
                let mixer = Mixer::new(input)?;
                self.flush();
                mixer
            }
        };
        self.mixer = Some(mixer);
        let time_s = self.frame.timestamp().map(|time| time as f64 * self.time_base_s - self.zero_s);
        let time_s = time_s.filter(|time| time.is_finite());
        let start_s = match (self.cursor_s, time_s) {
            (None, time_s) => {
                self.start_at(time_s.unwrap_or(0.0));
                time_s.unwrap_or(0.0)
            }
            (Some(cursor_s), Some(time_s)) if time_s - cursor_s > MIN_GAP_S => {
                self.pad_to(time_s)?;
                time_s
            }
            (Some(cursor_s), _) => cursor_s,
        };
        self.cursor_s = Some(start_s + length_s);
        if let Some(mixer) = &mut self.mixer {
            mixer.mix(&self.frame, &mut self.samples)?;
            self.decoded = true;
        }
        self.drop_early();
        Ok(())
    }

    fn start_at(&mut self, time_s: f64) {
        let offset = (time_s.abs() * f64::from(Waveform::SAMPLE_RATE)).round() as usize;
        if time_s < 0.0 {
            self.early = offset;
        } else {
            self.samples.resize(offset.min(self.max_samples), 0.0);
        }
    }

    /// Fills a gap in the sound with silence.
    fn pad_to(&mut self, time_s: f64) -> Result<()> {
        let input = Input::of(&self.frame);
        self.flush();
        self.mixer = Some(Mixer::new(input)?);
        let position = (time_s * f64::from(Waveform::SAMPLE_RATE)).round().max(0.0) as usize;
        let position = position.saturating_add(self.early).min(self.max_samples);
        if position > self.samples.len() {
            self.samples.resize(position, 0.0);
        }
        Ok(())
    }

    fn flush(&mut self) {
        if let Some(mixer) = self.mixer.take() {
            if let Err(error) = mixer.finish(&mut self.samples) {
                self.fail(error.message);
            }
        }
    }

    fn drop_early(&mut self) {
        let dropped = self.early.min(self.samples.len());
        self.samples.drain(..dropped);
        self.early -= dropped;
    }

    fn fail(&mut self, reason: String) {
        self.failed += 1;
        self.failure = Some(reason);
    }
}

/// Whether `waveform` is silence from end to end.
pub(crate) fn is_silent(waveform: &Waveform) -> bool {
    waveform.samples.iter().all(|sample| sample.abs() < SILENCE_PEAK)
}

/// The error of a file of which nothing could be decoded.
pub(super) fn nothing_decoded(reason: &str) -> Error {
    Error::undecodable(format!("neither a picture nor a sound could be decoded ({reason}); check that the file plays"))
}

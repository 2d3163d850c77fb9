//! A clip that is there already, as a file for the server, and the answer's times and places back on it.

use std::sync::Arc;

use crate::analysis::{Analysis, Rect};
use crate::cancel::CancelToken;
use crate::error::Result;
use crate::face::FramePick;
use crate::media::{self, Clip, Limits, Source};
use crate::request::{ClipRequest, Request};

/// What a clip was when it was sent.
#[derive(Debug, Clone, Default)]
pub(super) struct SentClip {
    /// Seconds that the file's clock is behind the clip's.
    offset_s: f64,
    frames: Vec<SentFrame>,
}

#[derive(Debug, Clone, Copy)]
struct SentFrame {
    time_s: f64,
    index: u64,
    /// Pixels of the source for each pixel that was sent.
    scale: (f64, f64),
}

impl SentClip {
    /// `clip` as a file and the request about it.
    ///
    /// # Errors
    /// Those of [`media::encode`].
    pub fn new(clip: &Clip, request: &ClipRequest, cancel: &CancelToken) -> Result<(Self, Request)> {
        let bytes: Arc<[u8]> = media::encode(clip, cancel)?.into();
        let frames: Vec<SentFrame> = clip.frames.iter().map(SentFrame::of).collect();
        let offset_s = match (&clip.audio, frames.first()) {
            (None, Some(first)) => first.time_s,
            _ => 0.0,
        };
        let request = Request {
            question: request.question.clone(),
            transcript: request.transcript.clone(),
            frame: match request.frame {
                FramePick::At(seconds) => FramePick::At((seconds - offset_s).max(0.0)),
                pick => pick,
            },
            features: request.features.clone(),
            limits: longer(clip.duration_s),
            ..Request::new(Source::from(bytes))
        };
        Ok((Self { offset_s, frames }, request))
    }

    /// Puts the times, frame numbers and places of `analysis`, which are those of the file, back on the clip.
    pub fn restore(&self, analysis: &mut Analysis) {
        if let Some(frame) = &mut analysis.frame {
            if let Some(sent) = usize::try_from(frame.index).ok().and_then(|index| self.frames.get(index)) {
                (frame.time_s, frame.index) = (sent.time_s, sent.index);
                frame.face = frame.face.map(|face| sent.scaled(face));
            }
        }
        for face in &mut analysis.faces {
            let wanted_s = face.time_s + self.offset_s;
            let distance = |sent: &&SentFrame| (sent.time_s - wanted_s).abs();
            if let Some(sent) = self.frames.iter().min_by(|a, b| distance(a).total_cmp(&distance(b))) {
                face.time_s = sent.time_s;
                face.bbox = sent.scaled(face.bbox);
            }
        }
    }
}

/// The usual limits, which a clip that is there already is not to fail by.
fn longer(duration_s: f64) -> Limits {
    let usual = Limits::default();
    Limits { max_duration_s: usual.max_duration_s.max(duration_s.ceil() + 1.0), ..usual }
}

impl SentFrame {
    fn of(frame: &media::Frame) -> Self {
        let scale = |source: usize, sent: usize| source as f64 / sent.max(1) as f64;
        Self {
            time_s: frame.time_s,
            index: frame.index,
            scale: (scale(frame.source_width, frame.width), scale(frame.source_height, frame.height)),
        }
    }

    fn scaled(&self, rect: Rect) -> Rect {
        let (x, y) = (self.scale.0 as f32, self.scale.1 as f32);
        Rect { x: rect.x * x, y: rect.y * y, width: rect.width * x, height: rect.height * y }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::{DescribedFrame, Face};

    #[test]
    fn an_answer_is_put_back_on_the_clip() {
        let frame = |time_s, index| SentFrame { time_s, index, scale: (2.0, 2.0) };
        let sent = SentClip { offset_s: 0.4, frames: vec![frame(0.4, 6), frame(1.23456, 18)] };
        let rect = Rect { x: 1.0, y: 2.0, width: 3.0, height: 4.0 };
        let mut analysis = Analysis {
            frame: Some(DescribedFrame { time_s: 0.835, index: 1, face: Some(rect) }),
            faces: vec![Face { bbox: rect, time_s: 0.835, ..Face::default() }],
            ..Analysis::default()
        };
        sent.restore(&mut analysis);
        let doubled = Rect { x: 2.0, y: 4.0, width: 6.0, height: 8.0 };
        assert_eq!(analysis.frame, Some(DescribedFrame { time_s: 1.23456, index: 18, face: Some(doubled) }));
        assert_eq!((analysis.faces[0].time_s, analysis.faces[0].bbox), (1.23456, doubled));
    }
}

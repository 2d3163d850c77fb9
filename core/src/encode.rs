//! The published model's encoders: from a decoded clip, and the face found in it, to features.
//!
//! The picture is the described frame, whole. Face and motion are read from crops around the described person's face in 16 frames; what
//! the published demo replaced with zeros is computed here. Without a face the whole frames are read.

use std::time::Instant;

use crate::analysis::{milliseconds, AnalysisNote, DescribedFrame};
use crate::cancel::CancelToken;
#[cfg(feature = "cuda")]
use crate::cuda::batch::Cut;
#[cfg(feature = "cuda")]
use crate::cuda::pictures::{Levels, Pictures};
#[cfg(any(feature = "cuda", test))]
use crate::device::Place;
#[cfg(feature = "cuda")]
use crate::device::Tensor;
use crate::encoders::eva::EvaViT;
use crate::encoders::hubert::Hubert;
use crate::encoders::mae::Mae;
use crate::encoders::videomae::VideoMae;
use crate::error::{Error, Result};
#[cfg(feature = "cuda")]
use crate::face::crop_square;
use crate::face::{crop, crops_for, FaceReading, FramePick};
use crate::features::{ClipFeatures, EncodedClip};
use crate::media::{self, Clip, Frame, Sampling, Waveform};
use crate::pack::{Loading, PublishedSpec};
#[cfg(feature = "cuda")]
use crate::preprocess::Filter;
use crate::preprocess::{clip_picture, unit_picture};

/// How much larger than the face's box its crop is.
const CROP_MARGIN: f32 = 1.3;
/// Frames are kept at up to this many pixels along the longer side, so that those of usual videos are not scaled twice.
const MAX_SIDE: usize = 2048;
/// A longer recording is heard in windows of this many seconds, which bounds the memory and time of attention.
const WINDOW_S: usize = 60;

/// The encoders of a converted pack. Immutable; shared by reference.
pub struct Encoders {
    eva: EvaViT,
    hubert: Hubert,
    mae: Option<Mae>,
    videomae: Option<VideoMae>,
    /// Makes the pictures on the device that the encoders are on.
    #[cfg(feature = "cuda")]
    pictures: Option<Pictures>,
}

/// What the encoders give, and what the caller should know of it.
#[derive(Debug, Clone, Default)]
pub struct Encoding {
    /// The features.
    pub encoded: EncodedClip,
    /// The frame that was seen; None without pictures.
    pub frame: Option<DescribedFrame>,
    /// Remarks.
    pub notes: Vec<AnalysisNote>,
    /// Milliseconds for all encoders.
    pub milliseconds: f64,
}

impl Encoders {
    /// Maps the encoders of the pack that is being loaded, which `spec` describes.
    ///
    /// # Errors
    /// `pack_invalid` naming the file and what is wrong with it; `cancelled`; on a device `out_of_memory` and `unreachable`.
    pub fn open(loading: &Loading<'_>, spec: &PublishedSpec) -> Result<Self> {
        let encoders = Self {
            eva: loading.part(&spec.eva, EvaViT::open)?,
            hubert: loading.part(&spec.hubert, Hubert::open)?,
            mae: spec.mae.as_ref().map(|name| loading.part(name, Mae::open)).transpose()?,
            videomae: spec.videomae.as_ref().map(|name| loading.part(name, VideoMae::open)).transpose()?,
            #[cfg(feature = "cuda")]
            pictures: None,
        };
        #[cfg(any(feature = "cuda", test))]
        let encoders = match loading.place() {
            Some(place) => encoders.on_device(place)?,
            None => encoders,
        };
        Ok(encoders)
    }

    /// The encoders with their weights on a device.
    #[cfg(any(feature = "cuda", test))]
    fn on_device(mut self, place: &Place) -> Result<Self> {
        self.eva.move_to_device(place)?;
        self.hubert.move_to_device(place)?;
        self.mae.as_mut().map(|mae| mae.move_to_device(place)).transpose()?;
        self.videomae.as_mut().map(|videomae| videomae.move_to_device(place)).transpose()?;
        #[cfg(feature = "cuda")]
        {
            self.pictures = Pictures::new(place)?;
        }
        Ok(self)
    }

    /// Which frames the encoders need besides those that the face is looked for in.
    pub fn sampling(&self, sampling: Sampling) -> Sampling {
        let frames = self.videomae.as_ref().map_or(16, |videomae| videomae.config().frames);
        Sampling {
            pairs: frames / 2,
            max_side: MAX_SIDE,
            #[cfg(feature = "cuda")]
            gpu: self.pictures.as_ref().filter(|_| self.eva.place().is_some()).map(Pictures::device),
            ..sampling
        }
    }

    /// Encodes `clip`. `face` is the described person's face, where one was found. Features that are `given` are not computed.
    ///
    /// # Errors
    /// `cancelled`; `internal` where frames and encoders do not fit together.
    pub fn encode(
        &self,
        clip: &Clip,
        face: Option<&FaceReading>,
        pick: FramePick,
        given: &ClipFeatures,
        cancel: &CancelToken,
    ) -> Result<Encoding> {
        let began = Instant::now();
        let mut encoding = Encoding::default();
        self.watched(|| {
            self.encode_picture(clip, face, pick, cancel, &mut encoding)?;
            let picture_ms = milliseconds(began);
            self.encode_motion(clip, face, given, cancel, &mut encoding)?;
            let motion_ms = milliseconds(began) - picture_ms;
            self.encode_voice(clip.audio.as_ref(), given, cancel, &mut encoding)?;
            encoding.milliseconds = milliseconds(began);
            let voice_ms = encoding.milliseconds - picture_ms - motion_ms;
            tracing::debug!(picture_ms, motion_ms, voice_ms, "encoded");
            Ok(())
        })?;
        self.release_pages();
        Ok(encoding)
    }

    /// What `task` gives. A device that fails in any part of it is not asked again.
    fn watched<R>(&self, task: impl FnOnce() -> Result<R>) -> Result<R> {
        #[cfg(any(feature = "cuda", test))]
        if let Some(place) = self.eva.place() {
            return place.run(task);
        }
        task()
    }

    /// Makes room for the language model, which is read next: the weights are not needed before the next clip.
    fn release_pages(&self) {
        self.eva.release_pages();
        self.hubert.release_pages();
        self.mae.iter().for_each(Mae::release_pages);
        self.videomae.iter().for_each(VideoMae::release_pages);
    }

    /// EVA's tokens of the described frame; of a black one without pictures.
    fn encode_picture(
        &self,
        clip: &Clip,
        face: Option<&FaceReading>,
        pick: FramePick,
        cancel: &CancelToken,
        encoding: &mut Encoding,
    ) -> Result<()> {
        let position = described(clip, face, pick);
        encoding.encoded.picture = match position.and_then(|position| clip.frames.get(position)) {
            Some(frame) => {
                let face = face.filter(|face| Some(face.peak.position) == position);
                encoding.frame = Some(DescribedFrame {
                    time_s: frame.time_s,
                    index: frame.index,
                    face: face.map(|face| face.peak.bbox.into()),
                });
                self.eva_tokens(frame, cancel)?
            }
            None => {
                encoding.note("no_picture", "there is no picture; the model was shown a black one");
                self.eva_tokens(&black(), cancel)?
            }
        };
        Ok(())
    }

    /// EVA's tokens of `frame`.
    fn eva_tokens(&self, frame: &Frame, cancel: &CancelToken) -> Result<Vec<f32>> {
        let side = self.eva.config().vit.image_size;
        #[cfg(feature = "cuda")]
        if let Some(pictures) = self.pictures.as_ref().filter(|_| self.eva.place().is_some()) {
            let pixels = pictures.make(&[cut(frame, None)], side, Filter::Bicubic, Levels::Clip)?;
            return self.eva.forward_tensor(&pixels, cancel);
        }
        self.eva.forward(&clip_picture(&frame.rgb, frame.width, frame.height, side)?, cancel)
    }

    /// The features of face and motion from the parts of pictures on the device: of MAE their mean, of VideoMAE those that `order` names.
    #[cfg(feature = "cuda")]
    fn motion_on_device(
        &self,
        pictures: &Pictures,
        cuts: &[Cut<'_>],
        order: &[u32],
        wanted: [bool; 2],
        cancel: &CancelToken,
    ) -> Result<[Option<Vec<f32>>; 2]> {
        let mut made: Option<(usize, Tensor)> = None;
        // Both published encoders see pictures of one size, which are made once.
        let mut make = |side: usize| -> Result<Tensor> {
            if let Some((_, pixels)) = made.as_ref().filter(|(made, _)| *made == side) {
                return Ok(pixels.clone());
            }
            let pixels = pictures.make(cuts, side, Filter::Bilinear, Levels::Unit)?;
            made = Some((side, pixels.clone()));
            Ok(pixels)
        };
        let mae = self.mae.as_ref().filter(|_| wanted[0]).map(|mae| {
            let pixels = make(mae.config().image_size)?;
            let mut sum: Vec<f32> = Vec::new();
            for i in 0..cuts.len() {
                let class = mae.forward_tensor(&pixels.narrow(0, i, 1)?, cancel)?;
                sum.resize(class.len(), 0.0);
                sum.iter_mut().zip(class).for_each(|(sum, value)| *sum += value / cuts.len() as f32);
            }
            Ok::<_, Error>(sum)
        });
        let videomae = self.videomae.as_ref().filter(|_| wanted[1]).map(|videomae| {
            let pixels = make(videomae.config().vit.image_size)?;
            let order = Tensor::new(order, pixels.device())?;
            videomae.forward_tensor(&pixels.index_select(&order, 0)?, cancel)
        });
        Ok([mae.transpose()?, videomae.transpose()?])
    }

    /// The features of face and motion, from the face in the frames that VideoMAE takes.
    fn encode_motion(
        &self,
        clip: &Clip,
        face: Option<&FaceReading>,
        given: &ClipFeatures,
        cancel: &CancelToken,
        encoding: &mut Encoding,
    ) -> Result<()> {
        let features = &mut encoding.encoded.clip;
        features.mae.clone_from(&given.mae);
        features.videomae.clone_from(&given.videomae);
        let mae = self.mae.as_ref().filter(|_| given.mae.is_none());
        let videomae = self.videomae.as_ref().filter(|_| given.videomae.is_none());
        if clip.pairs.is_empty() || (mae.is_none() && videomae.is_none()) {
            return Ok(());
        }
        let mut positions = clip.pairs.clone();
        positions.dedup();
        positions.sort_unstable();
        positions.dedup();
        let boxes = face.map(|face| crops_for(face, &clip.frames, &positions));
        #[cfg(feature = "cuda")]
        if let Some(pictures) = self.pictures.as_ref().filter(|_| self.motion_is_on_device()) {
            let part = |(i, &position): (usize, &usize)| {
                let frame =
                    clip.frames.get(position).ok_or_else(|| Error::internal("a frame of the motion is missing"))?;
                let part = match boxes.as_ref().and_then(|boxes| boxes.get(i).copied().flatten()) {
                    Some(bbox) => {
                        let (left, top, side) = crop_square(frame, &bbox, CROP_MARGIN)?;
                        Some([left, top, side, side])
                    }
                    None => None,
                };
                Ok(cut(frame, part))
            };
            let cuts = positions.iter().enumerate().map(part).collect::<Result<Vec<_>>>()?;
            let place = |position: &usize| positions.binary_search(position).ok().and_then(|i| u32::try_from(i).ok());
            let order: Option<Vec<u32>> = clip.pairs.iter().map(place).collect();
            let order = order.ok_or_else(|| Error::internal("a frame of the motion is missing"))?;
            let wanted = [mae.is_some(), videomae.is_some()];
            let [face_feature, motion_feature] = self.motion_on_device(pictures, &cuts, &order, wanted, cancel)?;
            features.mae = face_feature.or_else(|| features.mae.take());
            features.videomae = motion_feature.or_else(|| features.videomae.take());
            if boxes.is_none() {
                encoding.note_whole_frames();
            }
            return Ok(());
        }
        let cut = |i: usize, side: usize| -> Result<Vec<f32>> {
            let position = positions.get(i).copied().unwrap_or(0);
            let frame = clip.frames.get(position).ok_or_else(|| Error::internal("a frame of the motion is missing"))?;
            match boxes.as_ref().and_then(|boxes| boxes.get(i).copied().flatten()) {
                Some(bbox) => {
                    let face = crop(frame, &bbox, CROP_MARGIN)?;
                    unit_picture(&face.rgb, face.side, face.side, side)
                }
                None => unit_picture(&frame.rgb, frame.width, frame.height, side),
            }
        };
        if let Some(mae) = mae {
            let side = mae.config().image_size;
            let mut sum: Vec<f32> = Vec::new();
            for i in 0..positions.len() {
                let class = mae.forward(&cut(i, side)?, cancel)?;
                sum.resize(class.len(), 0.0);
                sum.iter_mut().zip(class).for_each(|(sum, value)| *sum += value);
            }
            sum.iter_mut().for_each(|value| *value /= positions.len() as f32);
            features.mae = Some(sum);
        }
        if let Some(videomae) = videomae {
            let side = videomae.config().vit.image_size;
            let pictures = (0..positions.len()).map(|i| cut(i, side)).collect::<Result<Vec<_>>>()?;
            let mut frames = Vec::new();
            for position in &clip.pairs {
                let picture = positions.binary_search(position).ok().and_then(|i| pictures.get(i));
                frames.extend(picture.ok_or_else(|| Error::internal("a frame of the motion is missing"))?);
            }
            features.videomae = Some(videomae.forward(&frames, cancel)?);
        }
        if boxes.is_none() {
            encoding.note_whole_frames();
        }
        Ok(())
    }

    /// Whether all encoders of face and motion are on the device.
    #[cfg(feature = "cuda")]
    fn motion_is_on_device(&self) -> bool {
        self.mae.as_ref().is_none_or(|mae| mae.place().is_some())
            && self.videomae.as_ref().is_none_or(|videomae| videomae.place().is_some())
    }

    /// The voice's feature: the mean over the windows, by their length.
    fn encode_voice(
        &self,
        audio: Option<&Waveform>,
        given: &ClipFeatures,
        cancel: &CancelToken,
        encoding: &mut Encoding,
    ) -> Result<()> {
        if given.hubert.is_some() {
            encoding.encoded.clip.hubert.clone_from(&given.hubert);
            return Ok(());
        }
        let shortest = self.hubert.min_samples();
        let Some(audio) = audio.filter(|audio| audio.samples.len() >= shortest) else { return Ok(()) };
        let window = WINDOW_S * Waveform::SAMPLE_RATE as usize;
        let windows = audio.samples.chunks(window).filter(|samples| samples.len() >= shortest);
        let mut sum: Vec<f32> = Vec::new();
        let mut total = 0.0;
        for samples in windows {
            let share = samples.len() as f32;
            let pooled = self.hubert.forward(samples, cancel)?;
            sum.resize(pooled.len(), 0.0);
            sum.iter_mut().zip(pooled).for_each(|(sum, value)| *sum += share * value);
            total += share;
        }
        if audio.samples.len() > window {
            encoding.note("voice_in_windows", "the recording is long, so the voice was encoded minute by minute");
        }
        sum.iter_mut().for_each(|value| *value /= total);
        encoding.encoded.clip.hubert = Some(sum);
        Ok(())
    }
}

impl Encoding {
    fn note_whole_frames(&mut self) {
        self.note("whole_frames", "no face was found, so the encoders of face and motion saw the whole frames");
    }

    fn note(&mut self, name: &str, message: &str) {
        self.notes.push(AnalysisNote::new(name, message));
    }
}

/// `part` of `frame`, or all of it.
#[cfg(feature = "cuda")]
fn cut(frame: &Frame, part: Option<[usize; 4]>) -> Cut<'_> {
    let part = part.unwrap_or([0, 0, frame.width, frame.height]);
    let Frame { width, height, .. } = *frame;
    Cut { rgb: &frame.rgb, width, height, part, decoded: frame.on_device.as_deref() }
}

/// A picture of one black pixel.
fn black() -> Frame {
    Frame {
        width: 1,
        height: 1,
        rgb: vec![0; 3],
        time_s: 0.0,
        index: 0,
        source_width: 1,
        source_height: 1,
        #[cfg(feature = "cuda")]
        on_device: None,
    }
}

/// The frame that the picture is taken from: the face's most expressive one where the peak is asked for (the middle one without a
/// face), otherwise the video's own first, middle or nearest frame, whether or not a face is in it.
fn described(clip: &Clip, face: Option<&FaceReading>, pick: FramePick) -> Option<usize> {
    let pick = match (pick, face) {
        (FramePick::Peak, Some(face)) => return Some(face.peak.position),
        (FramePick::Peak | FramePick::Middle, _) => media::FramePick::Middle,
        (FramePick::First, _) => media::FramePick::First,
        (FramePick::At(seconds), _) => media::FramePick::At(seconds),
    };
    clip.frame_at(pick).filter(|&position| position < clip.frames.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_face_the_peak_is_the_middle() {
        let frame = |time_s: f64| Frame { time_s, index: time_s as u64, ..black() };
        let clip = Clip {
            frames: (0..5).map(|i| frame(f64::from(i))).collect(),
            pairs: Vec::new(),
            audio: None,
            duration_s: 5.0,
            has_video: true,
            has_audio: false,
            video_span_s: (0.0, 5.0),
            rotation_deg: 0,
            frame_count: 5,
            frames_decoded: 5,
            notes: Vec::new(),
        };
        assert_eq!(described(&clip, None, FramePick::Peak), Some(2));
        assert_eq!(described(&clip, None, FramePick::First), Some(0));
        assert_eq!(described(&clip, None, FramePick::At(9.0)), Some(4));
    }
}

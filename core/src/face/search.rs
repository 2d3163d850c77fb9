//! Where to look for faces, and when a picture is itself a face.

use std::f32::consts::FRAC_PI_2;
use std::sync::OnceLock;

use super::detect::{self, Detection};
use super::landmarks::{self, Landmarks};
use super::picture::{Outside, Picture, Region};
use super::FaceBox;
use crate::cancel::CancelToken;
use crate::error::Result;
use crate::nn::{Net, NetFile, Tensor, Workspace};

/// A still picture of at most this side may be a bare face crop.
const BARE_SIDE: usize = 256;
/// The least ratio of the sides of a bare face crop.
const BARE_ASPECT: f32 = 0.7;
/// A face whose box is at least this share of the picture's side fills it.
const BARE_FILL: f32 = 0.42;
/// How much larger the region is in which a face that fills the picture is looked for.
const PADDED: f32 = 1.6;
/// Luma contrast below which a picture shows nothing.
const MIN_CONTRAST: f32 = 6.0;
/// A detection in a small still picture with less than this score is looked at again.
const SURE_SCORE: f32 = 0.75;
/// The least share of a move that landmarks must hold out against, for a picture without any detection to be a face.
const BARE_FOLLOWS: f32 = 0.5;
/// The same for a doubtful detection, which has some evidence already.
const DOUBTFUL_FOLLOWS: f32 = 0.35;
/// A largest face below this share of the picture's side asks for the finer detector.
const SMALL_FACE: f32 = 0.12;
/// By how much the crop is moved to see whether the landmarks stay on the face.
const NUDGE: f32 = 0.08;

/// The nets that find faces.
#[derive(Debug)]
pub(super) struct Search {
    blaze: Net,
    pub(super) landmarks: Net,
    ssd: OnceLock<(Net, Tensor)>,
}

/// Ways to look at a frame, the cheap ones first.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Look {
    /// The whole frame.
    Whole,
    /// With a border, for faces that fill the frame.
    Padded,
    /// With the slower net, for small faces.
    Fine,
    /// Turned by a right angle.
    Turned(f32),
}

impl Look {
    const ALL: [Look; 5] = [Look::Whole, Look::Padded, Look::Fine, Look::Turned(FRAC_PI_2), Look::Turned(-FRAC_PI_2)];
}

impl Search {
    pub(super) fn open(file: &NetFile) -> Result<Self> {
        Ok(Self { blaze: file.net("blazeface")?, landmarks: file.net("landmarks")?, ssd: OnceLock::new() })
    }

    /// The faces of one frame.
    pub(super) fn look(
        &self,
        file: &NetFile,
        picture: &Picture<'_>,
        look: Look,
        ws: &mut Workspace,
    ) -> Result<Vec<Detection>> {
        match look {
            Look::Whole => detect::blaze(&self.blaze, picture, &picture.frame_region(1.0), ws),
            Look::Padded => detect::blaze(&self.blaze, picture, &picture.frame_region(PADDED), ws),
            Look::Turned(angle) => {
                let region = Region { angle, ..picture.frame_region(1.0) };
                detect::blaze(&self.blaze, picture, &region, ws)
            }
            Look::Fine => {
                let (net, anchors) = self.ssd(file)?;
                let mut found = detect::ssd(net, anchors, picture, ws)?;
                // A closer look at each gives the eyes.
                for face in found.iter_mut().take(8) {
                    let b = face.bbox;
                    let side = b.width.max(b.height) * 2.5;
                    let near = Region { x: b.x + b.width / 2.0, y: b.y + b.height / 2.0, side, angle: 0.0 };
                    let closer = detect::blaze(&self.blaze, picture, &near, ws)?;
                    if let Some(same) = closer.iter().find(|closer| detect::iou(&closer.bbox, &face.bbox) > 0.25) {
                        *face = Detection { score: face.score.max(same.score), ..*same };
                    }
                }
                Ok(found)
            }
        }
    }

    /// The first way of looking that finds a face in one of `probes`.
    pub(super) fn best_look(
        &self,
        file: &NetFile,
        probes: &[&Picture<'_>],
        cancel: &CancelToken,
        ws: &mut Workspace,
    ) -> Result<Option<Look>> {
        for look in &Look::ALL[1..] {
            for picture in probes {
                cancel.check()?;
                if !self.look(file, picture, *look, ws)?.is_empty() {
                    return Ok(Some(*look));
                }
            }
        }
        Ok(None)
    }

    fn ssd(&self, file: &NetFile) -> Result<&(Net, Tensor)> {
        if let Some(ssd) = self.ssd.get() {
            return Ok(ssd);
        }
        let loaded = (file.net("ssd_detector")?, file.anchors("ssd_detector")?);
        Ok(self.ssd.get_or_init(|| loaded))
    }

    /// Whether a still picture may be nothing but a face, by its size.
    pub(super) fn may_be_bare(picture: &Picture<'_>) -> bool {
        let (long, short) = (picture.width.max(picture.height), picture.width.min(picture.height));
        long <= BARE_SIDE && short >= 20 && short as f32 >= BARE_ASPECT * long as f32
    }

    /// Whether the faces of a picture are so small, or so doubtful, that the finer detector should look too.
    pub(super) fn wants_finer(picture: &Picture<'_>, faces: &[Detection]) -> bool {
        let side = picture.width.max(picture.height) as f32;
        let largest = faces.iter().map(|face| face.bbox.width.max(face.bbox.height)).fold(0.0, f32::max);
        let surest = faces.iter().map(|face| face.score).fold(0.0, f32::max);
        largest < SMALL_FACE * side || surest < SURE_SCORE
    }

    /// Whether `face` fills the picture.
    pub(super) fn fills(picture: &Picture<'_>, face: &Detection) -> bool {
        face.bbox.width.max(face.bbox.height) >= BARE_FILL * picture.width.min(picture.height) as f32
    }

    /// Whether a doubtful detection in a small picture stands up to [`Search::follows`].
    pub(super) fn confirmed(&self, picture: &Picture<'_>, face: &Detection, ws: &mut Workspace) -> Result<bool> {
        if face.score >= SURE_SCORE {
            return Ok(true);
        }
        let region = landmarks::first_region(face);
        let base = landmarks::in_region(&self.landmarks, picture, &region, true, ws)?;
        Ok(self.follows(picture, &region, &base, ws)? >= DOUBTFUL_FOLLOWS)
    }

    /// How well landmarks that were found in `region` stay on the picture when the crop is moved: 1 when they stay, 0 when they
    /// move with the crop. A face holds them; on anything else the net gives its mean face wherever the crop happens to be.
    fn follows(&self, picture: &Picture<'_>, region: &Region, base: &Landmarks, ws: &mut Workspace) -> Result<f32> {
        if !base.plausible(region) {
            return Ok(0.0);
        }
        let moves = [(NUDGE, 0.0), (-NUDGE, 0.0), (0.0, NUDGE), (0.0, -NUDGE)];
        let mut followed = 0.0;
        for (u, v) in moves {
            let moved = landmarks::in_region(&self.landmarks, picture, &region.shifted(u, v, 1.0), true, ws)?;
            // The inner points; the outline of the jaw is the least certain part.
            let points = base.0[17..].iter().zip(&moved.0[17..]);
            let (sin, cos) = region.angle.sin_cos();
            let mut shift = [0.0f32; 2];
            for (a, b) in points {
                let (x, y) = ((b[0] - a[0]) / region.side / 51.0, (b[1] - a[1]) / region.side / 51.0);
                shift = [shift[0] + x * cos + y * sin, shift[1] - x * sin + y * cos];
            }
            followed += (1.0 - (shift[0] * u + shift[1] * v) / (NUDGE * NUDGE)) / moves.len() as f32;
        }
        Ok(followed)
    }

    /// Whether a picture in which no detector sees a face is one all the same: the landmarks must look like a face, agree with
    /// those of the mirror image, and stay where they are in the picture when the crop is moved or enlarged. On anything else the
    /// net gives its mean face wherever the crop happens to be, which moves along.
    pub(super) fn is_bare_face(&self, picture: &Picture<'_>, ws: &mut Workspace) -> Result<Option<Detection>> {
        let whole = picture.frame_region(1.0);
        if picture.cut(&whole, 64, Outside::Edge).contrast() < MIN_CONTRAST {
            return Ok(None);
        }
        let base = landmarks::in_region(&self.landmarks, picture, &whole, true, ws)?;
        let followed = self.follows(picture, &whole, &base, ws)?;
        if followed < BARE_FOLLOWS {
            return Ok(None);
        }
        let bounds = base.bounds();
        let side = picture.width.min(picture.height) as f32;
        if bounds.width < 0.35 * side {
            return Ok(None);
        }
        let bbox = FaceBox { x: 0.0, y: 0.0, width: picture.width as f32, height: picture.height as f32 };
        Ok(Some(Detection { bbox, score: followed.clamp(0.0, 1.0) * detect::MIN_SCORE, eyes: Some(base.eyes()) }))
    }
}

//! Finding faces: BlazeFace on every frame, the SSD detector where it finds nothing.
//!
//! On the six demonstration pictures of face-api (22 faces) BlazeFace gives 21, the SSD net 22 and face-api's tiny detector 20
//! with loose boxes; BlazeFace takes a tenth of the SSD net's time and also gives the eyes, so it goes first.

use super::picture::{Outside, Picture, Region};
use super::FaceBox;
use crate::error::{Error, Result};
use crate::nn::{Net, Tensor, Workspace};

/// Side of BlazeFace's input.
const BLAZE_SIZE: usize = 256;
/// BlazeFace's two feature maps: cells along a side, anchors in a cell (MediaPipe's model for back cameras).
const BLAZE_MAPS: [(usize, usize); 2] = [(16, 2), (8, 6)];
/// Side of the SSD detector's input.
const SSD_SIZE: usize = 512;
/// Boxes that overlap more than this are one face.
const SAME_FACE_IOU: f32 = 0.35;
/// Nothing can be read from a face of fewer pixels than this, and what the detectors find there is seldom one.
const MIN_FACE: f32 = 16.0;
/// Scores below this are not faces.
pub(super) const MIN_SCORE: f32 = 0.5;

/// A face as a detector gives it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Detection {
    pub(super) bbox: FaceBox,
    pub(super) score: f32,
    /// Centres of the eye on the left and on the right of the picture.
    pub(super) eyes: Option<[[f32; 2]; 2]>,
}

/// Runs BlazeFace on `region` of the picture.
pub(super) fn blaze(net: &Net, picture: &Picture<'_>, region: &Region, ws: &mut Workspace) -> Result<Vec<Detection>> {
    let mut patch = picture.cut(region, BLAZE_SIZE, Outside::Black).rgb;
    patch.iter_mut().for_each(|v| *v = *v / 127.5 - 1.0);
    let outputs = net.run(Tensor::new(vec![1, BLAZE_SIZE, BLAZE_SIZE, 3], patch)?, ws)?;
    let [scores_fine, scores_coarse, boxes_fine, boxes_coarse] = outputs.as_slice() else {
        return Err(Error::pack("the face detector does not have four outputs"));
    };
    let mut found = Vec::new();
    for ((cells, anchors), (scores, boxes)) in
        BLAZE_MAPS.into_iter().zip([(scores_fine, boxes_fine), (scores_coarse, boxes_coarse)])
    {
        let count = cells * cells * anchors;
        if scores.data().len() != count || boxes.data().len() != count * 16 {
            return Err(Error::pack("the face detector's outputs have other sizes than expected"));
        }
        for (i, (&score, values)) in scores.data().iter().zip(boxes.data().chunks_exact(16)).enumerate() {
            let score = sigmoid(score);
            if score < MIN_SCORE || values.iter().any(|v| !v.is_finite()) {
                continue;
            }
            let cell = i / anchors;
            let centre = [(cell % cells) as f32 + 0.5, (cell / cells) as f32 + 0.5].map(|c| c / cells as f32);
            let point = |k: usize| {
                region.to_picture(
                    centre[0] + values[k] / BLAZE_SIZE as f32,
                    centre[1] + values[k + 1] / BLAZE_SIZE as f32,
                )
            };
            let [x, y] = point(0);
            let (width, height) =
                (values[2] / BLAZE_SIZE as f32 * region.side, values[3] / BLAZE_SIZE as f32 * region.side);
            if width <= 1.0 || height <= 1.0 {
                continue;
            }
            let bbox = FaceBox { x: x - width / 2.0, y: y - height / 2.0, width, height };
            found.push(Detection { bbox, score, eyes: Some([point(4), point(6)]) });
        }
    }
    Ok(distinct(found))
}

/// Runs the SSD detector on the whole picture.
pub(super) fn ssd(net: &Net, anchors: &Tensor, picture: &Picture<'_>, ws: &mut Workspace) -> Result<Vec<Detection>> {
    // The picture lies in the upper left corner, as in face-api's `toBatchTensor(512, false)`.
    let side = picture.width.max(picture.height) as f32;
    let region = Region { x: side / 2.0, y: side / 2.0, side, angle: 0.0 };
    let patch = picture.cut(&region, SSD_SIZE, Outside::Black).rgb;
    let outputs = net.run(Tensor::new(vec![1, SSD_SIZE, SSD_SIZE, 3], patch)?, ws)?;
    let [boxes, classes] = outputs.as_slice() else {
        return Err(Error::pack("the second face detector does not have two outputs"));
    };
    let rows = anchors.data().len() / 4;
    if boxes.data().len() != rows * 4 || classes.data().len() != rows * 3 {
        return Err(Error::pack("the second face detector's outputs do not fit its anchors"));
    }
    let mut found = Vec::new();
    let each = anchors.data().chunks_exact(4).zip(boxes.data().chunks_exact(4)).zip(classes.data().chunks_exact(3));
    for ((anchor, code), class) in each {
        let score = sigmoid(class[1]);
        if score < MIN_SCORE || code.iter().any(|v| !v.is_finite()) {
            continue;
        }
        // decodeBoxesLayer of outputLayer.ts; anchors and codes are y before x.
        let (height, width) = (anchor[2] - anchor[0], anchor[3] - anchor[1]);
        let (y, x) =
            (anchor[0] + height / 2.0 + code[0] / 10.0 * height, anchor[1] + width / 2.0 + code[1] / 10.0 * width);
        let (height, width) = ((code[2] / 5.0).exp() * height * side, (code[3] / 5.0).exp() * width * side);
        let bbox = FaceBox { x: x * side - width / 2.0, y: y * side - height / 2.0, width, height };
        found.push(Detection { bbox, score, eyes: None });
    }
    Ok(distinct(found))
}

/// Non-maximum suppression; the best first. Overlapping boxes of one face are averaged by score, which steadies them.
fn distinct(mut found: Vec<Detection>) -> Vec<Detection> {
    found.retain(|face| face.bbox.width.max(face.bbox.height) >= MIN_FACE);
    found.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut kept: Vec<Detection> = Vec::new();
    let mut used = vec![false; found.len()];
    for i in 0..found.len() {
        if used[i] {
            continue;
        }
        let best = found[i];
        let mut total = 0.0;
        let mut sum = [0.0f32; 8];
        for (other, used) in found.iter().zip(&mut used).skip(i) {
            if *used || iou(&best.bbox, &other.bbox) < SAME_FACE_IOU {
                continue;
            }
            *used = true;
            let eyes = other.eyes.unwrap_or_default();
            let b = other.bbox;
            let values = [b.x, b.y, b.width, b.height, eyes[0][0], eyes[0][1], eyes[1][0], eyes[1][1]];
            sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += other.score * value);
            total += other.score;
        }
        let mean = sum.map(|value| value / total);
        kept.push(Detection {
            bbox: FaceBox { x: mean[0], y: mean[1], width: mean[2], height: mean[3] },
            score: best.score,
            eyes: best.eyes.map(|_| [[mean[4], mean[5]], [mean[6], mean[7]]]),
        });
    }
    kept
}

/// The detections of both lists, each face once.
pub(super) fn merged(mut first: Vec<Detection>, second: Vec<Detection>) -> Vec<Detection> {
    for face in second {
        if first.iter().all(|known| iou(&known.bbox, &face.bbox) < SAME_FACE_IOU) {
            first.push(face);
        }
    }
    first.sort_by(|a, b| b.score.total_cmp(&a.score));
    first
}

/// Intersection over union of two boxes.
pub(super) fn iou(a: &FaceBox, b: &FaceBox) -> f32 {
    let width = (a.x + a.width).min(b.x + b.width) - a.x.max(b.x);
    let height = (a.y + a.height).min(b.y + b.height) - a.y.max(b.y);
    if width <= 0.0 || height <= 0.0 {
        return 0.0;
    }
    let common = width * height;
    common / (a.width * a.height + b.width * b.height - common)
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x.clamp(-80.0, 80.0)).exp())
}

//! The 68 landmarks of a face, and the crop they give.

use super::detect::Detection;
use super::picture::{mirrored, Outside, Picture, Region};
use super::FaceBox;
use crate::error::{Error, Result};
use crate::nn::{Net, Tensor, Workspace};

/// Side of the landmark net's input.
const SIZE: usize = 112;
/// Side of the landmark net's crop in widths of a detection. The net was trained on detections with some margin.
const CROP_SCALE: f32 = 1.35;
/// The distance between the eyes as a share of the aligned crop's side, as in FER2013 and in Haar cascade detections.
const EYE_DISTANCE: f32 = 0.40;
/// The height of the eyes in the aligned crop.
const EYE_HEIGHT: f32 = 0.40;

/// The 68 points (iBUG 300-W order) in picture pixels.
#[derive(Debug, Clone)]
pub(super) struct Landmarks(pub(super) [[f32; 2]; 68]);

/// Two of a face's points under mirroring: number `MIRROR[i]` of the mirrored face is number `i`.
pub(super) const MIRROR: [usize; 68] = [
    16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17, 27, 28, 29, 30,
    35, 34, 33, 32, 31, 45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40, 54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55,
    64, 63, 62, 61, 60, 67, 66, 65,
];

impl Landmarks {
    /// The mean of points `range`.
    pub(super) fn centre(&self, range: std::ops::Range<usize>) -> [f32; 2] {
        let points = &self.0[range];
        let n = points.len().max(1) as f32;
        [points.iter().map(|p| p[0]).sum::<f32>() / n, points.iter().map(|p| p[1]).sum::<f32>() / n]
    }

    /// Centres of the eye on the left and on the right of the picture.
    pub(super) fn eyes(&self) -> [[f32; 2]; 2] {
        [self.centre(36..42), self.centre(42..48)]
    }

    /// The box around all points.
    pub(super) fn bounds(&self) -> FaceBox {
        let (mut low, mut high) = ([f32::MAX; 2], [f32::MIN; 2]);
        for p in &self.0 {
            for k in 0..2 {
                low[k] = low[k].min(p[k]);
                high[k] = high[k].max(p[k]);
            }
        }
        FaceBox { x: low[0], y: low[1], width: high[0] - low[0], height: high[1] - low[1] }
    }

    /// The square crop for the expression nets: eyes level, at [`EYE_HEIGHT`], [`EYE_DISTANCE`] apart.
    ///
    /// The distance between the eyes shrinks when the head turns, so the height from eyes to chin has a say too.
    pub(super) fn aligned(&self) -> Region {
        let [left, right] = self.eyes();
        let angle = (right[1] - left[1]).atan2(right[0] - left[0]);
        let middle = [(left[0] + right[0]) / 2.0, (left[1] + right[1]) / 2.0];
        let distance = distance(left, right);
        // Eyes to mouth is about as long as eye to eye in a face seen from the front.
        let to_mouth = self::distance(middle, self.centre(48..60));
        let side = distance.max(0.92 * to_mouth).max(1.0) / EYE_DISTANCE;
        let (sin, cos) = angle.sin_cos();
        let down = (0.5 - EYE_HEIGHT) * side;
        Region { x: middle[0] - sin * down, y: middle[1] + cos * down, side, angle }
    }

    /// How far this is from a face seen by the net: spread of the points as a share of `region`, and eyes above mouth.
    pub(super) fn plausible(&self, region: &Region) -> bool {
        let [left, right] = self.eyes();
        let mouth = self.centre(48..60);
        let (sin, cos) = region.angle.sin_cos();
        let level = |p: [f32; 2]| [p[0] * cos + p[1] * sin, -p[0] * sin + p[1] * cos];
        let (left, right, mouth) = (level(left), level(right), level(mouth));
        let apart = (right[0] - left[0]) / region.side;
        let drop = (mouth[1] - (left[1] + right[1]) / 2.0) / region.side;
        (0.1..0.7).contains(&apart) && (0.12..0.8).contains(&drop)
    }
}

/// Finds the landmarks of a detected face: twice, the second time in a crop that the first pass levels, on the face and on its
/// mirror image.
pub(super) fn find(net: &Net, picture: &Picture<'_>, face: &Detection, ws: &mut Workspace) -> Result<Landmarks> {
    let first = first_region(face);
    let rough = in_region(net, picture, &first, false, ws)?;
    refine(net, picture, &rough, ws)
}

/// The crop for the first pass: the detection with some margin, its eyes level.
pub(super) fn first_region(face: &Detection) -> Region {
    let b = face.bbox;
    let angle = face.eyes.map_or(0.0, |[left, right]| (right[1] - left[1]).atan2(right[0] - left[0]));
    let side = b.width.max(b.height) * CROP_SCALE;
    Region { x: b.x + b.width / 2.0, y: b.y + b.height / 2.0, side, angle }
}

/// A second pass around known landmarks.
pub(super) fn refine(net: &Net, picture: &Picture<'_>, rough: &Landmarks, ws: &mut Workspace) -> Result<Landmarks> {
    let aligned = rough.aligned();
    in_region(net, picture, &aligned.shifted(0.0, 0.03, 1.12), true, ws)
}

/// One pass of the net over `region`, averaged with that over its mirror image where `both` are asked for.
pub(super) fn in_region(
    net: &Net,
    picture: &Picture<'_>,
    region: &Region,
    both: bool,
    ws: &mut Workspace,
) -> Result<Landmarks> {
    let mut input = picture.cut(region, SIZE, Outside::Edge).rgb;
    if both {
        input.extend(mirrored(&input, SIZE, 3));
    }
    let batch = 1 + usize::from(both);
    let outputs = net.run(Tensor::new(vec![batch, SIZE, SIZE, 3], input)?, ws)?;
    let values = outputs.first().map(Tensor::data).unwrap_or_default();
    if values.len() != batch * 136 || values.iter().any(|v| !v.is_finite()) {
        return Err(Error::pack("the landmark net does not give 68 points"));
    }
    let point = |i: usize| {
        let (mut u, mut v) = (values[2 * i], values[2 * i + 1]);
        if both {
            let m = 136 + 2 * MIRROR[i];
            u = (u + 1.0 - values[m]) / 2.0;
            v = (v + values[m + 1]) / 2.0;
        }
        region.to_picture(u, v)
    };
    Ok(Landmarks(std::array::from_fn(point)))
}

/// Distance between two points.
pub(super) fn distance(a: [f32; 2], b: [f32; 2]) -> f32 {
    (a[0] - b[0]).hypot(a[1] - b[1])
}

//! What the landmarks say about brows, eyes and mouth.

use super::landmarks::{distance, Landmarks};

/// Mean and standard deviation of each measure over neutral faces as the landmark net sees them.
///
/// Means: the six of the 20 frontal faces in face-api's demonstration pictures that do not smile (mean probability of "happy"
/// below 0.35 over the four nets); of the openings the median, as one of the six has its mouth open. Deviations: their spread,
/// with the net's own jitter under shifted crops (0.006 to 0.013) in it. Six faces make rough norms, so none is below 0.035.
const NEUTRAL: [(f32, f32); 6] =
    [(0.355, 0.05), (0.583, 0.035), (0.315, 0.04), (0.05, 0.045), (0.03, 0.04), (0.77, 0.06)];

/// Facial geometry as z-scores: standard deviations from a neutral face.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Geometry {
    /// Brows above the eyes; high: raised.
    pub brow_height: f32,
    /// Between the inner ends of the brows; low: drawn together.
    pub brow_gap: f32,
    /// Eye opening; high: wide.
    pub eye_open: f32,
    /// Between the lips; high: open.
    pub mouth_open: f32,
    /// Corners of the mouth above its middle; high: up.
    pub mouth_corner: f32,
    /// Width of the mouth; high: stretched.
    pub mouth_width: f32,
}

impl Geometry {
    /// The names of the measures, in the order of [`Geometry::values`].
    pub const NAMES: [&'static str; 6] =
        ["brow_height", "brow_gap", "eye_open", "mouth_open", "mouth_corner", "mouth_width"];

    /// The z-scores in the order of [`Geometry::NAMES`].
    pub fn values(&self) -> [f32; 6] {
        [self.brow_height, self.brow_gap, self.eye_open, self.mouth_open, self.mouth_corner, self.mouth_width]
    }

    pub(super) fn from_values(
        [brow_height, brow_gap, eye_open, mouth_open, mouth_corner, mouth_width]: [f32; 6],
    ) -> Self {
        Self { brow_height, brow_gap, eye_open, mouth_open, mouth_corner, mouth_width }
    }

    /// From 68 landmarks: roll is taken out, lengths are in distances between the eyes.
    pub(super) fn of(landmarks: &Landmarks) -> Self {
        let raw = measures(landmarks);
        Self::from_values(std::array::from_fn(|i| ((raw[i] - NEUTRAL[i].0) / NEUTRAL[i].1).clamp(-6.0, 6.0)))
    }
}

/// The six measures before standardisation.
pub(super) fn measures(landmarks: &Landmarks) -> [f32; 6] {
    let [left, right] = landmarks.eyes();
    let apart = distance(left, right).max(1e-3);
    let (sin, cos) = ((right[1] - left[1]) / apart, (right[0] - left[0]) / apart);
    let origin = [(left[0] + right[0]) / 2.0, (left[1] + right[1]) / 2.0];
    let level = |p: [f32; 2]| {
        let (x, y) = (p[0] - origin[0], p[1] - origin[1]);
        [(x * cos + y * sin) / apart, (-x * sin + y * cos) / apart]
    };
    let p: [[f32; 2]; 68] = std::array::from_fn(|i| level(landmarks.0[i]));
    let brow_y = (17..27).map(|i| p[i][1]).sum::<f32>() / 10.0;
    let opening = |corner: usize| {
        let height = (distance(p[corner + 1], p[corner + 5]) + distance(p[corner + 2], p[corner + 4])) / 2.0;
        height / distance(p[corner], p[corner + 3]).max(1e-3)
    };
    let lips = (61..64).map(|i| p[128 - i][1] - p[i][1]).sum::<f32>() / 3.0;
    let corners = (p[48][1] + p[54][1]) / 2.0;
    let middle = (p[62][1] + p[66][1]) / 2.0;
    [-brow_y, distance(p[21], p[22]), (opening(36) + opening(42)) / 2.0, lips, middle - corners, distance(p[48], p[54])]
}

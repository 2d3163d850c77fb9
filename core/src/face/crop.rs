//! Square cut-outs of the described face, for encoders that were trained on face crops.

use super::{FaceBox, FaceReading};
use crate::error::{Error, Result};
use crate::media::Frame;

/// A square picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaceCrop {
    /// Width and height in pixels, at least 1.
    pub side: usize,
    /// `[side, side, 3]`, 8-bit sRGB, rows without padding.
    pub rgb: Vec<u8>,
}

/// Cuts the square around `bbox` out of `frame`, pixel by pixel.
///
/// The square has the centre of the box, and `margin` times its longer side, rounded to whole pixels of [`Frame::rgb`] (the box
/// is in pixels of the source, which may be larger). It is moved to lie inside the picture, and is as large as the picture's
/// shorter side where it would be larger.
///
/// # Errors
/// `invalid_argument` when the frame's buffer is not as long as its size says, when it has no pixels, or when a number of the box or
/// the margin is not finite, or a size is below 0.
pub fn crop(frame: &Frame, bbox: &FaceBox, margin: f32) -> Result<FaceCrop> {
    let (left, top, side) = crop_square(frame, bbox, margin)?;
    let mut rgb = Vec::with_capacity(side * side * 3);
    for row in frame.rgb.chunks_exact(frame.width * 3).skip(top).take(side) {
        rgb.extend(row.get(left * 3..(left + side) * 3).unwrap_or_default());
    }
    Ok(FaceCrop { side, rgb })
}

/// The square that [`crop`] cuts out: left, top and side in pixels of [`Frame::rgb`], all of it inside the picture.
///
/// # Errors
/// As [`crop`].
pub fn crop_square(frame: &Frame, bbox: &FaceBox, margin: f32) -> Result<(usize, usize, usize)> {
    let (width, height) = (frame.width, frame.height);
    if width == 0 || height == 0 || frame.rgb.len() != width.saturating_mul(height).saturating_mul(3) {
        let bytes = frame.rgb.len();
        return Err(Error::invalid_argument(format!("a frame of {width} x {height} RGB pixels has {bytes} bytes")));
    }
    let numbers = [bbox.x, bbox.y, bbox.width, bbox.height, margin];
    if numbers.iter().any(|number| !number.is_finite()) || bbox.width < 0.0 || bbox.height < 0.0 || margin < 0.0 {
        return Err(Error::invalid_argument(format!(
            "a face of {} x {} at ({}, {}) with margin {margin} cannot be cut out; give finite numbers and sizes of 0 or more",
            bbox.width, bbox.height, bbox.x, bbox.y
        )));
    }
    let scale = |pixels: usize, source: usize| pixels as f64 / source.max(1) as f64;
    let (scale_x, scale_y) = (scale(width, frame.source_width), scale(height, frame.source_height));
    let (box_width, box_height) = (f64::from(bbox.width) * scale_x, f64::from(bbox.height) * scale_y);
    let longest = width.min(height);
    let side = (box_width.max(box_height) * f64::from(margin)).round().clamp(1.0, longest as f64) as usize;
    let start = |edge: f32, scale: f64, length: f64, limit: usize| {
        let corner = f64::from(edge) * scale + (length - side as f64) / 2.0;
        corner.round().clamp(0.0, (limit - side) as f64) as usize
    };
    Ok((start(bbox.x, scale_x, box_width, width), start(bbox.y, scale_y, box_height, height), side))
}

/// The described person's face in the frames at `positions`, in source pixels.
///
/// `frames` is the slice that was read. Where the face was not seen in a frame, its box is interpolated linearly in time between
/// the nearest frames before and after that have it, or taken from the nearest one at the ends. `None` for a position outside of
/// `frames`, and for all of them in a reading without a face.
pub fn crops_for(reading: &FaceReading, frames: &[Frame], positions: &[usize]) -> Vec<Option<FaceBox>> {
    let seen = &reading.per_frame;
    let find = |&position: &usize| {
        if let Some(exact) = seen.iter().find(|look| look.position == position) {
            return frames.get(position).map(|_| exact.bbox);
        }
        let time_s = frames.get(position)?.time_s;
        let after = seen.partition_point(|look| look.time_s < time_s);
        let next = seen.get(after);
        let previous = after.checked_sub(1).and_then(|at| seen.get(at));
        match (previous, next) {
            (Some(previous), Some(next)) => {
                let span = next.time_s - previous.time_s;
                let share = if span > 0.0 { ((time_s - previous.time_s) / span).clamp(0.0, 1.0) as f32 } else { 0.0 };
                Some(between(&previous.bbox, &next.bbox, share))
            }
            (previous, next) => previous.or(next).map(|look| look.bbox),
        }
    };
    positions.iter().map(find).collect()
}

/// `share` of the way from one box to the other.
fn between(from: &FaceBox, to: &FaceBox, share: f32) -> FaceBox {
    let mix = |a: f32, b: f32| a + (b - a) * share;
    FaceBox {
        x: mix(from.x, to.x),
        y: mix(from.y, to.y),
        width: mix(from.width, to.width),
        height: mix(from.height, to.height),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{FrameReading, Geometry, PeakFace};
    use super::*;
    use proptest::prelude::*;

    /// A picture whose pixels tell their column, row and a constant.
    fn frame(width: usize, height: usize, source_width: usize, source_height: usize, time_s: f64) -> Frame {
        let rgb = (0..width * height).flat_map(|i| [(i % width) as u8, (i / width) as u8, 7]).collect();
        Frame {
            width,
            height,
            rgb,
            time_s,
            index: 0,
            source_width,
            source_height,
            #[cfg(feature = "cuda")]
            on_device: None,
        }
    }

    fn bbox(x: f32, y: f32, width: f32, height: f32) -> FaceBox {
        FaceBox { x, y, width, height }
    }

    /// Left, top and side of a crop, from its pixels.
    fn place(crop: &FaceCrop) -> (usize, usize, usize) {
        assert_eq!(crop.rgb.len(), crop.side * crop.side * 3);
        let (left, top) = (usize::from(crop.rgb[0]), usize::from(crop.rgb[1]));
        for (at, pixel) in crop.rgb.chunks_exact(3).enumerate() {
            let expected = [(left + at % crop.side) as u8, (top + at / crop.side) as u8, 7];
            assert_eq!(pixel, expected, "pixel {at}");
        }
        (left, top, crop.side)
    }

    #[test]
    fn squares_are_centred_scaled_moved_and_shrunk() {
        let picture = frame(100, 80, 100, 80, 0.0);
        let at = |x, y, w, h, margin| place(&crop(&picture, &bbox(x, y, w, h), margin).unwrap());
        assert_eq!(at(40.0, 30.0, 20.0, 10.0, 1.0), (40, 25, 20));
        assert_eq!(at(40.0, 30.0, 20.0, 20.0, 1.5), (35, 25, 30));
        assert_eq!(at(40.0, 30.0, 7.0, 3.0, 1.0), (40, 28, 7), "odd sizes");
        assert_eq!(at(-10.0, 70.0, 20.0, 20.0, 1.0), (0, 60, 20), "moved inside");
        assert_eq!(at(500.0, -500.0, 20.0, 20.0, 1.0), (80, 0, 20), "wholly outside");
        assert_eq!(at(10.0, 10.0, 70.0, 90.0, 2.0), (5, 0, 80), "shrunk to the picture");
        assert_eq!(at(50.0, 50.0, 0.0, 0.0, 1.0), (50, 50, 1), "never empty");
        // The same face in a picture that was scaled down to half and to a third.
        let scaled = frame(50, 40, 100, 120, 0.0);
        assert_eq!(place(&crop(&scaled, &bbox(40.0, 60.0, 20.0, 24.0), 1.0).unwrap()), (20, 19, 10));
    }

    #[test]
    fn what_cannot_be_cut_is_an_error() {
        let good = frame(10, 10, 10, 10, 0.0);
        let mut short = good.clone();
        short.rgb.pop();
        let empty = Frame { width: 0, rgb: Vec::new(), ..good.clone() };
        let whole = bbox(0.0, 0.0, 5.0, 5.0);
        let bad = [
            crop(&short, &whole, 1.0),
            crop(&empty, &whole, 1.0),
            crop(&good, &bbox(f32::NAN, 0.0, 5.0, 5.0), 1.0),
            crop(&good, &bbox(0.0, 0.0, f32::INFINITY, 5.0), 1.0),
            crop(&good, &bbox(0.0, 0.0, -1.0, 5.0), 1.0),
            crop(&good, &whole, f32::NAN),
            crop(&good, &whole, -1.0),
        ];
        for result in bad {
            assert_eq!(result.unwrap_err().name(), "invalid_argument");
        }
    }

    proptest! {
        #[test]
        fn any_crop_is_a_square_inside_the_picture(
            size in (1usize..60, 1usize..60),
            source in (0usize..200, 0usize..200),
            corner in (-300f32..300.0, -300f32..300.0),
            sides in (0f32..300.0, 0f32..300.0),
            margin in 0f32..4.0,
        ) {
            let picture = frame(size.0, size.1, source.0, source.1, 0.0);
            let crop = crop(&picture, &bbox(corner.0, corner.1, sides.0, sides.1), margin).unwrap();
            let (left, top, side) = place(&crop);
            prop_assert!(side >= 1 && left + side <= size.0 && top + side <= size.1);
        }
    }

    fn reading(seen: &[(usize, f64, f32)]) -> FaceReading {
        let per_frame = seen.iter().map(|&(position, time_s, x)| FrameReading {
            position,
            time_s,
            bbox: bbox(x, 2.0 * x, 10.0, 20.0),
            score: 1.0,
            posterior: [0.0; 7],
            geometry: Geometry::default(),
        });
        FaceReading {
            faces: Vec::new(),
            peak: PeakFace { position: 0, time_s: 0.0, index: 0, bbox: FaceBox::default(), score: 1.0 },
            peak_posterior: [0.0; 7],
            mean_posterior: [0.0; 7],
            geometry: Geometry::default(),
            per_net: Vec::new(),
            per_frame: per_frame.collect(),
        }
    }

    #[test]
    fn boxes_between_those_that_were_seen_are_interpolated_in_time() {
        let frames: Vec<Frame> = [0.0, 1.0, 1.5, 4.0, 5.0, 9.0].map(|time_s| frame(4, 4, 4, 4, time_s)).to_vec();
        let reading_of_two = reading(&[(1, 1.0, 10.0), (4, 5.0, 50.0)]);
        let boxes = crops_for(&reading_of_two, &frames, &[4, 0, 1, 2, 3, 5, 6, 2]);
        let lefts: Vec<Option<f32>> = boxes.iter().map(|found| found.map(|found| found.x)).collect();
        let expected = [Some(50.0), Some(10.0), Some(10.0), Some(15.0), Some(40.0), Some(50.0), None, Some(15.0)];
        assert_eq!(lefts, expected);
        assert_eq!(boxes[3], Some(bbox(15.0, 30.0, 10.0, 20.0)));
        assert_eq!(crops_for(&reading(&[]), &frames, &[0, 1]), [None, None]);
        let same_time = reading(&[(0, 1.0, 10.0), (2, 1.0, 20.0)]);
        assert_eq!(crops_for(&same_time, &frames, &[1])[0].map(|found| found.x), Some(10.0));
    }
}

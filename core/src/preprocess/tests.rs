use proptest::prelude::*;

use super::*;
use crate::error::ErrorKind;

const FILTERS: [Filter; 2] = [Filter::Bilinear, Filter::Bicubic];

/// A picture of `width` x `height` with all kinds of edges.
fn picture(width: usize, height: usize, seed: usize) -> Vec<u8> {
    (0..width * height * 3).map(|i| ((i * (seed % 251 + 7) * 2_654_435_761) >> 13) as u8).collect()
}

fn transposed(rgb: &[u8], width: usize, height: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(rgb.len());
    for x in 0..width {
        for y in 0..height {
            out.extend_from_slice(&rgb[(y * width + x) * 3..][..3]);
        }
    }
    out
}

proptest! {
    #[test]
    fn a_plain_picture_stays_plain(
        (w, h, to_w, to_h) in (1usize..70, 1usize..70, 1usize..70, 1usize..70), colour: [u8; 3],
    ) {
        for filter in FILTERS {
            let resized = resize(&colour.repeat(w * h), w, h, to_w, to_h, filter).unwrap();
            prop_assert_eq!(resized, colour.repeat(to_w * to_h));
        }
    }

    #[test]
    fn equal_size_changes_nothing((w, h) in (1usize..70, 1usize..70), seed: usize) {
        let rgb = picture(w, h, seed % 1000);
        for filter in FILTERS {
            prop_assert_eq!(&resize(&rgb, w, h, w, h, filter).unwrap(), &rgb);
        }
    }

    #[test]
    fn rows_and_columns_are_treated_alike((w, h, to) in (1usize..70, 1usize..70, 1usize..70), seed: usize) {
        let rgb = picture(w, h, seed % 1000);
        for filter in FILTERS {
            let along = resize(&rgb, w, h, to, h, filter).unwrap();
            let across = resize(&transposed(&rgb, w, h), h, w, h, to, filter).unwrap();
            prop_assert_eq!(transposed(&along, to, h), across);
        }
    }

    #[test]
    fn a_mirrored_picture_gives_a_mirrored_result((w, to) in (1usize..70, 1usize..70), seed: usize) {
        // Exact where the windows are: weights are rounded symmetrically, but a window's ends may fall on either side.
        let rgb = picture(w, 1, seed % 1000);
        let mirrored: Vec<u8> = rgb.chunks_exact(3).rev().flatten().copied().collect();
        for filter in FILTERS {
            let plain = resize(&rgb, w, 1, to, 1, filter).unwrap();
            let turned = resize(&mirrored, w, 1, to, 1, filter).unwrap();
            for (a, b) in plain.chunks_exact(3).rev().flatten().zip(&turned) {
                prop_assert!(a.abs_diff(*b) <= 1, "{} against {}", a, b);
            }
        }
    }
}

#[test]
fn halving_with_the_triangle_is_the_known_average() {
    // Target 0 has its centre at 1 and the triangle reaches 2 to either side: pixels 0..3 with weights 3, 3, 1 of 7.
    let grey = |values: &[u8]| values.iter().flat_map(|&v| [v; 3]).collect::<Vec<_>>();
    let resized = resize(&grey(&[70, 0, 7, 0]), 4, 1, 2, 1, Filter::Bilinear).unwrap();
    assert_eq!(resized, grey(&[31, 3]));
}

#[test]
fn bad_sizes_are_refused() {
    let rgb = [0; 12];
    for (w, h, to_w, to_h) in [(0, 4, 2, 2), (2, 2, 0, 2), (2, 3, 2, 2), (2, 2, usize::MAX, 2), (usize::MAX, 2, 2, 2)] {
        let error = resize(&rgb, w, h, to_w, to_h, Filter::Bicubic).unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidArgument, "{error}");
    }
    assert_eq!(unit_range(&rgb, 3, 2).unwrap_err().kind, ErrorKind::InvalidArgument);
}

#[test]
fn planes_hold_red_then_green_then_blue() {
    let rgb = [255, 0, 51, 0, 255, 102];
    assert_eq!(unit_range(&rgb, 2, 1).unwrap(), [1.0, 0.0, 0.0, 1.0, 0.2, 0.4]);
    let normalised = clip_normalised(&rgb, 2, 1).unwrap();
    assert!((normalised[0] - 1.930_336_2).abs() < 1e-6, "{normalised:?}");
    assert!((normalised[5] - -0.029_773_1).abs() < 1e-6, "{normalised:?}");
}

#[test]
fn sound_is_centred_and_scaled() {
    let values = zero_mean_unit_variance(&[1.0, 3.0, 1.0, 3.0]).unwrap();
    for (value, wanted) in values.iter().zip([-1.0f32, 1.0, -1.0, 1.0]) {
        assert!((value - wanted).abs() < 1e-6, "{values:?}");
    }
    assert_eq!(zero_mean_unit_variance(&[0.25; 3]).unwrap(), [0.0; 3]);
    assert_eq!(zero_mean_unit_variance(&[]).unwrap(), [0.0f32; 0]);
    assert_eq!(zero_mean_unit_variance(&[0.0, f32::NAN]).unwrap_err().kind, ErrorKind::InvalidArgument);
}

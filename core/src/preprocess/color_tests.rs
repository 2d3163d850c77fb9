use std::io::Write;
use std::sync::OnceLock;

use ffmpeg_next::format::Pixel;
use ffmpeg_next::frame;
use ffmpeg_next::util::color;
use proptest::prelude::*;

use super::color::*;
use crate::error::ErrorKind;
use crate::media::convert::{blank, Converter, Orientation};

const MATRICES: [(ColorMatrix, color::Space); 5] = [
    (ColorMatrix::Bt601, color::Space::SMPTE170M),
    (ColorMatrix::Bt709, color::Space::BT709),
    (ColorMatrix::Fcc, color::Space::FCC),
    (ColorMatrix::Smpte240m, color::Space::SMPTE240M),
    (ColorMatrix::Bt2020, color::Space::BT2020NCL),
];
const LAYOUTS: [(YuvLayout, Pixel); 4] = [
    (YuvLayout::Nv12, Pixel::NV12),
    (YuvLayout::I420, Pixel::YUV420P),
    (YuvLayout::Yuv420P10, Pixel::YUV420P10LE),
    (YuvLayout::P010, Pixel::P010LE),
];

/// Whether libswscale is the version that is followed. Others may round differently, which nobody has looked at.
fn is_followed() -> bool {
    static IS_FOLLOWED: OnceLock<bool> = OnceLock::new();
    *IS_FOLLOWED.get_or_init(|| {
        let version = ffmpeg_next::software::scaling::version() >> 16;
        if version != 6 {
            // Written past the test harness, which holds back what passing tests print.
            let mut out = std::io::stderr();
            let _ = writeln!(out, "\n==== SKIPPED: colours are compared with libswscale 6, here is {version} ====\n");
        }
        version == 6
    })
}

/// A picture of noise; with `is_stark`, of the lowest and highest values only. The bytes between the rows are noise too.
fn picture(format: Pixel, width: u32, height: u32, seed: u64, is_stark: bool) -> frame::Video {
    let mut picture = blank(format, width, height).unwrap();
    let mut state = seed | 1;
    for plane in 0..picture.planes() {
        for bytes in picture.data_mut(plane).chunks_exact_mut(2) {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let value = (state >> 33) as u16;
            let is_wide = format == Pixel::YUV420P10LE;
            let value = if is_stark && value & 1 == 0 {
                0
            } else if is_stark {
                u16::MAX
            } else {
                value
            };
            bytes.copy_from_slice(&(if is_wide { value & 1023 } else { value }).to_le_bytes());
        }
    }
    picture
}

/// How many values libswscale and [`to_rgb`] give differently, and the largest difference.
fn differences(
    (layout, format): (YuvLayout, Pixel),
    size: (u32, u32),
    (matrix, space): (ColorMatrix, color::Space),
    is_full_range: bool,
    seed: u64,
    is_stark: bool,
) -> (usize, u8) {
    let mut source = picture(format, size.0, size.1, seed, is_stark);
    source.set_color_space(space);
    source.set_color_range(if is_full_range { color::Range::JPEG } else { color::Range::MPEG });
    let theirs = Converter::new(1 << 16, Orientation::default(), false).convert(&source, 0.0, 0).unwrap();
    let plane = |index: usize| if index < source.planes() { source.data(index) } else { &[] };
    let stride = |index: usize| if index < source.planes() { source.stride(index) } else { 0 };
    let yuv = YuvPicture {
        layout,
        width: size.0 as usize,
        height: size.1 as usize,
        planes: [plane(0), plane(1), plane(2)],
        strides: [stride(0), stride(1), stride(2)],
    };
    let ours = to_rgb(&yuv, &ColorCoefficients::new(matrix, is_full_range)).unwrap();
    assert_eq!(ours.len(), theirs.rgb.len());
    let differing = ours.iter().zip(&theirs.rgb).map(|(a, b)| a.abs_diff(*b)).filter(|difference| *difference > 0);
    (differing.clone().count(), differing.max().unwrap_or(0))
}

proptest! {
    #[test]
    fn libswscale_gives_the_same(
        (width, height) in (1u32..90, 1u32..90), layout in 0usize..4, matrix in 0usize..5, is_full_range: bool, seed: u64,
        is_stark: bool,
    ) {
        if is_followed() {
            let found = differences(LAYOUTS[layout], (width, height), MATRICES[matrix], is_full_range, seed, is_stark);
            prop_assert_eq!(found, (0, 0));
        }
    }
}

#[test]
fn every_layout_matrix_and_range_is_libswscales() {
    if !is_followed() {
        return;
    }
    for layout in LAYOUTS {
        for matrix in MATRICES {
            for is_full_range in [false, true] {
                for (size, is_stark) in [((61, 37), false), ((64, 64), true)] {
                    let found = differences(layout, size, matrix, is_full_range, 7, is_stark);
                    assert_eq!(found, (0, 0), "{layout:?} {matrix:?} {is_full_range}");
                }
            }
        }
    }
}

#[test]
fn large_and_narrow_pictures_are_libswscales() {
    if !is_followed() {
        return;
    }
    for size in [(1920, 1080), (1919, 541), (7680, 3), (3, 4320), (1, 1000), (1001, 1), (4099, 2)] {
        for layout in LAYOUTS {
            assert_eq!(differences(layout, size, MATRICES[1], false, 3, false), (0, 0), "{size:?} {layout:?}");
        }
    }
}

/// What a decoder on a GPU gives as P010 is what one on the processor gives as planes.
#[test]
fn ten_bits_are_the_same_in_either_layout() {
    let (width, height) = (62, 38);
    let planar = picture(Pixel::YUV420P10LE, width, height, 9, false);
    let mut paired = blank(Pixel::P010LE, width, height).unwrap();
    let word = |plane: usize, x: usize, y: usize| {
        let bytes = &planar.data(plane)[y * planar.stride(plane) + 2 * x..][..2];
        (u16::from_le_bytes([bytes[0], bytes[1]]) << 6).to_le_bytes()
    };
    for (plane, step, rows) in [(0, 1, height as usize), (1, 2, height as usize / 2)] {
        let stride = paired.stride(plane);
        for y in 0..rows {
            for x in 0..width as usize {
                let from = if plane == 0 { 0 } else { 1 + x % 2 };
                paired.data_mut(plane)[y * stride + 2 * x..][..2].copy_from_slice(&word(from, x / step, y));
            }
        }
    }
    let rgb = |source: &frame::Video| {
        Converter::new(1 << 16, Orientation::default(), false).convert(source, 0.0, 0).unwrap().rgb
    };
    assert_eq!(rgb(&planar), rgb(&paired));
}

/// The kernels only put the channels of RGB in order; so does libswscale.
#[test]
fn rgb_of_any_order_is_kept() {
    for (format, channels, red) in
        [(Pixel::RGB24, 3, 0), (Pixel::BGR24, 3, 2), (Pixel::RGBA, 4, 0), (Pixel::BGRA, 4, 2)]
    {
        for (width, height) in [(1, 1), (7, 3), (61, 37), (64, 2)] {
            let source = picture(format, width, height, 5, false);
            let theirs = Converter::new(1 << 16, Orientation::default(), false).convert(&source, 0.0, 0).unwrap();
            let rows = source.data(0).chunks(source.stride(0)).take(height as usize);
            let pixels = rows.flat_map(|row| row.chunks_exact(channels).take(width as usize));
            let ours: Vec<u8> = pixels.flat_map(|pixel| [pixel[red], pixel[1], pixel[2 - red]]).collect();
            assert_eq!(theirs.rgb, ours, "{format:?} {width} x {height}");
        }
    }
}

#[test]
fn taps_stay_inside_and_add_up() {
    for size in (1..600).chain([719, 1080, 1921, 7680, 65_535]) {
        for (taps, unit) in [(column_taps(size), 1 << 14), (row_taps(size), 1 << 12)] {
            assert_eq!(taps.len(), size);
            for tap in taps {
                assert_eq!(i32::from(tap.weight) + i32::from(tap.next_weight), unit, "{size}: {tap:?}");
                assert!(tap.weight > 0 && tap.next_weight >= 0, "{size}: {tap:?}");
                let last = tap.first as usize + usize::from(tap.next_weight > 0);
                assert!(last < size.div_ceil(2), "{size}: {tap:?}");
            }
        }
    }
}

#[test]
fn known_colours() {
    let plain = |y: u8, u: u8, v: u8, is_full_range| {
        let planes = [&[y; 4][..], &[u], &[v]];
        let yuv = YuvPicture { layout: YuvLayout::I420, width: 2, height: 2, planes, strides: [2, 1, 1] };
        to_rgb(&yuv, &ColorCoefficients::new(ColorMatrix::Bt601, is_full_range)).unwrap()
    };
    assert_eq!(plain(16, 128, 128, false), [0; 12]);
    assert_eq!(plain(235, 128, 128, false), [255; 12]);
    assert_eq!(plain(255, 128, 128, true), [255; 12]);
    assert_eq!(plain(81, 90, 240, false)[..3], [254, 0, 0]);
}

#[test]
fn short_planes_are_refused() {
    let yuv =
        YuvPicture { layout: YuvLayout::I420, width: 2, height: 2, planes: [&[0; 4], &[0], &[]], strides: [2, 1, 1] };
    let coefficients = ColorCoefficients::new(ColorMatrix::Bt709, false);
    assert_eq!(to_rgb(&yuv, &coefficients).unwrap_err().kind, ErrorKind::InvalidArgument);
    assert_eq!(to_rgb(&YuvPicture { width: 0, ..yuv }, &coefficients).unwrap_err().kind, ErrorKind::InvalidArgument);
}

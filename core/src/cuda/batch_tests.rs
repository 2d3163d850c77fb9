//! What is made of cuts before anything is launched, run through here as the kernel would.

use super::batch::{Batch, Cut};
use super::parameters::{Frame, FORMAT_NV12, FORMAT_P010, FORMAT_RGB24};
use super::surface::{DevicePicture, Surface};
use crate::preprocess::color::{self, column_taps, row_taps, to_rgb, ColorMatrix, YuvLayout, YuvPicture};
use crate::preprocess::{resize, Filter};

const DEVICE: usize = 1;

/// A picture whose bytes differ from each other.
fn noise(length: usize, seed: usize) -> Vec<u8> {
    (0..length).map(|i| ((i + seed) * 7919 % 251 + i / 3 % 5) as u8).collect()
}

/// A surface of noise in `memory`, of which addresses are places there.
fn surface(memory: &mut Vec<u8>, layout: YuvLayout, (width, height): (usize, usize), orientation: i32) -> Surface {
    let stride = width * if layout == YuvLayout::P010 { 2 } else { 1 } + 24;
    let start = memory.len() as u64;
    memory.extend(noise(stride * height * 3 / 2, memory.len()));
    Surface {
        device: DEVICE,
        layout,
        planes: [start, start + (stride * height) as u64],
        strides: [stride; 2],
        width,
        height,
        orientation,
        colors: color::ColorCoefficients::new(ColorMatrix::Bt709, layout == YuvLayout::P010),
    }
}

/// The upright picture as the processor has it.
fn upright(memory: &[u8], surface: &Surface) -> Vec<u8> {
    let planes = surface.planes.map(|start| &memory[start as usize..]);
    let (width, height) = (surface.width, surface.height);
    let strides = [surface.strides[0], surface.strides[1], 0];
    let yuv = YuvPicture { layout: surface.layout, width, height, planes: [planes[0], planes[1], &[]], strides };
    let stored = to_rgb(&yuv, &surface.colors).unwrap();
    let (columns, rows) = surface.upright_size();
    let mut rgb = Vec::new();
    for (y, x) in (0..rows).flat_map(|y| (0..columns).map(move |x| (y, x))) {
        let x = if surface.orientation & 2 != 0 { columns - 1 - x } else { x };
        let y = if surface.orientation & 4 != 0 { rows - 1 - y } else { y };
        let (x, y) = if surface.orientation & 1 != 0 { (y, x) } else { (x, y) };
        rgb.extend(&stored[(y * width + x) * 3..][..3]);
    }
    rgb
}

/// The level of one channel of the target's pixel `(x, y)`, from the tables of `batch` and the upright `rgb` of the frame.
fn level(batch: &Batch<'_>, frame: &Frame, rgb: &[u8], width: usize, [x, y, channel]: [usize; 3]) -> u8 {
    let weights = |start: i32, at: usize| {
        let window = batch.windows[start as usize + at];
        let weights = &batch.weights[window.weights as usize..][..window.count as usize];
        weights.iter().enumerate().map(move |(i, &weight)| (window.first as usize + i, weight))
    };
    let rounded = |sum: i32| ((sum + (1 << 21)) >> 22).clamp(0, 255);
    let (left, top) = (frame.crop_left as usize, frame.crop_top as usize);
    let row = |y: usize| {
        let pixel = |x: usize| i32::from(rgb[((top + y) * width + left + x) * 3 + channel]);
        rounded(weights(frame.column_windows, x).map(|(x, weight)| pixel(x) * weight).sum())
    };
    rounded(weights(frame.row_windows, y).map(|(y, weight)| row(y) * weight).sum()) as u8
}

fn part_of(rgb: &[u8], width: usize, [left, top, columns, rows]: [usize; 4]) -> Vec<u8> {
    (top..top + rows).flat_map(|y| rgb[(y * width + left) * 3..][..3 * columns].to_vec()).collect()
}

#[test]
fn pictures_of_both_kinds_are_those_of_the_processor() {
    let mut memory = vec![0; 16];
    let decoded = [
        surface(&mut memory, YuvLayout::Nv12, (64, 46), 0),
        surface(&mut memory, YuvLayout::P010, (46, 64), 0),
        surface(&mut memory, YuvLayout::Nv12, (64, 46), 1 | 2),
        surface(&mut memory, YuvLayout::P010, (64, 46), 2 | 4),
    ]
    .map(DevicePicture::nowhere);
    let pictures: Vec<Vec<u8>> = decoded.iter().map(|picture| upright(&memory, picture.surface())).collect();
    let whole = noise(31 * 17 * 3, 5);
    let mut cuts = vec![Cut { rgb: &whole, width: 31, height: 17, part: [3, 2, 11, 13], decoded: None }];
    for (i, (picture, rgb)) in decoded.iter().zip(&pictures).enumerate() {
        let (width, height) = picture.surface().upright_size();
        cuts.push(Cut { rgb, width, height, part: [i, 2 * i, 40 - i, 40 - 2 * i], decoded: Some(picture) });
    }
    cuts.push(Cut { part: [0, 0, 31, 17], ..cuts[0] });

    let side = 14;
    let batch = Batch::new(&cuts, DEVICE).unwrap().resized_to(side, Filter::Bicubic).unwrap();
    assert_eq!(batch.staged.len(), 2);
    let mut staging = vec![0; batch.staged_bytes];
    assert_eq!(batch.staged.iter().fold(0, |at, cut| cut.stage(&mut staging, at).unwrap()), staging.len());
    for (index, (frame, cut)) in batch.frames.iter().zip(&cuts).enumerate() {
        assert_eq!(frame.output, index as i32);
        let part = part_of(cut.rgb, cut.width, cut.part);
        let resized = resize(&part, cut.part[2], cut.part[3], side, side, Filter::Bicubic).unwrap();
        let (seen, width) = match cut.decoded.map(DevicePicture::surface) {
            None => {
                assert_eq!((frame.format, frame.planes[0] % 16), (FORMAT_RGB24, 0));
                (&staging[frame.planes[0] as usize..], cut.part[2])
            }
            Some(surface) => {
                let format = if surface.layout == YuvLayout::Nv12 { FORMAT_NV12 } else { FORMAT_P010 };
                assert_eq!((frame.format, frame.orientation), (format, surface.orientation));
                assert_eq!(frame.planes, [surface.planes[0], surface.planes[1], 0]);
                assert_eq!(frame.strides, [surface.strides[0] as i64, surface.strides[1] as i64, 0]);
                assert_eq!((frame.width as usize, frame.height as usize), (surface.width, surface.height));
                assert_eq!(batch.colors[frame.color as usize], surface.colors.into());
                let taps = |start: i32, count: usize| &batch.chroma[start as usize..][..count];
                for (taps, expected) in [
                    (taps(frame.chroma_columns, surface.width), column_taps(surface.width)),
                    (taps(frame.chroma_rows, surface.height), row_taps(surface.height)),
                ] {
                    for (tap, expected) in taps.iter().zip(expected) {
                        assert_eq!(tap.first as u32, expected.first);
                        assert_eq!((tap.weight, tap.next_weight), (expected.weight, expected.next_weight));
                    }
                }
                (cut.rgb, cut.width)
            }
        };
        for (at, &expected) in resized.iter().enumerate() {
            let place = [at / 3 % side, at / 3 / side, at % 3];
            assert_eq!(level(&batch, frame, seen, width, place), expected, "cut {index}, {place:?}");
        }
    }
    // 64 and 46 columns, 46 and 64 rows, each once; two kinds of colours.
    assert_eq!((batch.chroma.len(), batch.colors.len()), (64 + 46 + 46 + 64, 2));
}

#[test]
fn a_picture_that_lies_elsewhere_is_staged() {
    let mut memory = Vec::new();
    let here = surface(&mut memory, YuvLayout::Nv12, (8, 6), 0);
    let rgb = noise(8 * 6 * 3, 1);
    let on_device = |surface: Surface| {
        let picture = DevicePicture::nowhere(surface);
        let cut = Cut { rgb: &rgb, width: 8, height: 6, part: [0, 0, 8, 6], decoded: Some(&picture) };
        Batch::new(&[cut], DEVICE).unwrap().staged.is_empty()
    };
    assert!(on_device(here));
    assert!(!on_device(Surface { device: 0, ..here }));
    assert!(!on_device(Surface { orientation: 1, ..here }));
    assert!(!on_device(Surface { width: 6, ..here }));
    assert!(!on_device(Surface { layout: YuvLayout::I420, ..here }));
}

#[test]
fn senseless_cuts_are_refused() {
    assert_eq!(Batch::new(&[], 0).unwrap_err().name(), "invalid_argument");
    let rgb = noise(4 * 4 * 3, 1);
    for part in [[0, 0, 0, 4], [1, 0, 4, 4], [0, 5, 1, 1], [usize::MAX, 0, 1, 1]] {
        let cut = Cut { rgb: &rgb, width: 4, height: 4, part, decoded: None };
        assert_eq!(Batch::new(&[cut], 0).unwrap_err().name(), "invalid_argument", "{part:?}");
    }
    let cut = Cut { rgb: &rgb[1..], width: 4, height: 4, part: [0, 0, 4, 4], decoded: None };
    assert!(Batch::new(&[cut], 0).is_err());
    let whole = Cut { rgb: &rgb, ..cut };
    assert!(Batch::new(&[whole], 0).unwrap().resized_to(0, Filter::Bilinear).is_err());
}

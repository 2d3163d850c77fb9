//! `face.cu` against a plain version of itself: every float the same to the last bit.

use half::{bf16, f16};
use proptest::prelude::*;

use super::frames::{put_frames, Format, Source, Storage};
use super::program::{Kernel, Launch, Program, Structure};

#[derive(Debug, Clone)]
struct Face {
    matrix: [f32; 6],
    frame: usize,
}

#[derive(Debug, Clone)]
struct Target {
    width: usize,
    height: usize,
    taps: usize,
    is_black_outside: bool,
    /// 1: f32, 2: f16, 3: bf16.
    element: usize,
    scale: [f32; 3],
    shift: [f32; 3],
}

fn launch(sources: &[Source], faces: &[Face], target: &Target) -> Launch {
    let pixels = target.width * target.height;
    let mut launch = Launch::new(Kernel::FaceBatch, [pixels.div_ceil(256), faces.len(), 1]);
    let frames = put_frames(&mut launch, sources, |_| (0, 0));
    let descriptors = faces
        .iter()
        .enumerate()
        .map(|(output, face)| Structure::new().floats(&face.matrix).ints(&[face.frame as i32, output as i32]));
    let descriptors = launch.structures(descriptors);
    let output = launch.output(faces.len() * 3 * pixels * if target.element == 1 { 4 } else { 2 });
    let numbers = [faces.len(), target.width, target.height, target.taps, usize::from(!target.is_black_outside)];
    let parameters = Structure::new().address(frames.descriptors).address(descriptors).address(frames.chroma);
    let parameters = parameters.address(frames.colors).address(output).floats(&target.scale).floats(&target.shift);
    launch.parameters(parameters.ints(&numbers.map(|number| number as i32)).ints(&[target.element as i32]));
    launch
}

/// The colour at `(x, y)` of an RGB picture, where pixel centres lie at halves.
fn sample(rgb: &[u8], (width, height): (usize, usize), x: f32, y: f32, is_black_outside: bool) -> [f32; 3] {
    let is_inside = x >= 0.0 && y >= 0.0 && x < width as f32 && y < height as f32;
    if is_black_outside && !is_inside {
        return [0.0; 3];
    }
    let x = (x - 0.5).max(0.0).min(width as f32 - 1.0);
    let y = (y - 0.5).max(0.0).min(height as f32 - 1.0);
    let (left, top) = (x as usize, y as usize);
    let (right, low) = ((left + 1).min(width - 1), (top + 1).min(height - 1));
    let (share_x, share_y) = (x - left as f32, y - top as f32);
    std::array::from_fn(|c| {
        let at = |x: usize, y: usize| f32::from(rgb[(y * width + x) * 3 + c]);
        let mix = |a: f32, b: f32, share: f32| a * (1.0 - share) + b * share;
        mix(mix(at(left, top), at(right, top), share_x), mix(at(left, low), at(right, low), share_x), share_y)
    })
}

fn expected(source: &Source, face: &Face, target: &Target) -> Vec<u8> {
    let rgb = source.upright_rgb();
    let m = face.matrix;
    let taps = target.taps as f32;
    let share = 1.0 / (taps * taps);
    let mut colors = Vec::new();
    for row in 0..target.height {
        for column in 0..target.width {
            let mut sums = [0.0f32; 3];
            for down in 0..target.taps {
                let v = row as f32 + (down as f32 + 0.5) / taps;
                for across in 0..target.taps {
                    let u = column as f32 + (across as f32 + 0.5) / taps;
                    let (x, y) = (m[0] * u + m[1] * v + m[2], m[3] * u + m[4] * v + m[5]);
                    let color = sample(&rgb, source.upright_size(), x, y, target.is_black_outside);
                    (0..3).for_each(|c| sums[c] += color[c]);
                }
            }
            colors.push(sums);
        }
    }
    let values = (0..3).flat_map(|c| colors.iter().map(move |sums| (c, sums[c] * share)));
    let values = values.map(|(c, level)| level * target.scale[c] + target.shift[c]);
    match target.element {
        1 => values.flat_map(f32::to_le_bytes).collect(),
        2 => values.flat_map(|value| f16::from_f32(value).to_le_bytes()).collect(),
        _ => values.flat_map(|value| bf16::from_f32(value).to_le_bytes()).collect(),
    }
}

fn check(program: &mut Program, sources: &[Source], faces: &[Face], target: &Target) {
    let got = program.run(&launch(sources, faces, target)).remove(0);
    let expected: Vec<u8> = faces.iter().flat_map(|face| expected(&sources[face.frame], face, target)).collect();
    assert_eq!(got.len(), expected.len());
    let differing = got.iter().zip(&expected).filter(|(a, b)| a != b).count();
    assert_eq!(differing, 0, "{faces:?} {target:?}");
}

/// Turned and scaled about a point of the picture, or anything at all.
fn any_matrix() -> impl Strategy<Value = [f32; 6]> {
    let turned = (-4.0f32..4.0, 0.05f32..6.0, -20.0f32..150.0, -20.0f32..150.0).prop_map(|(angle, scale, x, y)| {
        let (sin, cos) = angle.sin_cos();
        [scale * cos, -scale * sin, x, scale * sin, scale * cos, y]
    });
    prop_oneof![4 => turned, 1 => any::<[f32; 6]>()]
}

fn any_target() -> impl Strategy<Value = Target> {
    // Factors that put values into every range of half precision, the smallest and the overflow among them.
    let factor = prop_oneof![Just(1.0f32), Just(1.0 / 255.0), Just(1e-7), Just(3e-5), Just(1e4), -2.0f32..2.0];
    let shape = (1usize..40, 1usize..40, 1usize..5);
    (shape, any::<bool>(), 1usize..4, [factor.clone(), factor.clone(), factor], any::<bool>()).prop_map(
        |((width, height, taps), is_black_outside, element, scale, is_shifted)| {
            let shift = if is_shifted { [-1.5, 0.25, 7.0] } else { [0.0; 3] };
            Target { width, height, taps, is_black_outside, element, scale, shift }
        },
    )
}

#[test]
fn any_face_is_the_same_to_the_last_bit() {
    let Some(program) = Program::start() else { return };
    let program = std::cell::RefCell::new(program);
    proptest!(ProptestConfig::with_cases(32), |(
        sources in prop::collection::vec(Source::any(120), 1..3),
        matrices in prop::collection::vec((any_matrix(), any::<prop::sample::Index>()), 1..4),
        target in any_target(),
    )| {
        let face = |(matrix, frame): &([f32; 6], prop::sample::Index)| Face { matrix: *matrix, frame: frame.index(sources.len()) };
        let faces: Vec<Face> = matrices.iter().map(face).collect();
        check(&mut program.borrow_mut(), &sources, &faces, &target);
    });
}

#[test]
fn what_is_no_number_reads_a_pixel_or_black() {
    let Some(mut program) = Program::start() else { return };
    let sources = [Source::noise(Format::I420, 33, 21, Storage::default(), 4)];
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX] {
        for is_black_outside in [false, true] {
            let target =
                Target { width: 3, height: 2, taps: 2, is_black_outside, element: 1, scale: [1.0; 3], shift: [0.0; 3] };
            let faces =
                [Face { matrix: [value; 6], frame: 0 }, Face { matrix: [1.0, 0.0, value, 0.0, 1.0, 3.0], frame: 0 }];
            check(&mut program, &sources, &faces, &target);
        }
    }
}

/// The matrix that changes nothing gives the pixels.
#[test]
fn the_identity_is_the_picture() {
    let Some(mut program) = Program::start() else { return };
    let sources = [Source::noise(Format::Bgra, 40, 30, Storage::default(), 6)];
    let faces = [Face { matrix: [1.0, 0.0, 0.0, 0.0, 1.0, 0.0], frame: 0 }];
    let (scale, shift) = ([1.0; 3], [0.0; 3]);
    let target = Target { width: 40, height: 30, taps: 1, is_black_outside: true, element: 1, scale, shift };
    let got = super::program::floats(&program.run(&launch(&sources, &faces, &target)).remove(0));
    let rgb = sources[0].upright_rgb();
    for (at, level) in rgb.iter().enumerate() {
        assert_eq!(got[(at % 3) * 1200 + at / 3], f32::from(*level));
    }
}

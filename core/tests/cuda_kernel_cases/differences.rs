//! `difference.cu` against the definition of its score.

use proptest::prelude::*;

use super::frames::{put_frames, Crop, Format, Source, Storage};
use super::program::{floats, Kernel, Launch, Program, Structure};

const BLOCKS: usize = 32;

/// Both launches; one score for each pair of neighbours.
fn scores(program: &mut Program, sources: &[Source]) -> Vec<f32> {
    let pairs = sources.len().saturating_sub(1);
    let parameters = |frames: usize, sums: usize, scores: usize| {
        Structure::new().address(frames).address(sums).address(scores).longs(&[pairs as i64])
    };
    let mut launch = Launch::new(Kernel::DifferenceSums, [BLOCKS, pairs, 1]);
    let frames = put_frames(&mut launch, sources, |_| (0, 0)).descriptors;
    let sums = launch.output(pairs * BLOCKS * 8);
    let unused = launch.input(Vec::new());
    launch.parameters(parameters(frames, sums, unused));
    let partial = program.run(&launch).remove(0);

    let mut launch = Launch::new(Kernel::DifferenceScores, [pairs, 1, 1]);
    let frames = put_frames(&mut launch, sources, |_| (0, 0)).descriptors;
    let sums = launch.input(partial);
    let scores = launch.output(pairs * 4);
    launch.parameters(parameters(frames, sums, scores));
    floats(&program.run(&launch).remove(0))
}

/// The mean over the part that both crops have, in levels.
fn expected(a: &Source, b: &Source) -> f32 {
    let (width, height) = (a.crop.width.min(b.crop.width), a.crop.height.min(b.crop.height));
    let part = |source: &Source| {
        let luma = source.cropped_luma();
        let rows = luma.chunks_exact(source.crop.width).take(height);
        rows.flat_map(|row| &row[..width]).copied().collect::<Vec<i64>>()
    };
    let sum: i64 = part(a).iter().zip(part(b)).map(|(a, b)| (a - b).abs()).sum();
    (sum as f64 / (4.0 * (width * height) as f64)) as f32
}

#[test]
fn any_frames_have_the_defined_scores() {
    let Some(program) = Program::start() else { return };
    let program = std::cell::RefCell::new(program);
    proptest!(ProptestConfig::with_cases(48), |(sources in prop::collection::vec(Source::any(200), 1..5))| {
        let got = scores(&mut program.borrow_mut(), &sources);
        let expected: Vec<f32> = sources.windows(2).map(|pair| expected(&pair[0], &pair[1])).collect();
        prop_assert_eq!(got, expected);
    });
}

#[test]
fn the_changed_frame_stands_out() {
    let Some(mut program) = Program::start() else { return };
    let plain = |level: u8| Source::rgb24(&[level; 30 * 20 * 3], 30, 20);
    let got = scores(&mut program, &[plain(10), plain(10), plain(60), plain(59)]);
    assert_eq!(got, [0.0, 50.0, 1.0]);
}

#[test]
fn large_sums_do_not_overflow() {
    let Some(mut program) = Program::start() else { return };
    // 1020 quarters of a level for each pixel: more than 32 bits hold.
    let (width, height) = (2304, 2000);
    let black = Source::rgb24(&vec![0; width * height * 3], width, height);
    let white = Source::rgb24(&vec![255; width * height * 3], width, height);
    assert_eq!(scores(&mut program, &[black, white]), [255.0]);
}

#[test]
fn nothing_to_compare_is_no_score() {
    let Some(mut program) = Program::start() else { return };
    assert_eq!(scores(&mut program, &[]), [0.0f32; 0]);
    let mut source = Source::noise(Format::Nv12, 20, 20, Storage::default(), 1);
    assert_eq!(scores(&mut program, std::slice::from_ref(&source)), [0.0f32; 0]);
    source.crop = Crop { left: 19, top: 19, width: 1, height: 1 };
    assert_eq!(scores(&mut program, &[source.clone(), source]), [0.0]);
}

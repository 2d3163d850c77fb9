//! `audio.cu` against `preprocess::zero_mean_unit_variance` and Whisper's `LogMel`.

use emotion_llama_core::encoders::whisper::LogMel;
use emotion_llama_core::preprocess::zero_mean_unit_variance;
use emotion_llama_core::CancelToken;
use proptest::prelude::*;

use super::frames::Noise;
use super::program::{floats, Kernel, Launch, Program, Structure};

/// Largest difference of floats.
const BUDGET: f32 = 1e-6;
/// Largest difference from `LogMel` on speech. It transforms in f32, which is 2e-5 from the definition in quiet bands beside loud ones; the
/// kernel is not.
const TRANSFORM_BUDGET: f32 = 1e-4;

const SOUND_BLOCKS: usize = 64;
const MEL_CLAMP_BLOCKS: usize = 64;
const MEL_FRAMES: usize = 4;
const BANDS: usize = 80;
const WINDOW: usize = 400;
const HOP: usize = 160;

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// The recordings' descriptors, with buffers for their outputs.
fn put_recordings(launch: &mut Launch, recordings: &[Vec<f32>], outputs: Vec<Vec<u8>>) -> usize {
    let mut first_frame = 0;
    let mut descriptors = Vec::new();
    for (samples, output) in recordings.iter().zip(outputs) {
        let (input, output) = (launch.input(bytes(samples)), launch.changed(output));
        let numbers = [samples.len() as i64, first_frame];
        descriptors.push(Structure::new().address(input).address(output).longs(&numbers));
        first_frame += (samples.len() / HOP) as i64;
    }
    launch.structures(descriptors)
}

fn normalised(program: &mut Program, recordings: &[Vec<f32>]) -> Vec<Vec<f32>> {
    let mut partials = vec![0xcd; recordings.len() * 2 * SOUND_BLOCKS * 8];
    let mut outputs = Vec::new();
    for kernel in [Kernel::SoundSums, Kernel::SoundSquares, Kernel::SoundNormalise] {
        let mut launch = Launch::new(kernel, [SOUND_BLOCKS, recordings.len(), 1]);
        let buffer = launch.changed(partials);
        let unset = recordings.iter().map(|samples| vec![0xcd; samples.len() * 4]).collect();
        let descriptors = put_recordings(&mut launch, recordings, unset);
        let count = recordings.len() as i64;
        launch.parameters(Structure::new().address(descriptors).address(buffer).longs(&[count]));
        let mut answers = program.run(&launch);
        partials = answers.remove(0);
        outputs = answers;
    }
    outputs.iter().map(|output| floats(output)).collect()
}

/// The three launches of log-mel.
fn log_mel(program: &mut Program, recordings: &[Vec<f32>]) -> Vec<Vec<f32>> {
    let tables = LogMel::new();
    let frames = |samples: &Vec<f32>| samples.len() / HOP;
    let most = recordings.iter().map(frames).max().unwrap_or(0);
    let all: usize = recordings.iter().map(frames).sum();
    let (mut maxima, mut loudest) = (vec![0xcd; all * 4], vec![0xcd; recordings.len() * 4]);
    let mut outputs: Vec<Vec<u8>> = recordings.iter().map(|samples| vec![0xcd; frames(samples) * BANDS * 4]).collect();
    for (kernel, grid) in [
        (Kernel::LogMelFrames, [most.div_ceil(MEL_FRAMES), recordings.len(), 1]),
        (Kernel::LogMelLoudest, [recordings.len(), 1, 1]),
        (Kernel::LogMelClamp, [MEL_CLAMP_BLOCKS, recordings.len(), 1]),
    ] {
        let mut launch = Launch::new(kernel, grid);
        let (maxima_at, loudest_at) = (launch.changed(maxima), launch.changed(loudest));
        let descriptors = put_recordings(&mut launch, recordings, outputs);
        let window = launch.input(bytes(tables.window()));
        let step = 2.0 * std::f64::consts::PI / WINDOW as f64;
        let cosines = (0..WINDOW).flat_map(|i| (step * i as f64).cos().to_le_bytes()).collect();
        let cosines = launch.input(cosines);
        let (mut bands, mut weights) = (Vec::new(), Vec::new());
        for (first, band) in tables.bands() {
            bands.push(Structure::new().ints(&[first as i32, band.len() as i32, weights.len() as i32]));
            weights.extend(band);
        }
        let (bands, weights) = (launch.structures(bands), launch.input(bytes(&weights)));
        let parameters = [descriptors, window, cosines, bands, weights, maxima_at, loudest_at];
        let parameters = parameters.into_iter().fold(Structure::new(), Structure::address);
        launch.parameters(parameters.longs(&[recordings.len() as i64]));
        let mut answers = program.run(&launch);
        (maxima, loudest) = (answers.remove(0), answers.remove(0));
        outputs = answers;
    }
    outputs.iter().map(|output| floats(output)).collect()
}

/// Log-mel by its definition, in f64 up to the logarithm.
fn defined_log_mel(samples: &[f32]) -> Vec<f32> {
    let tables = LogMel::new();
    let last = samples.len() as isize - 1;
    let mirrored = |at: isize| {
        let at = if last > 0 { at.rem_euclid(2 * last) } else { 0 };
        samples[(if at > last { 2 * last - at } else { at }) as usize]
    };
    let step = 2.0 * std::f64::consts::PI / WINDOW as f64;
    let waves: Vec<(f64, f64)> = (0..WINDOW).map(|i| (step * i as f64).sin_cos()).collect();
    let mut values = Vec::new();
    for frame in 0..samples.len() / HOP {
        let start = (frame * HOP) as isize - (WINDOW / 2) as isize;
        let windowed = tables.window().iter().enumerate().map(|(i, window)| {
            let sample = mirrored(start + i as isize);
            f64::from(if sample.is_finite() { sample.clamp(-1e6, 1e6) * window } else { 0.0 })
        });
        let windowed: Vec<f64> = windowed.collect();
        let power = |bin: usize| {
            let terms = windowed.iter().enumerate().map(|(i, x)| (x, waves[bin * i % WINDOW]));
            let (imaginary, real) = terms.fold((0.0, 0.0), |(a, b), (x, (sin, cos))| (a + x * sin, b + x * cos));
            real * real + imaginary * imaginary
        };
        let power: Vec<f64> = (0..=WINDOW / 2).map(power).collect();
        for (first, weights) in tables.bands() {
            let energy: f64 =
                weights.iter().zip(&power[first..]).map(|(weight, power)| f64::from(*weight) * power).sum();
            values.push(energy.max(1e-10).log10() as f32);
        }
    }
    let floor = values.iter().copied().fold(-10.0f32, f32::max) - 8.0;
    values.iter().map(|value| (value.max(floor) + 4.0) / 4.0).collect()
}

/// The largest difference.
fn distance(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let worst = |worst: f32, difference: f32| if difference.is_nan() { f32::NAN } else { worst.max(difference) };
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, worst)
}

/// Lengths and kinds of sound: silence, noise, a tone, a loud bang in silence.
fn any_recording(longest: usize) -> impl Strategy<Value = Vec<f32>> {
    let length = prop_oneof![1 => 0usize..3, 1 => 158usize..163, 1 => 398usize..403, 3 => 0..longest];
    (length, 0usize..5, any::<u64>()).prop_map(|(length, kind, seed)| {
        let mut noise = Noise::new(seed);
        let sample = |at: usize| match kind {
            0 => 0.0,
            1 => noise.sample(),
            2 => 0.3 + 0.001 * noise.sample(),
            3 => (at as f32 * 0.17).sin() * 0.5,
            _ => f32::from(at == length / 2),
        };
        (0..length).map(sample).collect()
    })
}

fn speech(name: &str) -> Vec<f32> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/speech").join(name);
    let bytes = std::fs::read(path).unwrap();
    bytes[44..].chunks_exact(2).map(|b| f32::from(i16::from_le_bytes([b[0], b[1]])) / 32768.0).collect()
}

#[test]
fn any_recording_gets_zero_mean_and_unit_variance() {
    let Some(program) = Program::start() else { return };
    let program = std::cell::RefCell::new(program);
    proptest!(ProptestConfig::with_cases(12), |(recordings in prop::collection::vec(any_recording(40_000), 0..4))| {
        let got = normalised(&mut program.borrow_mut(), &recordings);
        for (got, samples) in got.iter().zip(&recordings) {
            let expected = zero_mean_unit_variance(samples).unwrap();
            // Relative to what is larger than 1: a bang in silence is 200 deviations high.
            let largest = expected.iter().fold(1.0f32, |largest, value| largest.max(value.abs()));
            prop_assert!(distance(got, &expected) <= BUDGET * largest);
        }
    });
}

#[test]
fn any_recording_has_the_defined_log_mel() {
    let Some(program) = Program::start() else { return };
    let program = std::cell::RefCell::new(program);
    proptest!(ProptestConfig::with_cases(16), |(recordings in prop::collection::vec(any_recording(6000), 0..4))| {
        let got = log_mel(&mut program.borrow_mut(), &recordings);
        for (got, samples) in got.iter().zip(&recordings) {
            prop_assert!(distance(got, &defined_log_mel(samples)) <= BUDGET);
        }
    });
}

#[test]
fn samples_that_are_not_finite_count_as_silence() {
    let Some(mut program) = Program::start() else { return };
    let mut noise = Noise::new(1);
    let mut samples: Vec<f32> = (0..1600).map(|_| noise.sample()).collect();
    (samples[300], samples[301], samples[800], samples[801]) = (f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e30);
    let got = log_mel(&mut program, std::slice::from_ref(&samples)).remove(0);
    assert!(distance(&got, &defined_log_mel(&samples)) <= BUDGET);
}

#[test]
fn speech_has_whispers_log_mel() {
    let Some(mut program) = Program::start() else { return };
    for name in ["english.wav", "german.wav"] {
        let samples = speech(name);
        let got = log_mel(&mut program, std::slice::from_ref(&samples)).remove(0);
        let defined = distance(&got, &defined_log_mel(&samples));
        let host = distance(&got, &LogMel::new().compute(&samples, &CancelToken::new()).unwrap().data);
        println!("log-mel of {name}: {defined:.1e} from the definition, {host:.1e} from the transform in f32");
        assert!(defined <= BUDGET);
        assert!(host <= TRANSFORM_BUDGET);
    }
}

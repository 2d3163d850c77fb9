//! On a machine with a device; elsewhere they say that they were skipped.

use super::audio::UnitVariance;
use super::batch::Cut;
use super::devices::{list, place};
use super::differences::Differences;
use super::faces::Faces;
use super::log_mel::DeviceLogMel;
use super::pictures::{Levels, Pictures};
use crate::cancel::CancelToken;
use crate::device::{download, DType, Device, Place};
use crate::encoders::whisper::LogMel;
use crate::media::{self, Frame, Limits, Sampling, Source};
use crate::placement::GpuInfo;
use crate::preprocess::{clip_picture, unit_picture, zero_mean_unit_variance, Filter};

fn device() -> Option<GpuInfo> {
    match list() {
        Ok(devices) => devices.into_iter().next(),
        Err(reason) => {
            println!("SKIPPED: {reason}");
            None
        }
    }
}

/// A picture whose pixels differ from each other.
fn picture(width: usize, height: usize) -> Vec<u8> {
    (0..width * height * 3).map(|i| (i * 7919 % 251 + i / 3 % 5) as u8).collect()
}

#[test]
fn pictures_are_those_of_the_processor() {
    let Some(gpu) = device() else { return };
    let in_f16 = place(&gpu).unwrap();
    let in_f32 = Place::new(in_f16.device().clone(), DType::F32).unwrap();
    let pictures = Pictures::new(&in_f32).unwrap().expect("a CUDA device");
    for (width, height, side) in [(1, 1, 14), (3, 2, 14), (641, 361, 224), (1920, 1080, 448), (224, 224, 224)] {
        let rgb = picture(width, height);
        let whole = Cut { rgb: &rgb, width, height, part: [0, 0, width, height], decoded: None };
        // Twice, so that a batch is more than one picture.
        let clip = pictures.make(&[whole, whole], side, Filter::Bicubic, Levels::Clip).unwrap();
        let expected = clip_picture(&rgb, width, height, side).unwrap();
        assert_eq!(download(&clip).unwrap(), [expected.clone(), expected].concat(), "{width} x {height} to {side}");
        let unit = pictures.make(&[whole], side, Filter::Bilinear, Levels::Unit).unwrap();
        assert_eq!(download(&unit).unwrap(), unit_picture(&rgb, width, height, side).unwrap());
    }
}

#[test]
fn a_part_is_resized_by_itself() {
    let Some(gpu) = device() else { return };
    let pictures =
        Pictures::new(&Place::new(place(&gpu).unwrap().device().clone(), DType::F32).unwrap()).unwrap().unwrap();
    let (width, height, part) = (97, 61, [13, 7, 41, 41]);
    let rgb = picture(width, height);
    let inner: Vec<u8> = (7..48).flat_map(|y| rgb[(y * width + 13) * 3..][..41 * 3].to_vec()).collect();
    let made = pictures
        .make(&[Cut { rgb: &rgb, width, height, part, decoded: None }], 56, Filter::Bilinear, Levels::Unit)
        .unwrap();
    assert_eq!(download(&made).unwrap(), unit_picture(&inner, 41, 41, 56).unwrap());
}

#[test]
fn a_part_outside_of_its_picture_is_refused() {
    let Some(gpu) = device() else { return };
    let pictures = Pictures::new(&place(&gpu).unwrap()).unwrap().unwrap();
    let rgb = picture(4, 4);
    for part in [[0, 0, 0, 4], [1, 0, 4, 4], [0, 5, 1, 1], [usize::MAX, 0, 1, 1]] {
        let error = pictures.make(
            &[Cut { rgb: &rgb, width: 4, height: 4, part, decoded: None }],
            2,
            Filter::Bilinear,
            Levels::Unit,
        );
        assert_eq!(error.unwrap_err().name(), "invalid_argument", "{part:?}");
    }
}

/// Without a device as well: then the decoder that was to have one does as always.
#[test]
fn what_the_device_decodes_is_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let gpu = device();
    for (name, size, codec) in [
        ("plain.mp4", "320x180", &["-c:v", "libx264"][..]),
        ("turned.mp4", "320x180", &["-c:v", "libx264", "-metadata:s:v:0", "rotate=90"]),
        ("ten_bits.mp4", "320x180", &["-c:v", "libx265", "-x265-params", "log-level=none", "-pix_fmt", "yuv420p10le"]),
        ("vp9.webm", "320x180", &["-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8"]),
        // Neither of these is left to a device.
        ("odd.mp4", "321x181", &["-c:v", "libx264", "-pix_fmt", "yuv444p"]),
        ("mpeg4.avi", "320x180", &["-c:v", "mpeg4"]),
    ] {
        let path = dir.path().join(name);
        let video = format!("testsrc2=size={size}:rate=25:duration=1");
        let made = std::process::Command::new("ffmpeg")
            .args(["-nostdin", "-v", "error", "-f", "lavfi", "-i", &video, "-pix_fmt", "yuv420p"])
            .args(codec)
            .arg(&path)
            .status();
        assert!(made.unwrap().success(), "{name}");
        let decode = |gpu: Option<usize>| {
            let sampling = Sampling { pairs: 2, gpu, ..Sampling::default() };
            media::decode(&Source::from(path.as_path()), &sampling, &Limits::default(), &CancelToken::new()).unwrap()
        };
        let (expected, found) = (decode(None), decode(Some(gpu.as_ref().map_or(0, |gpu| gpu.index))));
        assert!(found.frames.len() > 4 && found.frames.len() == expected.frames.len(), "{name}");
        assert_eq!(found.pairs, expected.pairs, "{name}");
        for (found, expected) in found.frames.iter().zip(&expected.frames) {
            assert_eq!((found.index, found.time_s), (expected.index, expected.time_s), "{name}");
            assert_eq!((found.width, found.height), (expected.width, expected.height), "{name}");
            assert!(found.rgb == expected.rgb, "{name}, frame {}", found.index);
        }
        let Some(gpu) = &gpu else { continue };
        let pictures = Pictures::new(&Place::new(place(gpu).unwrap().device().clone(), DType::F32).unwrap());
        let pictures = pictures.unwrap().unwrap();
        let kept = found.frames.iter().filter(|frame| frame.on_device.is_some()).count();
        println!("{name}: {kept} of {} pictures stayed on the device", found.frames.len());
        for Frame { width, height, rgb, on_device, .. } in found.frames {
            let decoded = on_device.as_deref();
            let cut = Cut { rgb: &rgb, width, height, part: [0, 0, width, height], decoded };
            let made = pictures.make(&[cut], 224, Filter::Bicubic, Levels::Clip).unwrap();
            assert!(download(&made).unwrap() == clip_picture(&rgb, width, height, 224).unwrap(), "{name}");
        }
    }
}

fn stream(gpu: &GpuInfo) -> std::sync::Arc<cudarc::driver::CudaStream> {
    let place = place(gpu).unwrap();
    let Device::Cuda(device) = place.device() else { panic!("another device") };
    device.cuda_stream()
}

/// A tone that fades, with a click in it.
fn sound(length: usize) -> Vec<f32> {
    let sample = |i: usize| (i as f32 * 0.17).sin() * (-(i as f32) / 9000.0).exp() + f32::from(i == 777) * 0.9;
    (0..length).map(sample).collect()
}

fn distance(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn recordings_get_unit_variance_as_on_the_processor() {
    let Some(gpu) = device() else { return };
    let unit_variance = UnitVariance::new(&place(&gpu).unwrap()).unwrap().expect("a CUDA device");
    for length in [1, 2, 400, 16_000, 960_001] {
        let samples = sound(length);
        let expected = zero_mean_unit_variance(&samples).unwrap();
        let largest = expected.iter().fold(1.0f32, |largest, value| largest.max(value.abs()));
        let found = download(&unit_variance.make(&samples).unwrap()).unwrap();
        assert!(distance(&found, &expected) <= 1e-6 * largest, "{length} samples");
    }
    assert_eq!(unit_variance.make(&[]).unwrap_err().name(), "invalid_argument");
}

#[test]
fn spectrograms_are_those_of_the_processor() {
    let Some(gpu) = device() else { return };
    let log_mel = DeviceLogMel::new(stream(&gpu)).unwrap();
    for length in [0, 159, 160, 1601, 48_000] {
        let samples = sound(length);
        let expected = LogMel::new().compute(&samples, &CancelToken::new()).unwrap().data;
        // The processor transforms in f32.
        assert!(distance(&log_mel.make(&samples).unwrap(), &expected) <= 1e-4, "{length} samples");
    }
}

#[test]
fn differences_are_those_of_luma() {
    let Some(gpu) = device() else { return };
    let differences = Differences::new(stream(&gpu)).unwrap();
    let (width, height) = (61, 37);
    let darker = |times: u8| picture(width, height).iter().map(|level| level.wrapping_mul(times)).collect();
    let pictures: Vec<Vec<u8>> = (1..4).map(darker).collect();
    let cuts = pictures.iter().map(|rgb| Cut { rgb, width, height, part: [3, 2, 50, 31], decoded: None });
    let found = differences.make(&cuts.collect::<Vec<_>>()).unwrap();
    let luma = |rgb: &[u8], x: usize, y: usize| {
        let pixel = &rgb[(y * width + x) * 3..][..3];
        (77 * i64::from(pixel[0]) + 150 * i64::from(pixel[1]) + 29 * i64::from(pixel[2])) >> 6
    };
    let expected = pictures.windows(2).map(|pair| {
        let places = (2..33).flat_map(|y| (3..53).map(move |x| (x, y)));
        let sum: i64 = places.map(|(x, y)| (luma(&pair[0], x, y) - luma(&pair[1], x, y)).abs()).sum();
        (sum as f64 / (4.0 * 50.0 * 31.0)) as f32
    });
    assert_eq!(found, expected.collect::<Vec<f32>>());
    assert!(found.iter().all(|score| *score > 0.0));
    assert!(differences.make(&[]).unwrap().is_empty());
}

#[test]
fn faces_are_turned_and_cut_out() {
    let Some(gpu) = device() else { return };
    let faces = Faces::new(stream(&gpu)).unwrap();
    let (width, height, side) = (30, 20, 8);
    let rgb = picture(width, height);
    let whole = Cut { rgb: &rgb, width, height, part: [0, 0, width, height], decoded: None };
    // As it lies, with a corner at (5, 4); and a quarter turned, columns of the crop going down in the picture.
    let matrices = [([1.0, 0.0, 5.0, 0.0, 1.0, 4.0], 0), ([0.0, 1.0, 16.0, 1.0, 0.0, 7.0], 1)];
    let found = faces.make(&[whole, whole], &matrices, side, 1).unwrap();
    let at = |x: usize, y: usize, c: usize| f32::from(rgb[(y * width + x) * 3 + c]);
    let mut expected = Vec::new();
    for turned in [false, true] {
        for (c, v, u) in (0..3).flat_map(|c| (0..side).flat_map(move |v| (0..side).map(move |u| (c, v, u)))) {
            expected.push(if turned { at(16 + v, 7 + u, c) } else { at(5 + u, 4 + v, c) });
        }
    }
    assert_eq!(found, expected);
}

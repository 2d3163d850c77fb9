//! On a machine with a device; elsewhere they say that they were skipped.

use super::devices::{list, place};
use super::pictures::{Cut, Levels, Pictures};
use crate::device::{download, DType, Place};
use crate::placement::GpuInfo;
use crate::preprocess::{clip_picture, unit_picture, Filter};

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
        let whole = Cut { rgb: &rgb, width, height, part: [0, 0, width, height] };
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
    let made = pictures.make(&[Cut { rgb: &rgb, width, height, part }], 56, Filter::Bilinear, Levels::Unit).unwrap();
    assert_eq!(download(&made).unwrap(), unit_picture(&inner, 41, 41, 56).unwrap());
}

#[test]
fn a_part_outside_of_its_picture_is_refused() {
    let Some(gpu) = device() else { return };
    let pictures = Pictures::new(&place(&gpu).unwrap()).unwrap().unwrap();
    let rgb = picture(4, 4);
    for part in [[0, 0, 0, 4], [1, 0, 4, 4], [0, 5, 1, 1], [usize::MAX, 0, 1, 1]] {
        let error = pictures.make(&[Cut { rgb: &rgb, width: 4, height: 4, part }], 2, Filter::Bilinear, Levels::Unit);
        assert_eq!(error.unwrap_err().name(), "invalid_argument", "{part:?}");
    }
}

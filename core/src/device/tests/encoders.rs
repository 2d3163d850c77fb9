//! The encoders on their tiny files.

use std::path::Path;

use candle_core::Tensor;

use super::{assert_near, place, DType, F16_ERROR, F32_ERROR};
use crate::cancel::CancelToken;
use crate::encoders::eva::EvaViT;
use crate::encoders::hubert::Hubert;
use crate::encoders::mae::Mae;
use crate::encoders::tests::{all, hubert, wave, Meta};
use crate::encoders::videomae::VideoMae;
use crate::encoders::Observer;
use crate::error::{ErrorKind, Result};

/// An encoder, whichever.
enum Encoder {
    Eva(EvaViT),
    Mae(Mae),
    VideoMae(VideoMae),
    Hubert(Hubert),
}

/// Runs `$body` with `$model` bound to the encoder's own type.
macro_rules! each {
    ($encoder:expr, $model:ident => $body:expr) => {
        match $encoder {
            Encoder::Eva($model) => $body,
            Encoder::Mae($model) => $body,
            Encoder::VideoMae($model) => $body,
            Encoder::Hubert($model) => $body,
        }
    };
}

impl Encoder {
    fn open(path: &Path, prefix: &str) -> Self {
        match prefix {
            "eva" => Self::Eva(EvaViT::open(path).unwrap()),
            "mae" => Self::Mae(Mae::open(path).unwrap()),
            "videomae" => Self::VideoMae(VideoMae::open(path).unwrap()),
            _ => Self::Hubert(Hubert::open(path).unwrap()),
        }
    }

    fn moved(mut self, dtype: DType) -> Self {
        each!(&mut self, model => model.move_to_device(&place(dtype)).unwrap());
        self
    }

    fn back(mut self) -> Self {
        each!(&mut self, model => model.move_to_host());
        self
    }

    fn forward(&self, x: &[f32], cancel: &CancelToken) -> Result<Vec<f32>> {
        each!(self, model => model.forward(x, cancel))
    }

    fn observed(&self, x: &[f32], observe: &mut Observer<'_>) -> Vec<f32> {
        each!(self, model => model.forward_observed(x, &CancelToken::new(), observe)).unwrap()
    }
}

/// Every encoder's file, and values that it takes.
fn files(dir: &Path) -> Vec<(&'static str, std::path::PathBuf, Vec<f32>)> {
    let values = |prefix: &str, values: usize| match prefix {
        // One picture: more are a matter of `forward_frames`.
        "mae" => wave(values / 2),
        // More frames than one stretch of the convolutions, and of the positions, has.
        "hubert" => wave(6000),
        _ => wave(values),
    };
    all().map(|(plan, count, _)| (plan.prefix, plan.write(dir), values(plan.prefix, count))).to_vec()
}

#[test]
fn everything_on_the_way_agrees() {
    let dir = tempfile::tempdir().unwrap();
    for (prefix, path, x) in files(dir.path()) {
        let host = Encoder::open(&path, prefix);
        let device = Encoder::open(&path, prefix).moved(DType::F32);
        let [expected, found] = [&host, &device].map(|model| {
            let mut stages = Vec::new();
            let out = model.observed(&x, &mut |name, values| stages.push((name.to_owned(), values.to_vec())));
            stages.push(("output".to_owned(), out));
            stages
        });
        assert_eq!(found.len(), expected.len(), "{prefix}");
        for ((name, found), (expected_name, expected)) in found.iter().zip(&expected) {
            assert_eq!(name, expected_name, "{prefix}");
            assert_near(found, expected, F32_ERROR, &format!("{prefix}, {name}"));
        }
        let (_, output) = found.last().unwrap();
        assert_eq!(&device.forward(&x, &CancelToken::new()).unwrap(), output, "{prefix}: observing changes the output");
    }
}

#[test]
fn half_floats_are_near_and_the_way_back_is_exact() {
    let dir = tempfile::tempdir().unwrap();
    for (prefix, path, x) in files(dir.path()) {
        let cancel = CancelToken::new();
        let expected = Encoder::open(&path, prefix).forward(&x, &cancel).unwrap();
        let half = Encoder::open(&path, prefix).moved(DType::F16);
        let found = half.forward(&x, &cancel).unwrap();
        assert_near(&found, &expected, F16_ERROR, &format!("{prefix}, f16"));
        assert_eq!(half.back().forward(&x, &cancel).unwrap(), expected, "{prefix}");
    }
}

#[test]
fn inputs_are_checked_and_calls_stop() {
    let dir = tempfile::tempdir().unwrap();
    for (prefix, path, mut x) in files(dir.path()) {
        let device = Encoder::open(&path, prefix).moved(DType::F32);
        let stopped = CancelToken::new();
        stopped.cancel();
        assert_eq!(device.forward(&x, &stopped).unwrap_err().kind, ErrorKind::Cancelled, "{prefix}");
        assert_eq!(
            device.forward(&x[..19], &CancelToken::new()).unwrap_err().kind,
            ErrorKind::InvalidArgument,
            "{prefix}"
        );
        x[5] = f32::NAN;
        assert_eq!(device.forward(&x, &CancelToken::new()).unwrap_err().kind, ErrorKind::InvalidArgument, "{prefix}");
    }
}

#[test]
fn pixels_may_lie_on_the_device() {
    let dir = tempfile::tempdir().unwrap();
    let cancel = CancelToken::new();
    for (prefix, path, x) in files(dir.path()) {
        let device = Encoder::open(&path, prefix).moved(DType::F32);
        let shape = [x.len() / (3 * 8 * 8), 3, 8, 8];
        let forward = |model: &Encoder, pixels: &Tensor| match model {
            Encoder::Eva(model) => Some(model.forward_tensor(pixels, &cancel)),
            Encoder::Mae(model) => Some(model.forward_tensor(pixels, &cancel)),
            Encoder::VideoMae(model) => Some(model.forward_tensor(pixels, &cancel)),
            Encoder::Hubert(_) => None,
        };
        let upload = |shape: &[usize], dtype| place(dtype).upload(&x[..shape.iter().product()], shape).unwrap();
        let Some(found) = forward(&device, &upload(&shape, DType::F32)) else { continue };
        assert_eq!(found.unwrap(), device.forward(&x, &cancel).unwrap(), "{prefix}");
        for pixels in [upload(&shape, DType::F16), upload(&[shape[0], 3, 8, 7], DType::F32)] {
            assert_eq!(forward(&device, &pixels).unwrap().unwrap_err().kind, ErrorKind::InvalidArgument, "{prefix}");
        }
        let error = forward(&device.back(), &upload(&shape, DType::F32)).unwrap().unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidArgument, "{prefix}");
    }
}

#[test]
fn a_positional_convolution_of_odd_width_agrees() {
    let dir = tempfile::tempdir().unwrap();
    let mut plan = hubert();
    for meta in &mut plan.metadata {
        if let Meta::Int("pos_conv_kernel", kernel) = meta {
            *kernel = 5;
        }
    }
    let weight = plan.tensors.iter_mut().find(|(name, _)| name == "encoder.pos_conv_embed.conv.weight").unwrap();
    weight.1[2] = 5;
    let path = plan.write(dir.path());
    let x = wave(900);
    let expected = Encoder::open(&path, "hubert").forward(&x, &CancelToken::new()).unwrap();
    let found = Encoder::open(&path, "hubert").moved(DType::F32).forward(&x, &CancelToken::new()).unwrap();
    assert_near(&found, &expected, F32_ERROR, "odd");
}

//! From feature vectors to soft tokens: one small perceptron per feature.

use std::path::Path;

use half::f16;
use safetensors::{Dtype, SafeTensors};

use crate::error::{Error, Result};
use crate::features::Features;
use crate::pack::FeatureSpec;

/// The projectors of a pack, in the pack's order of features.
#[derive(Debug)]
pub struct Projector {
    features: Vec<(FeatureSpec, Perceptron)>,
    hidden: usize,
}

/// `w2 · gelu(w1 · x + b1) + b2`, gelu in its exact form.
#[derive(Debug)]
struct Perceptron {
    first: Linear,
    second: Linear,
}

#[derive(Debug)]
struct Linear {
    /// `[out, in]`, row by row.
    weight: Vec<f32>,
    bias: Vec<f32>,
}

impl Projector {
    /// Reads `projector.NAME.{0,2}.{weight,bias}` for each feature from a pack's adapter file. `hidden` is the language model's width.
    ///
    /// # Errors
    /// `pack_invalid` naming the file and the tensor that is missing or of another shape.
    pub fn open(path: &Path, features: &[FeatureSpec], hidden: usize) -> Result<Self> {
        let at = |error: Error| error.context(path.display());
        let bytes = std::fs::read(path).map_err(|error| at(Error::pack(error.to_string())))?;
        let file =
            SafeTensors::deserialize(&bytes).map_err(|error| at(Error::pack(format!("not safetensors: {error}"))))?;
        let features = features
            .iter()
            .map(|spec| {
                let probe = Features::default().vector(&spec.name);
                if probe.as_ref().map(Vec::len) != Some(spec.width) {
                    return Err(at(Error::pack(format!(
                        "the pack wants a feature {:?} of {} values; this library has no such feature",
                        spec.name, spec.width
                    ))));
                }
                let inner = tensor(&file, &format!("projector.{}.0.bias", spec.name), None).map_err(at)?.len();
                let out = spec.tokens * hidden;
                let linear = |layer: usize, input: usize, output: usize| -> Result<Linear> {
                    let name = format!("projector.{}.{layer}", spec.name);
                    Ok(Linear {
                        weight: tensor(&file, &format!("{name}.weight"), Some(&[output, input])).map_err(at)?,
                        bias: tensor(&file, &format!("{name}.bias"), Some(&[output])).map_err(at)?,
                    })
                };
                let perceptron = Perceptron { first: linear(0, spec.width, inner)?, second: linear(2, inner, out)? };
                Ok((spec.clone(), perceptron))
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Self { features, hidden })
    }

    /// The soft tokens `[tokens, hidden]`, f32, of the feature called `name`; None if the pack has no such feature.
    pub fn soft_tokens(&self, name: &str, features: &Features) -> Option<Vec<f32>> {
        let (spec, perceptron) = self.features.iter().find(|(spec, _)| spec.name == name)?;
        let tokens = perceptron.forward(&features.vector(&spec.name)?);
        debug_assert_eq!(tokens.len(), spec.tokens * self.hidden);
        Some(tokens)
    }
}

impl Perceptron {
    fn forward(&self, input: &[f32]) -> Vec<f32> {
        let mut inner = self.first.forward(input);
        for value in &mut inner {
            *value = gelu(*value);
        }
        self.second.forward(&inner)
    }
}

impl Linear {
    fn forward(&self, input: &[f32]) -> Vec<f32> {
        let rows = self.weight.chunks_exact(input.len());
        rows.zip(&self.bias).map(|(row, bias)| bias + row.iter().zip(input).map(|(w, x)| w * x).sum::<f32>()).collect()
    }
}

fn gelu(x: f32) -> f32 {
    let x = f64::from(x);
    (0.5 * x * (1.0 + candle_core::cpu::erf::erf_f64(x / std::f64::consts::SQRT_2))) as f32
}

fn tensor(file: &SafeTensors<'_>, name: &str, shape: Option<&[usize]>) -> Result<Vec<f32>> {
    let view = file.tensor(name).map_err(|_| Error::pack(format!("tensor {name} is missing")))?;
    if let Some(shape) = shape.filter(|shape| *shape != view.shape()) {
        return Err(Error::pack(format!("tensor {name} has shape {:?}, expected {shape:?}", view.shape())));
    }
    let values: Vec<f32> = match view.dtype() {
        Dtype::F32 => view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
        Dtype::F16 => view.data().chunks_exact(2).map(|b| f16::from_le_bytes([b[0], b[1]]).to_f32()).collect(),
        other => return Err(Error::pack(format!("tensor {name} has type {other:?}, expected F16 or F32"))),
    };
    if values.iter().any(|value| !value.is_finite()) {
        return Err(Error::pack(format!("tensor {name} holds a value that is not a number")));
    }
    Ok(values)
}

//! The built-in model's projectors: one small perceptron per feature.

use std::path::Path;

use candle_core::{Device, Tensor};

use super::{find, load, Linear};
use crate::error::{Error, Result};
use crate::features::Features;
use crate::pack::FeatureSpec;

/// The projectors of a pack, in the pack's order of features.
#[derive(Debug)]
pub struct CueProjector {
    features: Vec<(FeatureSpec, Perceptron)>,
}

/// `w2 · gelu(w1 · x + b1) + b2`, gelu in its exact form.
#[derive(Debug)]
struct Perceptron {
    first: Linear,
    second: Linear,
}

impl CueProjector {
    /// Reads `projector.NAME.{0,2}.{weight,bias}` for each feature from a pack's adapter file. `hidden` is the language model's width.
    ///
    /// # Errors
    /// `pack_invalid` naming the file and the tensor that is missing or of another shape.
    pub fn open(path: &Path, features: &[FeatureSpec], hidden: usize) -> Result<Self> {
        let at = |error: Error| error.context(path.display());
        let tensors = load(path)?;
        let open = |spec: &FeatureSpec| -> Result<(FeatureSpec, Perceptron)> {
            let width = Features::default().vector(&spec.name).map(|vector| vector.len());
            if width != Some(spec.width) {
                return Err(Error::pack(format!(
                    "the pack wants a feature {:?} of {} values; this library has no such feature",
                    spec.name, spec.width
                )));
            }
            let name = |layer: usize| format!("projector.{}.{layer}", spec.name);
            let inner = find(&tensors, &format!("{}.bias", name(0)))?.elem_count();
            let first = Linear::from_file(&tensors, &name(0), spec.width, inner)?;
            let second = Linear::from_file(&tensors, &name(2), inner, spec.tokens * hidden)?;
            Ok((spec.clone(), Perceptron { first, second }))
        };
        Ok(Self { features: features.iter().map(open).collect::<Result<_>>().map_err(at)? })
    }

    /// The soft tokens `[tokens, hidden]`, f32, of the feature called `name`; None if the pack has no such feature.
    ///
    /// # Errors
    /// `internal` if a product fails, which checked shapes rule out.
    pub fn soft_tokens(&self, name: &str, features: &Features) -> Result<Option<Vec<f32>>> {
        let Some((spec, perceptron)) = self.features.iter().find(|(spec, _)| spec.name == name) else {
            return Ok(None);
        };
        let Some(vector) = features.vector(&spec.name) else { return Ok(None) };
        let input = Tensor::from_vec(vector, (1, spec.width), &Device::Cpu)?;
        Ok(Some(perceptron.forward(&input)?.flatten_all()?.to_vec1()?))
    }
}

impl Perceptron {
    fn forward(&self, input: &Tensor) -> Result<Tensor> {
        self.second.forward(&self.first.forward(input)?.gelu_erf()?)
    }
}

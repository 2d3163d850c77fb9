//! The published model's projectors.
//!
//! Follows Emotion-LLaMA's `minigpt_v2.py` (`encode_img`): four neighbouring patch tokens side by side go through `llama_proj`, the
//! vectors of face, motion and voice through `feats_llama_proj1..3`, the picture's class token through `cls_tk_llama_proj`.

use std::path::Path;

use candle_core::{Device, Tensor};

use super::{load, Linear};
use crate::error::{Error, Result};
use crate::features::ClipFeatures;

/// Patch tokens that become one row.
const MERGE: usize = 4;

/// The projectors of a converted pack. Immutable; shared by reference.
#[derive(Debug)]
pub struct PublishedProjector {
    picture: Linear,
    class: Linear,
    /// Face, motion, voice, with their names and widths.
    clip: [(&'static str, usize, Linear); 3],
    token_width: usize,
}

impl PublishedProjector {
    /// Reads the projectors from a pack's adapter file. `hidden` is the language model's width.
    ///
    /// # Errors
    /// `pack_invalid` naming the file and the tensor that is missing or of another shape.
    pub fn open(path: &Path, hidden: usize) -> Result<Self> {
        let at = |error: Error| error.context(path.display());
        let tensors = load(path)?;
        let linear = |name: &str, input| Linear::from_file(&tensors, name, input, hidden).map_err(at);
        let width = |name: &str| -> Result<usize> {
            let weight = super::find(&tensors, &format!("{name}.weight")).map_err(at)?;
            Ok(weight.dims().last().copied().unwrap_or(0))
        };
        let clip = |encoder, name: &str| -> Result<_> {
            let width = width(name)?;
            Ok((encoder, width, linear(name, width)?))
        };
        let token_width = width("cls_tk_llama_proj")?;
        Ok(Self {
            picture: linear("llama_proj", MERGE * token_width)?,
            class: linear("cls_tk_llama_proj", token_width)?,
            clip: [
                clip("mae", "feats_llama_proj1")?,
                clip("videomae", "feats_llama_proj2")?,
                clip("hubert", "feats_llama_proj3")?,
            ],
            token_width,
        })
    }

    /// Values in the vector of each encoder, by name: `mae`, `videomae`, `hubert`.
    pub fn widths(&self) -> [(&'static str, usize); 3] {
        [0, 1, 2].map(|i| (self.clip[i].0, self.clip[i].1))
    }

    /// The rows `[n / 4, hidden]` of the picture's `tokens` `[1 + n, token_width]`, class token first.
    ///
    /// # Errors
    /// `pack_invalid` if the tokens are not one and a multiple of four.
    pub fn picture(&self, tokens: &[f32]) -> Result<Vec<f32>> {
        let patches = tokens.get(self.token_width..).unwrap_or_default();
        let merged = MERGE * self.token_width;
        if patches.is_empty() || !patches.len().is_multiple_of(merged) {
            return Err(Error::pack(format!(
                "the picture has {} values of tokens, expected a class token and fours of {} values",
                tokens.len(),
                self.token_width
            )));
        }
        let input = Tensor::from_slice(patches, (patches.len() / merged, merged), &Device::Cpu)?;
        Ok(self.picture.forward(&input)?.flatten_all()?.to_vec1()?)
    }

    /// The rows `[4, hidden]` of face, motion, voice and of the picture's class token, the first of its `tokens`.
    ///
    /// # Errors
    /// `invalid_argument` if a vector is of another width than its projector takes.
    pub fn features(&self, features: &ClipFeatures, tokens: &[f32]) -> Result<Vec<f32>> {
        let mut rows = Vec::new();
        let vectors = [&features.mae, &features.videomae, &features.hubert];
        for ((encoder, width, linear), vector) in self.clip.iter().zip(vectors) {
            let vector = vector.clone().unwrap_or_else(|| vec![0.0; *width]);
            if vector.len() != *width {
                return Err(Error::invalid_argument(format!(
                    "the {encoder} feature has {} values, the projector takes {width}; was it made by another encoder?",
                    vector.len()
                )));
            }
            let input = Tensor::from_vec(vector, (1, *width), &Device::Cpu)?;
            rows.extend(linear.forward(&input)?.flatten_all()?.to_vec1::<f32>()?);
        }
        let class = tokens.get(..self.token_width).unwrap_or_default().to_vec();
        let input = Tensor::from_vec(class, (1, self.token_width), &Device::Cpu)?;
        rows.extend(self.class.forward(&input)?.flatten_all()?.to_vec1::<f32>()?);
        Ok(rows)
    }
}

//! The main checkpoint: LoRA and projectors.

use std::collections::BTreeMap;

use safetensors::tensor::{Dtype, TensorView};

use super::llama_sizes::LlamaSizes;
use super::sizes::Sizes;
use super::source::{expect, shape, StateDict, TensorSource};
use crate::checkpoint::Object;
use crate::error::{Error, Result};
use crate::kernels::{sgemm, View};

/// Alpha of the published LoRA, where neither the checkpoint nor a configuration says it.
const PUBLISHED_ALPHA: f32 = 16.0;
/// The projections by the names of checkpoint and pack.
const PROJECTIONS: [&str; 5] =
    ["llama_proj", "feats_llama_proj1", "feats_llama_proj2", "feats_llama_proj3", "cls_tk_llama_proj"];

/// The low-rank adapters of a checkpoint.
pub(super) struct Lora<'a> {
    source: &'a dyn TensorSource,
    /// Layer and projection (`q` or `v`) to the names of A and B.
    names: BTreeMap<(usize, String), [String; 2]>,
    pub(super) rank: usize,
    pub(super) alpha: f32,
}

impl<'a> Lora<'a> {
    /// Finds the adapters, in the spelling of old and new versions of peft.
    ///
    /// # Errors
    /// `invalid_argument` naming file and tensor for adapters on other projections, a missing half, or ranks that differ from each
    /// other or from the configuration.
    pub(super) fn find(
        source: &'a dyn TensorSource,
        sizes: &Sizes,
        saved: &SavedConfig<'_>,
        llama: &LlamaSizes,
    ) -> Result<Self> {
        let place = source.place();
        let mut halves: BTreeMap<(usize, String), [Option<String>; 2]> = BTreeMap::new();
        for name in source.names() {
            let Some((layer, projection, half)) = parse(name) else { continue };
            if projection != "q" && projection != "v" {
                return Err(Error::invalid_argument(format!(
                    "{place}: {name:?} adapts another projection than q and v, which Emotion-LLaMA does not"
                )));
            }
            if layer >= llama.num_hidden_layers {
                return Err(Error::invalid_argument(format!(
                    "{place}: {name:?} adapts layer {layer}, the language model has {}; the files do not belong together",
                    llama.num_hidden_layers
                )));
            }
            halves.entry((layer, projection.to_owned())).or_default()[half] = Some(name.to_owned());
        }
        let mut names = BTreeMap::new();
        let mut rank = None;
        for (key, pair) in halves {
            let [Some(a), Some(b)] = pair else {
                return Err(Error::invalid_argument(format!(
                    "{place}: the LoRA of {}_proj in layer {} has only one of its two matrices; the file is cut short",
                    key.1, key.0
                )));
            };
            let found = shape(source, &a)?.first().copied().unwrap_or(0);
            let rank = *rank.get_or_insert(found);
            let out = if key.1 == "q" { llama.num_attention_heads } else { llama.kv_heads() } * llama.head();
            expect(source, &a, &[rank, llama.hidden_size])?;
            expect(source, &b, &[out, rank])?;
            names.insert(key, [a, b]);
        }
        let Some(rank) = rank.filter(|&rank| rank > 0) else {
            return Err(Error::invalid_argument(format!("{place}: holds no LoRA")));
        };
        let every =
            (0..llama.num_hidden_layers).flat_map(|layer| ["q", "v"].map(|projection| (layer, projection.to_owned())));
        if let Some((layer, projection)) = every.into_iter().find(|key| !names.contains_key(key)) {
            return Err(Error::invalid_argument(format!(
                "{place}: has no LoRA of {projection}_proj in layer {layer} of {}; the file is cut short or belongs to another language \
                 model",
                llama.num_hidden_layers
            )));
        }
        let said = saved.uint("lora_r").or(sizes.lora.r);
        if said.is_some_and(|said| said != rank) {
            return Err(Error::invalid_argument(format!(
                "{place}: its LoRA is of rank {rank}, its configuration says {}; the files do not belong together",
                said.unwrap_or(0)
            )));
        }
        let alpha = saved.float("lora_alpha").or(sizes.lora.alpha).unwrap_or(PUBLISHED_ALPHA);
        Ok(Self { source, names, rank, alpha })
    }

    /// Adds the product of layer `layer` and `projection` to its weight, if it is adapted.
    pub(super) fn add(&self, layer: usize, projection: &str, weight: &mut [f32]) -> Result<()> {
        let Some([a, b]) = self.names.get(&(layer, projection.to_owned())) else { return Ok(()) };
        let (a, b) = (read_finite(self.source, a)?, read_finite(self.source, b)?);
        add_product(weight, &b, &a, self.rank, self.alpha / self.rank as f32);
        Ok(())
    }
}

/// `weight += scale * b a`: `weight` `[rows, columns]`, `b` `[rows, rank]`, `a` `[rank, columns]`.
fn add_product(weight: &mut [f32], b: &[f32], a: &[f32], rank: usize, scale: f32) {
    let (rows, columns) = (b.len() / rank, a.len() / rank);
    let mut product = vec![0f32; rows * columns];
    sgemm(&mut product, columns, View::new(b, rows, rank), View::new(a, rank, columns), scale);
    weight.iter_mut().zip(product).for_each(|(w, p)| *w += p);
}

/// Layer, projection (`q_proj` gives `q`) and half (0 for A, 1 for B) of a LoRA tensor's name.
fn parse(name: &str) -> Option<(usize, &str, usize)> {
    let rest = name.split_once(".layers.")?.1;
    let (layer, rest) = rest.split_once('.')?;
    let (module, half) = match rest.split_once(".lora_A.") {
        Some((module, _)) => (module, 0),
        None => (rest.split_once(".lora_B.")?.0, 1),
    };
    let projection = module.rsplit('.').next()?;
    Some((layer.parse().ok()?, projection.strip_suffix("_proj").unwrap_or(projection), half))
}

/// The model's part of the configuration that the training script saved in the checkpoint.
pub(super) struct SavedConfig<'a>(Option<&'a StateDict>);

impl<'a> SavedConfig<'a> {
    /// Of the checkpoint, if it is a real one.
    pub(super) fn of(checkpoint: Option<&'a StateDict>) -> Self {
        Self(checkpoint)
    }

    fn value(&self, key: &str) -> Option<&'a Object> {
        self.0?.checkpoint().value(&format!("config.model.{key}"))
    }

    fn uint(&self, key: &str) -> Option<usize> {
        match self.value(key)? {
            Object::Int(value) => usize::try_from(*value).ok(),
            _ => None,
        }
    }

    fn float(&self, key: &str) -> Option<f32> {
        match self.value(key)? {
            Object::Int(value) => Some(*value as f32),
            Object::Float(value) => Some(*value as f32),
            _ => None,
        }
    }
}

/// Widths that the projectors take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Widths {
    pub(super) hidden: usize,
    pub(super) eva: usize,
    pub(super) hubert: usize,
    pub(super) mae: Option<usize>,
    pub(super) videomae: Option<usize>,
}

/// Checks the projectors against the encoders and the language model.
///
/// # Errors
/// `invalid_argument` naming the tensor, both widths and the encoder that does not fit.
pub(super) fn check(source: &dyn TensorSource, widths: Widths) -> Result<()> {
    let Widths { hidden, eva, .. } = widths;
    expect(source, "llama_proj.weight", &[hidden, 4 * eva])?;
    expect(source, "cls_tk_llama_proj.weight", &[hidden, eva])?;
    let clip = [("mae", widths.mae), ("videomae", widths.videomae), ("hubert", Some(widths.hubert))];
    for (i, (encoder, width)) in clip.into_iter().enumerate() {
        let name = format!("feats_llama_proj{}.weight", i + 1);
        let takes = shape(source, &name)?.get(1).copied().unwrap_or(0);
        if width.is_some_and(|width| width != takes) {
            return Err(Error::invalid_argument(format!(
                "{}: {name:?} takes {takes} values, the {encoder} encoder gives {}; the files do not belong together",
                source.place(),
                width.unwrap_or(0)
            )));
        }
        expect(source, &name, &[hidden, takes])?;
    }
    for name in PROJECTIONS {
        expect(source, &format!("{name}.bias"), &[hidden])?;
    }
    Ok(())
}

/// The projectors, and the LoRA where it is not merged, as safetensors, f32.
///
/// # Errors
/// `invalid_argument` naming the tensor that holds a value that is not a number.
pub(super) fn pack(source: &dyn TensorSource, lora: Option<&Lora<'_>>) -> Result<Vec<u8>> {
    let mut tensors: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
    let mut take = |name: &str, to: String, shape: Vec<usize>| -> Result<()> {
        let values = read_finite(source, name)?;
        tensors.push((to, shape, values.iter().flat_map(|value| value.to_le_bytes()).collect()));
        Ok(())
    };
    for name in PROJECTIONS {
        let weight = format!("{name}.weight");
        let bias = format!("{name}.bias");
        take(&weight, weight.clone(), shape(source, &weight)?.to_vec())?;
        take(&bias, bias.clone(), shape(source, &bias)?.to_vec())?;
    }
    for ((layer, projection), halves) in lora.map(|lora| &lora.names).into_iter().flatten() {
        for (name, half) in halves.iter().zip(["a", "b"]) {
            take(name, format!("lora.{layer}.{projection}.{half}"), shape(source, name)?.to_vec())?;
        }
    }
    let views = tensors.iter().map(|(name, shape, bytes)| {
        TensorView::new(Dtype::F32, shape.clone(), bytes).map(|view| (name.as_str(), view))
    });
    let views = views.collect::<Result<Vec<_>, _>>().map_err(|error| Error::internal(error.to_string()))?;
    safetensors::serialize(views, None).map_err(|error| Error::internal(error.to_string()))
}

/// The values of `name`, all of them numbers.
fn read_finite(source: &dyn TensorSource, name: &str) -> Result<Vec<f32>> {
    let values = source.read(name)?;
    if values.iter().all(|value| value.is_finite()) {
        return Ok(values);
    }
    Err(Error::invalid_argument(format!("{}: tensor {name:?} holds a value that is not a number", source.place())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_of_peft_are_read() {
        let old = "llama_model.base_model.model.model.layers.31.self_attn.q_proj.lora_A.weight";
        let new = "llama_model.base_model.model.model.layers.0.self_attn.v_proj.lora_B.default.weight";
        assert_eq!(parse(old), Some((31, "q", 0)));
        assert_eq!(parse(new), Some((0, "v", 1)));
        assert_eq!(parse("llama_model.model.layers.0.mlp.up_proj.lora_A.weight"), Some((0, "up", 0)));
        assert_eq!(parse("llama_proj.weight"), None);
        assert_eq!(parse("x.layers.0.self_attn.rotary_emb.inv_freq"), None);
    }
}

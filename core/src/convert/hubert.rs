//! HuBERT: from a Hugging Face folder to a pack's file.

use std::path::Path;

use serde::Deserialize;

use super::plan::{GgufPlan, Quantization};
use super::sizes::{check_extents, folder_config};
use super::source::{check_layers, expect, TensorSource};
use crate::error::{Error, Result};
use crate::kernels::WeightType;

/// What `config.json` says of a HuBERT.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct HubertSizes {
    pub(super) hidden_size: usize,
    pub(super) num_hidden_layers: usize,
    pub(super) num_attention_heads: usize,
    pub(super) intermediate_size: usize,
    pub(super) conv_dim: Vec<usize>,
    pub(super) conv_kernel: Vec<usize>,
    pub(super) conv_stride: Vec<usize>,
    #[serde(default = "positions")]
    pub(super) num_conv_pos_embeddings: usize,
    #[serde(default = "groups")]
    pub(super) num_conv_pos_embedding_groups: usize,
    #[serde(default = "eps")]
    pub(super) layer_norm_eps: f32,
    #[serde(default)]
    pub(super) do_stable_layer_norm: bool,
    #[serde(default)]
    pub(super) feat_extract_norm: String,
    #[serde(default)]
    pub(super) model_type: String,
}

fn positions() -> usize {
    128
}

fn groups() -> usize {
    16
}

fn eps() -> f32 {
    1e-5
}

impl HubertSizes {
    /// Reads and checks `config.json` in `dir`.
    ///
    /// # Errors
    /// `not_found` or `invalid_argument` naming the file and what it is instead.
    pub(super) fn read(dir: &Path) -> Result<Self> {
        let wants = "--hubert wants the Hugging Face folder chinese-hubert-large";
        let (path, sizes): (_, Self) = folder_config(dir, "HuBERT", wants)?;
        let bad = |what: String| Error::invalid_argument(format!("{}: {what}", path.display()));
        if sizes.model_type != "hubert" {
            return Err(bad(format!("is a {:?} model, a \"hubert\" is needed", sizes.model_type)));
        }
        if !sizes.do_stable_layer_norm || sizes.feat_extract_norm != "layer" {
            return Err(bad(format!(
                "this is HuBERT-base ({} layers × {}, group norm) where HuBERT-large is needed (24 layers × 1024, layer norm); give \
                 chinese-hubert-large",
                sizes.num_hidden_layers, sizes.hidden_size
            )));
        }
        let convolutions = sizes.conv_dim.len();
        let one_width = sizes.conv_dim.windows(2).all(|pair| pair[0] == pair[1]);
        if convolutions == 0
            || sizes.conv_kernel.len() != convolutions
            || sizes.conv_stride.len() != convolutions
            || !one_width
        {
            return Err(bad("conv_dim, conv_kernel and conv_stride do not describe one stack of convolutions".into()));
        }
        let one_each = [
            ("hidden_size", sizes.hidden_size),
            ("num_hidden_layers", sizes.num_hidden_layers),
            ("num_attention_heads", sizes.num_attention_heads),
            ("intermediate_size", sizes.intermediate_size),
            ("num_conv_pos_embeddings", sizes.num_conv_pos_embeddings),
            ("num_conv_pos_embedding_groups", sizes.num_conv_pos_embedding_groups),
        ];
        let many =
            [("conv_dim", &sizes.conv_dim), ("conv_kernel", &sizes.conv_kernel), ("conv_stride", &sizes.conv_stride)];
        let many = many.iter().flat_map(|(name, values)| values.iter().map(|&value| (*name, value)));
        check_extents(&path, &one_each.into_iter().chain(many).collect::<Vec<_>>())?;
        if !sizes.hidden_size.is_multiple_of(sizes.num_attention_heads)
            || !sizes.hidden_size.is_multiple_of(sizes.num_conv_pos_embedding_groups)
        {
            return Err(bad("heads or groups do not divide the width".into()));
        }
        Ok(sizes)
    }
}

/// Plans `hubert.gguf`.
pub(super) fn plan<'a>(
    source: &'a dyn TensorSource,
    sizes: &HubertSizes,
    quantization: Quantization,
) -> Result<GgufPlan<'a>> {
    let (width, mlp) = (sizes.hidden_size, sizes.intermediate_size);
    let conv = sizes.conv_dim.first().copied().unwrap_or(0);
    check_layers(source, "encoder.layers.", sizes.num_hidden_layers)?;
    let mut plan = GgufPlan::new("emotion-llama-hubert");
    metadata(&mut plan, sizes)?;
    let mut input = 1;
    for (i, &kernel) in sizes.conv_kernel.iter().enumerate() {
        let name = |part: &str| format!("feature_extractor.conv_layers.{i}.{part}");
        plan.copy(source, &name("conv.weight"), &name("conv.weight"), &[conv, input, kernel], WeightType::F32)?;
        if source.shape(&name("conv.bias")).is_some() {
            plan.copy(source, &name("conv.bias"), &name("conv.bias"), &[conv], WeightType::F32)?;
        } else {
            plan.add(&name("conv.bias"), &[conv], WeightType::F32, move || Ok(vec![0.0; conv]))?;
        }
        norm(&mut plan, source, &name("layer_norm"), conv)?;
        input = conv;
    }
    norm(&mut plan, source, "feature_projection.layer_norm", conv)?;
    linear(&mut plan, source, "feature_projection.projection", width, conv, quantization)?;
    positional(&mut plan, source, sizes)?;
    for i in 0..sizes.num_hidden_layers {
        let name = |part: &str| format!("encoder.layers.{i}.{part}");
        norm(&mut plan, source, &name("layer_norm"), width)?;
        for part in ["q_proj", "k_proj", "v_proj", "out_proj"] {
            linear(&mut plan, source, &name(&format!("attention.{part}")), width, width, quantization)?;
        }
        norm(&mut plan, source, &name("final_layer_norm"), width)?;
        linear(&mut plan, source, &name("feed_forward.intermediate_dense"), mlp, width, quantization)?;
        linear(&mut plan, source, &name("feed_forward.output_dense"), width, mlp, quantization)?;
    }
    norm(&mut plan, source, "encoder.layer_norm", width)?;
    Ok(plan)
}

fn metadata(plan: &mut GgufPlan<'_>, sizes: &HubertSizes) -> Result<()> {
    let header = &mut plan.header;
    for (key, value) in [
        ("width", sizes.hidden_size),
        ("depth", sizes.num_hidden_layers),
        ("heads", sizes.num_attention_heads),
        ("mlp", sizes.intermediate_size),
        ("conv_dim", sizes.conv_dim.first().copied().unwrap_or(0)),
        ("pos_conv_kernel", sizes.num_conv_pos_embeddings),
        ("pos_conv_groups", sizes.num_conv_pos_embedding_groups),
    ] {
        header.uint(&format!("hubert.{key}"), value)?;
    }
    let ints =
        |values: &[usize]| -> Vec<i32> { values.iter().map(|&v| i32::try_from(v).unwrap_or(i32::MAX)).collect() };
    header.int_array("hubert.conv_kernel", &ints(&sizes.conv_kernel));
    header.int_array("hubert.conv_stride", &ints(&sizes.conv_stride));
    header.float("hubert.norm_eps", sizes.layer_norm_eps);
    Ok(())
}

fn norm<'a>(plan: &mut GgufPlan<'a>, source: &'a dyn TensorSource, name: &str, width: usize) -> Result<()> {
    for part in ["weight", "bias"] {
        let name = format!("{name}.{part}");
        plan.copy(source, &name, &name, &[width], WeightType::F32)?;
    }
    Ok(())
}

fn linear<'a>(
    plan: &mut GgufPlan<'a>,
    source: &'a dyn TensorSource,
    name: &str,
    rows: usize,
    columns: usize,
    quantization: Quantization,
) -> Result<()> {
    let (weight, bias) = (format!("{name}.weight"), format!("{name}.bias"));
    plan.copy(source, &weight, &weight, &[rows, columns], quantization.careful(columns))?;
    plan.copy(source, &bias, &bias, &[rows], WeightType::F32)
}

/// The positional convolution, its weight norm (Salimans and Kingma 2016) multiplied out: `g v / |v|`, the length taken over all
/// axes but the kernel's.
fn positional<'a>(plan: &mut GgufPlan<'a>, source: &'a dyn TensorSource, sizes: &HubertSizes) -> Result<()> {
    let name = "encoder.pos_conv_embed.conv";
    let kernel = sizes.num_conv_pos_embeddings;
    let filter = [sizes.hidden_size, sizes.hidden_size / sizes.num_conv_pos_embedding_groups, kernel];
    let spellings =
        [("weight_g", "weight_v"), ("parametrizations.weight.original0", "parametrizations.weight.original1")];
    let found = spellings.into_iter().find(|(g, _)| source.shape(&format!("{name}.{g}")).is_some());
    let Some((g, v)) = found.map(|(g, v)| (format!("{name}.{g}"), format!("{name}.{v}"))) else {
        return Err(Error::invalid_argument(format!(
            "{}: the positional convolution's weight norm is missing ({name}.weight_g or {name}.parametrizations.weight.original0)",
            source.place()
        )));
    };
    expect(source, &g, &[kernel])?;
    expect(source, &v, &filter)?;
    plan.add(&format!("{name}.weight"), &filter, WeightType::F32, move || {
        let (g, mut v) = (source.read(&g)?, source.read(&v)?);
        let mut lengths = vec![0f64; kernel];
        for row in v.chunks_exact(kernel) {
            lengths.iter_mut().zip(row).for_each(|(length, &v)| *length += f64::from(v) * f64::from(v));
        }
        let scales: Vec<f32> =
            g.iter().zip(&lengths).map(|(&g, length)| (f64::from(g) / length.sqrt()) as f32).collect();
        for row in v.chunks_exact_mut(kernel) {
            row.iter_mut().zip(&scales).for_each(|(v, scale)| *v *= scale);
        }
        Ok(v)
    })?;
    plan.copy(source, &format!("{name}.bias"), &format!("{name}.bias"), &[sizes.hidden_size], WeightType::F32)
}

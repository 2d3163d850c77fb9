//! EVA, MAE and VideoMAE: from their files' names to those of a pack.

use super::plan::{GgufPlan, Quantization};
use super::sizes::{Sizes, VitSizes};
use super::source::{expect, layers, shape, TensorSource};
use crate::error::{Error, Result};
use crate::kernels::WeightType;

/// A planned encoder: its file, and a line that describes it.
pub(super) struct Encoder<'a> {
    pub(super) plan: GgufPlan<'a>,
    pub(super) description: String,
    /// Values of the vector, or width of the tokens, that it gives.
    pub(super) width: usize,
    /// Tensors of the source that are not part of the encoder and have no known reason to be there.
    pub(super) unknown: Vec<String>,
}

/// Largest picture, in pixels along a side, and longest clip of an encoder.
const MAX_IMAGE: usize = 2048;
const MAX_FRAMES: usize = 64;

/// How a source file spells the parts of a block.
struct Spelling {
    block: fn(usize) -> String,
    norm1: &'static str,
    norm2: &'static str,
    proj: &'static str,
    fc1: &'static str,
    fc2: &'static str,
    attention: Attention,
}

enum Attention {
    /// `attn.qkv.weight` with `attn.qkv.bias`.
    Fused,
    /// `attn.qkv.weight` with `attn.q_bias` and `attn.v_bias`; keys have no bias.
    FusedWithoutKeyBias,
    /// `attention.attention.{query,key,value}.weight` with `q_bias` and `v_bias`; keys have no bias.
    Separate,
}

const TIMM: Spelling = Spelling {
    block: |i| format!("blocks.{i}."),
    norm1: "norm1",
    norm2: "norm2",
    proj: "attn.proj",
    fc1: "mlp.fc1",
    fc2: "mlp.fc2",
    attention: Attention::Fused,
};
/// EVA's blocks, and VideoMAE's after fine-tuning.
const EVA: Spelling = Spelling { attention: Attention::FusedWithoutKeyBias, ..TIMM };
const VIDEO_ORIGINAL: Spelling =
    Spelling { block: |i| format!("encoder.blocks.{i}."), attention: Attention::FusedWithoutKeyBias, ..TIMM };
const VIDEO_TRANSFORMERS: Spelling = Spelling {
    block: |i| format!("encoder.layer.{i}."),
    norm1: "layernorm_before",
    norm2: "layernorm_after",
    proj: "attention.output.dense",
    fc1: "intermediate.dense",
    fc2: "output.dense",
    attention: Attention::Separate,
};

impl Spelling {
    /// Whether `name` is a part of one of the blocks, whose names begin with `prefix` and a number.
    fn has_part(&self, name: &str, prefix: &str) -> bool {
        let rest = name.strip_prefix(prefix).and_then(|rest| rest.split_once('.'));
        let Some((_, part)) = rest.filter(|(number, _)| number.parse::<usize>().is_ok()) else { return false };
        let attention: &[&str] = match self.attention {
            Attention::Fused => &["attn.qkv.weight", "attn.qkv.bias"],
            Attention::FusedWithoutKeyBias => &["attn.qkv.weight", "attn.q_bias", "attn.v_bias"],
            Attention::Separate => &[
                "attention.attention.query.weight",
                "attention.attention.key.weight",
                "attention.attention.value.weight",
                "attention.attention.q_bias",
                "attention.attention.v_bias",
            ],
        };
        let dense = [self.norm1, self.norm2, self.proj, self.fc1, self.fc2];
        let pair = part.strip_suffix(".weight").or_else(|| part.strip_suffix(".bias"));
        attention.contains(&part) || pair.is_some_and(|pair| dense.contains(&pair))
    }
}

/// Extents of the blocks.
struct Blocks {
    width: usize,
    depth: usize,
    heads: usize,
    mlp: usize,
}

/// EVA ViT-g. `ln_vision` is where a checkpoint may keep the norm that follows it.
pub(super) fn eva<'a>(
    source: &'a dyn TensorSource,
    ln_vision: &'a dyn TensorSource,
    sizes: &Sizes,
    quantization: Quantization,
) -> Result<Encoder<'a>> {
    let place = source.place();
    let (width, patch) = patches(source, "patch_embed.proj", 4)?;
    let in_file = layers(source, "blocks.");
    let (heads, depth) = sizes.eva.eva(width, in_file, &place)?;
    let image = sizes.eva.image_size.unwrap_or(448);
    let across = patches_across(&place, "eva", image, patch)?;
    // The projector takes neighbouring patches in fours.
    if !(across * across).is_multiple_of(4) {
        return Err(Error::invalid_argument(format!(
            "{place}: a picture of {image} pixels has {across} × {across} patches, which make no fours; correct eva.image_size"
        )));
    }
    let grid = grid(shape(source, "pos_embed")?, &place)?;
    let mut plan = GgufPlan::new("emotion-llama-eva");
    let blocks = Blocks { width, depth, heads, mlp: mlp(source, &EVA)? };
    metadata(&mut plan, "eva", &blocks, sizes.eva.layer_norm_eps.unwrap_or(1e-6))?;
    plan.header.uint("eva.image_size", image)?;
    plan.header.uint("eva.patch_size", patch)?;
    plan.header.uint("eva.position_grid", grid)?;
    plan.header.float("eva.ln_vision_eps", sizes.ln_vision.layer_norm_eps.unwrap_or(1e-5));
    plan.copy(source, "cls_token", "cls_token", &[width], WeightType::F32)?;
    plan.copy(source, "pos_embed", "pos_embed", &[1 + grid * grid, width], WeightType::F32)?;
    embedding(&mut plan, source, "patch_embed.proj", &[width, 3 * patch * patch], &[width, 3, patch, patch])?;
    add_blocks(&mut plan, source, &EVA, &blocks, quantization)?;
    let has_norm = ln_vision.shape("ln_vision.weight").is_some();
    for (part, otherwise) in [("weight", 1.0), ("bias", 0.0)] {
        let name = format!("ln_vision.{part}");
        if has_norm {
            plan.copy(ln_vision, &name, &name, &[width], WeightType::F32)?;
        } else {
            plan.add(&name, &[width], WeightType::F32, move || Ok(vec![otherwise; width]))?;
        }
    }
    let unused = ["norm.", "fc_norm.", "head.", "lm_head.", "mask_token", "rope.", "rel_pos_bias."];
    let used = |name: &str| {
        ["cls_token", "pos_embed", "patch_embed."].iter().any(|known| name.starts_with(known))
            || EVA.has_part(name, "blocks.")
    };
    Ok(Encoder {
        description: format!(
            "EVA ViT, {depth} of {in_file} blocks × {width}, {heads} heads, {image} pixels, ln_vision {}",
            if has_norm { "from the checkpoint" } else { "plain (not in the checkpoint)" }
        ),
        plan,
        width,
        unknown: unknown(source, used, &unused),
    })
}

/// The encoder of a masked autoencoder.
pub(super) fn mae<'a>(
    source: &'a dyn TensorSource,
    sizes: &VitSizes,
    quantization: Quantization,
) -> Result<Encoder<'a>> {
    let place = source.place();
    let (width, patch) = patches(source, "patch_embed.proj", 4)?;
    let (heads, depth) = sizes.large("mae", width, layers(source, "blocks."), &place)?;
    let grid = grid(shape(source, "pos_embed")?, &place)?;
    let image = sizes.image_size.unwrap_or(grid * patch);
    let across = patches_across(&place, "mae", image, patch)?;
    if across != grid {
        return Err(Error::invalid_argument(format!(
            "{place}: has positions for {grid} × {grid} patches, a picture of {image} pixels has {across} × {across}; correct \
             mae.image_size"
        )));
    }
    let mut plan = GgufPlan::new("emotion-llama-mae");
    let blocks = Blocks { width, depth, heads, mlp: mlp(source, &TIMM)? };
    metadata(&mut plan, "mae", &blocks, sizes.layer_norm_eps.unwrap_or(1e-6))?;
    plan.header.uint("mae.image_size", image)?;
    plan.header.uint("mae.patch_size", patch)?;
    plan.copy(source, "cls_token", "cls_token", &[width], WeightType::F32)?;
    plan.copy(source, "pos_embed", "pos_embed", &[1 + grid * grid, width], WeightType::F32)?;
    embedding(&mut plan, source, "patch_embed.proj", &[width, 3 * patch * patch], &[width, 3, patch, patch])?;
    add_blocks(&mut plan, source, &TIMM, &blocks, quantization)?;
    for part in ["norm.weight", "norm.bias"] {
        plan.copy(source, part, part, &[width], WeightType::F32)?;
    }
    let used = |name: &str| {
        ["cls_token", "pos_embed", "patch_embed.", "norm."].iter().any(|known| name.starts_with(known))
            || TIMM.has_part(name, "blocks.")
    };
    Ok(Encoder {
        description: format!("MAE ViT, {depth} blocks × {width}, {heads} heads, {image} pixels"),
        plan,
        width,
        unknown: unknown(source, used, &["decoder_", "mask_token", "head.", "fc_norm."]),
    })
}

/// The encoder of VideoMAE, in its authors' spelling, before or after fine-tuning, or in that of transformers.
pub(super) fn videomae<'a>(
    source: &'a dyn TensorSource,
    sizes: &VitSizes,
    quantization: Quantization,
) -> Result<Encoder<'a>> {
    let place = source.place();
    let has = |name: &str| source.shape(&format!("{name}.weight")).is_some();
    let (embed, layer, spelling) = if has("embeddings.patch_embeddings.projection") {
        ("embeddings.patch_embeddings.projection", "encoder.layer.", &VIDEO_TRANSFORMERS)
    } else if has("patch_embed.proj") {
        ("patch_embed.proj", "blocks.", &EVA)
    } else {
        ("encoder.patch_embed.proj", "encoder.blocks.", &VIDEO_ORIGINAL)
    };
    let (width, patch) = patches(source, embed, 5)?;
    let tubelet = shape(source, &format!("{embed}.weight"))?[2];
    let (heads, depth) = sizes.large("videomae", width, layers(source, layer), &place)?;
    let image = sizes.image_size.unwrap_or(224);
    patches_across(&place, "videomae", image, patch)?;
    let frames = sizes.num_frames.unwrap_or(16);
    if frames == 0 || frames > MAX_FRAMES || !frames.is_multiple_of(tubelet) {
        return Err(Error::invalid_argument(format!(
            "{place}: {frames} frames are not whole tubelets of {tubelet}, up to {MAX_FRAMES}; correct videomae.num_frames"
        )));
    }
    if sizes.tubelet_size.is_some_and(|wanted| wanted != tubelet) {
        return Err(Error::invalid_argument(format!(
            "{place}: its tubelets are {tubelet} frames long, not as configured"
        )));
    }
    let mut plan = GgufPlan::new("emotion-llama-videomae");
    let blocks = Blocks { width, depth, heads, mlp: mlp(source, spelling)? };
    metadata(&mut plan, "videomae", &blocks, sizes.layer_norm_eps.unwrap_or(1e-6))?;
    for (key, value) in [("image_size", image), ("patch_size", patch), ("frames", frames), ("tubelet", tubelet)] {
        plan.header.uint(&format!("videomae.{key}"), value)?;
    }
    let tube = [width, 3, tubelet, patch, patch];
    embedding(&mut plan, source, embed, &[width, 3 * tubelet * patch * patch], &tube)?;
    add_blocks(&mut plan, source, spelling, &blocks, quantization)?;
    let used = |name: &str| name.starts_with(embed) || spelling.has_part(name, layer);
    Ok(Encoder {
        description: format!(
            "VideoMAE ViT, {depth} blocks × {width}, {heads} heads, {frames} frames of {image} pixels"
        ),
        plan,
        width,
        unknown: unknown(
            source,
            used,
            &[
                "decoder",
                "encoder_to_decoder.",
                "encoder.norm.",
                "layernorm.",
                "mask_token",
                "fc_norm.",
                "head.",
                "embeddings.position",
            ],
        ),
    })
}

/// Patches along a side of a picture of `image` pixels, for the encoder called `name`.
fn patches_across(place: &str, name: &str, image: usize, patch: usize) -> Result<usize> {
    if image == 0 || image > MAX_IMAGE || !image.is_multiple_of(patch) {
        return Err(Error::invalid_argument(format!(
            "{place}: pictures of {image} pixels are not whole patches of {patch}, up to {MAX_IMAGE}; correct {name}.image_size"
        )));
    }
    Ok(image / patch)
}

fn metadata(plan: &mut GgufPlan<'_>, name: &str, blocks: &Blocks, eps: f32) -> Result<()> {
    let Blocks { width, depth, heads, mlp } = *blocks;
    for (key, value) in [("width", width), ("depth", depth), ("heads", heads), ("mlp", mlp)] {
        plan.header.uint(&format!("{name}.{key}"), value)?;
    }
    plan.header.float(&format!("{name}.norm_eps"), eps);
    Ok(())
}

/// Width and patch size from the patch embedding's filter, which has `rank` axes.
fn patches(source: &dyn TensorSource, name: &str, rank: usize) -> Result<(usize, usize)> {
    let name = format!("{name}.weight");
    match *shape(source, &name)? {
        [width, 3, patch, across] if rank == 4 && patch == across && patch > 0 => Ok((width, patch)),
        [width, 3, tubelet, patch, across] if rank == 5 && patch == across && patch > 0 && tubelet > 0 => {
            Ok((width, patch))
        }
        ref other => Err(Error::invalid_argument(format!(
            "{}: tensor {name:?} is {other:?}, which is no filter over square patches of RGB pixels",
            source.place()
        ))),
    }
}

/// Side of the square grid of positions, the class token's taken off.
fn grid(positions: &[usize], place: &str) -> Result<usize> {
    let count = if let [1, n, _] = *positions { n.saturating_sub(1) } else { 0 };
    let side = count.isqrt();
    if side == 0 || side * side != count {
        return Err(Error::invalid_argument(format!(
            "{place}: tensor \"pos_embed\" is {positions:?}, expected one position for the class token and a square of others"
        )));
    }
    Ok(side)
}

fn mlp(source: &dyn TensorSource, spelling: &Spelling) -> Result<usize> {
    let name = format!("{}{}.weight", (spelling.block)(0), spelling.fc1);
    Ok(shape(source, &name)?.first().copied().unwrap_or(0))
}

/// The patch embedding: its filter flattened to rows, and its bias.
fn embedding<'a>(
    plan: &mut GgufPlan<'a>,
    source: &'a dyn TensorSource,
    name: &str,
    flat: &[usize],
    filter: &[usize],
) -> Result<()> {
    let weight = format!("{name}.weight");
    expect(source, &weight, filter)?;
    plan.add("patch_embed.proj.weight", flat, WeightType::F32, move || source.read(&weight))?;
    plan.copy(source, &format!("{name}.bias"), "patch_embed.proj.bias", &flat[..1], WeightType::F32)
}

fn add_blocks<'a>(
    plan: &mut GgufPlan<'a>,
    source: &'a dyn TensorSource,
    spelling: &Spelling,
    blocks: &Blocks,
    quantization: Quantization,
) -> Result<()> {
    let (width, mlp) = (blocks.width, blocks.mlp);
    for i in 0..blocks.depth {
        let from = (spelling.block)(i);
        let to = format!("blocks.{i}.");
        for (theirs, ours) in [(spelling.norm1, "norm1"), (spelling.norm2, "norm2")] {
            for part in ["weight", "bias"] {
                let (theirs, ours) = (format!("{from}{theirs}.{part}"), format!("{to}{ours}.{part}"));
                plan.copy(source, &theirs, &ours, &[width], WeightType::F32)?;
            }
        }
        qkv(plan, source, spelling, (&from, &to), width, quantization)?;
        let dense = [
            (spelling.proj, "attn.proj", width, width),
            (spelling.fc1, "mlp.fc1", mlp, width),
            (spelling.fc2, "mlp.fc2", width, mlp),
        ];
        for (theirs, ours, rows, columns) in dense {
            let kind = quantization.careful(columns);
            plan.copy(
                source,
                &format!("{from}{theirs}.weight"),
                &format!("{to}{ours}.weight"),
                &[rows, columns],
                kind,
            )?;
            let (theirs, ours) = (format!("{from}{theirs}.bias"), format!("{to}{ours}.bias"));
            plan.copy(source, &theirs, &ours, &[rows], WeightType::F32)?;
        }
    }
    Ok(())
}

/// The fused query, key and value projection with a bias for all three.
fn qkv<'a>(
    plan: &mut GgufPlan<'a>,
    source: &'a dyn TensorSource,
    spelling: &Spelling,
    (from, to): (&str, &str),
    width: usize,
    quantization: Quantization,
) -> Result<()> {
    let kind = quantization.careful(width);
    let (weights, biases): (Vec<String>, [Option<String>; 3]) = match spelling.attention {
        Attention::Fused => {
            plan.copy(
                source,
                &format!("{from}attn.qkv.weight"),
                &format!("{to}attn.qkv.weight"),
                &[3 * width, width],
                kind,
            )?;
            return plan.copy(
                source,
                &format!("{from}attn.qkv.bias"),
                &format!("{to}attn.qkv.bias"),
                &[3 * width],
                WeightType::F32,
            );
        }
        Attention::FusedWithoutKeyBias => {
            expect(source, &format!("{from}attn.qkv.weight"), &[3 * width, width])?;
            (
                vec![format!("{from}attn.qkv.weight")],
                [Some(format!("{from}attn.q_bias")), None, Some(format!("{from}attn.v_bias"))],
            )
        }
        Attention::Separate => {
            let name = |part: &str| format!("{from}attention.attention.{part}");
            let weights = ["query.weight", "key.weight", "value.weight"].map(name);
            for weight in &weights {
                expect(source, weight, &[width, width])?;
            }
            (weights.to_vec(), [Some(name("q_bias")), None, Some(name("v_bias"))])
        }
    };
    for bias in biases.iter().flatten() {
        expect(source, bias, &[width])?;
    }
    plan.add(&format!("{to}attn.qkv.weight"), &[3 * width, width], kind, move || {
        let mut rows = Vec::with_capacity(3 * width * width);
        for name in &weights {
            rows.extend(source.read(name)?);
        }
        Ok(rows)
    })?;
    plan.add(&format!("{to}attn.qkv.bias"), &[3 * width], WeightType::F32, move || {
        let mut joined = Vec::with_capacity(3 * width);
        for bias in &biases {
            match bias {
                Some(name) => joined.extend(source.read(name)?),
                None => joined.resize(joined.len() + width, 0.0),
            }
        }
        Ok(joined)
    })
}

/// Names that are neither used nor among those that such files are known to have besides.
fn unknown(source: &dyn TensorSource, used: impl Fn(&str) -> bool, besides: &[&str]) -> Vec<String> {
    let known = |name: &str| used(name) || besides.iter().any(|prefix| name.starts_with(prefix));
    source.names().into_iter().filter(|name| !known(name)).map(str::to_owned).collect()
}

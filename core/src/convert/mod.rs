//! The published checkpoints, and what else belongs to them, become a pack.
//!
//! [`convert`] reads LLaMA, EVA, HuBERT, MAE, VideoMAE and the main checkpoint tensor by tensor, tells wrong files by what they
//! are, and writes a pack. [`synthesize`] writes a pack of the same shapes with random weights.

mod adapter;
mod fingerprint;
mod hubert;
mod llama;
mod llama_sizes;
mod plan;
mod sizes;
mod source;
mod synth;
mod vit;
mod writer;

use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use sha2::{Digest, Sha256};

use self::adapter::{Lora, SavedConfig, Widths};
use self::fingerprint::{require, trained_with_reasons, Kind};
use self::hubert::HubertSizes;
use self::llama_sizes::LlamaSizes;
use self::sizes::Sizes;
use self::source::{StateDict, TensorSource};
use self::vit::Encoder;
use self::writer::{PackWriter, Provenance};
use crate::cancel::CancelToken;
use crate::error::Result;
use crate::llama::Vocabulary;
use crate::pack::{LlmSpec, Manifest, ModelSpec, Pack, PublishedSpec, FORMAT_VERSION};
use crate::perceive::PERCEPTION_FILES;
use crate::prompt::published::LABELS;

pub use plan::Quantization;
pub use synth::{synthesize, SynthOptions, SynthShape};

/// What is converted, and how.
#[derive(Debug, Clone)]
pub struct ConvertOptions {
    /// Hugging Face folder of LLaMA-2-7b-chat.
    pub llama: PathBuf,
    /// `eva_vit_g.pth`.
    pub eva: PathBuf,
    /// Emotion-LLaMA's own checkpoint: LoRA and projectors.
    pub checkpoint: PathBuf,
    /// Hugging Face folder of chinese-hubert-large.
    pub hubert: PathBuf,
    /// MAE's checkpoint. Without it the face's feature is zeros, unless it is given with a request.
    pub mae: Option<PathBuf>,
    /// VideoMAE's checkpoint, a file or a Hugging Face folder. Without it as for MAE.
    pub videomae: Option<PathBuf>,
    /// How weights are stored.
    pub quantization: Quantization,
    /// Sizes that the files do not hold, as JSON; None looks for `model_config.json` beside the checkpoint.
    pub config: Option<PathBuf>,
    /// Whether the LoRA becomes part of the language model's weights, rather than being applied at run time.
    pub merge_lora: bool,
    /// The built-in pack, whose nets find faces, recognise words and measure cues. Without it whole frames take the place of faces.
    pub perception: Option<Pack>,
    /// The pack's directory, which must not exist.
    pub out: PathBuf,
}

/// What a conversion reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress<'a> {
    /// A file is begun; `bytes` of it will be written.
    File {
        /// Its name in the pack.
        name: &'a str,
        /// Its length.
        bytes: u64,
    },
    /// So many bytes of the file are written.
    Bytes(u64),
    /// Something that the user should know.
    Note(&'a str),
}

/// Converts, and gives the pack's directory.
///
/// Memory holds one tensor at a time. An interrupted conversion goes on where it was when it is started again with the same
/// options; until it is done, [`ConvertOptions::out`] is not a pack.
///
/// # Errors
/// `invalid_argument` naming the file and what it is instead of what was wanted; `not_found`; `pack_invalid` for a damaged or
/// hostile file; `cancelled`.
pub fn convert(
    options: &ConvertOptions,
    progress: &mut dyn FnMut(Progress<'_>),
    cancel: &CancelToken,
) -> Result<PathBuf> {
    let sizes = Sizes::find(options.config.as_deref(), &options.checkpoint)?;
    let llama = StateDict::open(&options.llama, &[])?;
    let eva = StateDict::open(&options.eva, &[])?;
    let checkpoint = StateDict::open(&options.checkpoint, &[])?;
    let hubert = StateDict::open(&options.hubert, &["hubert."])?;
    let mae = options.mae.as_deref().map(|path| StateDict::open(path, &[])).transpose()?;
    let videomae = options.videomae.as_deref().map(|path| StateDict::open(path, &["videomae."])).transpose()?;
    require(&llama, Kind::Llama, "--llama", "the Hugging Face folder of LLaMA-2-7b-chat")?;
    require(&checkpoint, Kind::EmotionLlama, "--checkpoint", "Emotion-LLaMA's own checkpoint (Emotion_LLaMA.pth)")?;
    require(&eva, Kind::Eva, "--eva", "eva_vit_g.pth")?;
    require(&hubert, Kind::Hubert, "--hubert", "the Hugging Face folder of chinese-hubert-large")?;
    if let Some(source) = &mae {
        require(source, Kind::Mae, "--mae", "a checkpoint of the MAE encoder")?;
    }
    if let Some(source) = &videomae {
        require(source, Kind::VideoMae, "--videomae", "a checkpoint of VideoMAE")?;
    }
    let reasons = trained_with_reasons(&checkpoint);
    if !reasons {
        progress(Progress::Note(
            "this checkpoint classifies only: it was trained without reasons; the pack answers [emotion], not [reason]",
        ));
    }
    let parts = Parts {
        llama_sizes: LlamaSizes::read(&options.llama)?,
        vocabulary: Vocabulary::open(&options.llama)?,
        hubert_sizes: HubertSizes::read(&options.hubert)?,
        llama: &llama,
        eva: &eva,
        checkpoint: &checkpoint,
        hubert: &hubert,
        mae: mae.as_ref().map(|source| source as &dyn TensorSource),
        videomae: videomae.as_ref().map(|source| source as &dyn TensorSource),
        saved: SavedConfig::of(Some(&checkpoint)),
        sizes,
        reasons,
        quantization: options.quantization,
        merge_lora: options.merge_lora,
        perception: options.perception.as_ref(),
        name: options.out.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        description: format!("Emotion-LLaMA, converted at {}.", options.quantization.name()),
        licence: "LicenseRef-as-obtained".into(),
    };
    let files = [&llama, &eva, &checkpoint, &hubert].into_iter().chain(mae.as_ref()).chain(videomae.as_ref());
    let identity = identity(files, &parts, options.config.as_deref());
    write(&parts, &options.out, &identity, progress, cancel)
}

/// What stands for the inputs and options of a conversion: lengths and times of all files, and the settings.
fn identity<'a>(sources: impl Iterator<Item = &'a StateDict>, parts: &Parts<'_>, config: Option<&Path>) -> String {
    let mut hasher = Sha256::new();
    let mut add = |path: &Path| {
        let metadata = std::fs::metadata(path).ok();
        let changed = metadata.as_ref().and_then(|m| m.modified().ok());
        hasher.update(format!("{}\0{:?}\0{changed:?}\n", path.display(), metadata.map(|m| m.len())));
    };
    sources.flat_map(|source| source.checkpoint().files()).for_each(|path| add(path));
    config.into_iter().for_each(&mut add);
    let perception = parts.perception.map(Pack::digest);
    hasher.update(format!(
        "{:?}\0{}\0{perception:?}\0{FORMAT_VERSION}\0{}\0{:?}",
        parts.quantization,
        parts.merge_lora,
        env!("CARGO_PKG_VERSION"),
        parts.sizes
    ));
    crate::pack::hex(&hasher.finalize())
}

/// Everything that a pack is made from, real or random.
struct Parts<'a> {
    llama: &'a dyn TensorSource,
    llama_sizes: LlamaSizes,
    vocabulary: Vocabulary,
    eva: &'a dyn TensorSource,
    checkpoint: &'a dyn TensorSource,
    hubert: &'a dyn TensorSource,
    hubert_sizes: HubertSizes,
    mae: Option<&'a dyn TensorSource>,
    videomae: Option<&'a dyn TensorSource>,
    saved: SavedConfig<'a>,
    sizes: Sizes,
    reasons: bool,
    quantization: Quantization,
    merge_lora: bool,
    perception: Option<&'a Pack>,
    name: String,
    description: String,
    licence: String,
}

/// Plans every file, which checks that they belong together, and then writes them. `identity` stands for everything that decides what
/// is written, but for the files' headers.
fn write(
    parts: &Parts<'_>,
    out: &Path,
    identity: &str,
    progress: &mut dyn FnMut(Progress<'_>),
    cancel: &CancelToken,
) -> Result<PathBuf> {
    let quantization = parts.quantization;
    let plan_llama = |lora| llama::plan(parts.llama, &parts.llama_sizes, &parts.vocabulary, lora, quantization);
    // First by itself, so that what is wrong with it is not said of the LoRA.
    plan_llama(None)?;
    let lora = Lora::find(parts.checkpoint, &parts.sizes, &parts.saved, &parts.llama_sizes)?;
    let llama = plan_llama(parts.merge_lora.then_some(&lora))?;
    let hubert = hubert::plan(parts.hubert, &parts.hubert_sizes, quantization)?;
    let eva = vit::eva(parts.eva, parts.checkpoint, &parts.sizes, quantization)?;
    let mae = parts.mae.map(|source| vit::mae(source, &parts.sizes.mae, quantization)).transpose()?;
    let videomae =
        parts.videomae.map(|source| vit::videomae(source, &parts.sizes.videomae, quantization)).transpose()?;
    let widths = Widths {
        hidden: parts.llama_sizes.hidden_size,
        eva: eva.width,
        hubert: parts.hubert_sizes.hidden_size,
        mae: mae.as_ref().map(|encoder| encoder.width),
        videomae: videomae.as_ref().map(|encoder| encoder.width),
    };
    let adapter = || adapter::pack(parts.checkpoint, (!parts.merge_lora).then_some(&lora));
    adapter::check(parts.checkpoint, widths)?;

    // The headers hold every size, name and token, from whichever file they came.
    let mut hasher = Sha256::new_with_prefix(identity);
    let encoders = [mae.as_ref(), videomae.as_ref()].into_iter().flatten().map(|encoder| &encoder.plan);
    for plan in [&llama, &hubert, &eva.plan].into_iter().chain(encoders) {
        hasher.update(plan.header.encode());
    }
    hasher.update(format!("{} {}", lora.rank, lora.alpha));
    let identity = crate::pack::hex(&hasher.finalize());

    let mut writer = PackWriter::begin(out, &identity, progress, cancel)?;
    let encoders = [(Some(&eva), Some(parts.eva)), (mae.as_ref(), parts.mae), (videomae.as_ref(), parts.videomae)];
    for (encoder, source) in encoders.into_iter().filter_map(|(encoder, source)| Some((encoder?, source?))) {
        if let Some(first) = encoder.unknown.first() {
            writer.note(&format!(
                "{}: {} of its tensors are not part of the encoder and are left out, the first is {first}",
                source.place(),
                encoder.unknown.len()
            ));
        }
    }
    let from = |source: &dyn TensorSource| Provenance {
        licence: parts.licence.clone(),
        source: format!("converted from {}", source.place()),
    };
    writer.bytes("adapter.safetensors", from(parts.checkpoint), adapter)?;
    writer.gguf("hubert.gguf", &hubert, from(parts.hubert))?;
    writer.gguf("eva.gguf", &eva.plan, from(parts.eva))?;
    for (name, encoder, source) in [("mae.gguf", &mae, parts.mae), ("videomae.gguf", &videomae, parts.videomae)] {
        if let (Some(encoder), Some(source)) = (encoder, source) {
            writer.gguf(name, &encoder.plan, from(source))?;
        }
    }
    for name in PERCEPTION_FILES {
        if let Some(pack) = parts.perception {
            let entry = pack.manifest().files.get(name).cloned();
            let provenance =
                entry.map_or_else(|| from(parts.llama), |e| Provenance { licence: e.licence, source: e.source });
            writer.bytes(name, provenance, || pack.read(name))?;
        }
    }
    writer.gguf("llama.gguf", &llama, from(parts.llama))?;

    let description = describe(parts, &lora, &eva, mae.as_ref(), videomae.as_ref());
    writer.finish(|files| Manifest {
        format_version: FORMAT_VERSION,
        name: parts.name.clone(),
        version: env!("CARGO_PKG_VERSION").into(),
        description: parts.description.clone(),
        labels: LABELS.map(str::to_owned).to_vec(),
        model: ModelSpec::EmotionLlama(PublishedSpec {
            llm: LlmSpec {
                weights: "llama.gguf".into(),
                adapter: "adapter.safetensors".into(),
                lora_rank: lora.rank,
                lora_alpha: lora.alpha,
                lora_merged: parts.merge_lora,
            },
            eva: "eva.gguf".into(),
            hubert: "hubert.gguf".into(),
            mae: mae.is_some().then(|| "mae.gguf".into()),
            videomae: videomae.is_some().then(|| "videomae.gguf".into()),
            perception: parts.perception.is_some(),
            reasons: parts.reasons,
            made_of: description,
        }),
        files,
    })
}

/// What the pack is made of, part by part.
fn describe(
    parts: &Parts<'_>,
    lora: &Lora<'_>,
    eva: &Encoder<'_>,
    mae: Option<&Encoder<'_>>,
    videomae: Option<&Encoder<'_>>,
) -> IndexMap<String, String> {
    let (llama, hubert) = (&parts.llama_sizes, &parts.hubert_sizes);
    let mut made = IndexMap::new();
    let mut say = |part: &str, what: String| made.insert(part.to_owned(), what);
    say(
        "llama",
        format!(
            "LLaMA, {} layers × {}, {} heads, {} key heads, {} tokens",
            llama.num_hidden_layers,
            llama.hidden_size,
            llama.num_attention_heads,
            llama.kv_heads(),
            parts.vocabulary.pieces.len()
        ),
    );
    say("weights", parts.quantization.name().to_owned());
    say("checkpoint", {
        let task = if parts.reasons { "emotion and reason" } else { "classifies only: trained without reasons" };
        format!("LoRA rank {}, alpha {}, {task}", lora.rank, lora.alpha)
    });
    say("eva", eva.description.clone());
    say("hubert", {
        let (layers, width) = (hubert.num_hidden_layers, hubert.hidden_size);
        format!("HuBERT, {layers} layers × {width}, {} heads", hubert.num_attention_heads)
    });
    let absent = "absent: the feature is zeros unless it is given with a request";
    say("mae", mae.map_or_else(|| absent.to_owned(), |encoder| encoder.description.clone()));
    say("videomae", videomae.map_or_else(|| absent.to_owned(), |encoder| encoder.description.clone()));
    say(
        "perception",
        parts.perception.map_or_else(
            || "absent: whole frames take the place of faces, no speech recognition, no cues".to_owned(),
            |pack| format!("faces, words and cues by {} {}", pack.manifest().name, pack.manifest().version),
        ),
    );
    made
}

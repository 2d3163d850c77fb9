//! `pack.json`.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The manifest format that this library reads and writes.
pub const FORMAT_VERSION: u32 = 2;

/// What a pack says of itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Manifest {
    /// Format of this manifest, [`FORMAT_VERSION`].
    pub format_version: u32,
    /// Name by which the pack is found on a search path.
    pub name: String,
    /// Version of the model.
    pub version: String,
    /// One sentence for a person.
    pub description: String,
    /// The label words, in the order in which they are reported.
    pub labels: Vec<String>,
    /// What kind of model it is, and what it is made of.
    #[serde(flatten)]
    pub model: ModelSpec,
    /// Every file of the pack but the manifest, by name.
    pub files: IndexMap<String, FileEntry>,
}

/// The kinds of model that this library runs, by the manifest's `architecture`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "architecture", rename_all = "kebab-case")]
pub enum ModelSpec {
    /// Measured cues are projected into soft tokens: the built-in model.
    Cues(CueSpec),
    /// The published Emotion-LLaMA: EVA, HuBERT, MAE and VideoMAE features are projected into soft tokens.
    EmotionLlama(PublishedSpec),
}

/// The built-in model.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CueSpec {
    /// Weights of the language model.
    pub llm: LlmSpec,
    /// What is projected into soft tokens.
    pub features: Vec<FeatureSpec>,
    /// How a request becomes a prompt.
    pub prompt: PromptSpec,
}

/// A converted Emotion-LLaMA. Its prompts are those of [`prompt::published`](crate::prompt::published).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PublishedSpec {
    /// Weights of the language model.
    pub llm: LlmSpec,
    /// GGUF file with EVA ViT-g, which sees the picture.
    pub eva: String,
    /// GGUF file with HuBERT, which hears the voice.
    pub hubert: String,
    /// GGUF file with the MAE encoder, which sees the face; None where it was not converted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mae: Option<String>,
    /// GGUF file with the VideoMAE encoder, which sees the face move; None where it was not converted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub videomae: Option<String>,
    /// Whether the pack also holds the built-in model's nets for faces, speech and voice, which find the face, recognise the
    /// words and measure cues.
    pub perception: bool,
    /// Whether the checkpoint was trained to give reasons, or only to name the label.
    pub reasons: bool,
    /// What the pack was made of, for people: part to description.
    pub made_of: IndexMap<String, String>,
}

/// One file of a pack.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FileEntry {
    /// Length in bytes.
    pub bytes: u64,
    /// SHA-256 in lower-case hex.
    pub sha256: String,
    /// SPDX licence expression.
    pub licence: String,
    /// Where it comes from: registry, package, version.
    pub source: String,
}

/// The language model of a pack.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LlmSpec {
    /// GGUF file with the base weights and the tokenizer.
    pub weights: String,
    /// Safetensors file with the projectors, and with the LoRA unless it is merged into the weights.
    pub adapter: String,
    /// Rank of the LoRA on `q_proj` and `v_proj`.
    pub lora_rank: usize,
    /// Alpha of the LoRA: its product is scaled by `alpha / rank`.
    pub lora_alpha: f32,
    /// Whether the LoRA is already part of `weights`.
    #[serde(default)]
    pub lora_merged: bool,
}

impl LlmSpec {
    /// What the LoRA's product is scaled by.
    pub fn lora_scale(&self) -> f32 {
        self.lora_alpha / self.lora_rank.max(1) as f32
    }
}

/// One feature vector and the soft tokens it becomes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeatureSpec {
    /// Name: of the vector, of its projector's tensors and of its place in the template.
    pub name: String,
    /// Values in the vector.
    pub width: usize,
    /// Soft tokens it becomes.
    pub tokens: usize,
}

/// How a request becomes a prompt.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PromptSpec {
    /// The whole prompt. `{NAME}` of a feature stands for its soft tokens, `{words}` for the line with the transcript (empty
    /// when nothing is known to be said), `{request}` for tag and question.
    pub template: String,
    /// The line with the transcript; `{transcript}` stands for what was said.
    pub words: String,
    /// What is added to a question when the caller chose the labels; `{labels}` stands for them, joined by commas.
    pub choose: String,
    /// Stands between the lead-in and a label word, so that the word is tokenized as it was in training.
    pub label_prefix: String,
    /// Special token that ends an answer.
    pub answer_end: String,
    /// How a conversation goes on after an answer, from the token that ends it; `{request}` as in `template`. Default: ChatML.
    #[serde(default = "chatml_turn")]
    pub next_turn: String,
    /// `emotion`: the label alone.
    pub emotion: TaskPrompt,
    /// `reason`: the label and what shows it.
    pub reason: TaskPrompt,
}

fn chatml_turn() -> String {
    "<|im_end|>\n<|im_start|>user\n{request}<|im_end|>\n<|im_start|>assistant\n".to_owned()
}

/// One task's part of the prompt.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TaskPrompt {
    /// Put before the question, for example `[emotion]`.
    pub tag: String,
    /// The question when the caller asks none.
    pub question: String,
    /// How the answer begins, up to the label word. Empty: the answer begins with the label.
    pub lead_in: String,
    /// Whether the label is the whole answer. Otherwise the model goes on after it.
    pub label_only: bool,
}

impl Manifest {
    /// Parses and checks a manifest.
    ///
    /// # Errors
    /// `pack_invalid` if it is not JSON, lacks a field, is of another format version, or names a file outside the pack.
    pub fn parse(text: &[u8]) -> Result<Self> {
        #[derive(Deserialize)]
        struct Version {
            format_version: u32,
        }
        let version: Version =
            serde_json::from_slice(text).map_err(|error| Error::pack(format!("is not a pack manifest: {error}")))?;
        if version.format_version != FORMAT_VERSION {
            return Err(Error::pack(format!(
                "has format version {}, this library reads version {FORMAT_VERSION}; use the library that belongs to the pack",
                version.format_version
            )));
        }
        let manifest: Self =
            serde_json::from_slice(text).map_err(|error| Error::pack(format!("is not a usable manifest: {error}")))?;
        manifest.check()?;
        Ok(manifest)
    }

    fn check(&self) -> Result<()> {
        if self.labels.len() < 2 {
            return Err(Error::pack("lists fewer than two labels"));
        }
        for name in self.files.keys() {
            let plain = !name.is_empty() && !name.contains(['/', '\\', '\0']) && name != "." && name != "..";
            if !plain {
                return Err(Error::pack(format!("names a file outside the pack: {name:?}")));
            }
        }
        for name in self.model.used_files() {
            if !self.files.contains_key(name) {
                return Err(Error::pack(format!("uses {name:?} but does not list it under files")));
            }
        }
        Ok(())
    }
}

impl ModelSpec {
    /// Weights of the language model.
    pub fn llm(&self) -> &LlmSpec {
        match self {
            ModelSpec::Cues(spec) => &spec.llm,
            ModelSpec::EmotionLlama(spec) => &spec.llm,
        }
    }

    /// The manifest's word for the kind of model.
    pub fn architecture(&self) -> &'static str {
        match self {
            ModelSpec::Cues(_) => "cues",
            ModelSpec::EmotionLlama(_) => "emotion-llama",
        }
    }

    /// The tasks that the model was trained for.
    pub fn tasks(&self) -> &'static [&'static str] {
        match self {
            ModelSpec::EmotionLlama(spec) if !spec.reasons => &["emotion"],
            _ => &["emotion", "reason"],
        }
    }

    fn used_files(&self) -> impl Iterator<Item = &String> {
        let llm = self.llm();
        let encoders = match self {
            ModelSpec::Cues(_) => Vec::new(),
            ModelSpec::EmotionLlama(spec) => {
                [Some(&spec.eva), Some(&spec.hubert), spec.mae.as_ref(), spec.videomae.as_ref()]
                    .into_iter()
                    .flatten()
                    .collect()
            }
        };
        [&llm.weights, &llm.adapter].into_iter().chain(encoders)
    }
}

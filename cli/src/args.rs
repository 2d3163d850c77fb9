//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use emotion_llama_core::convert::Quantization;
use emotion_llama_core::face::FramePick;
use emotion_llama_core::placement::Placement;
use emotion_llama_core::prompt::published::PromptPath;

/// Name of the pack that is used when none is named.
pub const DEFAULT_PACK: &str = "emotion-llama-mini";
/// Directories with packs, separated as in `PATH`.
const PACKS_VARIABLE: &str = "EMOTION_LLAMA_PACKS";

/// The key of the server that `--api-url` names.
pub const API_KEY_VARIABLE: &str = "EMOTION_LLAMA_API_KEY";

/// What a person in a video feels, and what shows it.
#[derive(Debug, Parser)]
#[command(name = "emotion-llama", version, max_term_width = 100)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Say what the person in each clip feels
    Analyze(AnalyzeOptions),
    /// Answer a whole list of clips and say how many answers are right
    ///
    /// Decoding is greedy and without a penalty, as in the published evaluation.
    Evaluate(EvaluateOptions),
    /// Answer over HTTP: the documented calls, Gradio's protocol, version 1 of our own
    Serve(emotion_llama_server::config::Flags),
    /// Make keys for `serve --keys-file`, which keeps only their hashes
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Say what works on this machine and what is missing
    Doctor(DoctorOptions),
    /// Make a pack of the published Emotion-LLaMA checkpoints
    Convert(ConvertArguments),
    /// List, check, describe and synthesise packs
    #[command(subcommand)]
    Pack(PackCommand),
}

#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Make a new key and print it, once
    New {
        /// Who it is for; stands in logs
        name: String,
        /// How often it may be used, for example 100/minute
        #[arg(long, value_name = "N/UNIT")]
        rate: Option<String>,
        /// The file that its hash is added to; without it, the hash is printed
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Hash a key that is there already, read from standard input
    Hash {
        /// Who it is for; stands in logs
        name: String,
        /// How often it may be used, for example 100/minute
        #[arg(long, value_name = "N/UNIT")]
        rate: Option<String>,
        /// The file that the hash is added to; without it, the hash is printed
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
pub struct AnalyzeOptions {
    /// Videos, pictures or sound files; `-` reads one from standard input
    #[arg(required = true, value_name = "INPUT")]
    pub inputs: Vec<PathBuf>,
    /// What to answer; without it the prompt's tag decides, or else `emotion`
    #[arg(long, value_enum)]
    pub task: Option<TaskName>,
    /// Your own question; may begin with `[emotion]` or `[reason]`
    #[arg(long, value_name = "P")]
    pub prompt: Option<String>,
    /// What is said: the words themselves, `auto` for speech recognition, or `none`
    #[arg(long, value_name = "TEXT|auto|none", default_value = "auto")]
    pub transcript: String,
    /// The label words to choose from, separated by commas
    #[arg(long, value_name = "a,b,c", value_delimiter = ',')]
    pub labels: Option<Vec<String>>,
    /// A pack's name, or its directory
    #[arg(long, value_name = "NAME|DIR", default_value = DEFAULT_PACK)]
    pub pack: String,
    /// A running server that answers instead of a pack, for example http://localhost:7889
    #[arg(long, value_name = "URL", conflicts_with_all = ["pack", "features"])]
    pub api_url: Option<String>,
    /// The server's key [default: the variable EMOTION_LLAMA_API_KEY]
    #[arg(long, value_name = "KEY", requires = "api_url")]
    pub api_key: Option<ApiKey>,
    /// The frame to describe: `peak` (the most expressive), `first`, `middle`, or seconds from the start
    #[arg(long, value_name = "peak|first|middle|SECONDS", default_value = "peak", value_parser = parse_frame)]
    pub frame: FramePick,
    /// Always take the likeliest word
    #[arg(long)]
    pub greedy: bool,
    /// Seed of the choice of words
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Longest answer, in tokens
    #[arg(long, value_name = "N")]
    pub max_new_tokens: Option<usize>,
    /// Which of the published model's prompts is written (converted packs only)
    #[arg(long, value_enum)]
    pub prompt_path: Option<PathName>,
    /// A feature that was extracted beforehand, as a `.npy` file: `mae=`, `videomae=` or `hubert=` (converted packs only)
    #[arg(long, value_name = "ENCODER=FILE")]
    pub features: Vec<String>,
    /// How many inputs are analysed at the same time. Their texts are written together, and printed in the inputs' order once they are
    /// whole; with 1 they are printed as they are written
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub jobs: u16,
    /// Where the model computes: auto (a graphics processor if one can be used), cpu, cuda, cuda:NUMBER or cuda:UUID
    #[arg(long, value_name = "DEVICE", default_value = "auto", value_parser = parse_device)]
    pub device: Placement,
    /// Print one JSON object a line for each input, and nothing else
    #[arg(long)]
    pub json: bool,
}

/// A key, which is not shown.
#[derive(Clone)]
pub struct ApiKey(pub String);

impl std::str::FromStr for ApiKey {
    type Err = std::convert::Infallible;

    fn from_str(key: &str) -> Result<Self, Self::Err> {
        Ok(Self(key.to_owned()))
    }
}

impl std::fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ApiKey(hidden)")
    }
}

#[derive(Debug, Args)]
pub struct ConvertArguments {
    /// Hugging Face folder of LLaMA-2-7b-chat (.bin or .safetensors shards)
    #[arg(long, value_name = "DIR")]
    pub llama: PathBuf,
    /// `eva_vit_g.pth`
    #[arg(long, value_name = "FILE")]
    pub eva: PathBuf,
    /// Emotion-LLaMA's own checkpoint, for example `Emotion_LLaMA.pth`
    #[arg(long, value_name = "FILE")]
    pub checkpoint: PathBuf,
    /// Hugging Face folder of chinese-hubert-large
    #[arg(long, value_name = "DIR")]
    pub hubert: PathBuf,
    /// Checkpoint of the MAE encoder; without it the face's feature is zeros
    #[arg(long, value_name = "FILE")]
    pub mae: Option<PathBuf>,
    /// Checkpoint of VideoMAE, a file or a Hugging Face folder; without it the motion's feature is zeros
    #[arg(long, value_name = "DIR|FILE")]
    pub videomae: Option<PathBuf>,
    /// How weights are stored
    #[arg(long, value_enum, default_value = "f16")]
    pub quantize: QuantizationName,
    /// Sizes that the files do not hold, as JSON [default: model_config.json beside the checkpoint, or the published sizes]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Add the LoRA to the weights instead of applying it at run time
    #[arg(long)]
    pub merge_lora: bool,
    /// The pack whose nets find faces, recognise words and measure cues; `none` for none
    #[arg(long, value_name = "NAME|DIR|none", default_value = DEFAULT_PACK)]
    pub perception: String,
    /// The pack's directory; it must not exist
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

#[derive(Debug, Args)]
pub struct EvaluateOptions {
    /// The list: lines of name, number of frames, label, valence
    #[arg(long, value_name = "FILE")]
    pub annotations: PathBuf,
    /// The folder with the clips, called by their names with any usual extension
    #[arg(long, value_name = "DIR")]
    pub media: PathBuf,
    /// A pack's name, or its directory
    #[arg(long, value_name = "NAME|DIR", default_value = DEFAULT_PACK)]
    pub pack: String,
    /// What is said: a table with the columns `name` and `sentence`; without it, speech recognition
    #[arg(long, value_name = "FILE.csv")]
    pub transcripts: Option<PathBuf>,
    /// The folder with features that were extracted beforehand, in upstream's folders mae_340_UTT, maeV_399_UTT and HL-UTT, one
    /// NAME.npy a clip (converted packs only)
    #[arg(long, value_name = "DIR")]
    pub features: Option<PathBuf>,
    /// Which of the published model's prompts is written [default: eval] (converted packs only)
    #[arg(long, value_enum)]
    pub prompt_path: Option<PathName>,
    /// The file that gets one answer a line; a run that was stopped goes on where it was. Without it, beside the list:
    /// LIST.answers.jsonl
    #[arg(long, value_name = "FILE.jsonl")]
    pub out: Option<PathBuf>,
    /// The label words to choose from, separated by commas; without it, the pack's
    #[arg(long, value_name = "a,b,c", value_delimiter = ',')]
    pub labels: Option<Vec<String>>,
    /// The frame to describe: `first` (as published), `peak` (the most expressive), `middle`, or seconds from the start
    #[arg(long, value_name = "peak|first|middle|SECONDS", default_value = "first", value_parser = parse_frame)]
    pub frame: FramePick,
    /// Take only the first N clips of the list
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: Option<u64>,
    /// Leave clips that are missing or fail out of the figures; without it they count as wrong
    #[arg(long)]
    pub skip_missing: bool,
    /// Print all figures as one JSON object
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct DoctorOptions {
    /// A pack's name, or its directory
    #[arg(long, value_name = "NAME|DIR", default_value = DEFAULT_PACK)]
    pub pack: String,
}

#[derive(Debug, Subcommand)]
pub enum PackCommand {
    /// Every pack on the search path
    List,
    /// Compare every file of a pack with its checksum
    Verify {
        /// A pack's name, or its directory
        #[arg(default_value = DEFAULT_PACK)]
        pack: String,
    },
    /// What a pack is made of, with sources and licences
    Info {
        /// A pack's name, or its directory
        #[arg(default_value = DEFAULT_PACK)]
        pack: String,
        /// Print the manifest as JSON
        #[arg(long)]
        json: bool,
    },
    /// Make a pack of Emotion-LLaMA's shapes with random weights, for measuring speed and memory
    Synth {
        /// The published shapes, or a few layers
        #[arg(long, value_enum)]
        shape: ShapeName,
        /// How weights are stored
        #[arg(long, value_enum, default_value = "q4_k")]
        quantize: QuantizationName,
        /// Another seed gives other weights
        #[arg(long, value_name = "N", default_value_t = 0)]
        seed: u64,
        /// The pack whose nets find faces, recognise words and measure cues; `none` for none
        #[arg(long, value_name = "NAME|DIR|none", default_value = DEFAULT_PACK)]
        perception: String,
        /// The pack's directory; it must not exist
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TaskName {
    /// The label alone
    Emotion,
    /// The label and what shows it
    Reason,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PathName {
    /// As in training
    Train,
    /// As in evaluation, by which the published figures were measured
    Eval,
    /// As in the demo, with zeros for face and motion
    Demo,
}

impl From<PathName> for PromptPath {
    fn from(name: PathName) -> Self {
        match name {
            PathName::Train => PromptPath::Train,
            PathName::Eval => PromptPath::Eval,
            PathName::Demo => PromptPath::Demo,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum QuantizationName {
    /// 32-bit floats: nothing is lost
    F32,
    /// 16-bit floats
    F16,
    /// 8-bit blocks
    #[value(name = "q8_0")]
    Q8_0,
    /// 4-bit blocks in the language model, 8-bit blocks elsewhere
    #[value(name = "q4_k")]
    Q4K,
}

impl From<QuantizationName> for Quantization {
    fn from(name: QuantizationName) -> Self {
        match name {
            QuantizationName::F32 => Quantization::F32,
            QuantizationName::F16 => Quantization::F16,
            QuantizationName::Q8_0 => Quantization::Q8_0,
            QuantizationName::Q4K => Quantization::Q4K,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ShapeName {
    /// The published shapes
    #[value(name = "7b")]
    Full,
    /// A few layers, some dozen values wide
    Tiny,
    /// One layer each, small pictures and few words, for tests
    Least,
}

fn parse_device(value: &str) -> Result<Placement, String> {
    value.parse().map_err(|error: emotion_llama_core::Error| error.to_string())
}

fn parse_frame(value: &str) -> Result<FramePick, String> {
    FramePick::parse(value).map_err(|error| error.message)
}

/// Where packs are looked for: the variable's directories, beside the program, and where the project builds them.
pub fn search_path() -> Vec<PathBuf> {
    let mut search: Vec<PathBuf> =
        std::env::var_os(PACKS_VARIABLE).map(|value| std::env::split_paths(&value).collect()).unwrap_or_default();
    if let Some(dir) = std::env::current_exe().ok().as_deref().and_then(std::path::Path::parent) {
        search.extend(["packs", "../share/emotion-llama/packs", "../../build/packs"].map(|place| dir.join(place)));
    }
    search.push(PathBuf::from("build/packs"));
    let mut seen = std::collections::HashSet::new();
    search
        .into_iter()
        .filter(|dir| !dir.as_os_str().is_empty())
        .map(|dir| dir.canonicalize().unwrap_or(dir))
        .filter(|dir| seen.insert(dir.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn frames_are_words_or_seconds() {
        assert!(matches!(parse_frame("peak"), Ok(FramePick::Peak)));
        assert!(matches!(parse_frame("1.5"), Ok(FramePick::At(s)) if s == 1.5));
        for bad in ["-1", "nan", "last", "", "inf"] {
            assert!(parse_frame(bad).is_err(), "{bad}");
        }
    }
}

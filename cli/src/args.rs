//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use emotion_llama_core::face::FramePick;

/// Name of the pack that is used when none is named.
pub const DEFAULT_PACK: &str = "emotion-llama-mini";
/// Directories with packs, separated as in `PATH`.
const PACKS_VARIABLE: &str = "EMOTION_LLAMA_PACKS";

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
    /// Say what works on this machine and what is missing
    Doctor(DoctorOptions),
    /// List, check and describe packs
    #[command(subcommand)]
    Pack(PackCommand),
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
    /// Print one JSON object a line for each input, and nothing else
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
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TaskName {
    /// The label alone
    Emotion,
    /// The label and what shows it
    Reason,
}

fn parse_frame(value: &str) -> Result<FramePick, String> {
    match value {
        "peak" => Ok(FramePick::Peak),
        "first" => Ok(FramePick::First),
        "middle" => Ok(FramePick::Middle),
        seconds => match seconds.parse::<f64>() {
            Ok(seconds) if seconds.is_finite() && seconds >= 0.0 => Ok(FramePick::At(seconds)),
            _ => Err("use peak, first, middle or a number of seconds from the start".to_owned()),
        },
    }
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

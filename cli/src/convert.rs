//! `emotion-llama convert` and `emotion-llama pack synth`.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anstream::stdout;
use emotion_llama_core::convert::{convert, synthesize as synth, ConvertOptions, Progress, SynthOptions, SynthShape};
use emotion_llama_core::pack::{find, Pack, PackRef};
use emotion_llama_core::{CancelToken, Error};
use indicatif::{ProgressBar, ProgressStyle};

use crate::args::{search_path, ConvertArguments, QuantizationName, ShapeName, DEFAULT_PACK};
use crate::FAILED;

pub fn run(arguments: &ConvertArguments) -> io::Result<ExitCode> {
    let perception = match perception(&arguments.perception) {
        Ok(pack) => pack,
        Err(error) => return failed(&error),
    };
    let options = ConvertOptions {
        llama: arguments.llama.clone(),
        eva: arguments.eva.clone(),
        checkpoint: arguments.checkpoint.clone(),
        hubert: arguments.hubert.clone(),
        mae: arguments.mae.clone(),
        videomae: arguments.videomae.clone(),
        quantization: arguments.quantize.into(),
        config: arguments.config.clone(),
        merge_lora: arguments.merge_lora,
        perception,
        out: arguments.out.clone(),
    };
    for (option, feature, given) in
        [("--mae", "face", options.mae.is_some()), ("--videomae", "motion", options.videomae.is_some())]
    {
        if !given {
            anstream::eprintln!(
                "note: without {option} the feature of the {feature} is zeros, as in the published demo"
            );
        }
    }
    report(|bar| convert(&options, &mut |progress| bar.show(progress), &CancelToken::new()))
}

pub fn synthesize(
    shape: ShapeName,
    quantize: QuantizationName,
    seed: u64,
    perception_name: &str,
    out: &Path,
) -> io::Result<ExitCode> {
    let perception = match perception(perception_name) {
        Ok(pack) => pack,
        Err(error) => return failed(&error),
    };
    let shape = match shape {
        ShapeName::Full => SynthShape::Full,
        ShapeName::Tiny => SynthShape::Tiny,
        ShapeName::Least => SynthShape::Least,
    };
    let options = SynthOptions { shape, quantization: quantize.into(), perception, seed, out: out.to_owned() };
    report(|bar| synth(&options, &mut |progress| bar.show(progress), &CancelToken::new()))
}

/// The pack with the nets for faces and words. The built-in one may be missing, another one that is named may not.
fn perception(name: &str) -> Result<Option<Pack>, Error> {
    if name == "none" {
        return Ok(None);
    }
    match find(&PackRef::from(name), &search_path()) {
        Ok(pack) => Ok(Some(pack)),
        Err(_) if name == DEFAULT_PACK => {
            anstream::eprintln!(
                "note: the built-in pack was not found, so whole frames will take the place of faces, and words are not recognised; \
                 name it with --perception"
            );
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn report(work: impl FnOnce(&mut Bar) -> Result<PathBuf, Error>) -> io::Result<ExitCode> {
    let mut bar = Bar(None);
    let outcome = work(&mut bar);
    bar.finish();
    match outcome {
        Ok(dir) => {
            writeln!(stdout(), "{}", dir.display())?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => failed(&error),
    }
}

fn failed(error: &Error) -> io::Result<ExitCode> {
    let message = error.message.split_whitespace().collect::<Vec<_>>().join(" ");
    anstream::eprintln!("emotion-llama: {message} ({})", error.name());
    Ok(ExitCode::from(FAILED))
}

/// A bar for the file that is being written; nothing where standard error is no terminal.
struct Bar(Option<ProgressBar>);

impl Bar {
    fn show(&mut self, progress: Progress<'_>) {
        match progress {
            Progress::File { name, bytes } => {
                self.finish();
                let bar = ProgressBar::new(bytes);
                if let Ok(style) =
                    ProgressStyle::with_template("{msg:<20} {bar:30} {bytes:>10} of {total_bytes:<10} {eta:>4}")
                {
                    bar.set_style(style);
                }
                bar.set_message(name.to_owned());
                self.0 = Some(bar);
            }
            Progress::Bytes(bytes) => self.0.iter().for_each(|bar| bar.set_position(bytes)),
            Progress::Note(note) => {
                self.finish();
                anstream::eprintln!("note: {note}");
            }
        }
    }

    fn finish(&mut self) {
        if let Some(bar) = self.0.take() {
            bar.finish_and_clear();
        }
    }
}

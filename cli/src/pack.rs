//! `emotion-llama pack`.

use std::io::{self, Write};
use std::process::ExitCode;

use anstream::stdout;
use emotion_llama_core::pack::{find, list, ModelSpec, Pack, PackRef};
use emotion_llama_core::Error;

use crate::args::{search_path, PackCommand};
use crate::convert;
use crate::FAILED;

pub fn run(command: &PackCommand) -> io::Result<ExitCode> {
    let outcome = match command {
        PackCommand::List => return list_all(),
        PackCommand::Verify { pack } => verify(pack),
        PackCommand::Info { pack, json } => info(pack, *json),
        PackCommand::Synth { shape, quantize, seed, perception, out } => {
            return convert::synthesize(*shape, *quantize, *seed, perception, out)
        }
    };
    match outcome? {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => {
            anstream::eprintln!("emotion-llama: {error} ({})", error.name());
            Ok(ExitCode::from(FAILED))
        }
    }
}

fn list_all() -> io::Result<ExitCode> {
    let search = search_path();
    let packs = list(&search);
    let mut out = stdout();
    for (dir, pack) in &packs {
        match pack {
            Ok(pack) => {
                let manifest = pack.manifest();
                let bytes = megabytes(pack);
                writeln!(out, "{} {}  {bytes:.0} MB  {}", manifest.name, manifest.version, dir.display())?;
            }
            Err(error) => writeln!(out, "unusable  {}: {error}", dir.display())?,
        }
    }
    if packs.is_empty() {
        let places: Vec<String> = search.iter().map(|dir| dir.display().to_string()).collect();
        anstream::eprintln!("emotion-llama: no packs in {}", places.join(", "));
    }
    Ok(ExitCode::SUCCESS)
}

fn verify(name: &str) -> io::Result<Result<(), Error>> {
    let pack = match open(name).and_then(|pack| pack.verify().map(|()| pack)) {
        Ok(pack) => pack,
        Err(error) => return Ok(Err(error)),
    };
    let manifest = pack.manifest();
    let (name, files) = (&manifest.name, manifest.files.len());
    writeln!(
        stdout(),
        "{name} {}: {files} files, {:.0} MB, all as the manifest says",
        manifest.version,
        megabytes(&pack)
    )?;
    Ok(Ok(()))
}

fn info(name: &str, json: bool) -> io::Result<Result<(), Error>> {
    let pack = match open(name) {
        Ok(pack) => pack,
        Err(error) => return Ok(Err(error)),
    };
    let manifest = pack.manifest();
    let mut out = stdout();
    if json {
        serde_json::to_writer_pretty(&mut out, manifest)?;
        writeln!(out)?;
        return Ok(Ok(()));
    }
    writeln!(out, "{} {}", manifest.name, manifest.version)?;
    writeln!(out, "  {}", manifest.description)?;
    writeln!(out, "  directory  {}", pack.dir().display())?;
    writeln!(out, "  digest     {}", pack.digest())?;
    writeln!(out, "  labels     {}", manifest.labels.join(", "))?;
    let llm = manifest.model.llm();
    let merged = if llm.lora_merged { ", merged" } else { "" };
    writeln!(out, "  llm        {}, LoRA rank {} alpha {}{merged}", llm.weights, llm.lora_rank, llm.lora_alpha)?;
    match &manifest.model {
        ModelSpec::Cues(spec) => {
            let features: Vec<String> = spec.features.iter().map(|f| format!("{} → {}", f.name, f.tokens)).collect();
            writeln!(out, "  features   {} soft tokens", features.join(", "))?;
        }
        ModelSpec::EmotionLlama(spec) => {
            let tasks = if spec.reasons { "emotion, reason" } else { "emotion (trained without reasons)" };
            writeln!(out, "  tasks      {tasks}")?;
            writeln!(out, "  made of")?;
            for (part, description) in &spec.made_of {
                writeln!(out, "    {part:<10} {description}")?;
            }
        }
    }
    writeln!(out, "  files")?;
    for (name, entry) in &manifest.files {
        writeln!(out, "    {name:<24} {:>6.1} MB  {}", entry.bytes as f64 / 1e6, entry.licence)?;
        writeln!(out, "      from {}", entry.source)?;
    }
    Ok(Ok(()))
}

fn open(name: &str) -> Result<Pack, Error> {
    find(&PackRef::from(name), &search_path())
}

fn megabytes(pack: &Pack) -> f64 {
    pack.manifest().files.values().map(|entry| entry.bytes).sum::<u64>() as f64 / 1e6
}

//! Prosody of many clips, for the recipe: `prosody_features [--norms FILE.json]… [--conditioned DIR] < LIST`.
//!
//! LIST names one raw file (16 kHz mono f32, little endian) per line. Prints one JSON object per line, `null` for a clip without a
//! voice; `z` holds one array per norms file. With `--conditioned`, writes what the Whisper encoder is to be given, as raw files.

use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};

use emotion_llama_core::media::Waveform;
use emotion_llama_core::voice::{condition, measure, ProsodyNorms};
use emotion_llama_core::CancelToken;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut norms: Vec<ProsodyNorms> = Vec::new();
    let mut conditioned: Option<PathBuf> = None;
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let value = args.next().ok_or_else(|| format!("{arg} needs a value"))?;
        match arg.as_str() {
            "--norms" => norms.push(serde_json::from_slice(&std::fs::read(&value)?)?),
            "--conditioned" => conditioned = Some(value.into()),
            _ => return Err(format!("{arg} is not an option").into()),
        }
    }
    let cancel = CancelToken::new();
    let unit = ProsodyNorms::default();
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for line in std::io::stdin().lock().lines() {
        let path = PathBuf::from(line?);
        let audio = read_raw(&path)?;
        let Some(prosody) = measure(&audio, &unit, &cancel)? else {
            writeln!(out, "null")?;
            continue;
        };
        if let (Some(dir), Some(name)) = (&conditioned, path.file_name()) {
            let bytes: Vec<u8> = condition(&audio, &prosody).samples.iter().flat_map(|x| x.to_le_bytes()).collect();
            std::fs::write(dir.join(name), bytes)?;
        }
        let z: Vec<[f32; 5]> = norms.iter().map(|n| n.z(&prosody, None).to_array()).collect();
        let mut object = serde_json::to_value(&prosody)?;
        object["z"] = serde_json::to_value(z)?;
        writeln!(out, "{object}")?;
    }
    Ok(())
}

fn read_raw(path: &Path) -> Result<Waveform, Box<dyn std::error::Error>> {
    let bytes = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let samples = bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    Ok(Waveform { samples })
}

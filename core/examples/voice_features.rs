//! Pooled voice features of many clips, for training the voice head.
//!
//! `voice_features <pack directory> <list.txt> <features.safetensors>`: the list names one sound per line, a 16 kHz mono
//! PCM16 `.wav` or raw little-endian `.f32` samples. Writes `features` f32 `[clips, 3072]`, in the order of the list
//! (layer 0 mean, layer 0 standard deviation, layer 1 mean, …).

use std::error::Error;
use std::path::Path;

use emotion_llama_core::encoders::whisper::{pool_statistics, Whisper, POOLED};
use emotion_llama_core::media::Waveform;
use emotion_llama_core::CancelToken;
use rayon::prelude::*;
use safetensors::tensor::{Dtype, TensorView};

type Failure = Box<dyn Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [pack, list, output] = arguments.as_slice() else {
        return Err("usage: voice_features <pack directory> <list.txt> <features.safetensors>".into());
    };
    let whisper = Whisper::open(Path::new(pack))?;
    let list = std::fs::read_to_string(list)?;
    let paths: Vec<&str> = list.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let rows: Vec<Vec<f32>> = paths
        .par_iter()
        .map(|path| {
            let audio = read(Path::new(path)).map_err(|error| format!("{path}: {error}"))?;
            Ok(pool_statistics(&whisper.hidden_states(&audio, &CancelToken::new())?))
        })
        .collect::<Result<_, Failure>>()?;
    let bytes: Vec<u8> = rows.iter().flatten().flat_map(|value| value.to_le_bytes()).collect();
    let view = TensorView::new(Dtype::F32, vec![rows.len(), POOLED], &bytes)?;
    safetensors::serialize_to_file([("features", view)], None, Path::new(output))?;
    eprintln!("{} clips", rows.len());
    Ok(())
}

fn read(path: &Path) -> Result<Waveform, Failure> {
    let bytes = std::fs::read(path)?;
    if path.extension().is_some_and(|extension| extension == "f32") {
        let samples = bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        return Ok(Waveform { samples });
    }
    wav(&bytes).ok_or_else(|| "not a 16 kHz mono PCM16 WAV file".into())
}

/// The samples of a 16 kHz mono PCM16 WAV file.
fn wav(bytes: &[u8]) -> Option<Waveform> {
    if bytes.get(..4)? != b"RIFF" || bytes.get(8..12)? != b"WAVE" {
        return None;
    }
    let number = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let mut at = 12;
    let mut right_format = false;
    while let Some(name) = bytes.get(at..at + 4) {
        let (start, size) = (at + 8, number(at + 4)? as usize);
        if name == b"fmt " {
            right_format =
                number(start)? == 0x0001_0001 && number(start + 4)? == 16_000 && bytes.get(start + 14)? == &16;
        } else if name == b"data" {
            let data = bytes.get(start..bytes.len().min(start.saturating_add(size)))?;
            let samples = data.chunks_exact(2).map(|b| f32::from(i16::from_le_bytes([b[0], b[1]])) / 32768.0).collect();
            return right_format.then_some(Waveform { samples });
        }
        at = start.checked_add(size)?.checked_add(size & 1)?;
    }
    None
}

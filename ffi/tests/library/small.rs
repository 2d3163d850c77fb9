//! A pack and clips of a few kilobytes, made in moments: what whole programs run on under slow tools.

use std::path::{Path, PathBuf};
use std::process::Command;

use emotion_llama_core::convert::{synthesize, Quantization, SynthOptions, SynthShape};
use emotion_llama_core::CancelToken;

/// A pack of the published architecture with one layer each, at `dir/name`. Its answers mean nothing and are always the same.
pub fn pack(dir: &Path, name: &str) -> PathBuf {
    let options = SynthOptions {
        shape: SynthShape::Least,
        quantization: Quantization::F32,
        perception: None,
        seed: 1,
        out: dir.join(name),
    };
    synthesize(&options, &mut |_| {}, &CancelToken::new()).unwrap()
}

/// The same pack with a language model that is cut short.
pub fn broken_pack(dir: &Path) -> PathBuf {
    let pack = pack(dir, "broken");
    let weights = std::fs::OpenOptions::new().write(true).open(pack.join("llama.gguf")).unwrap();
    weights.set_len(weights.metadata().unwrap().len() / 2).unwrap();
    pack
}

/// A fifth of a second of a tone, as a WAV file.
pub fn sound(dir: &Path) -> PathBuf {
    let samples: Vec<u8> =
        (0..3200u32).flat_map(|i| (((f64::from(i) * 0.1).sin() * 8000.0) as i16).to_le_bytes()).collect();
    let mut file = b"RIFF".to_vec();
    file.extend((36 + samples.len() as u32).to_le_bytes());
    file.extend(b"WAVEfmt ");
    file.extend(16u32.to_le_bytes());
    for (value, bytes) in [(1u32, 2), (1, 2), (16_000, 4), (32_000, 4), (2, 2), (16, 2)] {
        file.extend(&value.to_le_bytes()[..bytes]);
    }
    file.extend(b"data");
    file.extend((samples.len() as u32).to_le_bytes());
    file.extend(samples);
    let path = dir.join("sound.wav");
    std::fs::write(&path, file).unwrap();
    path
}

/// A third of a second of moving stripes with a tone.
pub fn video(dir: &Path) -> PathBuf {
    let path = dir.join("video.avi");
    let output = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-bitexact", "-threads", "1"])
        .args(["-f", "lavfi", "-i", "testsrc2=size=64x64:rate=12:duration=0.33"])
        .args(["-f", "lavfi", "-i", "sine=frequency=220:sample_rate=16000:duration=0.33"])
        .args(["-c:v", "mjpeg", "-pix_fmt", "yuvj420p", "-c:a", "pcm_s16le"])
        .arg(&path)
        .output()
        .expect("the ffmpeg command, which the project's set-up installs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    path
}

//! What the benchmark suite times. Reads lines from standard input, answers each with one line: a number, seconds unless said otherwise, or `error …`.
//!
//! `machine read|f32|i16 THREADS` (gigabytes, or billions of operations, a second) · `llm load FILE THREADS` · `llm prefill N` · `llm decode BEFORE N`
//! · `llm batch SEQUENCES BEFORE N`, N steps of so many sequences · `llm shape FILE q4_0|q8_0|q4_k` writes a
//! model of LLaMA-2-7B's shape · `llm resident` (gigabytes, the most that the process had in memory so far)
//! · `face load PACK CLIP FRAMES THREADS` · `face read` · `face operations`, how many that are
//! · `media CLIP FRAMES SIDE` · `speech load PACK CLIP THREADS` · `speech encode`, a window of 30 s
//! · `speech decode TOKENS` after such a window · `speech transcribe`, the clip's sound · `speech voice`, its hidden states
//! · `pipeline …`, see there
//! · `encoder write NAME f32|f16|q8_0 FILE` (gives its bytes) · `encoder load NAME FILE THREADS` · `encoder run` · `encoder loss NAME FILE`, how far the
//! loaded encoder's output is from that of FILE, a ratio
//! · with the feature `cuda`: `gpu open INDEX` (gigabytes of memory) · `gpu copy` (gigabytes a second that copies in its memory read and write) ·
//! `gpu pictures COUNT WIDTH HEIGHT SIDE` · `gpu kernel COUNT WIDTH HEIGHT SIDE`, on the device alone · `gpu encoder` and `gpu llm` move what is
//! loaded there

mod encoders;
mod face;
#[cfg(feature = "cuda")]
mod gpu;
mod machine;
mod media;
mod pipeline;
mod shape;
mod speech;

use std::io::{BufRead, Write};
use std::time::Instant;

use emotion_llama_core::gguf::Gguf;
use emotion_llama_core::llama::{Decoder, KvCache, Llama};
use emotion_llama_core::{CancelToken, Error, Result};

use crate::encoders::Encoder;
use crate::face::Face;
use crate::speech::Speech;

fn main() {
    let mut bench = Bench::default();
    for line in std::io::stdin().lock().lines().map_while(|line| line.ok()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let answer = match bench.run(&words) {
            Ok(seconds) => seconds.to_string(),
            Err(error) => format!("error {error}"),
        };
        println!("{answer}");
        let _ = std::io::stdout().flush();
    }
}

#[derive(Default)]
struct Bench {
    llm: Option<(Llama, rayon::ThreadPool)>,
    face: Option<(Face, rayon::ThreadPool)>,
    speech: Option<(Speech, rayon::ThreadPool)>,
    encoder: Option<(Encoder, rayon::ThreadPool)>,
    pipeline: pipeline::Pipeline,
    #[cfg(feature = "cuda")]
    gpu: gpu::Gpu,
}

fn number(word: &str) -> Result<usize> {
    word.parse().map_err(|_| Error::invalid_argument(format!("{word:?} is no number")))
}

fn pool(threads: &str) -> Result<rayon::ThreadPool> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(number(threads)?).build();
    pool.map_err(|e| Error::internal(e.to_string()))
}

impl Bench {
    fn run(&mut self, words: &[&str]) -> Result<f64> {
        match words {
            ["machine", what, threads] => {
                let (seconds, amount) = pool(threads)?.install(|| match *what {
                    "read" => Ok(machine::read()),
                    "f32" => Ok(machine::multiply_add()),
                    "i16" => Ok(machine::multiply_pairs()),
                    _ => Err(Error::invalid_argument(format!("{what:?} is none of read, f32, i16"))),
                })?;
                Ok(amount as f64 / 1e9 / seconds)
            }
            ["pipeline", rest @ ..] => self.pipeline.run(rest),
            #[cfg(feature = "cuda")]
            ["gpu", what @ ("llm" | "encoder")] => {
                let began = Instant::now();
                match (*what, &mut self.llm, &mut self.encoder) {
                    ("llm", Some((llama, _)), _) => llama.move_to_device(self.gpu.place()?)?,
                    ("encoder", _, Some((encoder, _))) => encoder.move_to_device(self.gpu.place()?)?,
                    _ => return Err(Error::invalid_argument(format!("no {what} is loaded"))),
                }
                Ok(began.elapsed().as_secs_f64())
            }
            #[cfg(feature = "cuda")]
            ["gpu", rest @ ..] => self.gpu.run(rest),
            ["llm", "load", file, threads] => {
                let pool = pool(threads)?;
                let began = Instant::now();
                let llama = Llama::load(&Gguf::open(file.as_ref())?)?;
                self.llm = Some((llama, pool));
                Ok(began.elapsed().as_secs_f64())
            }
            ["llm", "shape", file, kind] => {
                let began = Instant::now();
                shape::write(file.as_ref(), kind)?;
                Ok(began.elapsed().as_secs_f64())
            }
            ["llm", "resident"] => resident(),
            ["llm", rest @ ..] => {
                let (llama, pool) = self.llm.as_ref().ok_or_else(|| Error::invalid_argument("no model is loaded"))?;
                pool.install(|| llm(llama, rest))
            }
            ["face", "load", pack, clip, frames, threads] => {
                let began = Instant::now();
                self.face = Some((Face::open(pack.as_ref(), clip, frames)?, pool(threads)?));
                Ok(began.elapsed().as_secs_f64())
            }
            ["face", "read"] => {
                let (face, pool) = self.face.as_ref().ok_or_else(|| Error::invalid_argument("no face is loaded"))?;
                pool.install(|| face.read())
            }
            ["face", "operations"] => {
                let (face, _) = self.face.as_ref().ok_or_else(|| Error::invalid_argument("no face is loaded"))?;
                face.operations()
            }
            ["media", clip, frames, side] => media::time(clip, frames, side),
            ["speech", "load", pack, clip, threads] => {
                let began = Instant::now();
                self.speech = Some((Speech::open(pack.as_ref(), clip)?, pool(threads)?));
                Ok(began.elapsed().as_secs_f64())
            }
            ["speech", rest @ ..] => {
                let (speech, pool) =
                    self.speech.as_ref().ok_or_else(|| Error::invalid_argument("no speech is loaded"))?;
                pool.install(|| speech.time(rest))
            }
            ["encoder", "write", name, kind, file] => Ok(encoders::write(name, kind, file.as_ref())? as f64),
            ["encoder", "load", name, file, threads] => {
                // What was loaded before is dropped first.
                self.encoder = None;
                let pool = pool(threads)?;
                let began = Instant::now();
                let encoder = Encoder::open(name, file.as_ref())?;
                self.encoder = Some((encoder, pool));
                Ok(began.elapsed().as_secs_f64())
            }
            ["encoder", rest @ ..] => {
                let (encoder, pool) =
                    self.encoder.as_ref().ok_or_else(|| Error::invalid_argument("no encoder is loaded"))?;
                pool.install(|| match rest {
                    ["run"] => encoder.run(),
                    ["loss", name, file] => encoder.loss(&Encoder::open(name, file.as_ref())?),
                    _ => Err(Error::invalid_argument(format!("{words:?} is no measurement"))),
                })
            }
            _ => Err(Error::invalid_argument(format!("{words:?} is no measurement"))),
        }
    }
}

/// Gigabytes, of this process at most so far.
fn resident() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status").map_err(|e| Error::internal(e.to_string()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    Ok(number(line.trim().trim_end_matches(" kB"))? as f64 / 1e6)
}

fn llm(llama: &Llama, words: &[&str]) -> Result<f64> {
    let cancel = CancelToken::new();
    let ids = |n: usize| -> Vec<u32> { (0..n as u32).map(|i| 1_000 + 37 * i % 20_000).collect() };
    let mut cache = KvCache::new(llama.config());
    match words {
        ["prefill", n] => {
            let rows = llama.embed(&ids(number(n)?))?;
            let began = Instant::now();
            llama.prefill(&rows, &mut cache, &cancel)?;
            Ok(began.elapsed().as_secs_f64())
        }
        ["decode", before, n] => {
            llama.prefill(&llama.embed(&ids(number(before)?))?, &mut cache, &cancel)?;
            let mut decoder = Decoder::new(llama);
            let began = Instant::now();
            for id in ids(number(n)?) {
                decoder.step(&[id], std::slice::from_mut(&mut cache), &cancel)?;
            }
            Ok(began.elapsed().as_secs_f64())
        }
        ["batch", sequences, before, n] => {
            llama.prefill(&llama.embed(&ids(number(before)?))?, &mut cache, &cancel)?;
            let mut caches = vec![cache; number(sequences)?];
            let (mut decoder, mut step) = (Decoder::new(llama), vec![0; caches.len()]);
            let began = Instant::now();
            for id in ids(number(n)?) {
                step.fill(id);
                decoder.step(&step, &mut caches, &cancel)?;
            }
            Ok(began.elapsed().as_secs_f64())
        }
        _ => Err(Error::invalid_argument(format!("{words:?} is no measurement"))),
    }
}

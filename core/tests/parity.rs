//! The published model's arithmetic against the reference: every tensor of its manifest.
//!
//! Packs are converted from the tiny checkpoints of the reference, which have the published layout. The tables are always printed.

mod parity_stages;
mod reference;

use std::io::Write;
use std::path::Path;

use emotion_llama_core::checkpoint::Checkpoint;
use emotion_llama_core::convert::Quantization;
use emotion_llama_core::llama::KvCache;
use emotion_llama_core::CancelToken;
use parity_stages::language::{self, Language, PATHS};
use parity_stages::{converted, encoders, sampling};
use reference::{Reference, Table};
use safetensors::tensor::{Dtype, TensorView};
use serde_json::Value;

/// Largest mean divergence from f32 of the next token's distribution, in nats, by quantisation. The reference's weights are random
/// and its rows short, so its blocks lose more than a trained model's.
const KL_BUDGET: [(Quantization, f64); 3] =
    [(Quantization::F16, 1e-5), (Quantization::Q8_0, 2e-2), (Quantization::Q4K, 0.5)];

#[test]
fn every_tensor_of_the_manifest_agrees() {
    let Some(reference) = Reference::find() else { return };
    let dir = tempfile::tempdir().unwrap();
    let pack = converted(&reference, dir.path(), "plain", |_, _| {});
    let with_norm = converted(&reference, dir.path(), "with_ln_vision", |options, path| {
        options.checkpoint = path("Emotion_LLaMA_tiny.with_ln_vision.pth");
    });
    let mut table = Table::new();
    encoders::check(&reference, &pack, &mut table);
    encoders::check_ln_vision(&reference, &with_norm.join("eva.gguf"), &mut table);
    language::check_projector(&reference, &pack, &with_norm, &mut table);
    language::check_prompts(&reference, &pack, &mut table);
    language::check_llama(&reference, &pack, &mut table);
    language::check_end_to_end(&reference, &pack, &mut table);
    sampling::check(&reference, &mut table);
    table.finish(&reference, |_| true);
}

/// Greedy ids on all three paths, and LLaMA's own tensors, however the weights came to the pack.
#[test]
fn every_way_to_the_weights_gives_the_same() {
    let Some(reference) = Reference::find() else { return };
    let dir = tempfile::tempdir().unwrap();
    for (llama, merged) in [("", true), ("-safetensors", false), ("-safetensors", true)] {
        let name = format!("bin{llama}-merged-{merged}");
        let pack = converted(&reference, dir.path(), &name, |options, path| {
            options.llama = path(&format!("Llama-2-tiny-chat-hf{llama}"));
            options.merge_lora = merged;
        });
        let _ = writeln!(std::io::stdout(), "\n{name}");
        let model = Language::open(&pack);
        let mut table = Table::new();
        language::check_llama_rows(&reference, &model.llama, &mut table);
        for (path, _) in PATHS {
            let (_, rows) = language::prompt_rows(&reference, &pack, &model, path);
            language::check_greedy(&reference, &model, path, &rows, &mut table);
        }
        table.finish(&reference, |_| false);
    }
}

/// Files that spell the same tensors otherwise become the same pack.
#[test]
fn every_spelling_gives_the_same_files() {
    let Some(reference) = Reference::find() else { return };
    let dir = tempfile::tempdir().unwrap();
    let plain = converted(&reference, dir.path(), "plain", |_, _| {});
    let same = |other: &Path, files: &[&str]| {
        for file in files {
            let read = |pack: &Path| std::fs::read(pack.join(file)).unwrap();
            assert!(read(&plain) == read(other), "{file} differs in {}", other.display());
        }
    };
    let peft = converted(&reference, dir.path(), "peft", |options, path| {
        options.checkpoint = path("Emotion_LLaMA_tiny.peft_default.pth");
    });
    same(&peft, &["adapter.safetensors"]);
    let videomae = converted(&reference, dir.path(), "videomae", |options, path| {
        options.videomae = Some(path("videomae_tiny.pth"));
    });
    same(&videomae, &["videomae.gguf"]);
    let fine_tuned = dir.path().join("fine_tuned.safetensors");
    respell(&reference.path("tiny-upstream/videomae_tiny.pth"), &fine_tuned, |name| {
        name.strip_prefix("model.encoder.").map(|name| format!("module.{name}"))
    });
    let videomae = converted(&reference, dir.path(), "fine_tuned", |options, _| options.videomae = Some(fine_tuned));
    same(&videomae, &["videomae.gguf"]);
    let safetensors = converted(&reference, dir.path(), "safetensors", |options, path| {
        options.llama = path("Llama-2-tiny-chat-hf-safetensors");
    });
    same(&safetensors, &["llama.gguf", "eva.gguf", "hubert.gguf", "mae.gguf"]);

    let folder = dir.path().join("hubert");
    std::fs::create_dir(&folder).unwrap();
    let theirs = reference.path("tiny-upstream/chinese-hubert-tiny");
    std::fs::copy(theirs.join("config.json"), folder.join("config.json")).unwrap();
    std::fs::copy(theirs.join("pytorch_model.parametrizations.bin"), folder.join("pytorch_model.bin")).unwrap();
    let hubert = converted(&reference, dir.path(), "parametrizations", |options, _| options.hubert.clone_from(&folder));
    same(&hubert, &["hubert.gguf"]);
}

/// Grouped-query attention: a model whose heads share keys and values two by two answers as the one that has them twice.
#[test]
fn grouped_heads_answer_as_repeated_ones() {
    let Some(reference) = Reference::find() else { return };
    let dir = tempfile::tempdir().unwrap();
    let theirs = reference.path("tiny-upstream/Llama-2-tiny-chat-hf-safetensors");
    let config: Value = serde_json::from_slice(&std::fs::read(theirs.join("config.json")).unwrap()).unwrap();
    let heads = config["num_attention_heads"].as_u64().unwrap() as usize;
    let head = config["hidden_size"].as_u64().unwrap() as usize / heads;
    let logits = |name: &str, kept: Vec<usize>| {
        // The rows of the kept heads, in their order; a head may come twice.
        let pick = |values: Vec<f32>| -> Vec<f32> {
            let rows = head * values.len() / (heads * head);
            kept.iter().flat_map(|&h| values[h * rows..(h + 1) * rows].to_vec()).collect()
        };
        let shared = |name: &str| {
            let projection = ["k_proj.weight", "v_proj.weight", "v_proj.lora_B.weight"];
            projection.iter().any(|end| name.ends_with(end))
        };
        let rewrite = |from: &Path, to: &Path| {
            let checkpoint = Checkpoint::open(from).unwrap();
            let tensors = checkpoint.names().filter(|name| !name.starts_with("optimizer.")).map(|name| {
                let (mut shape, mut values) =
                    (checkpoint.tensor(name).unwrap().shape.clone(), checkpoint.read(name).unwrap());
                if shared(name) {
                    values = pick(values);
                    shape[0] = kept.len() * head;
                }
                (name.to_owned(), shape, values)
            });
            write(to, tensors.collect());
        };
        let llama = dir.path().join(format!("{name}-llama"));
        std::fs::create_dir(&llama).unwrap();
        let mut config = config.clone();
        config["num_key_value_heads"] = kept.len().into();
        std::fs::write(llama.join("config.json"), config.to_string()).unwrap();
        std::fs::copy(theirs.join("tokenizer.model"), llama.join("tokenizer.model")).unwrap();
        rewrite(&theirs, &llama.join("model.safetensors"));
        let checkpoint = dir.path().join(format!("{name}.safetensors"));
        rewrite(&reference.path("tiny-upstream/Emotion_LLaMA_tiny.pth"), &checkpoint);
        let pack = converted(&reference, dir.path(), name, |options, path| {
            options.config = Some(path("model_config.json"));
            (options.llama, options.checkpoint) = (llama, checkpoint);
        });
        let model = Language::open(&pack).llama;
        assert_eq!(model.config().kv_heads, kept.len());
        let (_, rows) = reference.expected("llama", "inputs_embeds");
        model.prefill(&rows, &mut KvCache::new(model.config()), &CancelToken::new()).unwrap()
    };
    let repeated = logits("repeated", (0..heads).map(|h| h / 2 * 2).collect());
    let grouped = logits("grouped", (0..heads).step_by(2).collect());
    let largest = |values: &mut dyn Iterator<Item = f32>| values.fold(0f32, |most, v| most.max(v.abs()));
    let error = largest(&mut repeated.iter().zip(&grouped).map(|(a, b)| a - b));
    assert!(error <= 1e-5 * largest(&mut repeated.iter().copied()), "logits differ by {error}");
}

/// Writes the tensors of `from` to `to` under the names that `name` gives them, and a state of a random generator beside them.
fn respell(from: &Path, to: &Path, name: impl Fn(&str) -> Option<String>) {
    let checkpoint = Checkpoint::open(from).unwrap();
    let renamed = checkpoint
        .names()
        .filter_map(|old| Some((name(old)?, checkpoint.tensor(old)?.shape.clone(), checkpoint.read(old).unwrap())));
    let mut tensors: Vec<_> = renamed.collect();
    assert!(!tensors.is_empty());
    tensors.push(("rng_state".into(), vec![1], vec![0.0]));
    write(to, tensors);
}

/// A safetensors file.
fn write(to: &Path, tensors: Vec<(String, Vec<usize>, Vec<f32>)>) {
    let bytes: Vec<Vec<u8>> =
        tensors.iter().map(|(_, _, values)| values.iter().flat_map(|value| value.to_le_bytes()).collect()).collect();
    let views = tensors
        .iter()
        .zip(&bytes)
        .map(|((name, shape, _), bytes)| (name, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap()));
    std::fs::write(to, safetensors::serialize(views, None).unwrap()).unwrap();
}

/// What the quantisations lose, as the divergence of the next token's distribution from f32 on the reference's prompts.
#[test]
fn quantised_packs_stay_within_their_budget() {
    let Some(reference) = Reference::find() else { return };
    let dir = tempfile::tempdir().unwrap();
    let distributions = |quantization: Quantization| -> Vec<Vec<f64>> {
        let pack =
            converted(&reference, dir.path(), quantization.name(), |options, _| options.quantization = quantization);
        let model = Language::open(&pack);
        let next = |(path, _): &(&str, _)| {
            let (_, rows) = language::prompt_rows(&reference, &pack, &model, path);
            let mut cache = KvCache::new(model.llama.config());
            log_softmax(&model.llama.prefill(&rows, &mut cache, &CancelToken::new()).unwrap())
        };
        PATHS.iter().map(next).collect()
    };
    let exact = distributions(Quantization::F32);
    let mut table =
        format!("{:>6}  {:>10}  {:>10}  {:>10}  {:>10}  {:>8}\n", "KL", "train", "eval", "demo", "mean", "budget");
    let mut beyond = Vec::new();
    for (quantization, budget) in KL_BUDGET {
        let each: Vec<f64> = distributions(quantization).iter().zip(&exact).map(|(q, p)| divergence(p, q)).collect();
        let mean = each.iter().sum::<f64>() / each.len() as f64;
        let name = quantization.name();
        let [train, eval, demo] = each[..] else { panic!("three paths") };
        table += &format!("{name:>6}  {train:>10.2e}  {eval:>10.2e}  {demo:>10.2e}  {mean:>10.2e}  {budget:>8.0e}\n");
        if mean.is_nan() || mean > budget {
            beyond.push(name);
        }
    }
    let _ = std::io::stdout().lock().write_all(table.as_bytes());
    assert!(beyond.is_empty(), "beyond their budget: {beyond:?}");
}

fn log_softmax(logits: &[f32]) -> Vec<f64> {
    let most = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let sum: f64 = logits.iter().map(|&l| (f64::from(l) - most).exp()).sum();
    logits.iter().map(|&l| f64::from(l) - most - sum.ln()).collect()
}

/// KL(p || q) in nats, of logarithms.
fn divergence(p: &[f64], q: &[f64]) -> f64 {
    p.iter().zip(q).map(|(p, q)| p.exp() * (p - q)).sum()
}

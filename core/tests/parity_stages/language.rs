//! Projectors, prompts, LLaMA and generation against the reference.

#![allow(dead_code, reason = "not every test program calls every stage")]

use std::path::Path;

use emotion_llama_core::encoders::eva::EvaViT;
use emotion_llama_core::encoders::hubert::Hubert;
use emotion_llama_core::encoders::mae::Mae;
use emotion_llama_core::encoders::videomae::VideoMae;
use emotion_llama_core::features::ClipFeatures;
use emotion_llama_core::gguf::Gguf;
use emotion_llama_core::kernels::{attend_row, AttentionShape, Isa};
use emotion_llama_core::llama::{KvCache, LayerPart, Llama, LoraWeights, Sampler, SamplingOptions, Tokenizer};
use emotion_llama_core::pack::{ModelSpec, Pack};
use emotion_llama_core::preprocess::{clip_picture, unit_picture};
use emotion_llama_core::projector::PublishedProjector;
use emotion_llama_core::prompt::published::{follow_up, segments, PromptPath, FEATURES, PICTURE};
use emotion_llama_core::prompt::{PromptParts, Segment, Task};
use emotion_llama_core::CancelToken;
use safetensors::SafeTensors;
use serde_json::Value;

use crate::parity_stages::encoders::{clip_frames, open_picture, Picture};
use crate::reference::{Entry, Reference, Table};

/// The paths by the names in the manifest.
pub const PATHS: [(&str, PromptPath); 3] =
    [("train", PromptPath::Train), ("eval", PromptPath::Eval), ("demo", PromptPath::Demo)];

/// The manifest's entries that this module compares with.
pub fn owns(entry: &Entry) -> bool {
    matches!(entry.stage.as_str(), "projector" | "prompts" | "llama")
        || (entry.stage == "e2e" && !entry.name.starts_with("frame0."))
}

/// A converted pack's language model and projectors.
pub struct Language {
    pub llama: Llama,
    pub tokenizer: Tokenizer,
    pub projector: PublishedProjector,
}

impl Language {
    pub fn open(pack: &Path) -> Self {
        let pack = Pack::open(pack).unwrap();
        let ModelSpec::EmotionLlama(spec) = &pack.manifest().model else { panic!("a converted pack") };
        let gguf = Gguf::open(&pack.path(&spec.llm.weights)).unwrap();
        let mut llama = Llama::load(&gguf).unwrap();
        let adapter = pack.path(&spec.llm.adapter);
        if !spec.llm.lora_merged {
            let bytes = std::fs::read(&adapter).unwrap();
            let tensors = SafeTensors::deserialize(&bytes).unwrap();
            let lora = LoraWeights::from_safetensors(&tensors, llama.config(), spec.llm.lora_scale()).unwrap();
            llama.set_lora(Some(lora)).unwrap();
        }
        let projector = PublishedProjector::open(&adapter, llama.config().hidden).unwrap();
        let llama = placed!(llama);
        Self { llama, tokenizer: Tokenizer::from_gguf(&gguf).unwrap(), projector }
    }

    /// The ids of a prompt's segments; `-(1000 + k)` stands for soft row `k` of `rows`.
    fn ids(&self, segments: &[Segment], rows: [usize; 2]) -> Vec<i64> {
        let mut ids = Vec::new();
        for segment in segments {
            match segment {
                Segment::Text(text) => {
                    ids.extend(self.tokenizer.encode(text, true).unwrap().into_iter().map(i64::from))
                }
                Segment::Soft(name) if name == PICTURE => ids.extend((0..rows[0] as i64).map(|k| -(1000 + k))),
                Segment::Soft(name) => {
                    assert_eq!(name, FEATURES);
                    ids.extend((rows[0]..rows[0] + rows[1]).map(|k| -(1000 + k as i64)));
                }
            }
        }
        ids
    }

    /// The rows of a prompt, its text embedded and its soft rows taken from `soft` `[n, hidden]`.
    fn rows(&self, ids: &[i64], soft: &[f32]) -> Vec<f32> {
        let hidden = self.llama.config().hidden;
        let mut rows = Vec::new();
        for &id in ids {
            match u32::try_from(id) {
                Ok(id) => rows.extend(self.llama.embed(&[id]).unwrap()),
                Err(_) => {
                    let k = usize::try_from(-id - 1000).unwrap();
                    rows.extend_from_slice(&soft[k * hidden..(k + 1) * hidden]);
                }
            }
        }
        rows
    }
}

/// The visual tokens `[n, hidden]` of a picture, picture rows first.
fn visual_tokens(pack: &Path, language: &Language, picture: &Picture, features: &ClipFeatures) -> Vec<f32> {
    let eva = placed!(EvaViT::open(&pack.join("eva.gguf")).unwrap());
    let side = eva.config().vit.image_size;
    let pixels = clip_picture(&picture.0, picture.1, picture.2, side).unwrap();
    let tokens = eva.forward(&pixels, &CancelToken::new()).unwrap();
    let mut rows = language.projector.picture(&tokens).unwrap();
    rows.extend(language.projector.features(features, &tokens).unwrap());
    rows
}

/// The features of the reference's clip and speech.
fn features(reference: &Reference, pack: &Path) -> ClipFeatures {
    let cancel = CancelToken::new();
    let mae = placed!(Mae::open(&pack.join("mae.gguf")).unwrap());
    let videomae = placed!(VideoMae::open(&pack.join("videomae.gguf")).unwrap());
    let hubert = placed!(Hubert::open(&pack.join("hubert.gguf")).unwrap());
    let side = mae.config().image_size;
    let frames: Vec<f32> = clip_frames(reference)
        .iter()
        .flat_map(|frame| unit_picture(&frame.0, frame.1, frame.2, side).unwrap())
        .collect();
    ClipFeatures {
        mae: Some(mae.forward_frames(&frames, &cancel).unwrap()),
        videomae: Some(videomae.forward(&frames, &cancel).unwrap()),
        hubert: Some(hubert.forward(&reference.expected("hubert", "waveform").1, &cancel).unwrap()),
    }
}

/// What the demo feeds.
fn without_face(features: &ClipFeatures) -> ClipFeatures {
    ClipFeatures { mae: None, videomae: None, hubert: features.hubert.clone() }
}

/// Every `step`-th row of `rows` of `width`.
fn every(rows: &[f32], width: usize, step: usize) -> Vec<f32> {
    rows.chunks_exact(width).step_by(step).flatten().copied().collect()
}

/// Projectors. `with_norm` is a pack of the checkpoint that has `ln_vision`.
pub fn check_projector(reference: &Reference, pack: &Path, with_norm: &Path, table: &mut Table) {
    let language = Language::open(pack);
    let hidden = language.llama.config().hidden;
    let features = features(reference, pack);
    let flat = |f: &ClipFeatures| -> Vec<f32> {
        let width = f.hubert.as_ref().unwrap().len();
        [&f.mae, &f.videomae, &f.hubert]
            .into_iter()
            .flat_map(|v| v.clone().unwrap_or_else(|| vec![0.0; width]))
            .collect()
    };
    let demo = without_face(&features);
    table.compare(reference, "projector", "features_full", &flat(&features));
    table.compare(reference, "projector", "features_demo", &flat(&demo));
    let picture = open_picture(reference, "img_0");
    let rows = visual_tokens(pack, &language, &picture, &features);
    table.compare(reference, "projector", "img_0.tokens", &rows);
    let rows = visual_tokens(pack, &language, &picture, &demo);
    table.compare(reference, "projector", "img_0.tokens_demo", &rows[rows.len() - 4 * hidden..]);
    let rows = visual_tokens(with_norm, &Language::open(with_norm), &picture, &features);
    table.compare(reference, "projector", "img_0.tokens_with_ln_vision", &every(&rows, hidden, 4));
}

/// What was said and asked, taken out of a prompt of `prompts.json`.
struct Asked {
    said: String,
    task: Task,
    question: String,
}

impl Asked {
    fn of(prompt: &str) -> Self {
        let (_, rest) = prompt.split_once("The person in video says: ").expect("what is said");
        let (task, at) = [(Task::Emotion, "[emotion] "), (Task::Reason, "[reason] ")]
            .into_iter()
            .find_map(|(task, tag)| Some((task, rest.find(tag)?)))
            .expect("a tag");
        let said = rest[..at].trim_end().strip_suffix('.').expect("a full stop").to_owned();
        let (_, question) = rest[at..].split_once(' ').expect("a question");
        let question = question.split("[/INST]").next().unwrap().trim().to_owned();
        Self { said, task, question }
    }
}

/// The ids of every prompt on every path.
pub fn check_prompts(reference: &Reference, pack: &Path, table: &mut Table) {
    let language = Language::open(pack);
    let text = std::fs::read_to_string(reference.path("prompts.json")).unwrap();
    let prompts: Value = serde_json::from_str(&text).unwrap();
    for prompt in prompts.as_array().unwrap() {
        let (name, path) = (prompt["name"].as_str().unwrap(), prompt["path"].as_str().unwrap());
        let asked = Asked::of(prompt["prompt"].as_str().unwrap());
        let base = path.strip_suffix("_turn2");
        let chosen = PATHS.iter().find(|(known, _)| *known == base.unwrap_or(path)).unwrap().1;
        let parts = PromptParts {
            task: asked.task,
            question: Some(&asked.question),
            transcript: Some(&asked.said),
            labels: None,
        };
        let mut segments = segments(chosen, parts);
        if base.is_some() {
            let again = prompt["prompt"].as_str().unwrap().rsplit("[INST] ").next().unwrap();
            segments.push(follow_up(again.trim_end_matches(" [/INST]")));
        }
        let visual: usize = prompt["pieces"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|piece| piece["rows"].as_array())
            .map(|rows| (rows[1].as_u64().unwrap() - rows[0].as_u64().unwrap()) as usize)
            .sum();
        let ids = language.ids(&segments, [visual - 4, 4]);
        table.compare_ints(reference, "prompts", &format!("{name}.{path}.ids"), &ids);
    }
}

/// Layers' parts with their rows.
type Seen = Vec<(usize, LayerPart, Vec<f32>)>;

/// Runs `rows` and gives each layer's parts, and the logits `[n, vocab]` of all rows.
fn observed(llama: &Llama, rows: &[f32]) -> (Seen, Vec<f32>) {
    let mut seen: Seen = Vec::new();
    let mut cache = KvCache::new(llama.config());
    let mut observe =
        |layer: usize, part: LayerPart, rows: &[f32]| match seen.iter_mut().find(|(l, p, _)| (*l, *p) == (layer, part))
        {
            Some((_, _, all)) => all.extend_from_slice(rows),
            None => seen.push((layer, part, rows.to_vec())),
        };
    llama.prefill_observed(rows, &mut cache, &CancelToken::new(), &mut observe).unwrap();
    let last = part(&seen, llama.config().layers - 1, LayerPart::Output);
    let logits = llama.logits(last, &CancelToken::new()).unwrap();
    (seen, logits)
}

fn part(seen: &[(usize, LayerPart, Vec<f32>)], layer: usize, wanted: LayerPart) -> &[f32] {
    &seen.iter().find(|(l, p, _)| (*l, *p) == (layer, wanted)).unwrap().2
}

/// Rows `[n, heads * dim]` with neighbouring pairs to `[heads, n, dim]` with halves.
fn by_head(rows: &[f32], heads: usize, dim: usize) -> Vec<f32> {
    let mut out = Vec::with_capacity(rows.len());
    for head in 0..heads {
        for row in rows.chunks_exact(heads * dim) {
            let head = &row[head * dim..(head + 1) * dim];
            out.extend(head.iter().step_by(2));
            out.extend(head.iter().skip(1).step_by(2));
        }
    }
    out
}

/// The weights that attention gives each earlier row, `[heads, n, n]`: what it makes of values that are 1 for one row and 0 else.
fn attention_probs(shape: AttentionShape, q: &[f32], k: &[f32], n: usize) -> Vec<f32> {
    let (q_width, kv_width) = (shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim);
    let mut probs = vec![0f32; shape.heads * n * n];
    for i in 0..n {
        for first in (0..n).step_by(shape.head_dim) {
            let mut values = vec![0f32; (i + 1) * kv_width];
            for (j, value) in values.chunks_exact_mut(kv_width).enumerate().skip(first).take(shape.head_dim) {
                value.iter_mut().skip(j - first).step_by(shape.head_dim).for_each(|v| *v = 1.0);
            }
            let mut out = vec![0f32; q_width];
            let query = &q[i * q_width..(i + 1) * q_width];
            let stretches = [(&[][..], &[][..]), (&k[..(i + 1) * kv_width], &values[..])];
            attend_row(Isa::detect(), shape, query, stretches, &mut Vec::new(), &mut out);
            for (head, out) in out.chunks_exact(shape.head_dim).enumerate() {
                for (j, p) in (first..n.min(first + shape.head_dim)).zip(out) {
                    probs[(head * n + i) * n + j] = *p;
                }
            }
        }
    }
    probs
}

/// LLaMA on random rows: every intermediate tensor, with and without LoRA.
pub fn check_llama(reference: &Reference, pack: &Path, table: &mut Table) {
    let mut language = Language::open(pack);
    check_llama_rows(reference, &language.llama, table);
    language.llama.set_lora(None).unwrap();
    let (_, rows) = reference.expected("llama", "inputs_embeds");
    let (_, logits) = observed(&language.llama, &rows);
    let columns = columns(reference, &logits, language.llama.config().vocab);
    table.compare(reference, "llama", "no_lora.logits_columns", &columns);
}

fn columns(reference: &Reference, logits: &[f32], vocab: usize) -> Vec<f32> {
    let (_, columns) = reference.expected_ints("llama", "logit_columns");
    logits.chunks_exact(vocab).flat_map(|row| columns.iter().map(|&c| row[c as usize])).collect()
}

/// LLaMA with its LoRA on random rows.
pub fn check_llama_rows(reference: &Reference, llama: &Llama, table: &mut Table) {
    let config = llama.config().clone();
    let (shape, rows) = reference.expected("llama", "inputs_embeds");
    let n = shape[1];
    let (seen, logits) = observed(llama, &rows);
    let (mut cos, mut sin) = (Vec::new(), Vec::new());
    let mut turns = vec![(0.0, 0.0); config.head_dim / 2];
    for position in 0..n {
        config.rotary(position, &mut turns);
        for _ in 0..2 {
            sin.extend(turns.iter().map(|turn| turn.0));
            cos.extend(turns.iter().map(|turn| turn.1));
        }
    }
    let mut compare = |name: &str, ours: &[f32]| table.compare(reference, "llama", name, ours);
    compare("rope_cos", &cos);
    compare("rope_sin", &sin);
    let (q, k) = (part(&seen, 0, LayerPart::Queries), part(&seen, 0, LayerPart::Keys));
    let attention = AttentionShape { heads: config.heads, kv_heads: config.kv_heads, head_dim: config.head_dim };
    compare("layer0.q_rope", &by_head(q, config.heads, config.head_dim));
    compare("layer0.k_rope", &by_head(k, config.kv_heads, config.head_dim));
    compare("layer0.attention_probs", &attention_probs(attention, q, k, n));
    for layer in 0..config.layers {
        compare(&format!("layer_{layer}.attention_output"), part(&seen, layer, LayerPart::Attention));
        compare(&format!("layer_{layer}.hidden"), part(&seen, layer, LayerPart::Output));
    }
    compare("final_norm", &llama.final_norm(part(&seen, config.layers - 1, LayerPart::Output)));
    compare("logits_last", &logits[(n - 1) * config.vocab..]);
    compare("logits_columns", &columns(reference, &logits, config.vocab));
    let sums = logits.chunks_exact(config.vocab).map(|row| {
        let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        (f64::from(most) + row.iter().map(|&l| f64::from(l - most).exp()).sum::<f64>().ln()) as f32
    });
    compare("logsumexp", &sums.collect::<Vec<_>>());
    let argmax: Vec<i64> = logits.chunks_exact(config.vocab).map(|row| best(row, 1)[0].0).collect();
    table.compare_ints(reference, "llama", "argmax", &argmax);
}

/// The `count` largest values with their places.
fn best(row: &[f32], count: usize) -> Vec<(i64, f32)> {
    let mut order: Vec<(i64, f32)> = row.iter().copied().enumerate().map(|(i, v)| (i as i64, v)).collect();
    order.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    order.truncate(count);
    order
}

/// The prompt of `path` that the manifest has embeddings of: its name and its rows here.
pub fn prompt_rows(reference: &Reference, pack: &Path, language: &Language, path: &str) -> (String, Vec<f32>) {
    let suffix = format!(".{path}.embeds");
    let name = reference
        .entries()
        .iter()
        .find_map(|entry| entry.name.strip_suffix(&suffix).filter(|_| entry.stage == "prompts"))
        .unwrap_or_else(|| panic!("a prompt with embeddings on {path}"));
    let features = features(reference, pack);
    let features = if path == "demo" { without_face(&features) } else { features };
    let soft = visual_tokens(pack, language, &clip_frames(reference)[0], &features);
    let (_, ids) = reference.expected_ints("prompts", &format!("{name}.{path}.ids"));
    (name.to_owned(), language.rows(&ids, &soft))
}

/// From the clip to greedy text, on all three paths.
pub fn check_end_to_end(reference: &Reference, pack: &Path, table: &mut Table) {
    let language = Language::open(pack);
    for (path, rows) in check_to_logits(reference, pack, &language, table) {
        check_greedy(reference, &language, path, &rows, table);
    }
}

/// From the clip to the logits after the prompt, on all three paths. Gives each path's rows of the prompt.
pub fn check_to_logits(
    reference: &Reference,
    pack: &Path,
    language: &Language,
    table: &mut Table,
) -> Vec<(&'static str, Vec<f32>)> {
    let config = language.llama.config().clone();
    let features = features(reference, pack);
    let frame = &clip_frames(reference)[0];
    let full = visual_tokens(pack, language, frame, &features);
    table.compare(reference, "e2e", "visual_tokens", &full);
    let demo = visual_tokens(pack, language, frame, &without_face(&features));
    table.compare(reference, "e2e", "visual_tokens_demo_tail", &demo[demo.len() - 4 * config.hidden..]);
    let mut prompts = Vec::new();
    for (path, _) in PATHS {
        let (name, rows) = prompt_rows(reference, pack, language, path);
        table.compare(reference, "prompts", &format!("{name}.{path}.embeds"), &rows);
        let (seen, logits) = observed(&language.llama, &rows);
        for layer in 0..config.layers {
            let name = format!("{path}.layer_{layer}.hidden_every16");
            if reference.find_entry("e2e", &name).is_some() {
                let sparse = every(part(&seen, layer, LayerPart::Output), config.hidden, 16);
                table.compare(reference, "e2e", &name, &sparse);
            }
        }
        let normed = language.llama.final_norm(part(&seen, config.layers - 1, LayerPart::Output));
        let last = &normed[normed.len() - config.hidden..];
        table.compare(reference, "e2e", &format!("{path}.final_norm_last"), last);
        let last = &logits[logits.len() - config.vocab..];
        table.compare(reference, "e2e", &format!("{path}.logits_last"), last);
        prompts.push((path, rows));
    }
    prompts
}

/// Greedy text after `rows`, with and without the penalty.
pub fn check_greedy(reference: &Reference, language: &Language, path: &str, rows: &[f32], table: &mut Table) {
    for (run, penalty) in [("greedy", 1.0), ("greedy_penalty_1.05", 1.05)] {
        let (shape, _) = reference.expected_ints("e2e", &format!("{path}.{run}.ids"));
        let options = SamplingOptions { greedy: true, repetition_penalty: penalty, ..SamplingOptions::default() };
        let mut sampler = Sampler::new(options).unwrap();
        sampler.record(language.tokenizer.bos_id().expect("a first token"));
        let cancel = CancelToken::new();
        let mut cache = KvCache::new(language.llama.config());
        let mut logits = language.llama.prefill(rows, &mut cache, &cancel).unwrap();
        let (mut ids, mut top_ids, mut top) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..shape[0] {
            let (places, values): (Vec<i64>, Vec<f32>) = best(&logits, 5).into_iter().unzip();
            top_ids.extend(places);
            top.extend(values);
            let id = sampler.sample(&logits).unwrap();
            ids.push(i64::from(id));
            logits = language.llama.decode(id, &mut cache, &cancel).unwrap();
        }
        table.compare_ints(reference, "e2e", &format!("{path}.{run}.ids"), &ids);
        table.compare_ints(reference, "e2e", &format!("{path}.{run}.top5_ids"), &top_ids);
        table.compare(reference, "e2e", &format!("{path}.{run}.top5_logits"), &top);
    }
}

//! The choice of the next token against the reference.

use emotion_llama_core::llama::{Sampler, SamplingOptions};

use crate::reference::{Entry, Reference, Table};

/// The manifest's entries that this module compares with.
pub fn owns(entry: &Entry) -> bool {
    entry.stage == "sampling"
}

/// Penalty, temperature, top-k and top-p.
pub fn check(reference: &Reference, table: &mut Table) {
    let (_, raw) = reference.expected("sampling", "raw_logits");
    let (_, history) = reference.expected_ints("sampling", "history");
    let mut sampler = Sampler::new(SamplingOptions::default()).unwrap();
    history.iter().for_each(|&id| sampler.record(id as u32));
    table.compare(reference, "sampling", "penalized", sampler.penalised(&raw));
    for entry in reference.entries().iter().filter(|entry| owns(entry)) {
        let Some((logits, options)) = settings(&entry.name) else { continue };
        let (_, logits) = reference.expected("sampling", logits);
        let kept = Sampler::new(options).unwrap().distribution(&logits);
        if entry.name.ends_with(".kept_ids") {
            let ids: Vec<i64> = kept.iter().map(|kept| i64::from(kept.0)).collect();
            table.compare_ints(reference, "sampling", &entry.name, &ids);
        } else if entry.name.ends_with(".kept_probs") {
            let probs: Vec<f32> = kept.iter().map(|kept| kept.1 as f32).collect();
            table.compare(reference, "sampling", &entry.name, &probs);
        } else {
            let mut probs = vec![0f32; logits.len()];
            kept.iter().for_each(|&(id, p)| probs[id as usize] = p as f32);
            table.compare(reference, "sampling", &entry.name, &probs);
        }
    }
}

/// The logits and options in a name such as `medium.t0.2.k50.p0.9.kept_ids`.
fn settings(name: &str) -> Option<(&str, SamplingOptions)> {
    let name = [".kept_ids", ".kept_probs", ".probs"].iter().find_map(|end| name.strip_suffix(end))?;
    let (logits, rest) = name.split_once(".t")?;
    let (rest, top_p) = rest.rsplit_once(".p")?;
    let (temperature, top_k) = rest.split_once(".k").unwrap_or((rest, "0"));
    let options = SamplingOptions {
        temperature: temperature.parse().ok()?,
        top_k: top_k.parse().ok()?,
        top_p: top_p.parse().ok()?,
        repetition_penalty: 1.0,
        ..SamplingOptions::default()
    };
    Some((logits, options))
}

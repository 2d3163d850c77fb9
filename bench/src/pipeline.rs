//! Whole analyses with a loaded engine.

use std::path::Path;
use std::time::Instant;

use emotion_llama_core::engine::{Engine, EngineOptions};
use emotion_llama_core::media::Source;
use emotion_llama_core::pack::PackRef;
use emotion_llama_core::prompt::Task;
use emotion_llama_core::request::{Question, Request};
use emotion_llama_core::{CancelToken, Error, Result};

use crate::number;

/// An engine, when one is loaded.
#[derive(Default)]
pub struct Pipeline(Option<Engine>);

impl Pipeline {
    /// `load PACK THREADS`: seconds to open it, without comparing hashes · `label CLIP`: seconds to the label · `each CLIP N`, `together CLIP N`: seconds
    /// of N analyses with text, one after the other or all at the same time.
    pub fn run(&mut self, words: &[&str]) -> Result<f64> {
        if let ["load", pack, threads] = words {
            let options = EngineOptions { verify: false, threads: number(threads)?, ..EngineOptions::default() };
            let began = Instant::now();
            self.0 = Some(Engine::open(&PackRef::from(*pack), &options)?);
            return Ok(began.elapsed().as_secs_f64());
        }
        let engine = self.0.as_ref().ok_or_else(|| Error::invalid_argument("no pack is loaded"))?;
        match words {
            ["label", clip] => analyze(engine, clip, Task::Emotion),
            ["each", clip, count] => {
                let began = Instant::now();
                for _ in 0..number(count)? {
                    analyze(engine, clip, Task::Reason)?;
                }
                Ok(began.elapsed().as_secs_f64())
            }
            ["together", clip, count] => {
                let count = number(count)?;
                let began = Instant::now();
                std::thread::scope(|scope| {
                    let calls: Vec<_> =
                        (0..count).map(|_| scope.spawn(|| analyze(engine, clip, Task::Reason))).collect();
                    calls.into_iter().try_for_each(|call| match call.join() {
                        Ok(result) => result.map(drop),
                        Err(_) => Err(Error::internal("an analysis panicked")),
                    })
                })?;
                Ok(began.elapsed().as_secs_f64())
            }
            _ => Err(Error::invalid_argument(format!("{words:?} is no measurement"))),
        }
    }
}

/// Analyses `clip`; seconds to its label.
fn analyze(engine: &Engine, clip: &str, task: Task) -> Result<f64> {
    let mut question = Question { task: Some(task), ..Question::default() };
    question.sampling.greedy = true;
    let request = Request { question, ..Request::new(Source::from(Path::new(clip))) };
    Ok(engine.analyze(&request, &CancelToken::new(), &mut |_| {})?.time_to_label_ms / 1e3)
}

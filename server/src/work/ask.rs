//! One question about one clip, on its way to an answer.

use std::sync::Arc;

use emotion_llama_core::analysis::Analysis;
use emotion_llama_core::request::Request;

use super::cache::Keeper;
use super::job::Reader;
use super::run;
use crate::error::ApiResult;
use crate::files::uploads::Upload;
use crate::state::App;

/// An answer, which several may share.
pub type Answer = Arc<Analysis>;

/// What is asked.
#[derive(Debug, Clone)]
pub struct Ask {
    /// The question and the clip, which was opened already.
    pub request: Request,
    /// The upload that the clip is, which lasts as long as this.
    pub upload: Option<Upload>,
}

impl Ask {
    /// `request`, within what the server allows.
    pub fn new(app: &App, mut request: Request, upload: Option<Upload>) -> Self {
        let (limits, most) = (&mut request.limits, &app.config.limits);
        limits.max_duration_s = limits.max_duration_s.min(most.clip_s);
        limits.max_pixels = limits.max_pixels.min(most.pixels);
        limits.max_streams = limits.max_streams.min(most.streams);
        let sampling = &mut request.question.sampling;
        sampling.max_new_tokens = sampling.max_new_tokens.min(most.new_tokens);
        Self { request, upload }
    }
}

/// The answer: one that is kept, one that is being computed for somebody else, or a new one.
///
/// # Errors
/// `overloaded` when the queue is full, or while the model loads.
pub async fn answer(app: &Arc<App>, ask: Ask) -> ApiResult<Reader<Answer>> {
    app.engine()?;
    app.cache.answer(app, ask).await
}

/// Computes the answer, which `keeper` keeps.
///
/// # Errors
/// `overloaded` when the queue is full, or while the model loads.
pub fn compute(app: &Arc<App>, ask: Ask, mut keeper: Option<Keeper>) -> ApiResult<Reader<Answer>> {
    let engine = app.engine()?.clone();
    let place = app.queue.enter()?;
    let counting = Arc::clone(app);
    Ok(run::start(app, place, move |cancel, tell| {
        let analysis = engine.analyze(&ask.request, cancel, &mut |event| {
            if let Some(keeper) = &mut keeper {
                keeper.tell(&event);
            }
            tell(event);
        })?;
        counting.metrics.analysis(&analysis);
        log_content(&counting, &ask, &analysis);
        let answer = Arc::new(analysis);
        if let Some(keeper) = keeper {
            keeper.keep(&answer);
        }
        Ok(answer)
    }))
}

/// What was asked and answered, where the operator wants that in the log.
fn log_content(app: &App, ask: &Ask, analysis: &Analysis) {
    if app.config.log.content {
        tracing::info!(
            clip = %ask.request.source,
            prompt = ask.request.question.prompt.as_deref(),
            transcript = analysis.transcript.as_deref(),
            response = analysis.response,
            "answered"
        );
    }
}

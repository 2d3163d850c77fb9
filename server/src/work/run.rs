//! One computation: waits for its turn, runs on a thread of its own, and stops when nobody wants its answer, when its time is over, or when
//! the server ends.

use std::sync::Arc;
use std::time::Duration;

use emotion_llama_core::event::Event;
use emotion_llama_core::{CancelToken, Error, ErrorKind};

use super::job::{job, Reader, Update, Writer};
use super::queue::Place;
use crate::error::{ApiError, ApiResult};
use crate::state::App;

/// What a computation is given: the token that stops it, and where it tells how far it is.
pub type Tell<'a> = &'a mut (dyn FnMut(Event<'_>) + Send);

/// Runs `work` when it is the turn of `place`. The turn is over when `work` has returned, which is within 100 ms of a cancellation.
pub fn start<T: Clone + Send + Sync + 'static>(
    app: &Arc<App>,
    place: Place,
    work: impl FnOnce(&CancelToken, Tell<'_>) -> Result<T, Error> + Send + 'static,
) -> Reader<T> {
    let (writer, reader) = job(app.cancel());
    let writer = Arc::new(writer);
    let limit = Duration::from_secs_f64(app.config.limits.analysis_s);
    let task_app = Arc::clone(app);
    app.tasks.spawn(async move {
        let app = task_app;
        let outcome = carry(&app, &writer, place, limit, work).await;
        if let Err(error) = &outcome {
            tracing::debug!(code = error.code.name(), "an analysis failed");
            if error.code == ErrorKind::Cancelled {
                app.queue.count_cancelled();
            }
        }
        writer.finish(outcome);
    });
    reader
}

async fn carry<T: Clone + Send + Sync + 'static>(
    app: &App,
    writer: &Arc<Writer<T>>,
    place: Place,
    limit: Duration,
    work: impl FnOnce(&CancelToken, Tell<'_>) -> Result<T, Error> + Send + 'static,
) -> ApiResult<T> {
    let cancelled = || ApiError::from(Error::cancelled());
    let turn = tokio::select! {
        biased;
        () = writer.abandoned().cancelled() => return Err(cancelled()),
        () = app.halted() => return Err(cancelled()),
        turn = wait(writer, place) => turn?,
    };
    writer.set_rank(None);
    let cancel = writer.cancel().clone();
    let teller = Arc::clone(writer);
    let mut thread = tokio::task::spawn_blocking(move || {
        let outcome = work(&cancel, &mut |event| match event {
            Event::Stage(stage) => teller.tell(Update::Stage(stage)),
            Event::Label(label) => teller.tell(Update::Label(Arc::new(label.clone()))),
            Event::Text(text) => teller.tell(Update::Text(text.into())),
        });
        drop((turn, teller));
        outcome
    });
    let outcome = match tokio::time::timeout(limit, &mut thread).await {
        Ok(outcome) => outcome,
        Err(_) => {
            writer.cancel().cancel();
            return match thread.await {
                // It was done just then.
                Ok(Ok(done)) => Ok(done),
                _ => Err(ApiError::new(
                    ErrorKind::Timeout,
                    format!(
                        "the analysis took longer than {} s; send a shorter clip, or ask for fewer tokens",
                        limit.as_secs_f64()
                    ),
                )),
            };
        }
    };
    match outcome {
        Ok(outcome) => outcome.map_err(ApiError::from),
        Err(panicked) => Err(ApiError::internal(panicked)),
    }
}

/// Waits for the turn and tells of each change of the rank.
async fn wait<T>(writer: &Writer<T>, place: Place) -> ApiResult<super::queue::Turn> {
    let watcher = place.watcher();
    let mut turn = std::pin::pin!(place.turn());
    let mut changes = watcher.changes();
    loop {
        tokio::select! {
            biased;
            turn = &mut turn => return turn,
            _ = changes.changed() => writer.set_rank(Some(watcher.rank())),
        }
    }
}

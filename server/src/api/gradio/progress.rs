//! How an event goes on, for either kind of stream.

use std::sync::Arc;
use std::time::Instant;

use futures_util::Stream;

use super::messages::Output;
use crate::error::ApiError;
use crate::state::App;
use crate::work::events::Event;
use crate::work::job::{Step, Update};

/// What happens next.
#[derive(Debug)]
pub enum Progress {
    /// So many are before it.
    Waits(usize),
    /// Its turn has come.
    Starts,
    /// The answer grows by `piece` and is `whole` now.
    Grows {
        /// What came to it.
        piece: String,
        /// All of it.
        whole: String,
        /// Seconds since its turn came.
        duration: f64,
    },
    /// It ended with this answer. Nothing follows.
    Answers {
        /// The text.
        text: String,
        /// For the client.
        output: Output,
    },
    /// It ended with an error. Nothing follows.
    Fails(ApiError),
    /// The client did not want it any more. Nothing follows.
    Stops,
}

/// All that happens to `event`. Dropped before its end, it stops.
pub fn progress(app: Arc<App>, event: Event) -> impl Stream<Item = Progress> + Send {
    async_stream::stream! {
        let mut event = event;
        let stop = event.stop.clone();
        let mut began = event.joined;
        let (mut has_waited, mut has_started) = (false, false);
        let mut whole = String::new();
        loop {
            let step = tokio::select! {
                biased;
                () = stop.cancelled() => {
                    yield Progress::Stops;
                    return;
                }
                step = event.reader.next() => step,
            };
            if let Step::Rank(rank) = step {
                began = Instant::now();
                has_waited = true;
                yield Progress::Waits(rank);
                continue;
            }
            if !std::mem::replace(&mut has_waited, true) {
                yield Progress::Waits(0);
            }
            if !std::mem::replace(&mut has_started, true) {
                yield Progress::Starts;
            }
            match step {
                Step::Rank(_) | Step::Update(Update::Stage(_) | Update::Label(_)) => {}
                Step::Update(Update::Text(piece)) => {
                    whole.push_str(&piece);
                    let (piece, whole) = (piece.to_string(), whole.clone());
                    yield Progress::Grows { piece, whole, duration: began.elapsed().as_secs_f64() };
                }
                Step::Done(Ok(answer)) => {
                    // The answer may have been there for long when somebody came to read it.
                    let duration = began.elapsed().as_secs_f64().min(answer.timings_ms.total / 1000.0);
                    let text = answer.response.clone();
                    let output = Output::whole(&text, duration, app.durations.add(duration));
                    yield Progress::Answers { text, output };
                    return;
                }
                Step::Done(Err(error)) => {
                    yield Progress::Fails(error);
                    return;
                }
            }
        }
    }
}

//! What an analysis tells while it runs.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

/// What an analysis reports while it runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Event<'a> {
    /// A stage begins: `decode`, `observe` (beside decoding) or `respond`; with a server also `upload`.
    Stage(&'static str),
    /// The label is known; the text follows. A server of the published API does not tell it: its answer comes whole.
    Label(&'a Label),
    /// A piece of the answer.
    Text(&'a str),
}

/// The label of an answer whose text is still to be written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Label {
    /// The label with the highest probability.
    pub emotion: String,
    /// Its probability, 0..1.
    pub confidence: f32,
    /// Each allowed label with its probability, in the order of the labels. Sums to 1.
    pub probabilities: IndexMap<String, f32>,
}

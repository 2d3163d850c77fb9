//! How good the answers are: upstream's lists of clips, its way to read an answer, and scikit-learn's figures.

mod annotations;
mod answers;
mod metrics;
mod text;
mod transcripts;

pub use annotations::{annotations, Annotation};
pub use answers::answer_word;
pub use metrics::{ClassMetrics, Metrics, OTHER};
pub use transcripts::Transcripts;

//! Figures of a classification, as scikit-learn computes them.

use serde::Serialize;

use crate::error::{Error, Result};

/// Name of the column of the confusion matrix for answers that are none of the labels.
pub const OTHER: &str = "other";

/// Figures of one class.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassMetrics {
    /// The label.
    pub label: String,
    /// Share of the clips with this answer that show it; 0 when there are none.
    pub precision: f64,
    /// Share of the clips that show it with this answer; 0 when there are none.
    pub recall: f64,
    /// Harmonic mean of the two; 0 when both are.
    pub f1: f64,
    /// Clips that show it.
    pub support: u64,
}

/// Figures of answers against the truth: scikit-learn's `accuracy_score`, `f1_score`, `balanced_accuracy_score`,
/// `precision_recall_fscore_support` and `confusion_matrix`, with `zero_division=0` and every answer that is none of the labels
/// replaced by one further class, "other".
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Metrics {
    /// Clips that were scored.
    pub count: u64,
    /// Share of right answers.
    pub accuracy: f64,
    /// Mean of the classes' F1, weighted by their support.
    pub weighted_f1: f64,
    /// Mean of the F1 of the classes that occur in the truth or the answers, "other" included where it does.
    pub macro_f1: f64,
    /// Unweighted average recall: over the classes that occur in the truth.
    pub uar: f64,
    /// Weighted average recall, which is the accuracy.
    pub war: f64,
    /// Each class, in the order of the labels.
    pub classes: Vec<ClassMetrics>,
    /// How many clips of each class (row) got each answer (column): `[labels][labels + 1]`, the last column is [`OTHER`].
    pub confusion: Vec<Vec<u64>>,
}

impl Metrics {
    /// Scores pairs of truth and answer.
    ///
    /// # Errors
    /// `invalid_argument` when there are no pairs, or a truth is none of `labels`.
    pub fn of<'a>(labels: &[String], pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self> {
        let classes = labels.len();
        let mut confusion = vec![vec![0u64; classes + 1]; classes];
        let place = |word: &str| labels.iter().position(|label| label == word);
        let mut count = 0;
        for (truth, answer) in pairs {
            let row = place(truth).and_then(|row| confusion.get_mut(row)).ok_or_else(|| {
                Error::invalid_argument(format!("the truth {truth:?} is none of the labels {}", labels.join(", ")))
            })?;
            row[place(answer).unwrap_or(classes)] += 1;
            count += 1;
        }
        if count == 0 {
            return Err(Error::invalid_argument("there are no answers to score"));
        }
        Ok(Self::from_confusion(labels, confusion, count))
    }

    fn from_confusion(labels: &[String], confusion: Vec<Vec<u64>>, count: u64) -> Self {
        let share = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
        let answered = |column: usize| confusion.iter().map(|row| row[column]).sum::<u64>();
        let classes: Vec<ClassMetrics> = labels
            .iter()
            .enumerate()
            .map(|(at, label)| {
                let (right, support) = (confusion[at][at] as f64, confusion[at].iter().sum::<u64>());
                let given = answered(at) as f64;
                ClassMetrics {
                    label: label.clone(),
                    precision: share(right, given),
                    recall: share(right, support as f64),
                    f1: share(2.0 * right, given + support as f64),
                    support,
                }
            })
            .collect();
        let right: u64 = (0..labels.len()).map(|at| confusion[at][at]).sum();
        let accuracy = share(right as f64, count as f64);
        let weighted_f1 = share(classes.iter().map(|class| class.f1 * class.support as f64).sum(), count as f64);
        let occurring = classes.iter().enumerate().filter(|(at, class)| class.support + answered(*at) > 0).count();
        let occurring = occurring + usize::from(answered(labels.len()) > 0);
        let shown = classes.iter().filter(|class| class.support > 0).count();
        Self {
            count,
            accuracy,
            weighted_f1,
            macro_f1: share(classes.iter().map(|class| class.f1).sum(), occurring as f64),
            uar: share(classes.iter().map(|class| class.recall).sum(), shown as f64),
            war: accuracy,
            classes,
            confusion,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels() -> Vec<String> {
        ["a", "b", "c"].map(str::to_owned).to_vec()
    }

    #[test]
    fn figures_of_a_case_worked_out_by_hand() {
        // a: 2 of 3 right; b: 0 of 1; c never occurs. One answer is none of the labels.
        let pairs = [("a", "a"), ("a", "a"), ("a", "b"), ("b", "joyful")];
        let metrics = Metrics::of(&labels(), pairs).unwrap();
        assert_eq!(metrics.confusion, [[2, 1, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0]]);
        assert_eq!((metrics.count, metrics.accuracy, metrics.war), (4, 0.5, 0.5));
        assert_eq!(metrics.uar, (2.0 / 3.0) / 2.0);
        assert_eq!(metrics.classes[0].f1, 0.8);
        assert_eq!(metrics.weighted_f1, 0.8 * 0.75);
        assert_eq!(metrics.macro_f1, 0.8 / 3.0);
        let c = &metrics.classes[2];
        assert_eq!((c.precision, c.recall, c.f1, c.support), (0.0, 0.0, 0.0, 0));
    }

    #[test]
    fn no_pairs_and_unknown_truths_are_errors() {
        let none: [(&str, &str); 0] = [];
        assert_eq!(Metrics::of(&labels(), none).unwrap_err().name(), "invalid_argument");
        let error = Metrics::of(&labels(), [("d", "a")]).unwrap_err();
        assert!(error.message.contains("\"d\"") && error.message.contains("a, b, c"), "{error}");
        assert!(Metrics::of(&[], [("d", "a")]).is_err());
    }
}

//! From the model's scores and text to label, confidence and explanation.

use indexmap::IndexMap;

use crate::error::{Error, Result};
use crate::evaluate::answer_word;
use crate::event::Label;

/// The labels' probabilities from their log-likelihoods: a softmax in which equal words share.
///
/// `log_likelihoods` has one value per label. Values that are not finite count as impossible; if none is finite, all labels are equal.
pub fn probabilities(labels: &[String], log_likelihoods: &[f32]) -> IndexMap<String, f32> {
    let finite = |value: &f32| if value.is_finite() { *value } else { f32::NEG_INFINITY };
    let best = log_likelihoods.iter().map(finite).fold(f32::NEG_INFINITY, f32::max);
    let weights: Vec<f64> = log_likelihoods
        .iter()
        .map(|value| if best.is_finite() { f64::from(finite(value) - best).exp() } else { 1.0 })
        .collect();
    let total: f64 = weights.iter().sum();
    labels.iter().zip(weights).map(|(label, weight)| (label.clone(), (weight / total) as f32)).collect()
}

/// The label with the highest probability; the first of several.
pub fn most_likely(probabilities: &IndexMap<String, f32>) -> Option<(&str, f32)> {
    let mut best: Option<(&str, f32)> = None;
    for (label, &p) in probabilities {
        if best.is_none_or(|(_, most)| p > most) {
            best = Some((label, p));
        }
    }
    best
}

/// The likeliest of `labels` with the probabilities of all, as [`probabilities`] gives them.
///
/// # Errors
/// `internal` without labels.
pub(crate) fn label(labels: &[String], log_likelihoods: &[f32]) -> Result<Label> {
    let probabilities = probabilities(labels, log_likelihoods);
    let (emotion, confidence) = most_likely(&probabilities).ok_or_else(|| Error::internal("no label was scored"))?;
    Ok(Label { emotion: emotion.to_owned(), confidence, probabilities })
}

/// The response without the sentence that only states the label: what shows it.
pub fn explanation(response: &str, lead: &str) -> String {
    let rest = response.trim().strip_prefix(lead.trim()).unwrap_or(response.trim());
    rest.trim_start_matches(['.', ',', ':', ';', ' ']).trim().to_owned()
}

/// The label that a text names: the one that it ends with, or else the only one whose words stand in it. Case does not count.
pub(crate) fn named_label(text: &str, labels: &[String]) -> Option<String> {
    let last = answer_word(text, labels);
    if labels.contains(&last) {
        return Some(last);
    }
    let words: Vec<String> = plain_words(text);
    let is_named = |label: &&String| {
        let label = plain_words(label);
        !label.is_empty() && words.windows(label.len()).any(|window| window == label)
    };
    let mut named = labels.iter().filter(is_named);
    named.next().filter(|_| named.next().is_none()).cloned()
}

fn plain_words(text: &str) -> Vec<String> {
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn labels(n: usize) -> Vec<String> {
        (0..n).map(|i| format!("label{i}")).collect()
    }

    proptest! {
        #[test]
        fn probabilities_sum_to_one_and_keep_the_order(scores in proptest::collection::vec(-80f32..0.0, 2..12)) {
            let p = probabilities(&labels(scores.len()), &scores);
            prop_assert!((p.values().sum::<f32>() - 1.0).abs() < 1e-5);
            let best = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let (label, _) = most_likely(&p).unwrap();
            let index: usize = label["label".len()..].parse().unwrap();
            prop_assert_eq!(scores[index], best);
        }
    }

    #[test]
    fn scores_that_are_not_numbers_are_impossible() {
        let p = probabilities(&labels(3), &[f32::NAN, -1.0, f32::NEG_INFINITY]);
        assert_eq!((p["label0"], p["label1"]), (0.0, 1.0));
        let p = probabilities(&labels(2), &[f32::NAN, f32::NAN]);
        assert_eq!(p["label0"], 0.5);
    }

    #[test]
    fn a_label_is_taken_from_a_text_only_where_it_names_one() {
        let labels = ["happy", "sad", "very sad"].map(str::to_owned);
        for (text, label) in [
            ("The person is sad but ends happy.", Some("happy")),
            ("She seems Happy, all in all", Some("happy")),
            ("happy or sad, who knows", None),
            ("unhappy people", None),
            ("情绪：愤怒", None),
            ("", None),
        ] {
            assert_eq!(named_label(text, &labels).as_deref(), label, "{text:?}");
        }
    }

    #[test]
    fn the_explanation_is_what_follows_the_label() {
        let response = "The person feels happy. The mouth corners are up.";
        assert_eq!(explanation(response, "The person feels happy"), "The mouth corners are up.");
        assert_eq!(explanation("happy", "happy"), "");
        assert_eq!(explanation("Free text.", "The person feels sad"), "Free text.");
    }
}

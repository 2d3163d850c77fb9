//! The label in an answer.

/// The word by which upstream's evaluation (`eval_emotion.py`) scores an answer: the last one.
///
/// The text is cleaned as there: it ends at `</s>`, loses `<s>`, and begins after the last `[/INST]`. Where the last word, without case and
/// punctuation around it, is one of `labels` (of a label of several words: the last words), the label is given as it is spelt
/// there; else the word in lower case, which may be empty. Upstream also asks for the same case and no punctuation.
pub fn answer_word(text: &str, labels: &[String]) -> String {
    let text = text.split("</s>").next().unwrap_or_default().replace("<s>", "");
    let text = text.rsplit("[/INST]").next().unwrap_or_default();
    let words: Vec<String> = text.split_whitespace().map(plain).collect();
    let ends_with = |label: &&String| {
        let label: Vec<String> = label.split_whitespace().map(plain).collect();
        !label.is_empty() && words.ends_with(&label)
    };
    // The longest match: "not happy" before "happy".
    let found = labels.iter().filter(ends_with).max_by_key(|label| label.split_whitespace().count());
    found.or(words.last()).cloned().unwrap_or_default()
}

/// A word in lower case without punctuation around it.
fn plain(word: &str) -> String {
    word.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_counts() {
        let labels = ["happy", "sad", "not happy", "Worried"].map(str::to_owned);
        let cases = [
            ("happy", "happy"),
            ("The person is sad but looks happy", "happy"),
            ("The emotion is Happy.", "happy"),
            ("<s> happy</s> sad", "happy"),
            ("[INST] sad [/INST] worried", "Worried"),
            ("happy\n\"sad\"  ", "sad"),
            ("she is not happy!", "not happy"),
            ("unhappy", "unhappy"),
            ("sad/happy", "sad/happy"),
            ("JOYFUL.", "joyful"),
            ("happy .", ""),
            ("", ""),
            ("</s>happy", ""),
        ];
        for (text, expected) in cases {
            assert_eq!(answer_word(text, &labels), expected, "{text:?}");
        }
        assert_eq!(answer_word("x y", &[]), "y");
        assert_eq!(answer_word("", &["...".to_owned()]), "");
    }
}

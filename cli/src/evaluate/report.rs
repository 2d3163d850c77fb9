//! How good the answers were.

use std::io::{self, Write};
use std::path::Path;

use anstream::stdout;
use anstyle::{AnsiColor, Style};
use emotion_llama_core::evaluate::{Metrics, OTHER};
use emotion_llama_core::pack::Pack;
use serde_json::{json, Value};

use super::answers::{AnswerLine, Failure};

const DIM: Style = Style::new().dimmed();
const BOLD: Style = Style::new().bold();
const RIGHT: Style = Style::new().bold().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Green)));
/// Columns of a figure.
const FIGURE: usize = 11;
/// Least columns of a cell of the confusion matrix.
const CELL: usize = 5;

/// Figures over a run.
pub struct Report<'a> {
    pack: &'a Pack,
    labels: &'a [String],
    clips: usize,
    scored: usize,
    /// Clips without an answer.
    pub failures: Vec<(&'a str, &'a Failure)>,
    are_failures_wrong: bool,
    /// By the answers' last words, as upstream scores; None when no clip was scored.
    by_answer: Option<Metrics>,
    /// By the labels that the language model finds likeliest.
    by_emotion: Option<Metrics>,
    differ: bool,
}

impl<'a> Report<'a> {
    /// Scores the answers in `lines`; clips without one count as wrong, or with `skip_missing` not at all.
    pub fn of(
        pack: &'a Pack,
        labels: &'a [String],
        lines: impl Iterator<Item = &'a AnswerLine>,
        skip_missing: bool,
    ) -> Self {
        let lines: Vec<&AnswerLine> = lines.collect();
        let failures: Vec<(&str, &Failure)> =
            lines.iter().filter_map(|line| Some((line.name.as_str(), line.error.as_ref()?))).collect();
        let scored: Vec<&AnswerLine> =
            lines.iter().copied().filter(|line| line.error.is_none() || !skip_missing).collect();
        let score = |word: fn(&AnswerLine) -> &Option<String>| {
            let pairs = scored.iter().map(|line| (line.truth.as_str(), word(line).as_deref().unwrap_or_default()));
            // Fails only without clips: the truths were checked.
            Metrics::of(labels, pairs).ok()
        };
        Self {
            pack,
            labels,
            clips: lines.len(),
            scored: scored.len(),
            failures,
            are_failures_wrong: !skip_missing,
            by_answer: score(|line| &line.answer),
            by_emotion: score(|line| &line.emotion),
            differ: scored.iter().any(|line| line.answer != line.emotion),
        }
    }

    /// All figures.
    pub fn json(&self, answers: &Path) -> Value {
        let manifest = self.pack.manifest();
        let failures = self.failures.iter().map(|(name, error)| json!({"name": name, "error": error}));
        json!({
            "model": {"name": manifest.name, "version": manifest.version, "digest": self.pack.digest()},
            "labels": self.labels,
            "clips": self.clips,
            "scored": self.scored,
            "failures": failures.collect::<Vec<_>>(),
            "by_answer": self.by_answer,
            "by_emotion": self.by_emotion,
            "answers": answers.display().to_string(),
        })
    }

    /// Prints the figures for a person.
    pub fn print(&self, answers: &Path) -> io::Result<()> {
        let mut out = stdout();
        let manifest = self.pack.manifest();
        writeln!(
            out,
            "\n  {DIM}{} of {} clips · {} {}{DIM:#}",
            self.scored, self.clips, manifest.name, manifest.version
        )?;
        match (&self.by_answer, &self.by_emotion) {
            (Some(by_answer), Some(by_emotion)) => {
                writeln!(out)?;
                let names = ["accuracy", "weighted F1", "UAR", "WAR", "macro F1"];
                let names: String = names.iter().map(|name| format!("  {name:>FIGURE$}")).collect();
                writeln!(out, "  {DIM}{:14}{names}{DIM:#}", "")?;
                figures(&mut out, "by the answer", by_answer)?;
                if self.differ {
                    figures(&mut out, "by the scores", by_emotion)?;
                }
                writeln!(out)?;
                matrix(&mut out, by_answer)?;
            }
            _ => writeln!(out, "\n  no clip was scored")?,
        }
        writeln!(out, "\n  {DIM}answers in{DIM:#} {}", answers.display())?;
        out.flush()
    }

    /// Lists the clips without an answer on standard error.
    pub fn list_failures(&self) -> io::Result<()> {
        if self.failures.is_empty() {
            return Ok(());
        }
        let mut out = anstream::stderr();
        let count = self.failures.len();
        let clips = if count == 1 { "clip has" } else { "clips have" };
        let fate = if self.are_failures_wrong { "counted as wrong" } else { "left out of the figures" };
        writeln!(out, "emotion-llama: {count} {clips} no answer ({fate}); the next run tries again:")?;
        for (name, failure) in &self.failures {
            let message = failure.message.split_whitespace().collect::<Vec<_>>().join(" ");
            writeln!(out, "  {name}: {message} ({})", failure.name)?;
        }
        Ok(())
    }
}

fn figures(out: &mut impl Write, name: &str, metrics: &Metrics) -> io::Result<()> {
    write!(out, "  {name:14}")?;
    for figure in [metrics.accuracy, metrics.weighted_f1, metrics.uar, metrics.war, metrics.macro_f1] {
        write!(out, "  {BOLD}{figure:>FIGURE$.4}{BOLD:#}")?;
    }
    writeln!(out)
}

/// The confusion matrix with precision, recall and F1, without classes that do not occur.
fn matrix(out: &mut impl Write, metrics: &Metrics) -> io::Result<()> {
    let classes = metrics.classes.len();
    let answered = |column: usize| metrics.confusion.iter().filter_map(|row| row.get(column)).sum::<u64>();
    let shown: Vec<usize> = (0..classes).filter(|&at| metrics.classes[at].support > 0 || answered(at) > 0).collect();
    let mut columns: Vec<(usize, &str)> = shown.iter().map(|&at| (at, metrics.classes[at].label.as_str())).collect();
    if answered(classes) > 0 {
        columns.push((classes, OTHER));
    }
    let length = |text: &str| text.chars().count();
    let names = shown.iter().map(|&at| length(&metrics.classes[at].label)).max().unwrap_or(0).max("truth".len());
    let widths: Vec<usize> =
        columns.iter().map(|(at, name)| length(name).max(answered(*at).to_string().len()).max(CELL)).collect();
    let headers: String = columns.iter().zip(&widths).map(|((_, name), width)| format!("  {name:>width$}")).collect();
    writeln!(out, "  {DIM}{:names$}   answer{DIM:#}", "")?;
    writeln!(out, "  {DIM}{:names$}{headers}   precision  recall      F1{DIM:#}", "truth")?;
    for &row in &shown {
        let class = &metrics.classes[row];
        write!(out, "  {DIM}{:names$}{DIM:#}", class.label)?;
        for ((column, _), width) in columns.iter().zip(&widths) {
            let count = metrics.confusion[row].get(*column).copied().unwrap_or(0);
            match count {
                0 => write!(out, "  {DIM}{:>width$}{DIM:#}", "·")?,
                count if *column == row => write!(out, "  {RIGHT}{count:>width$}{RIGHT:#}")?,
                count => write!(out, "  {count:>width$}")?,
            }
        }
        if class.support > 0 {
            writeln!(out, "   {:>9.4}  {:>6.4}  {:>6.4}", class.precision, class.recall, class.f1)?;
        } else {
            writeln!(out, "   {DIM}{:>9}  {:>6}  {:>6}{DIM:#}", "–", "–", "–")?;
        }
    }
    Ok(())
}

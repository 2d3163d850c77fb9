//! An analysis as a person reads it in a terminal.

use std::io::{self, Write};
use std::path::Path;

use anstream::stdout;
use anstyle::{AnsiColor, Style};
use emotion_llama_core::analysis::Analysis;
use emotion_llama_core::features::{Cue, Level};

/// Columns of the answer.
const WIDTH: usize = 90;
const BAR: usize = 28;
const LABEL: usize = 10;
const DIM: Style = Style::new().dimmed();
const BOLD: Style = Style::new().bold();

/// The line above the answer.
pub fn title(input: &Path) -> io::Result<()> {
    let name =
        input.file_name().map_or_else(|| input.display().to_string(), |name| name.to_string_lossy().into_owned());
    write!(stdout(), "\n{DIM}{name}{DIM:#}\n\n  ")
}

/// The answer as it is written, wrapped between words.
#[derive(Debug, Default)]
pub struct Answer {
    column: usize,
    word: String,
}

impl Answer {
    /// Shows `piece`, but for a word at its end that may go on.
    pub fn push(&mut self, piece: &str) -> io::Result<()> {
        let mut out = stdout();
        for c in piece.chars() {
            if c.is_whitespace() {
                self.flush_word(&mut out)?;
            } else {
                self.word.push(c);
            }
        }
        out.flush()
    }

    /// Shows what is left.
    pub fn finish(mut self) -> io::Result<()> {
        let mut out = stdout();
        self.flush_word(&mut out)?;
        writeln!(out, "\n")
    }

    fn flush_word(&mut self, out: &mut impl Write) -> io::Result<()> {
        let length = self.word.chars().count();
        if length == 0 {
            return Ok(());
        }
        let gap = match self.column {
            0 => "",
            column if column + 1 + length > WIDTH => "\n  ",
            _ => " ",
        };
        self.column = if gap == " " { self.column + 1 + length } else { length };
        write!(out, "{gap}{BOLD}{}{BOLD:#}", self.word)?;
        self.word.clear();
        Ok(())
    }
}

/// All that stands below the answer.
pub fn print(analysis: &Analysis) -> io::Result<()> {
    let mut out = stdout();
    write_card(analysis, &mut out)?;
    out.flush()
}

fn write_card(analysis: &Analysis, out: &mut impl Write) -> io::Result<()> {
    for (label, &p) in &analysis.probabilities {
        let color = if *label == analysis.emotion { color_of(label) } else { DIM };
        writeln!(out, "  {color}{label:<LABEL$} {} {:>3.0} %{color:#}", bar(p), p * 100.0)?;
    }
    if !analysis.probabilities.is_empty() {
        writeln!(out)?;
    } else if !analysis.emotion.is_empty() {
        row(out, "emotion", &format!("{}, with a confidence that is not known", analysis.emotion))?;
    }
    if let Some(words) = &analysis.transcript {
        let language = analysis.language.as_ref().map(|code| format!(" ({code})")).unwrap_or_default();
        row(out, "words", &format!("“{words}”{language}"))?;
    }
    if let Some(frame) = &analysis.frame {
        let others = match analysis.faces.len() {
            0 | 1 => String::new(),
            n => format!(", 1 of {n} faces"),
        };
        row(out, "face", &format!("{} (at {:.2} s{others})", notable(&analysis.cues, true), frame.time_s))?;
    }
    if analysis.cues.iter().any(|cue| cue.name == "pitch") {
        row(out, "voice", &notable(&analysis.cues, false))?;
    }
    for note in &analysis.notes {
        row(out, "note", &note.message)?;
    }
    let t = &analysis.timings_ms;
    let parts = format!(
        " (decode {:.0} · face {:.0} · encode {:.0} · prompt {:.0} · answer {:.0} ms)",
        t.decode, t.preprocess, t.encode, t.prefill, t.generate
    );
    let is_told = t.decode + t.preprocess + t.encode + t.prefill + t.generate > 0.0;
    row(out, "time", &format!("{:.2} s{}", t.total / 1e3, if is_told { &parts } else { "" }))?;
    if analysis.model.name.is_empty() {
        return Ok(());
    }
    row(out, "model", &format!("{} {}", analysis.model.name, analysis.model.version))
}

fn row(out: &mut impl Write, name: &str, value: &str) -> io::Result<()> {
    writeln!(out, "  {DIM}{name:<LABEL$}{DIM:#} {value}")
}

/// `p` of a bar's cells, to an eighth of a cell.
fn bar(p: f32) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = (p.clamp(0.0, 1.0) * (BAR * 8) as f32).round() as usize;
    let mut bar = "█".repeat(eighths / 8);
    bar.push_str(EIGHTHS[eighths % 8]);
    let width = eighths / 8 + usize::from(!eighths.is_multiple_of(8));
    bar.push_str(&" ".repeat(BAR - width));
    bar
}

/// The cues that stand out, in words.
fn notable(cues: &[Cue], of_face: bool) -> String {
    const VOICE: [&str; 5] = ["pitch", "pitch_range", "energy", "rate", "brightness"];
    let words: Vec<String> = cues
        .iter()
        .filter(|cue| VOICE.contains(&cue.name.as_ref()) != of_face && cue.level != Level::Normal)
        .map(|cue| {
            let value = match (cue.value, cue.unit.as_deref()) {
                (Some(value), Some("hertz")) => format!(" {value:.0} Hz"),
                _ => String::new(),
            };
            format!("{} {}{value}", noun(&cue.name), cue.reading)
        })
        .collect();
    if words.is_empty() {
        "nothing unusual".to_owned()
    } else {
        words.join(" · ")
    }
}

/// What a cue's reading is said of.
fn noun(cue: &str) -> &str {
    match cue {
        "brow_height" | "brow_gap" => "brows",
        "eye_open" => "eyes",
        "mouth_open" | "mouth_width" => "mouth",
        "mouth_corner" => "mouth corners",
        "pitch_range" => "intonation",
        "energy" => "voice",
        "rate" => "speech",
        "brightness" => "timbre",
        other => other,
    }
}

fn color_of(label: &str) -> Style {
    let color = match label {
        "angry" => AnsiColor::Red,
        "happy" => AnsiColor::Yellow,
        "sad" => AnsiColor::Blue,
        "fear" | "worried" => AnsiColor::Magenta,
        "disgust" => AnsiColor::Green,
        "surprise" => AnsiColor::Cyan,
        _ => AnsiColor::White,
    };
    Style::new().bold().fg_color(Some(color.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_says_what_is_not_known_instead_of_zeros() {
        let analysis = Analysis { emotion: "sad".into(), ..Analysis::default() };
        let text = |analysis: &Analysis| {
            let mut out = Vec::new();
            write_card(analysis, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        let shown = text(&analysis);
        assert!(shown.contains("sad, with a confidence that is not known"), "{shown}");
        assert!(!shown.contains('%') && !shown.contains("decode"), "{shown}");
        assert!(!text(&Analysis::default()).contains("confidence"));
        let known = Analysis { probabilities: [("sad".to_owned(), 0.8)].into(), ..analysis };
        assert!(text(&known).contains("80 %") && !text(&known).contains("not known"));
    }

    #[test]
    fn a_bar_always_has_the_same_width() {
        for p in [-1.0, 0.0, 0.001, 0.25, 0.5, 0.999, 1.0, 7.0] {
            assert_eq!(bar(p).chars().count(), BAR, "{p}");
        }
        assert_eq!(bar(0.5).trim_end().chars().count(), BAR / 2);
    }
}

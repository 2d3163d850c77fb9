//! `emotion-llama evaluate` as its users run it, with the built pack and the six clips.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use emotion_llama_core::evaluate::Metrics;
use serde_json::Value;

const CLIPS: [(&str, &str); 6] =
    [("ANG", "angry"), ("DIS", "disgust"), ("FEA", "fear"), ("HAP", "happy"), ("NEU", "neutral"), ("SAD", "sad")];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn clips() -> PathBuf {
    let dir = root().join("build/clips");
    assert!(dir.join(name("ANG") + ".flv").is_file(), "no clips in {}; run `make clips` first", dir.display());
    dir
}

fn pack() -> PathBuf {
    let dir = std::env::var_os("EMOTION_LLAMA_PACK")
        .map_or_else(|| root().join("build/packs/emotion-llama-mini"), PathBuf::from);
    assert!(dir.join("pack.json").is_file(), "no pack in {}; run `make pack` first", dir.display());
    dir
}

fn name(code: &str) -> String {
    format!("1001_DFA_{code}_XX")
}

/// The list of the clips with these codes.
fn list(codes: &[&str]) -> String {
    let line = |(code, label): &(&str, &str)| format!("{} 80 {label} -0.5\n", name(code));
    CLIPS.iter().filter(|(code, _)| codes.contains(code)).map(line).collect()
}

fn all() -> String {
    list(&CLIPS.map(|(code, _)| code))
}

/// A folder with a list in it.
struct Case(tempfile::TempDir);

impl Case {
    fn new(list: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("clips.txt"), list).unwrap();
        Self(dir)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn answers(&self) -> String {
        std::fs::read_to_string(self.path("clips.answers.jsonl")).unwrap()
    }

    fn write_answers(&self, text: &str) {
        std::fs::write(self.path("clips.answers.jsonl"), text).unwrap();
    }

    fn command(&self, media: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_emotion-llama"));
        command.arg("evaluate").arg("--media").arg(media);
        if !arguments.contains(&"--pack") {
            command.arg("--pack").arg(pack());
        }
        command.arg("--annotations").arg(self.path("clips.txt")).args(arguments);
        command
    }

    fn run_in(&self, media: &Path, arguments: &[&str]) -> Output {
        let output = self.command(media, arguments).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!stderr.contains("panicked"), "{stderr}");
        output
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.run_in(&clips(), arguments)
    }

    /// Runs what must be refused before any clip is looked at, and gives the message.
    fn refused(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {stderr}");
        assert!(output.stdout.is_empty());
        stderr
    }
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("{error}: {}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    })
}

fn lines(answers: &str) -> Vec<Value> {
    answers.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Answers and figures of a run over all six clips.
fn whole_run() -> &'static (String, Value) {
    static RUN: OnceLock<(String, Value)> = OnceLock::new();
    RUN.get_or_init(|| {
        let case = Case::new(&all());
        let output = case.run(&["--json"]);
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        (case.answers(), json(&output))
    })
}

/// Figures over the lines of an answers file, by the words in `field`.
fn figures(answers: &str, labels: &Value, field: &str) -> Value {
    let labels: Vec<String> = serde_json::from_value(labels.clone()).unwrap();
    let lines = lines(answers);
    let word = |line: &Value, field: &str| line[field].as_str().unwrap_or_default().to_owned();
    let pairs: Vec<(String, String)> = lines.iter().map(|line| (word(line, "truth"), word(line, field))).collect();
    let pairs = pairs.iter().map(|(truth, answer)| (truth.as_str(), answer.as_str()));
    serde_json::to_value(Metrics::of(&labels, pairs).unwrap()).unwrap()
}

#[test]
fn every_clip_gets_a_line_and_the_figures_are_those_of_the_lines() {
    let (answers, report) = whole_run();
    let lines = lines(answers);
    assert_eq!(lines.len(), CLIPS.len());
    for (line, (code, label)) in lines.iter().zip(CLIPS) {
        assert_eq!((line["name"].as_str(), line["truth"].as_str()), (Some(name(code).as_str()), Some(label)));
        assert!(line["error"].is_null(), "{line}");
        assert_eq!(line["run"]["pack"], report["model"]["digest"]);
        assert_eq!(line["run"]["frame"], "first");
        let answer = line["answer"].as_str().unwrap();
        assert!(line["response"].as_str().unwrap().to_lowercase().contains(answer), "{line}");
        let probabilities = line["probabilities"].as_object().unwrap();
        let best = probabilities.values().filter_map(Value::as_f64).fold(0.0, f64::max);
        assert_eq!(probabilities[line["emotion"].as_str().unwrap()].as_f64(), Some(best));
    }
    assert_eq!((&report["clips"], &report["scored"]), (&6.into(), &6.into()));
    assert_eq!(report["failures"].as_array().map(Vec::len), Some(0));
    assert_eq!(report["by_answer"], figures(answers, &report["labels"], "answer"));
    assert_eq!(report["by_emotion"], figures(answers, &report["labels"], "emotion"));
    let right = lines.iter().filter(|line| line["answer"] == line["truth"]).count();
    assert_eq!(report["by_answer"]["accuracy"].as_f64(), Some(right as f64 / 6.0));
}

#[test]
fn a_stopped_run_goes_on_and_ends_with_the_same_file() {
    let (answers, report) = whole_run();
    let ends: Vec<usize> = answers.match_indices('\n').map(|(at, _)| at + 1).collect();
    // Two lines are missing; the fifth line was cut.
    for kept in [ends[3], ends[3] + 25] {
        let case = Case::new(&all());
        case.write_answers(&answers[..kept]);
        let output = case.run(&["--json"]);
        assert_eq!(output.status.code(), Some(0));
        assert_eq!(case.answers(), *answers);
        assert_eq!(json(&output)["by_answer"], report["by_answer"]);
    }
}

#[test]
fn a_killed_run_leaves_a_file_that_goes_on() {
    let (answers, _) = whole_run();
    let case = Case::new(&all());
    let mut child = case.command(&clips(), &["--json"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let lines = || std::fs::read_to_string(case.path("clips.answers.jsonl")).unwrap_or_default().lines().count();
    while lines() < 2 && child.try_wait().unwrap().is_none() {
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(lines() >= 2);
    assert_eq!(case.run(&[]).status.code(), Some(0));
    assert_eq!(case.answers(), *answers);
}

#[test]
fn a_person_gets_figures_and_the_confusion_matrix() {
    let (answers, report) = whole_run();
    let case = Case::new(&all());
    case.write_answers(answers);
    let output = case.run(&[]);
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("6 of 6 clips") && !text.contains('\u{1b}'), "{text}");
    let figures = |name: &str| {
        ["accuracy", "weighted_f1", "uar", "war", "macro_f1"]
            .map(|figure| format!("{:.4}", report[name][figure].as_f64().unwrap()))
    };
    let row = |name: &str| -> Vec<String> {
        let found = text.lines().find_map(|line| line.trim_start().strip_prefix(name));
        let rest = found.unwrap_or_else(|| panic!("no {name} in\n{text}"));
        rest.split_whitespace().map(str::to_owned).collect()
    };
    assert_eq!(row("by the answer"), figures("by_answer"));
    if answers.lines().any(|line| {
        let line: Value = serde_json::from_str(line).unwrap();
        line["answer"] != line["emotion"]
    }) {
        assert_eq!(row("by the scores"), figures("by_emotion"));
    } else {
        assert!(!text.contains("by the scores"), "{text}");
    }
    let happy =
        report["by_answer"]["classes"].as_array().unwrap().iter().find(|class| class["label"] == "happy").unwrap();
    let happy = ["precision", "recall", "f1"].map(|figure| format!("{:.4}", happy[figure].as_f64().unwrap()));
    assert!(row("happy").ends_with(&happy), "{text}");
}

#[test]
fn missing_and_broken_clips_are_wrong_unless_left_out_and_are_tried_again() {
    let case = Case::new(&(list(&["HAP", "NEU"]) + "broken 5 sad\nabsent 5 sad -1\n"));
    let media = case.path("media");
    std::fs::create_dir(&media).unwrap();
    for code in ["HAP", "NEU"] {
        std::fs::copy(clips().join(name(code) + ".flv"), media.join(name(code) + ".flv")).unwrap();
    }
    std::fs::write(media.join("broken.mp4"), "This is no video.").unwrap();
    let output = case.run_in(&media, &["--json"]);
    assert_eq!(output.status.code(), Some(1));
    let report = json(&output);
    assert_eq!((&report["clips"], &report["scored"]), (&4.into(), &4.into()));
    let failures = report["failures"].as_array().unwrap();
    assert_eq!(failures.len(), 2);
    assert_eq!((&failures[0]["name"], &failures[0]["error"]["name"]), (&"broken".into(), &"media_undecodable".into()));
    assert_eq!((&failures[1]["name"], &failures[1]["error"]["name"]), (&"absent".into(), &"not_found".into()));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("2 clips have no answer (counted as wrong)"), "{stderr}");
    assert!(stderr.contains("absent: ") && stderr.contains("broken: "), "{stderr}");
    let answers = lines(&case.answers());
    assert_eq!((&answers[3]["error"]["name"], &answers[3]["answer"]), (&"not_found".into(), &Value::Null));
    assert_eq!(report["by_answer"], figures(&case.answers(), &report["labels"], "answer"));
    let right = answers.iter().filter(|line| line["answer"] == line["truth"]).count();
    assert_eq!(report["by_answer"]["accuracy"].as_f64(), Some(right as f64 / 4.0));

    std::fs::copy(clips().join(name("SAD") + ".flv"), media.join("absent.flv")).unwrap();
    let output = case.run_in(&media, &["--json", "--skip-missing"]);
    assert_eq!(output.status.code(), Some(1), "one is still broken");
    let report = json(&output);
    assert_eq!((&report["clips"], &report["scored"]), (&4.into(), &3.into()));
    let names: Vec<Value> = lines(&case.answers()).iter().map(|line| line["name"].clone()).collect();
    assert_eq!(names, [name("HAP"), name("NEU"), "broken".into(), "absent".into()]);

    // Nothing to score is no error of its own.
    let nothing = Case::new("absent 5 sad\n");
    let output = nothing.run(&["--skip-missing"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stdout).contains("no clip was scored"));
}

#[test]
fn what_is_wrong_with_the_lists_is_said_before_the_first_clip() {
    let case = Case::new(&(all() + "x 5 melancholy\n"));
    let message = case.refused(&[]);
    assert!(message.contains("clips.txt: line 7: \"melancholy\"") && message.contains("neutral, angry"), "{message}");
    assert!(!case.path("clips.answers.jsonl").exists());

    let case = Case::new(&all());
    assert!(case.refused(&["--labels", "angry,happy"]).contains("line 2: \"disgust\""));
    let words = case.path("words.csv");
    std::fs::write(&words, format!("name,sentence\n{},\"Well, no.\"\n", name("ANG"))).unwrap();
    let message = case.refused(&["--transcripts", words.to_str().unwrap()]);
    assert!(message.contains("has no line for 5 of the 6 clips"), "{message}");
    assert!(!case.path("clips.answers.jsonl").exists());

    let media = case.path("media");
    std::fs::create_dir(&media).unwrap();
    for extension in ["mp4", "wav"] {
        std::fs::write(media.join(format!("{}.{extension}", name("ANG"))), "").unwrap();
    }
    let output = case.run_in(&media, &[]);
    assert_eq!(output.status.code(), Some(2));
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains("both 1001_DFA_ANG_XX.mp4 and 1001_DFA_ANG_XX.wav"), "{message}");

    assert!(Case::new("a 1\n").refused(&[]).contains("clips.txt: line 1"));
    let message = case.refused(&["--out", "no/such/folder/out.jsonl"]);
    assert!(message.contains("no/such/folder/out.jsonl: cannot be written"), "{message}");
}

#[test]
fn answers_of_another_run_are_not_mixed_in() {
    let (answers, report) = whole_run();
    let case = Case::new(&all());
    case.write_answers(&answers.replace(report["model"]["digest"].as_str().unwrap(), "0123"));
    let message = case.refused(&[]);
    assert!(message.contains("line 1: was answered by another pack; choose another --out"), "{message}");
    case.write_answers(answers);
    assert!(case.refused(&["--frame", "peak"]).contains("with another --frame"));
    case.write_answers("my notes\n");
    case.refused(&[]);
    assert_eq!(case.answers(), "my notes\n");
}

#[test]
fn words_from_a_table_and_a_limit() {
    let case = Case::new(&all());
    let words = case.path("words.csv");
    let lines: Vec<String> =
        CLIPS.iter().map(|(code, _)| format!("{},\"Well, I am \"\"fine\"\".\"", name(code))).collect();
    std::fs::write(&words, format!("name,sentence\n{}\n", lines.join("\n"))).unwrap();
    let out = case.path("other.jsonl");
    let arguments = ["--json", "--limit", "2", "--frame", "peak", "--out", out.to_str().unwrap()];
    let output = case.run(&[&arguments[..], &["--transcripts", words.to_str().unwrap()]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(json(&output)["clips"], 2);
    let answers = std::fs::read_to_string(out).unwrap();
    let answers = self::lines(&answers);
    assert_eq!(answers.len(), 2);
    assert_eq!(answers[0]["run"]["transcripts"], true);
    assert_eq!(answers[0]["run"]["frame"], "peak");
}

#[test]
fn features_and_prompts_of_the_published_model_are_refused_for_another() {
    let case = Case::new(&all());
    let folder = case.path("features");
    std::fs::create_dir_all(folder.join("HL-UTT")).unwrap();
    assert!(case.refused(&["--prompt-path", "demo"]).contains("--prompt-path is for packs of the published model"));
    assert!(case.refused(&["--features", folder.to_str().unwrap()]).contains("--features is for packs"));
    case.refused(&["--prompt-path", "other"]);
}

/// `.npy` as numpy writes a vector of f32.
fn npy(width: usize) -> Vec<u8> {
    let header = format!("{:<117}\n", format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({width},), }}"));
    let values = (0..width).flat_map(|i| (i as f32 / width as f32 - 0.5).to_le_bytes());
    let mut bytes = b"\x93NUMPY\x01\0".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.into_bytes());
    bytes.extend(values);
    bytes
}

#[test]
fn features_from_files_go_into_the_published_model() {
    let case = Case::new(&list(&["HAP", "SAD"]));
    let pack = case.path("pack");
    let synth = Command::new(env!("CARGO_BIN_EXE_emotion-llama"))
        .args(["pack", "synth", "--shape", "tiny", "--quantize", "f32", "--perception"])
        .arg(self::pack())
        .arg("--out")
        .arg(&pack)
        .output()
        .unwrap();
    assert!(synth.status.success(), "{}", String::from_utf8_lossy(&synth.stderr));
    let pack = pack.to_str().unwrap();
    let run = |arguments: &[&str]| {
        let _ = std::fs::remove_file(case.path("clips.answers.jsonl"));
        let output = case.run(&[&["--pack", pack, "--json"], arguments].concat());
        (output.status.code(), json(&output))
    };
    let features = case.path("features");
    std::fs::create_dir_all(features.join("HL-UTT")).unwrap();
    let at = ["--features", features.to_str().unwrap()];
    let write = |width: usize| {
        for code in ["HAP", "SAD"] {
            std::fs::write(features.join("HL-UTT").join(name(code) + ".npy"), npy(width)).unwrap();
        }
    };

    // The width is the pack's; an error says it.
    let (code, report) = run(&at);
    assert_eq!(code, Some(1));
    let error = &report["failures"][0]["error"];
    assert_eq!(error["name"], "not_found");
    assert!(error["message"].as_str().unwrap().contains("HL-UTT/1001_DFA_HAP_XX.npy"), "{error}");
    write(7);
    let (_, report) = run(&at);
    let message = report["failures"][0]["error"]["message"].as_str().unwrap();
    assert!(message.contains("has 7 values"), "{message}");
    write(message.rsplit("the projector wants ").next().unwrap().parse().unwrap());

    let probabilities = |arguments: &[&str]| {
        let (code, _) = run(arguments);
        assert_eq!(code, Some(0), "{arguments:?}: {}", case.answers());
        let line = &lines(&case.answers())[0];
        (line["probabilities"].clone(), line["run"].clone())
    };
    let (plain, _) = probabilities(&[]);
    let (given, run_of_given) = probabilities(&at);
    assert_ne!(plain, given, "the feature counts");
    assert_eq!(run_of_given["features"], serde_json::json!(["hubert"]));
    let (demo, run_of_demo) = probabilities(&["--prompt-path", "demo"]);
    assert_ne!(plain, demo);
    assert_eq!(run_of_demo["prompt_path"], "demo");
    assert_eq!(probabilities(&["--prompt-path", "eval"]).0, plain);
}

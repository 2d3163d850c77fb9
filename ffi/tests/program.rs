//! C and C++ programs, compiled against the committed headers and run with the built library: one that uses every function, and the
//! examples.

mod library;
#[path = "../../core/tests/remote_server/mod.rs"]
mod remote_server;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use emotion_llama_core::media::{self, Limits, Sampling, Source};
use emotion_llama_core::CancelToken;

use library::programs::place_library;
use library::{clip, include_dir, pack_dir, root, shared_library};
use remote_server::{json, Reply, Server};

/// Compiles `source` (C99, or C++11 by its name) and links it with a copy of the library under its SONAME.
fn compiled(dir: &Path, source: &Path) -> PathBuf {
    place_library(dir, &shared_library());
    let program = dir.join(source.file_stem().unwrap());
    let (compiler, standard) = match source.extension().and_then(|extension| extension.to_str()) {
        Some("cpp") => ("c++", "-std=c++11"),
        _ => ("cc", "-std=c99"),
    };
    let output = Command::new(compiler)
        .args([standard, "-Wall", "-Wextra", "-Werror", "-pedantic", "-g"])
        .args(source.ends_with("results.cpp").then_some("-fno-exceptions"))
        .arg("-I")
        .arg(include_dir())
        .arg("-I")
        .arg(root().join("bindings/cpp"))
        .arg(source)
        .arg("-L")
        .arg(dir)
        .args(["-lemotionllama", "-lpthread", "-o"])
        .arg(&program)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    program
}

/// Runs an example with `engine` (`pack` for the built one), a clip and `more`; gives its exit code and what it printed.
fn example(name: &str, engine: &Path, clip: &Path, more: &[&str]) -> (Option<i32>, String, String) {
    let dir = tempfile::tempdir().unwrap();
    let program = compiled(dir.path(), &root().join("examples").join(name));
    let mut command = Command::new(program);
    let engine = if engine == Path::new("pack") { pack_dir() } else { engine.to_owned() };
    command.arg(engine).arg(clip).args(more).env("LD_LIBRARY_PATH", dir.path());
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn the_examples_run_as_written() {
    let (code, out, _) = example("c/analyze.c", Path::new("pack"), &clip(), &[]);
    assert!(code == Some(0) && out.contains(r#""emotion":"angry""#), "{code:?} {out}");
    let (code, out, err) = example("c/analyze.c", Path::new("pack"), Path::new("/nowhere.mp4"), &[]);
    assert!(code == Some(1) && out.is_empty() && err.contains("(not_found)"), "{code:?} {out} {err}");
    for name in ["c/stream.c", "cpp/events.cpp"] {
        let (code, out, err) = example(name, Path::new("pack"), &clip(), &[]);
        assert!(code == Some(0) && out.lines().count() >= 5, "{name}: {code:?} {out} {err}");
        assert!(out.lines().last().unwrap().starts_with(r#"{"type":"result""#), "{name}: {out}");
    }
    let (code, out, err) = example("cpp/events.cpp", Path::new("pack"), &clip(), &["stop"]);
    assert!(code == Some(1) && err.contains("(cancelled)") && !out.contains("result"), "{code:?} {out} {err}");
}

/// The frames of a clip with a smile, one after the other, as a camera gives them.
#[test]
fn the_kiosk_says_what_it_sees() {
    let sampling = Sampling { max_frames: 60, ..Sampling::default() };
    let source = Source::from(clip().with_file_name("1001_DFA_HAP_XX.flv"));
    let clip = media::decode(&source, &sampling, &Limits::default(), &CancelToken::new()).unwrap();
    let (width, height) = (clip.frames[0].width, clip.frames[0].height);
    let rate = (clip.frames.len() - 1) as f64 / (clip.frames.last().unwrap().time_s - clip.frames[0].time_s);
    let dir = tempfile::tempdir().unwrap();
    let program = compiled(dir.path(), &root().join("examples/cpp/kiosk.cpp"));
    let mut command = Command::new(program);
    command.arg(pack_dir()).args([width.to_string(), height.to_string(), rate.to_string()]);
    command.env("LD_LIBRARY_PATH", dir.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut kiosk = command.spawn().unwrap();
    let mut camera = kiosk.stdin.take().unwrap();
    for frame in &clip.frames {
        camera.write_all(&frame.rgb).unwrap();
    }
    drop(camera);
    let output = kiosk.wait_with_output().unwrap();
    let out = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && out.contains(" s: happy\n") && out.ends_with("last seen: happy\n"), "{out}");
}

#[test]
fn the_cpp_header_works_without_exceptions() {
    let dir = tempfile::tempdir().unwrap();
    let program = compiled(dir.path(), &root().join("ffi/tests/cpp/results.cpp"));
    let output = Command::new(program).arg(pack_dir()).arg(clip()).env("LD_LIBRARY_PATH", dir.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

/// The same program, with an address in place of a pack.
#[test]
fn a_program_moves_to_a_server_by_changing_a_string() {
    let (_, embedded, _) = example("c/analyze.c", Path::new("pack"), &clip(), &[]);
    let analysis: serde_json::Value = serde_json::from_str(&embedded).unwrap();
    let answer = analysis.clone();
    let server = Server::new(move |request| match request.target.as_str() {
        "/v1/models" => {
            let models = serde_json::json!({"object": "list", "data": [{"id": "emotion-llama-mini"}]});
            Reply::Whole(200, vec![("x-api-version", "1.0".into())], models.to_string().into_bytes())
        }
        "/v1/analyze" => json(200, answer.clone()),
        _ => json(404, serde_json::json!({"detail": "Not Found"})),
    });
    let (code, out, err) = example("c/analyze.c", Path::new(&server.url()), &clip(), &[]);
    assert_eq!(code, Some(0), "{err}");
    let mut hosted: serde_json::Value = serde_json::from_str(&out).unwrap();
    // How long the call took is measured here.
    hosted["timings_ms"]["total"] = analysis["timings_ms"]["total"].clone();
    assert_eq!(hosted, analysis);
    let sent = &server.received_at("/v1/analyze")[0];
    let clip = std::fs::read(clip()).unwrap();
    assert!(sent.body.windows(clip.len()).any(|window| window == clip), "the clip was not sent");
    drop(server);
    let (code, _, err) = example("c/analyze.c", Path::new("http://127.0.0.1:9"), Path::new("clip.mp4"), &[]);
    assert!(code == Some(1) && err.contains("(unreachable)"), "{code:?} {err}");
}

#[test]
fn a_c_program_uses_every_function() {
    let dir = tempfile::tempdir().unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/c/every_function.c");
    let program = compiled(dir.path(), &source);
    let output = Command::new(program).arg(pack_dir()).arg(clip()).env("LD_LIBRARY_PATH", dir.path()).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    print!("{out}");
    assert!(output.status.success(), "{out}{err}");
    assert!(err.is_empty(), "the library printed: {err}");

    let source = std::fs::read_to_string(source).unwrap();
    let header = std::fs::read_to_string(include_dir().join("emotion_llama.h")).unwrap();
    let declared =
        header.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| word.starts_with("emotion_llama_"));
    for name in declared.filter(|name| header.contains(&format!("{name}("))) {
        assert!(source.contains(&format!("{name}(")), "{name} is not used");
    }
}

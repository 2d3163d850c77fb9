//! What a program of somebody else's does with an installed library: finds it, links with it, runs.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use emotion_llama_core::media::{self, Limits, Sampling, Source};
use emotion_llama_core::CancelToken;

use super::{clip, pack_dir, root};

/// Where commands run: here, or behind a program that changes what they see and then runs them.
#[derive(Default)]
pub struct Place(pub Vec<OsString>);

impl Place {
    pub fn command(&self, program: impl Into<OsString>) -> Command {
        let mut words = self.0.iter().cloned().chain([program.into()]);
        let mut command = Command::new(words.next().expect("a program"));
        command.args(words);
        command
    }

    /// Compiles every example with the flags that pkg-config gives for `prefix` and `flags`, into `build`.
    pub fn examples_by_pkg_config(&self, sources: &Path, prefix: &Path, build: &Path, flags: &str) -> Vec<PathBuf> {
        std::fs::create_dir(build).unwrap();
        let compile = |source: PathBuf| {
            let program = build.join(source.file_stem().unwrap());
            let is_cpp = source.extension().is_some_and(|extension| extension == "cpp");
            let compiler = if is_cpp { "c++ -std=c++11" } else { "cc -std=c99" };
            // A path with a space comes escaped from pkg-config, so the shell reads the words once more.
            let script = format!(
                r#"eval "{compiler} -pthread '$1' -o '$2' {flags} $(pkg-config --cflags --libs emotionllama)""#
            );
            let mut shell = self.command("sh");
            shell.arg("-c").arg(script).arg("sh").arg(&source).arg(&program);
            run(shell.env("PKG_CONFIG_PATH", prefix.join("lib/pkgconfig")));
            program
        };
        sources_of_examples(sources).into_iter().map(compile).collect()
    }

    /// Builds every example with CMake.
    pub fn examples_by_cmake(&self, sources: &Path, prefix: &Path, build: &Path) -> Vec<PathBuf> {
        let mut configure = self.command("cmake");
        configure.arg("-S").arg(sources).arg("-B").arg(build);
        run(configure.arg(format!("-DCMAKE_PREFIX_PATH={}", prefix.display())));
        run(self.command("cmake").arg("--build").arg(build));
        sources_of_examples(sources).into_iter().map(|source| build.join(source.file_stem().unwrap())).collect()
    }

    /// Runs an example; it names the emotion. `libraries` is where the loader looks besides its usual places.
    pub fn analyses(&self, example: &Path, libraries: Option<&Path>) {
        let mut command = self.command(example);
        command.arg(pack_dir()).env_remove("LD_LIBRARY_PATH");
        if let Some(libraries) = libraries {
            command.env("LD_LIBRARY_PATH", libraries);
        }
        let (out, emotion) = if example.ends_with("kiosk") {
            (run_with_frames(&mut command), "last seen: happy")
        } else {
            (run(command.arg(clip())), r#""emotion":"angry""#)
        };
        assert!(out.contains(emotion), "{}: {out}", example.display());
    }
}

/// Runs a command that takes width, height and rate of the frames that it reads: those of a clip with a smile.
fn run_with_frames(command: &mut Command) -> String {
    let sampling = Sampling { max_frames: 60, ..Sampling::default() };
    let source = Source::from(clip().with_file_name("1001_DFA_HAP_XX.flv"));
    let clip = media::decode(&source, &sampling, &Limits::default(), &CancelToken::new()).unwrap();
    let (first, last) = (&clip.frames[0], clip.frames.last().unwrap());
    let rate = (clip.frames.len() - 1) as f64 / (last.time_s - first.time_s);
    command.args([first.width.to_string(), first.height.to_string(), rate.to_string()]);
    let mut frames = tempfile::tempfile().unwrap();
    for frame in &clip.frames {
        frames.write_all(&frame.rgb).unwrap();
    }
    frames.rewind().unwrap();
    run(command.stdin(frames))
}

/// Runs a command that succeeds, and gives what it printed.
pub fn run(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (out, err) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{command:?}: {out}{err}");
    out.into_owned()
}

/// Whether `program` is on this machine; says so where it is not.
pub fn has(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok();
    if !found {
        skipped(&format!("there is no {program} on this machine"));
    }
    found
}

/// Says that something was not tested.
pub fn skipped(why: &str) {
    say(&format!("SKIPPED: {why}"));
}

/// Says `text` where it is read: what the macros print is held back when a test passes.
pub fn say(text: &str) {
    std::io::stderr().write_all(format!("{text}\n").as_bytes()).unwrap();
}

/// Every example's source: each is built and run by name, so that none is forgotten.
pub fn sources_of_examples(examples: &Path) -> Vec<PathBuf> {
    let files = ["c", "cpp"].into_iter().flat_map(|part| std::fs::read_dir(examples.join(part)).unwrap());
    let mut sources: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    sources.retain(|path| path.extension().is_some_and(|extension| extension == "c" || extension == "cpp"));
    sources.sort();
    assert!(sources.len() >= 3, "{sources:?}");
    sources
}

/// The library says which ABI it has, stays in memory, and exports the functions of `ffi/abi.json` under the ABI's version node.
pub fn is_the_abi(library: &Path) {
    let headers = run(Command::new("readelf").arg("-dW").arg(library));
    assert!(headers.contains("Library soname: [libemotionllama.so.1]"), "{headers}");
    assert!(headers.contains("NODELETE"), "{headers}");
    assert!(headers.contains("BIND_NOW"), "{headers}");

    let symbols = run(Command::new("readelf").args(["-W", "--dyn-syms"]).arg(library));
    // number, value, size, type, binding, visibility, section, name
    let columns = symbols.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let defined = columns.filter(|columns| columns.len() >= 8 && columns[4] == "GLOBAL" && columns[6] != "UND");
    // GNU's linker exports the node itself as an absolute symbol.
    let exported: BTreeSet<String> =
        defined.filter(|columns| columns[6] != "ABS").map(|columns| columns[7].to_owned()).collect();
    let abi = std::fs::read(root().join("ffi/abi.json")).unwrap();
    let abi: serde_json::Value = serde_json::from_slice(&abi).unwrap();
    let listed = abi["functions"].as_object().unwrap().keys();
    let expected: BTreeSet<String> = listed.map(|name| format!("{name}@@EMOTION_LLAMA_1")).collect();
    assert_eq!(exported, expected);
}

/// A program that was linked with the library asks for the ABI's version node.
pub fn wants_the_node(program: &Path) {
    let headers = run(Command::new("objdump").arg("-p").arg(program));
    let references = headers.split_once("required from libemotionllama.so.1:").expect("a reference to the library").1;
    assert!(references.lines().nth(1).is_some_and(|line| line.ends_with(" EMOTION_LLAMA_1")), "{headers}");
}

//! The tarball of `make dist` works wherever it is unpacked, on a machine without FFmpeg.

mod library;

use std::path::{Path, PathBuf};
use std::process::Command;

use library::consumer::{has, is_the_abi, run, skipped, wants_the_node, Place};
use library::{clip, pack_dir, root};

/// What docs/c.md promises.
const GLIBC: &str = "2.17";

/// Unpacks the tarball into `dir`; None, and a word about it, when there is none of this state of the header.
fn unpacked(dir: &Path) -> Option<PathBuf> {
    let name = format!("emotion-llama-{}-linux-{}", env!("CARGO_PKG_VERSION"), std::env::consts::ARCH);
    let tarball = root().join(format!("build/dist/{name}.tar.gz"));
    if !tarball.is_file() {
        skipped(&format!("there is no {}; run `make dist`", tarball.display()));
        return None;
    }
    run(Command::new("tar").arg("-C").arg(dir).arg("-xzf").arg(&tarball));
    let place = dir.join(name);
    let header = |path: PathBuf| std::fs::read(path).unwrap();
    if header(place.join("include/emotion_llama.h")) != header(root().join("include/emotion_llama.h")) {
        skipped(&format!("{} has another header than this checkout; run `make dist`", tarball.display()));
        return None;
    }
    Some(place)
}

/// A place where FFmpeg is not on the machine; None, and a word about it, where that cannot be had.
fn without_ffmpeg() -> Option<Place> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/without_ffmpeg.sh");
    let place = Place(vec!["bash".into(), script.into()]);
    let output = place.command("true").output().unwrap();
    if output.status.code() == Some(77) {
        skipped(&format!("no place without FFmpeg: {}", String::from_utf8_lossy(&output.stderr)));
        return None;
    }
    assert!(output.status.success(), "{output:?}");
    Some(place)
}

fn libraries(prefix: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(prefix.join("lib")).unwrap().map(|file| file.unwrap().path());
    files.filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().contains(".so"))).collect()
}

#[test]
fn the_tarball_holds_the_abi_at_the_baseline_with_licences() {
    let dir = tempfile::tempdir().unwrap();
    let Some(prefix) = unpacked(dir.path()) else { return };
    is_the_abi(&prefix.join("lib/libemotionllama.so"));
    let libraries = libraries(&prefix);
    run(Command::new("bash").arg(root().join("tools/check_glibc.sh")).arg(GLIBC).args(&libraries));
    assert!(libraries.len() >= 8, "{libraries:?}");
    for library in &libraries {
        let headers = run(Command::new("readelf").arg("-dW").arg(library));
        assert!(headers.contains("runpath: [$ORIGIN]"), "{}: {headers}", library.display());
        // Every FFmpeg library is one of those inside, under a name that no other FFmpeg has.
        for line in run(Command::new("ldd").arg(library)).lines().filter(|line| line.contains("libav")) {
            let (name, place) = line.trim().split_once(" => ").expect("a place");
            assert!(name.contains("-emotionllama.so."), "{line}");
            assert!(place.starts_with(&*prefix.to_string_lossy()), "{line}");
        }
    }
    let doc = prefix.join("share/doc/emotion-llama");
    for text in
        ["LICENSE", "THIRD_PARTY.md", "c.md", "ffmpeg/COPYING.LGPLv2.1", "ffmpeg/zlib.txt", "ffmpeg/build_ffmpeg.sh"]
    {
        assert!(std::fs::metadata(doc.join(text)).is_ok_and(|file| file.len() > 500), "{text}");
    }
    let index = std::fs::read_to_string(doc.join("crates/index.txt")).unwrap();
    for name in ["candle-core", "ffmpeg-next", "ffmpeg-sys-next", "tokenizers", "serde_json"] {
        let line = index.lines().find(|line| line.starts_with(&format!("{name} | "))).expect(name);
        let version = line.split(" | ").nth(1).expect("a version");
        let texts = doc.join("crates").join(format!("{name}-{version}"));
        assert!(std::fs::read_dir(&texts).unwrap().count() > 0, "{}", texts.display());
    }
    assert!(!index.contains("cbindgen"), "what only tests use is not inside");
}

#[test]
fn programs_find_the_tarball_and_run_on_a_machine_without_ffmpeg() {
    let dir = tempfile::tempdir().unwrap();
    let unpack = dir.path().join("unpacked here");
    std::fs::create_dir(&unpack).unwrap();
    let Some(prefix) = unpacked(&unpack) else { return };
    let Some(place) = without_ffmpeg() else { return };

    // FFmpeg is on this machine and not there: what needs it works here only.
    for script in [
        "ffmpeg -version",
        "pkg-config --exists libavcodec",
        "echo '#include <libavcodec/avcodec.h>' | cc -E - -o /dev/null",
        "! LC_ALL=C ldd \"$0\" | grep 'libavcodec.*not found'",
    ] {
        let tried = |mut shell: Command| shell.arg("-c").arg(script).arg(library::shared_library()).output().unwrap();
        let (here, there) = (tried(Command::new("sh")), tried(place.command("sh")));
        assert!(here.status.success(), "{script}: {here:?}");
        assert!(!there.status.success(), "FFmpeg is there: {script}: {there:?}");
    }

    let (examples, lib) = (prefix.join("examples"), prefix.join("lib"));
    if has("pkg-config") {
        for program in place.examples_by_pkg_config(&examples, &prefix, &dir.path().join("plain"), "") {
            wants_the_node(&program);
            place.analyses(&program, Some(&lib));
        }
        let rpath = format!("-Wl,-rpath,'{}'", lib.display());
        for program in place.examples_by_pkg_config(&examples, &prefix, &dir.path().join("rpath"), &rpath) {
            place.analyses(&program, None);
        }
    }
    if has("cmake") {
        for program in place.examples_by_cmake(&examples, &prefix, &dir.path().join("cmake")) {
            place.analyses(&program, None);
        }
    }
}

/// The terms of FFmpeg's libraries ask for that: other ones are put in their places, here this machine's.
#[test]
fn the_ffmpeg_inside_can_be_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let Some(prefix) = unpacked(dir.path()) else { return };
    let lib = prefix.join("lib");
    let mut replaced = 0;
    for line in run(Command::new("ldd").arg(library::shared_library())).lines() {
        let Some((name, place)) = line.trim().split_once(" => ") else { continue };
        let inside = lib.join(name.replacen(".so.", "-emotionllama.so.", 1));
        if inside.exists() {
            std::fs::remove_file(&inside).unwrap();
            std::os::unix::fs::symlink(place.split(' ').next().expect("a path"), inside).unwrap();
            replaced += 1;
        }
    }
    if replaced == 0 {
        skipped("this machine's FFmpeg is of another version than the one inside");
        return;
    }
    assert_eq!(replaced, 5);
    let flags = format!("-I'{0}/include' -L'{0}/lib' -lemotionllama", prefix.display());
    let analyze = dir.path().join("analyze");
    let script = format!("cc '{}' -o '{}' {flags}", prefix.join("examples/c/analyze.c").display(), analyze.display());
    run(Command::new("sh").arg("-c").arg(script));
    Place::default().analyses(&analyze, Some(&lib));
}

/// The formats that people have, each made of the clip with the machine's FFmpeg: name, what goes before the output.
const FORMATS: &[(&str, &str)] = &[
    ("h264.mp4", "-c:v libx264 -pix_fmt yuv420p -c:a aac"),
    ("hevc.mp4", "-c:v libx265 -pix_fmt yuv420p -c:a aac -x265-params log-level=none"),
    ("h264.mov", "-c:v libx264 -pix_fmt yuv420p -c:a alac"),
    ("h264.mkv", "-c:v libx264 -pix_fmt yuv420p -c:a flac"),
    ("vp8.webm", "-c:v libvpx -deadline realtime -cpu-used 8 -c:a libvorbis"),
    ("vp9.webm", "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -c:a libopus"),
    ("mpeg4.avi", "-c:v mpeg4 -c:a libmp3lame"),
    ("mjpeg.mkv", "-c:v mjpeg -c:a pcm_s16le"),
    ("mpeg2.mpg", "-c:v mpeg2video -r 25 -c:a mp2"),
    ("h264.ts", "-c:v libx264 -pix_fmt yuv420p -c:a ac3"),
    ("wmv2.wmv", "-c:v wmv2 -c:a wmav2"),
    ("theora.ogv", "-c:v libtheora -c:a libvorbis"),
    ("prores.mov", "-c:v prores -c:a pcm_s16le"),
    ("sound.wav", "-vn -c:a pcm_s16le"),
    ("sound.mp3", "-vn -c:a libmp3lame"),
    ("sound.m4a", "-vn -c:a aac"),
    ("sound.flac", "-vn -c:a flac"),
    ("sound.opus", "-vn -c:a libopus"),
    ("sound.ogg", "-vn -c:a libvorbis"),
    ("sound.amr", "-vn -c:a libopencore_amrnb -ar 8000 -ac 1"),
    ("picture.png", "-an -frames:v 1 -update 1"),
    ("picture.jpg", "-an -frames:v 1 -update 1"),
    ("picture.webp", "-an -frames:v 1 -c:v libwebp"),
    ("picture.gif", "-an -frames:v 8"),
    ("picture.bmp", "-an -frames:v 1 -update 1"),
];

#[test]
fn the_ffmpeg_inside_reads_what_people_have() {
    let dir = tempfile::tempdir().unwrap();
    let Some(prefix) = unpacked(dir.path()) else { return };
    if !has("pkg-config") {
        return;
    }
    let build = dir.path().join("build");
    let programs = Place::default().examples_by_pkg_config(&prefix.join("examples"), &prefix, &build, "");
    let analyze = programs.iter().find(|program| program.ends_with("analyze")).expect("an example");
    let mut read = 0;
    for (name, options) in FORMATS {
        let media = dir.path().join(name);
        let mut convert = Command::new("ffmpeg");
        convert.args(["-v", "error", "-nostdin", "-y", "-i"]).arg(clip()).args(options.split(' ')).arg(&media);
        if !convert.output().is_ok_and(|output| output.status.success()) {
            skipped(&format!("this machine's ffmpeg makes no {name}"));
            continue;
        }
        let mut command = Command::new(analyze);
        command.arg(pack_dir()).arg(&media).env("LD_LIBRARY_PATH", prefix.join("lib"));
        let out = run(&mut command);
        let (face, pitch) = (out.contains(r#""faces":[{"box""#), out.contains(r#""name":"pitch","value""#));
        assert!(face != name.starts_with("sound"), "{name}: {out}");
        assert!(pitch != name.starts_with("picture"), "{name}: {out}");
        read += 1;
    }
    eprintln!("{read} of {} formats were made and read", FORMATS.len());
    assert!(read >= 3, "hardly a format could be made");
}

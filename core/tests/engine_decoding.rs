//! A file is read while it is decoded, and gives what it gives when it is decoded first.

mod common;
mod media_files;

use std::sync::OnceLock;
use std::time::Duration;

use common::{clip, engine, pack_dir};
use emotion_llama_core::analysis::{Analysis, Timings};
use emotion_llama_core::engine::{Engine, EngineOptions};
use emotion_llama_core::face::FramePick;
use emotion_llama_core::media::{decode, Limits, Source};
use emotion_llama_core::pack::PackRef;
use emotion_llama_core::prompt::Task;
use emotion_llama_core::request::{ClipRequest, Question, Request, Transcript};
use emotion_llama_core::{CancelToken, ErrorKind, Result};
use media_files::Files;

/// Places at which a clip is cut, and damaged.
const PLACES: usize = 5;

/// An engine whose calls have one thread.
fn single() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| {
        let options = EngineOptions { threads: 1, verify: false, ..EngineOptions::default() };
        Engine::open(&PackRef::Dir(pack_dir()), &options).unwrap()
    })
}

fn request(source: impl Into<Source>) -> Request {
    let question = Question { task: Some(Task::Emotion), ..Question::default() };
    Request { question, transcript: Transcript::None, ..Request::new(source.into()) }
}

/// Without the times, which are never the same.
fn untimed(analysis: Analysis) -> Analysis {
    Analysis { timings_ms: Timings::default(), time_to_label_ms: 0.0, ..analysis }
}

fn while_decoding(engine: &Engine, request: &Request) -> Result<Analysis> {
    engine.analyze(request, &CancelToken::new(), &mut |_| {}).map(untimed)
}

fn after_decoding(engine: &Engine, request: &Request) -> Result<Analysis> {
    let cancel = CancelToken::new();
    let clip = decode(&request.source, &engine.sampling(request.frame), &request.limits, &cancel)?;
    let Request { question, transcript, frame, features, .. } = request.clone();
    let request = ClipRequest { question, transcript, frame, features };
    engine.analyze_clip(&clip, &request, &cancel, &mut |_| {}).map(untimed)
}

/// Fails unless both ways give the same, with many threads and with one; what they give.
fn assert_same(request: &Request, what: &str) -> Option<Analysis> {
    let expected = after_decoding(engine(), request);
    for (engine, threads) in [(engine(), "many"), (single(), "one")] {
        match (while_decoding(engine, request), &expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, *expected, "{what}, {threads}"),
            (Err(found), Err(expected)) => {
                assert_eq!((found.kind, &found.message), (expected.kind, &expected.message), "{what}, {threads}");
            }
            (found, _) => panic!("{what}, {threads}: {found:?} {expected:?}"),
        }
    }
    expected.ok()
}

#[test]
fn clips_of_people() {
    for code in ["ANG", "DIS", "FEA", "HAP", "NEU", "SAD"] {
        let analysis = assert_same(&request(clip(code)), code).unwrap();
        assert!(!analysis.faces.is_empty() && analysis.cues.len() > 6, "{code}: {analysis:?}");
    }
    let heard = Request { transcript: Transcript::Auto, ..request(clip("NEU")) };
    assert!(assert_same(&heard, "with words").unwrap().transcript.is_some());
    for pick in [FramePick::First, FramePick::Middle, FramePick::At(1.1)] {
        assert_same(&Request { frame: pick, ..request(clip("HAP")) }, "another frame").unwrap();
    }
}

#[test]
fn clips_that_are_cut_or_damaged() {
    let whole = std::fs::read(clip("FEA")).unwrap();
    let mut with_notes = 0;
    for place in 1..PLACES {
        let at = whole.len() * place / PLACES;
        let mut damaged = whole.clone();
        damaged[at..at + 3000].iter_mut().enumerate().for_each(|(i, byte)| *byte = (i as u8).wrapping_mul(113));
        for (bytes, what) in [(whole[..at].to_vec(), "cut"), (damaged, "damaged")] {
            let analysis = assert_same(&request(bytes), &format!("{what} at {at}"));
            with_notes += usize::from(analysis.is_some_and(|analysis| !analysis.notes.is_empty()));
        }
    }
    assert!(with_notes >= PLACES - 1, "{with_notes} with notes");
}

#[test]
fn parts_of_clips_and_what_is_refused() {
    let (files, clip) = (Files::new(), clip("SAD"));
    let input = ["-i", clip.to_str().unwrap()];
    let make = |name, options: &[&str]| files.make(name, &[&input[..], options].concat());
    let cases = [
        (make("blind.wav", &["-vn"]), "no_video"),
        (make("mute.flv", &["-an", "-c:v", "copy"]), "no_audio"),
        (make("still.png", &["-frames:v", "1"]), "still_picture"),
        (files.clip("nobody.mkv", 1.0, &["-c:v", "mpeg4", "-c:a", "flac"]), "no_face"),
    ];
    for (path, note) in cases {
        let analysis = assert_same(&request(path), note).unwrap();
        assert!(analysis.notes.iter().any(|found| found.name == note), "{note}: {:?}", analysis.notes);
    }
    let small = Limits { max_pixels: 1000, ..Limits::default() };
    let short = Limits { max_duration_s: 1.0, ..Limits::default() };
    for refused in [
        request(files.path("missing.mp4")),
        request(&b"This is no clip."[..]),
        Request { limits: small, ..request(clip.clone()) },
        Request { limits: short, ..request(clip.clone()) },
    ] {
        assert!(assert_same(&refused, "refused").is_none(), "{refused:?}");
    }
}

#[test]
fn a_clip_whose_pictures_are_refused_halfway_gives_that_error_though_somebody_speaks() {
    let (files, clip) = (Files::new(), clip("ANG"));
    let part = |name, size| {
        let options =
            ["-i", clip.to_str().unwrap(), "-s", size, "-c:v", "libx264", "-preset", "ultrafast", "-c:a", "mp2"];
        std::fs::read(files.make(name, &options)).unwrap()
    };
    let both = [part("small.ts", "160x120"), part("large.ts", "240x180")].concat();
    let request = Request {
        limits: Limits { max_pixels: 160 * 120, ..Limits::default() },
        transcript: Transcript::Auto,
        ..request(both)
    };
    assert!(assert_same(&request, "larger pictures").is_none());
    assert_eq!(while_decoding(engine(), &request).unwrap_err().kind, ErrorKind::MediaTooLarge);
}

#[test]
fn a_call_that_is_cancelled_at_any_moment_ends_as_cancelled() {
    let request = request(clip("DIS"));
    for engine in [engine(), single()] {
        for wait_ms in (0..60).step_by(4) {
            let cancel = CancelToken::new();
            let error = std::thread::scope(|scope| {
                scope.spawn(|| {
                    std::thread::sleep(Duration::from_millis(wait_ms));
                    cancel.cancel();
                });
                // Wherever it is when the token is set, that call or at the latest the next ends as cancelled.
                loop {
                    if let Err(error) = engine.observe(&request, &cancel, &mut |_| {}) {
                        break error;
                    }
                }
            });
            assert_eq!(error.kind, ErrorKind::Cancelled, "after {wait_ms} ms: {error}");
        }
    }
    while_decoding(engine(), &request).unwrap();
}

#[test]
fn frames_of_a_reading_that_turned_out_to_be_in_vain_are_forgotten() {
    let (files, clip) = (Files::new(), clip("HAP"));
    let path = files.make("clip.avi", &["-i", clip.to_str().unwrap(), "-c:v", "png", "-pix_fmt", "rgb24", "-t", "1"]);
    let mut bytes = std::fs::read(path).unwrap();
    let pictures = media_files::png_headers(&bytes);
    let sampling = engine().sampling(FramePick::First);
    let decoded = |bytes: &[u8]| decode(&bytes.into(), &sampling, &Limits::default(), &CancelToken::new()).unwrap();
    // A width of 0 in the header of a frame that is wanted, after others.
    let wanted = decoded(&bytes).frames[8].index as usize;
    bytes[pictures[wanted] + 16..][..4].fill(0);
    let decoded = decoded(&bytes);
    assert_eq!(decoded.frame_count as usize, pictures.len() - 1, "{decoded:?}");
    let analysis = assert_same(&request(bytes), "a frame is missing").unwrap();
    assert!(analysis.notes.iter().any(|note| note.name == "damaged"), "{:?}", analysis.notes);
}

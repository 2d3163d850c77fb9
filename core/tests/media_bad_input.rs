//! Input that is broken, hostile, too large or not media: typed errors or notes, never a panic.

mod media_files;

use emotion_llama_core::media::{decode, Clip, FramePick, Limits, Note, Sampling, Source};
use emotion_llama_core::{CancelToken, Error, ErrorKind};
use media_files::Files;
use proptest::prelude::*;

/// Places at which each file is cut.
const CUTS: usize = 20;

fn run(source: impl Into<Source>, limits: &Limits) -> Result<Clip, Error> {
    decode(&source.into(), &Sampling::default(), limits, &CancelToken::new())
}

fn open(source: impl Into<Source>) -> Result<Clip, Error> {
    run(source, &Limits::default())
}

/// Fails unless `result` is a sound clip or says that nothing can be decoded.
fn assert_sane(result: &Result<Clip, Error>, what: &str) {
    match result {
        Err(error) => {
            let expected = [ErrorKind::MediaUndecodable, ErrorKind::MediaTooLarge];
            assert!(expected.contains(&error.kind), "{what}: {error}");
        }
        Ok(clip) => {
            assert!(clip.has_video || clip.has_audio, "{what}");
            assert!(clip.duration_s.is_finite() && clip.duration_s <= Limits::default().max_duration_s, "{what}");
            for frame in &clip.frames {
                assert_eq!(frame.rgb.len(), frame.width * frame.height * 3, "{what}");
                assert!(frame.time_s.is_finite() && frame.time_s >= 0.0, "{what}");
            }
            let samples = clip.audio.iter().flat_map(|audio| &audio.samples);
            assert!(samples.into_iter().all(|sample| sample.is_finite()), "{what}");
        }
    }
}

#[test]
fn what_is_not_media_has_a_stable_error_name() {
    let files = Files::new();
    let good = std::fs::read(files.clip("good.mp4", 0.4, &["-c:v", "libx264", "-c:a", "aac"])).unwrap();
    let png = std::fs::read(files.make("a.png", &["-f", "lavfi", "-i", "testsrc2=s=64x48", "-frames:v", "1"])).unwrap();
    let wav = std::fs::read(files.make("a.wav", &["-f", "lavfi", "-i", "sine=duration=0.5"])).unwrap();
    let playlist = format!("#EXTM3U\n#EXTINF:1,\n{}\n", files.path("good.mp4").display());
    let concat = format!("ffconcat version 1.0\nfile '{}'\n", files.path("good.mp4").display());
    let sdp = "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n";
    let dash = "<?xml version=\"1.0\"?><MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" type=\"static\"></MPD>";
    let (mdat_only, header_only) = (&good[good.len() / 2..], &png[..33]);
    let mut wrong_magic = png.clone();
    wrong_magic[..4].fill(0);
    let undecodable: [(&str, &str, &[u8]); 18] = [
        ("empty", "empty.mp4", b""),
        ("one byte", "one.mp4", b"x"),
        ("text", "text.mp4", b"This is not a video.\nIt is a letter.\n"),
        ("text without extension", "letter", &b"lorem ipsum dolor sit amet ".repeat(500)),
        ("json", "data.json", b"{\"video\": [1, 2, 3]}"),
        ("html", "page.mp4", b"<!DOCTYPE html><html><body>404 Not Found</body></html>"),
        ("zeros", "zeros.avi", &[0; 100_000]),
        ("ones", "ones.mkv", &[0xFF; 65_536]),
        ("zip", "archive.mp4", b"PK\x03\x04\x14\0\0\0\x08\0 and then nothing that a zip holds"),
        ("elf", "program.mp4", b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x3e\0\x01\0\0\0"),
        ("hls playlist", "list.m3u8", playlist.as_bytes()),
        ("concat script", "list.ffconcat", concat.as_bytes()),
        ("sdp session", "session.sdp", sdp.as_bytes()),
        ("dash manifest", "manifest.mpd", dash.as_bytes()),
        ("mp4 without its index", "tail.mp4", mdat_only),
        ("png header only", "head.png", header_only),
        ("png without its magic", "magic.png", &wrong_magic),
        ("wav header only", "head.wav", &wav[..44]),
    ];
    for (what, name, content) in undecodable {
        for source in [Source::from(files.write(name, content)), Source::from(content)] {
            let error = open(source).expect_err(what);
            assert_eq!(error.name(), "media_undecodable", "{what}: {error}");
        }
        let error = open(files.path(name)).expect_err(what);
        assert!(error.message.contains(name), "{what}: the message does not name the file: {error}");
    }

    let bad_paths: [(&str, Source, &str); 6] = [
        ("missing", files.path("missing.mp4").into(), "not_found"),
        ("missing folder", files.path("no/such/folder.mp4").into(), "not_found"),
        ("file as folder", files.path("good.mp4/inside.mp4").into(), "not_found"),
        ("no name", "".into(), "not_found"),
        ("directory", files.path("").into(), "invalid_argument"),
        ("device", "/dev/null".into(), "invalid_argument"),
    ];
    for (what, source, name) in bad_paths {
        let error = open(source).expect_err(what);
        assert_eq!(error.name(), name, "{what}: {error}");
    }
    // Looks like a URL or another protocol of FFmpeg, but is a file name that does not exist.
    for url in
        ["http://127.0.0.1:9/a.mp4", "file:/etc/hostname", "concat:a.mp4|b.mp4", "data:video/mp4;base64,AAAA", "pipe:0"]
    {
        assert_eq!(open(url).expect_err(url).name(), "not_found", "{url}");
    }
}

#[test]
fn options_without_a_usable_value_are_refused() {
    let good = Source::from(vec![0u8; 16]);
    let bad = [
        Sampling { max_side: 0, ..Sampling::default() },
        Sampling { pick: Some(FramePick::At(f64::NAN)), ..Sampling::default() },
        Sampling { pick: Some(FramePick::At(-1.0)), ..Sampling::default() },
    ];
    for sampling in bad {
        let error = decode(&good, &sampling, &Limits::default(), &CancelToken::new()).unwrap_err();
        assert_eq!(error.name(), "invalid_argument", "{sampling:?}");
    }
    for seconds in [0.0, -1.0, f64::NAN] {
        let error = run(good.clone(), &Limits { max_duration_s: seconds, ..Limits::default() }).unwrap_err();
        assert_eq!(error.name(), "invalid_argument", "{seconds}");
    }
}

#[test]
fn each_limit_is_named_with_the_value() {
    let files = Files::new();
    let path = files.clip("clip.mkv", 2.0, &["-c:v", "mpeg4", "-c:a", "flac"]);
    let wav = files.make("long.wav", &["-f", "lavfi", "-i", "sine=duration=3"]);
    let png = files.make("a.png", &["-f", "lavfi", "-i", "testsrc2=s=400x300", "-frames:v", "1"]);
    let gif = files.make("a.gif", &["-f", "lavfi", "-i", "testsrc2=s=400x300", "-frames:v", "1"]);
    // One second of video, and sound that starts 100 s later.
    let video = [
        "-f",
        "lavfi",
        "-i",
        "testsrc2=s=64x48:d=1",
        "-itsoffset",
        "100",
        "-f",
        "lavfi",
        "-i",
        "sine=d=1",
        "-c:v",
        "mpeg4",
    ];
    let apart = files.make("apart.mkv", &video);
    let default = Limits::default;
    let cases = [
        (&path, Limits { max_duration_s: 1.0, ..default() }, "max_duration_s"),
        (&wav, Limits { max_duration_s: 2.5, ..default() }, "max_duration_s"),
        (&apart, Limits { max_duration_s: 50.0, ..default() }, "max_duration_s"),
        (&path, Limits { max_pixels: 160 * 120 - 1, ..default() }, "160 x 120 = 19200 pixels"),
        (&png, Limits { max_pixels: 100_000, ..default() }, "400 x 300 = 120000 pixels"),
        (&gif, Limits { max_pixels: 100_000, ..default() }, "400 x 300 = 120000 pixels"),
        (&path, Limits { max_streams: 1, ..default() }, "max_streams"),
        (&path, Limits { max_bytes: Some(1000), ..default() }, "max_bytes"),
    ];
    for (path, limits, named) in cases {
        let error = run(path.as_path(), &limits).unwrap_err();
        assert_eq!(error.name(), "media_too_large", "{limits:?}: {error}");
        assert!(error.message.contains(named), "{named} is not in: {error}");
    }
    let exact = Limits { max_duration_s: 2.5, max_pixels: 160 * 120, max_streams: 2, max_bytes: None };
    assert_eq!(run(path.as_path(), &exact).unwrap().frame_count, 50);
}

#[test]
fn a_size_that_changes_beyond_the_limit_is_refused() {
    let files = Files::new();
    let small = files
        .make("s.h264", &["-f", "lavfi", "-i", "testsrc2=s=64x48:d=0.4", "-pix_fmt", "yuv420p", "-c:v", "libx264"]);
    let large = files
        .make("l.h264", &["-f", "lavfi", "-i", "testsrc2=s=640x480:d=0.4", "-pix_fmt", "yuv420p", "-c:v", "libx264"]);
    let both = [std::fs::read(small).unwrap(), std::fs::read(large).unwrap()].concat();
    let clip = run(both.clone(), &Limits::default()).unwrap();
    let sizes: Vec<usize> = clip.frames.iter().map(|frame| frame.width).collect();
    assert!(sizes.contains(&64) && sizes.contains(&640), "{sizes:?}");
    match run(both, &Limits { max_pixels: 64 * 48, ..Limits::default() }) {
        Err(error) => assert_eq!(error.name(), "media_too_large", "{error}"),
        Ok(clip) => assert!(clip.frames.iter().all(|frame| frame.width == 64), "a frame above the limit came out"),
    }
}

#[test]
fn cancelled_work_stops() {
    let files = Files::new();
    let path = files.clip("clip.mp4", 2.0, &["-c:v", "mpeg4", "-c:a", "aac"]);
    let before = CancelToken::new();
    before.cancel();
    let result = decode(&path.as_path().into(), &Sampling::default(), &Limits::default(), &before);
    assert_eq!(result.unwrap_err().kind, ErrorKind::Cancelled);

    let during = CancelToken::new();
    let setter = during.clone();
    let thread = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(30));
        setter.cancel();
    });
    // Wherever in a decode the token is set, that decode or at the latest the next ends as cancelled.
    let error = loop {
        if let Err(error) = decode(&path.as_path().into(), &Sampling::default(), &Limits::default(), &during) {
            break error;
        }
    };
    assert_eq!(error.kind, ErrorKind::Cancelled, "{error}");
    thread.join().unwrap();
}

#[test]
fn a_file_cut_anywhere_is_decoded_as_far_as_it_goes_or_refused() {
    let files = Files::new();
    let cases: [(&str, &[&str], bool); 8] = [
        ("a.mp4", &["-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac", "-movflags", "+faststart"], true),
        ("tail.mp4", &["-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac"], false),
        ("a.mkv", &["-c:v", "libx264", "-preset", "ultrafast", "-c:a", "flac"], true),
        ("a.webm", &["-c:v", "libvpx", "-deadline", "realtime", "-c:a", "libopus"], true),
        ("a.avi", &["-c:v", "mpeg4", "-c:a", "mp3"], true),
        ("a.flv", &["-c:v", "flv", "-ar", "44100", "-c:a", "mp3"], true),
        ("a.ts", &["-c:v", "mpeg2video", "-c:a", "mp2"], false),
        ("a.wav", &["-vn", "-c:a", "pcm_s16le"], true),
    ];
    for (name, options, declares_length) in cases {
        let whole = std::fs::read(files.clip(name, 2.0, options)).unwrap();
        let full = open(whole.as_slice()).unwrap();
        assert!(full.notes.iter().all(|note| note.name != Note::TRUNCATED), "{name}: {:?}", full.notes);
        let mut decoded = 0;
        for cut in 1..CUTS {
            let what = format!("{name} cut at {cut}/{CUTS}");
            let result = open(&whole[..whole.len() * cut / CUTS]);
            assert_sane(&result, &what);
            let Ok(clip) = result else { continue };
            decoded += 1;
            assert!(clip.duration_s <= full.duration_s + 0.1, "{what}: {}", clip.duration_s);
            // Near the end less is missing than a length in a header is precise.
            if declares_length && cut <= CUTS * 7 / 10 {
                assert!(clip.notes.iter().any(|note| note.name == Note::TRUNCATED), "{what}: {:?}", clip.notes);
            }
        }
        if name != "tail.mp4" {
            assert!(decoded >= CUTS * 3 / 4, "{name}: only {decoded} of {CUTS} cut files gave anything");
        }
    }
}

#[test]
fn damage_in_the_middle_is_survived_and_noted() {
    let files = Files::new();
    let options = ["-c:v", "libx264", "-preset", "ultrafast", "-g", "10", "-c:a", "flac"];
    let mut bytes = std::fs::read(files.clip("a.mkv", 2.0, &options)).unwrap();
    let middle = bytes.len() / 2;
    for (offset, byte) in bytes[middle..middle + 3000].iter_mut().enumerate() {
        *byte = (offset as u8).wrapping_mul(113);
    }
    let clip = open(bytes.as_slice()).unwrap();
    assert!(clip.has_video && clip.has_audio);
    assert!(clip.frames.len() >= 8, "{} frames", clip.frames.len());
    let again = open(bytes).unwrap();
    assert_eq!(again.notes, clip.notes);
    assert!(again.frames.iter().zip(&clip.frames).all(|(a, b)| a.rgb == b.rgb), "two runs differ");
}

fn small_mp4() -> &'static [u8] {
    static CLIP: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    CLIP.get_or_init(|| {
        let options = ["-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac", "-movflags", "+faststart"];
        std::fs::read(Files::new().clip("small.mp4", 0.4, &options)).unwrap()
    })
}

fn small_flv() -> &'static [u8] {
    static CLIP: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    CLIP.get_or_init(|| {
        let options = ["-c:v", "flv", "-ar", "44100", "-c:a", "mp3"];
        std::fs::read(Files::new().clip("small.flv", 0.4, &options)).unwrap()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 1..4096)) {
        assert_sane(&open(bytes), "random bytes");
    }

    #[test]
    fn random_bytes_behind_a_magic_never_panic(
        magic in prop::sample::select(vec![
            &b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom"[..], b"\x1aE\xdf\xa3", b"RIFF\x10\0\0\0AVI LIST", b"FLV\x01\x05\0\0\0\x09\0\0\0\0",
            b"GIF89a", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"\xff\xd8\xff\xe0", b"RIFF\x10\0\0\0WEBPVP8 ", b"RIFF\x10\0\0\0WAVEfmt ",
            b"OggS\0\x02", b"fLaC\0\0\0\x22", b"ID3\x04", b"BM",
        ]),
        bytes in proptest::collection::vec(any::<u8>(), 1..2048),
    ) {
        assert_sane(&open([magic, &bytes].concat()), "random bytes behind a magic");
    }

    #[test]
    fn changed_headers_never_panic(changes in proptest::collection::vec((0usize..3000, any::<u8>()), 1..12)) {
        let mut bytes = small_mp4().to_vec();
        for (at, value) in changes {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
        }
        assert_sane(&open(bytes), "changed mp4");
    }

    #[test]
    fn changed_data_never_panics(changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..40)) {
        let mut bytes = small_flv().to_vec();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        assert_sane(&open(bytes), "changed flv");
    }
}

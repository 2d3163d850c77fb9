//! Pictures and sound that are decoded apart, on two threads, are those that are decoded together.

#[path = "../../tests/media_files/mod.rs"]
mod media_files;

use media_files::Files;

use super::*;

/// Places at which each file is cut, and damaged.
const PLACES: usize = 8;

fn sampling() -> Sampling {
    Sampling { pick: Some(FramePick::Middle), pairs: 8, ..Sampling::default() }
}

fn apart(source: &Source, limits: &Limits) -> Result<Clip> {
    let (sampling, cancel) = (sampling(), CancelToken::new());
    let reel = Reel::open(source, &sampling, limits, &cancel)?;
    let mut frames = Vec::new();
    let (pictures, sound) = std::thread::scope(|scope| {
        let sound = scope.spawn(|| reel.sound(&cancel));
        (reel.pictures(&mut |frame| frames.push(frame), &cancel), sound.join().unwrap())
    });
    let pictures = pictures?;
    frames.drain(..pictures.void);
    reel.clip(frames, pictures, sound?)
}

/// What may differ between two readings of the same file.
#[derive(Clone, Copy, PartialEq)]
enum Apart {
    /// Nothing, to the bit.
    Nothing,
    /// The pixels of frames that are missing data: decoders with several threads fill them with what happens to be there.
    Pixels,
}

/// Everything that `clip` holds, to the bit.
fn everything(clip: &Clip, but: Apart) -> impl PartialEq + std::fmt::Debug {
    let frame = |frame: &Frame| {
        let sizes = (frame.width, frame.height, frame.source_width, frame.source_height);
        let pixels = (but == Apart::Nothing).then(|| frame.rgb.clone());
        (sizes, frame.time_s.to_bits(), frame.index, pixels)
    };
    let frames: Vec<_> = clip.frames.iter().map(frame).collect();
    let sound: Option<Vec<u32>> = clip.audio.as_ref().map(|sound| sound.samples.iter().map(|s| s.to_bits()).collect());
    let counts = (clip.frame_count, clip.frames_decoded);
    let facts = (clip.has_video, clip.has_audio, clip.rotation_deg, counts, clip.video_span_s);
    (frames, clip.pairs.clone(), sound, clip.duration_s, facts, clip.notes.clone())
}

/// Fails unless `source` gives the same both ways; whether it gives a clip.
fn assert_same(source: impl Into<Source>, limits: &Limits, but: Apart, what: &str) -> bool {
    let source = source.into();
    match (apart(&source, limits), decode(&source, &sampling(), limits, &CancelToken::new())) {
        (Ok(apart), Ok(together)) => {
            // The whole of a clip is too long for a message.
            assert!(everything(&apart, but) == everything(&together, but), "{what}: {apart:?} {together:?}");
            true
        }
        (Err(apart), Err(together)) => {
            assert_eq!((apart.kind, apart.message), (together.kind, together.message), "{what}");
            false
        }
        (apart, together) => panic!("{what}: {apart:?} {together:?}"),
    }
}

#[test]
fn whole_cut_and_damaged_files_give_the_same() {
    let files = Files::new();
    let cases: [(&str, &[&str]); 7] = [
        (
            "bframes.mp4",
            &["-c:v", "libx264", "-preset", "ultrafast", "-bf", "3", "-c:a", "aac", "-movflags", "+faststart"],
        ),
        ("a.mkv", &["-c:v", "libx264", "-preset", "ultrafast", "-g", "10", "-c:a", "flac"]),
        ("a.webm", &["-c:v", "libvpx", "-deadline", "realtime", "-c:a", "libopus"]),
        ("a.flv", &["-c:v", "flv", "-ar", "44100", "-c:a", "mp3"]),
        ("a.ts", &["-c:v", "mpeg2video", "-c:a", "mp2"]),
        ("silent.avi", &["-c:v", "mpeg4", "-bf", "2", "-an"]),
        ("blind.wav", &["-vn", "-c:a", "pcm_s16le"]),
    ];
    for (name, options) in cases {
        let whole = std::fs::read(files.clip(name, 2.0, options)).unwrap();
        assert!(assert_same(whole.as_slice(), &Limits::default(), Apart::Nothing, name), "{name}");
        let mut given = 0;
        for place in 1..PLACES {
            let at = whole.len() * place / PLACES;
            given += usize::from(assert_same(
                &whole[..at],
                &Limits::default(),
                Apart::Nothing,
                &format!("{name} cut at {at}"),
            ));
            let mut damaged = whole.clone();
            let end = damaged.len().min(at + 1500);
            for (offset, byte) in damaged[at..end].iter_mut().enumerate() {
                *byte = (offset as u8).wrapping_mul(113);
            }
            given += usize::from(assert_same(
                damaged,
                &Limits::default(),
                Apart::Pixels,
                &format!("{name} damaged at {at}"),
            ));
        }
        assert!(given >= PLACES, "{name}: only {given} gave anything");
    }
}

#[test]
fn pictures_and_what_is_refused_give_the_same() {
    let files = Files::new();
    let png = files.make("a.png", &["-f", "lavfi", "-i", "testsrc2=s=64x48", "-frames:v", "1"]);
    let gif = files.make("a.gif", &["-f", "lavfi", "-i", "testsrc2=s=64x48:d=1"]);
    let clip = files.clip("clip.mkv", 2.0, &["-c:v", "mpeg4", "-c:a", "flac"]);
    let default = Limits::default;
    assert!(assert_same(png.as_path(), &default(), Apart::Nothing, "a still picture"));
    assert!(assert_same(gif.as_path(), &default(), Apart::Nothing, "moving pictures without sound"));
    let refused: [(Source, Limits); 7] = [
        (files.path("missing.mp4").into(), default()),
        (files.path("").into(), default()),
        (b"no media"[..].into(), default()),
        (clip.clone().into(), Limits { max_duration_s: 1.0, ..default() }),
        (clip.clone().into(), Limits { max_duration_s: -1.0, ..default() }),
        (clip.clone().into(), Limits { max_pixels: 160 * 120 - 1, ..default() }),
        (clip.into(), Limits { max_streams: 1, ..default() }),
    ];
    for (source, limits) in refused {
        let what = format!("{source} with {limits:?}");
        assert!(!assert_same(source, &limits, Apart::Nothing, &what), "{what}");
    }
}

#[test]
fn pictures_that_grow_beyond_the_limit_are_refused_both_ways() {
    let files = Files::new();
    let part = |name, size: &str| {
        let video = format!("testsrc2=s={size}:d=0.4");
        let inputs = ["-f", "lavfi", "-i", &video, "-f", "lavfi", "-i", "sine=d=0.4"];
        let options = ["-pix_fmt", "yuv420p", "-c:v", "libx264", "-c:a", "mp2"];
        std::fs::read(files.make(name, &[&inputs[..], &options].concat())).unwrap()
    };
    let both = [part("small.ts", "64x48"), part("large.ts", "160x120")].concat();
    assert!(assert_same(both.as_slice(), &Limits::default(), Apart::Nothing, "no limit"));
    assert!(!assert_same(both, &Limits { max_pixels: 64 * 48, ..Limits::default() }, Apart::Nothing, "a limit"));
}

#[test]
fn a_picture_can_be_looked_at_before_the_last_one_is_decoded_and_cancel_the_rest() {
    let files = Files::new();
    let path = files.clip("clip.mp4", 2.0, &["-c:v", "mpeg4", "-c:a", "aac"]);
    let (source, sampling, limits, cancel) = (path.into(), sampling(), Limits::default(), CancelToken::new());
    let reel = Reel::open(&source, &sampling, &limits, &cancel).unwrap();
    let mut kept = 0;
    let mut cancelling = |_| {
        kept += 1;
        cancel.cancel();
    };
    assert_eq!(reel.pictures(&mut cancelling, &cancel).err().map(|error| error.kind), Some(ErrorKind::Cancelled));
    // One call of the decoder may give several.
    assert!((1..20).contains(&kept), "{kept}");
    assert_eq!(reel.sound(&cancel).err().map(|error| error.kind), Some(ErrorKind::Cancelled));
}

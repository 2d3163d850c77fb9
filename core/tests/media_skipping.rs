//! Frames that no kept one needs are not decoded, and those that are kept are the same as when all are.

mod media_files;

use std::path::Path;

use emotion_llama_core::media::{decode, Clip, FramePick, Limits, Sampling, Source};
use emotion_llama_core::CancelToken;
use media_files::Files;

fn open(source: impl Into<Source>, sampling: &Sampling) -> Clip {
    decode(&source.into(), sampling, &Limits::default(), &CancelToken::new()).unwrap()
}

/// One frame at its time; a few over the clip; pairs by number; a few and one more.
fn samplings(duration_s: f64) -> Vec<Sampling> {
    let none = Sampling { max_frames: 0, ..Sampling::default() };
    let places = [0.0, 0.21, 0.5, 0.77, 0.98].map(|part| Some(FramePick::At(part * duration_s)));
    let mut samplings = vec![
        Sampling { max_frames: 1, ..none.clone() },
        Sampling { max_frames: 3, ..none.clone() },
        Sampling { max_frames: 5, pick: Some(FramePick::Middle), ..none.clone() },
        Sampling { pairs: 2, ..none.clone() },
        Sampling { max_frames: 2, pairs: 3, pick: Some(FramePick::First), ..none.clone() },
    ];
    samplings.extend(places.map(|pick| Sampling { pick, ..none.clone() }));
    samplings
}

/// Fails unless few frames of the clip at `path` are those that all of them hold; how many of its frames were decoded for one of `samplings`, on
/// average.
fn assert_same_as_all(path: &Path, what: &str) -> f64 {
    let all = open(path, &Sampling { max_frames: 5000, ..Sampling::default() });
    assert_eq!(all.frame_count, all.frames_decoded, "{what}: all are decoded");
    let mut decoded = 0.0;
    let samplings = samplings(all.duration_s);
    for sampling in &samplings {
        let few = open(path, sampling);
        assert_eq!(few.frame_count, all.frame_count, "{what}: {sampling:?}");
        assert_eq!(few.notes, all.notes, "{what}: {sampling:?}");
        assert_eq!((few.rotation_deg, few.video_span_s), (all.rotation_deg, all.video_span_s), "{what}: {sampling:?}");
        assert!(!few.frames.is_empty(), "{what}: {sampling:?}");
        assert_eq!(few.pairs.len(), 2 * sampling.pairs, "{what}: {sampling:?}");
        for frame in &few.frames {
            let same = all.frames.iter().find(|same| same.index == frame.index).expect("all frames are kept");
            assert_eq!(frame.time_s.to_bits(), same.time_s.to_bits(), "{what}: {sampling:?} {frame:?}");
            assert!(frame.rgb == same.rgb, "{what}: {sampling:?} {frame:?} looks otherwise");
        }
        if let (Some(FramePick::At(seconds)), 0) = (sampling.pick, sampling.max_frames) {
            let nearest = all.frame_at(FramePick::At(seconds)).unwrap();
            assert_eq!(few.frames[0].index, nearest as u64, "{what}: {seconds} s");
        }
        decoded += few.frames_decoded as f64 / all.frame_count as f64;
    }
    decoded / samplings.len() as f64
}

#[test]
fn few_frames_are_those_of_the_whole_clip_in_every_codec() {
    let x264 = |options: &'static str| ["-c:v", "libx264", "-preset", "veryfast", "-x264-params", options, "-an"];
    let cases: [(&str, f64, &[&str]); 20] = [
        ("closed.mp4", 0.5, &x264("keyint=20:bframes=3:b-pyramid=normal")),
        ("no_reference_b.mkv", 0.5, &x264("keyint=100:bframes=3:b-pyramid=none")),
        ("open_gop.mp4", 0.7, &x264("keyint=20:min-keyint=20:open-gop=1:bframes=3")),
        // From a key frame on the picture is renewed bit by bit: only the first frame can be begun at.
        ("refresh.mp4", 0.9, &x264("keyint=20:intra-refresh=1:bframes=0")),
        ("interlaced.ts", 1.0, &x264("keyint=20:interlaced=1")),
        ("annexb.ts", 0.6, &x264("keyint=20:bframes=2")),
        ("h264.flv", 0.6, &x264("keyint=20:bframes=2")),
        ("h264.avi", 1.0, &x264("keyint=20:bframes=2")),
        ("hevc.mp4", 0.6, &["-c:v", "libx265", "-x265-params", "keyint=20:open-gop=1:log-level=none", "-an"]),
        ("mpeg4.mp4", 0.6, &["-c:v", "mpeg4", "-g", "20", "-bf", "2", "-an"]),
        ("mpeg4.avi", 1.0, &["-c:v", "mpeg4", "-g", "20", "-bf", "2", "-an"]),
        ("mpeg2.ts", 0.6, &["-c:v", "mpeg2video", "-g", "20", "-bf", "2", "-an"]),
        ("mpeg2.mkv", 0.6, &["-c:v", "mpeg2video", "-g", "20", "-bf", "2", "-flags", "+ildct+ilme", "-an"]),
        ("mpeg1.mpg", 1.0, &["-c:v", "mpeg1video", "-g", "20", "-bf", "2", "-an"]),
        ("flv1.flv", 0.6, &["-c:v", "flv", "-g", "20", "-an"]),
        ("h263.3gp", 0.6, &["-c:v", "h263", "-s", "176x144", "-g", "20", "-an"]),
        ("vp8.webm", 0.7, &["-c:v", "libvpx", "-g", "20", "-auto-alt-ref", "1", "-lag-in-frames", "10", "-an"]),
        ("vp9.webm", 0.7, &["-c:v", "libvpx-vp9", "-g", "20", "-cpu-used", "8", "-auto-alt-ref", "1", "-an"]),
        ("motion.avi", 0.2, &["-c:v", "mjpeg", "-pix_fmt", "yuvj420p", "-an"]),
        ("pictures.avi", 0.2, &["-c:v", "png", "-pix_fmt", "rgb24", "-an"]),
    ];
    let files = Files::new();
    for (name, most, options) in cases {
        let decoded = assert_same_as_all(&files.clip(name, 4.0, options), name);
        eprintln!("{name}: {:.0} % of the frames decoded", 100.0 * decoded);
        assert!(decoded <= most, "{name}: {decoded}");
    }
}

/// A clip with all its frames.
fn all_of(bytes: &[u8]) -> Clip {
    open(bytes, &Sampling { max_frames: 5000, ..Sampling::default() })
}

#[test]
fn damage_counts_where_it_is_looked_at() {
    let files = Files::new();
    let path = files.clip("pictures.avi", 2.0, &["-c:v", "png", "-pix_fmt", "rgb24", "-c:a", "pcm_s16le"]);
    let whole = std::fs::read(path).unwrap();
    let pictures = media_files::png_headers(&whole);
    assert_eq!(pictures.len(), 50);
    let without = |number: usize| {
        let mut bytes = whole.clone();
        // A width of 0 in the header.
        bytes[pictures[number] + 16..][..4].fill(0);
        bytes
    };
    let sampling = Sampling { max_frames: 5, ..Sampling::default() };
    let expected = open(whole.as_slice(), &sampling);
    let kept: Vec<u64> = expected.frames.iter().map(|frame| frame.index).collect();
    assert_eq!((expected.frames_decoded, kept), (5, vec![5, 15, 25, 35, 45]));
    // Nobody looks at frame 34.
    let elsewhere = open(without(34), &sampling);
    assert_eq!((elsewhere.frame_count, elsewhere.frames_decoded, elsewhere.notes.len()), (50, 5, 0));
    assert!(elsewhere.frames.iter().zip(&expected.frames).all(|(found, expected)| found.rgb == expected.rgb));
    // Without frame 35 all are decoded, as there is no telling how many are missing, and those before are not given twice.
    let here = open(without(35), &sampling);
    let all = all_of(&without(35));
    let indices: Vec<u64> = here.frames.iter().map(|frame| frame.index).collect();
    assert_eq!((here.frame_count, here.frames_decoded, indices), (49, 49, vec![5, 15, 25, 34, 44]));
    assert_eq!(here.notes, all.notes);
    assert_eq!(here.notes.len(), 1, "{:?}", here.notes);
    assert!(here.frames.iter().all(|frame| frame.rgb == all.frames[frame.index as usize].rgb));
    assert!(here.audio.unwrap().samples == expected.audio.unwrap().samples, "the sound is heard once");
}

#[test]
fn a_container_that_lies_about_key_frames_is_found_out() {
    let files = Files::new();
    let whole = std::fs::read(files.clip("a.flv", 4.0, &["-c:v", "flv", "-g", "1000", "-an"])).unwrap();
    let all = all_of(&whole);
    let sampling = Sampling { max_frames: 0, pick: Some(FramePick::At(2.0)), ..Sampling::default() };
    let honest = open(whole.as_slice(), &sampling);
    assert!(honest.frames_decoded < 60, "{honest:?}");
    // A tag is a type, three bytes of length, seven more, the data, and four bytes of the tag's length. Of pictures the data begin with the frame's
    // kind, 1 for a key frame, and the codec.
    let (mut lying, mut at, mut pictures) = (whole, 13, 0);
    while at + 15 < lying.len() {
        let length = u32::from_be_bytes([0, lying[at + 1], lying[at + 2], lying[at + 3]]) as usize;
        if lying[at] == 9 {
            pictures += 1;
            lying[at + 11] = 0x10 | lying[at + 11] & 15;
        }
        at += 11 + length + 4;
    }
    assert_eq!(pictures, 100);
    let found_out = open(lying, &sampling);
    assert_eq!((found_out.frame_count, found_out.frames_decoded), (100, 100));
    for clip in [honest, found_out] {
        let frame = &clip.frames[0];
        assert!(frame.rgb == all.frames[frame.index as usize].rgb && clip.frames.len() == 1, "{clip:?}");
    }
}

#[test]
fn a_clip_without_a_wanted_frame_has_pictures_all_the_same() {
    let files = Files::new();
    let none = Sampling { max_frames: 0, ..Sampling::default() };
    let clip = open(files.clip("a.mp4", 4.0, &["-c:v", "mpeg4", "-g", "20", "-an"]), &none);
    assert!(clip.has_video && clip.frames.is_empty());
    assert_eq!((clip.frame_count, clip.frames_decoded), (100, 1));
}

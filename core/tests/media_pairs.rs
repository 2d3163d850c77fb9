//! Frames by number: two neighbours from each of 8 segments, as VideoMAE takes them.
//!
//! The expected numbers are those that upstream's rule gives (`facts.clip_frame_numbers` of the reference has the same for other
//! lengths).

mod media_files;

use std::path::Path;

use emotion_llama_core::media::{decode, Clip, FramePick, Limits, Sampling};
use emotion_llama_core::CancelToken;
use media_files::Files;

fn open(path: &Path, sampling: &Sampling) -> Clip {
    decode(&path.into(), sampling, &Limits::default(), &CancelToken::new()).unwrap()
}

fn pair_indices(clip: &Clip) -> Vec<u64> {
    clip.pairs.iter().map(|&at| clip.frames[at].index).collect()
}

#[test]
fn frames_are_taken_by_number_whatever_the_codec() {
    const OF_50: [u64; 16] = [3, 4, 9, 10, 15, 16, 21, 22, 27, 28, 33, 34, 39, 40, 45, 46];
    let files = Files::new();
    let cases: [(&str, &[&str]); 6] = [
        ("bframes.mp4", &["-c:v", "libx264", "-bf", "3", "-c:a", "aac"]),
        ("bframes.avi", &["-c:v", "mpeg4", "-bf", "2", "-an"]),
        ("mpeg2.ts", &["-c:v", "mpeg2video", "-bf", "2", "-c:a", "mp2"]),
        ("vp9.webm", &["-c:v", "libvpx-vp9", "-cpu-used", "8", "-auto-alt-ref", "1", "-an"]),
        ("flv1.flv", &["-c:v", "flv", "-an"]),
        ("a.gif", &["-an"]),
    ];
    for (name, options) in cases {
        let path = files.clip(name, 2.0, options);
        let sampling = Sampling { max_frames: 0, pairs: 8, ..Sampling::default() };
        let clip = open(&path, &sampling);
        assert_eq!(clip.frame_count, 50, "{name}");
        assert_eq!(pair_indices(&clip), OF_50, "{name}");
        assert_eq!(clip.frames.len(), 16, "{name}: nothing else is kept");
        // The same frames by number as when all are kept.
        let all = open(&path, &Sampling { max_frames: 200, ..sampling });
        assert_eq!(all.frames.len(), 50, "{name}");
        assert_eq!(all.pairs, OF_50.map(|number| number as usize), "{name}");
        for &at in &clip.pairs {
            let frame = &clip.frames[at];
            assert!(frame.rgb == all.frames[frame.index as usize].rgb, "{name}: frame {}", frame.index);
        }
    }
}

#[test]
fn frames_by_number_stand_beside_those_by_time() {
    let files = Files::new();
    let path = files.clip("both.mp4", 2.0, &["-c:v", "mpeg4", "-an"]);
    let by_time = open(&path, &Sampling::default());
    assert!(by_time.pairs.is_empty());
    let both = open(&path, &Sampling { pairs: 8, pick: Some(FramePick::Middle), ..Sampling::default() });
    assert!(both.frames.windows(2).all(|pair| pair[0].index < pair[1].index));
    for frame in &by_time.frames {
        assert!(both.frames.iter().any(|kept| kept.index == frame.index && kept.rgb == frame.rgb));
    }
    assert_eq!(both.pairs.len(), 16);
}

#[test]
fn hidden_frames_have_no_number() {
    let files = Files::new();
    let log = files.path("pass");
    let log = log.to_str().unwrap();
    let options =
        ["-c:v", "libvpx", "-auto-alt-ref", "1", "-lag-in-frames", "16", "-b:v", "100k", "-passlogfile", log, "-an"];
    files.clip("first.webm", 4.0, &[&options[..], &["-pass", "1"]].concat());
    let path = files.clip("second.webm", 4.0, &[&options[..], &["-pass", "2"]].concat());
    let clip = open(&path, &Sampling { pairs: 8, ..Sampling::default() });
    assert_eq!(clip.frame_count, 100);
    assert_eq!(pair_indices(&clip), [6, 7, 18, 19, 30, 31, 43, 44, 55, 56, 68, 69, 80, 81, 92, 93]);
}

#[test]
fn short_videos_repeat_frames_and_sound_has_none() {
    let files = Files::new();
    let sampling = Sampling { pairs: 8, ..Sampling::default() };
    let still = files.make("a.png", &["-f", "lavfi", "-i", "color=red:s=64x48", "-frames:v", "1"]);
    assert_eq!(open(&still, &sampling).pairs, [0; 16]);
    let nine = files.clip("nine.mkv", 0.36, &["-c:v", "mpeg4", "-an"]);
    let clip = open(&nine, &sampling);
    assert_eq!((clip.frame_count, pair_indices(&clip)), (9, [0, 1].repeat(8)));
    let ten = files.clip("ten.mkv", 0.4, &["-c:v", "mpeg4", "-an"]);
    assert_eq!(pair_indices(&open(&ten, &sampling)), [0, 1, 1, 2, 2, 3, 3, 4, 5, 6, 6, 7, 7, 8, 8, 9]);
    let sound = files.make("a.wav", &["-f", "lavfi", "-i", "sine=duration=1"]);
    assert!(open(&sound, &sampling).pairs.is_empty());
}

#[test]
fn an_edit_list_hides_frames_from_the_numbers() {
    let files = Files::new();
    let whole = files.clip("whole.mp4", 2.0, &["-c:v", "libx264", "-preset", "ultrafast", "-g", "100", "-an"]);
    let cut = files.make("cut.mp4", &["-ss", "1", "-i", whole.to_str().unwrap(), "-c", "copy"]);
    let clip = open(&cut, &Sampling { pairs: 8, ..Sampling::default() });
    assert_eq!(clip.frame_count, 25);
    assert_eq!(pair_indices(&clip), [1, 2, 4, 5, 7, 8, 10, 11, 13, 14, 16, 17, 19, 20, 22, 23]);
}

#[test]
fn the_last_frames_stand_in_for_damaged_ones() {
    let files = Files::new();
    // Every frame of a picture by itself: the damaged ones are lost and no others.
    let path = files.clip("damaged.avi", 0.64, &["-c:v", "png", "-pix_fmt", "rgb24", "-an"]);
    let mut bytes = std::fs::read(path).unwrap();
    let pictures = media_files::png_headers(&bytes);
    assert_eq!(pictures.len(), 16);
    for &at in &pictures[13..] {
        // A width of 0 in the header.
        bytes[at + 16..at + 20].fill(0);
    }
    let sampling = Sampling { max_frames: 1, pairs: 8, ..Sampling::default() };
    let clip = decode(&bytes.into(), &sampling, &Limits::default(), &CancelToken::new()).unwrap();
    assert_eq!(clip.frame_count, 13);
    assert_eq!(pair_indices(&clip), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 11, 12, 11, 12]);
}

#[test]
fn a_last_frame_but_one_that_was_let_go_does_not_end_the_process() {
    let files = Files::new();
    let path = files.clip("damaged.avi", 2.0, &["-c:v", "png", "-pix_fmt", "rgb24", "-an"]);
    let mut bytes = std::fs::read(path).unwrap();
    let pictures = media_files::png_headers(&bytes);
    assert_eq!(pictures.len(), 50);
    // Numbers 45 and 46 are lost, and 42, which stands in for 45, was not wanted when it came by.
    pictures[44..].iter().for_each(|&at| bytes[at + 16..at + 20].fill(0));
    let path = files.write("lost.avi", &bytes);
    let sampling = Sampling { max_frames: 0, pairs: 8, ..Sampling::default() };
    let clip = open(&path, &sampling);
    assert_eq!(clip.frame_count, 44);
    assert_eq!(pair_indices(&clip), [3, 4, 9, 10, 15, 16, 21, 22, 27, 28, 33, 34, 39, 40, 42, 43]);
    let all = open(&path, &Sampling { max_frames: 200, ..sampling });
    for &at in &clip.pairs {
        let frame = &clip.frames[at];
        assert!(frame.rgb == all.frames[frame.index as usize].rgb, "frame {}", frame.index);
    }
}

//! Real clips, pushed picture by picture, are read as their files are.

mod common;
mod media_files;

use common::{clip, engine};
use emotion_llama_core::analysis::Analysis;
use emotion_llama_core::event::Event;
use emotion_llama_core::face::FramePick;
use emotion_llama_core::live::{LiveBuffer, LiveOptions, Pcm, PcmSamples, PixelFormat, Plane, Planes, RawFrame};
use emotion_llama_core::media::{decode, Clip, Limits, Sampling};
use emotion_llama_core::prompt::Task;
use emotion_llama_core::request::{ClipRequest, Question, Request, Transcript};
use emotion_llama_core::CancelToken;
use media_files::Files;

/// Pictures and sound are the same; of two frames that are as near, the other may be chosen.
const MOST_MOVED: f32 = 0.02;
/// At half the camera's rate other frames are chosen, up to one frame away.
const MOST_MOVED_AT_15: f32 = 0.1;

/// Every frame of a clip as `media` decodes it, and its sound.
fn whole(code: &str) -> Clip {
    let sampling = Sampling { max_frames: 100_000, ..Sampling::default() };
    decode(&clip(code).into(), &sampling, &Limits::default(), &CancelToken::new()).unwrap()
}

/// The planes of every frame, as the codec gives them: yuv420p without padding.
fn raw_pictures(code: &str, size: (usize, usize)) -> Vec<Vec<u8>> {
    let files = Files::new();
    let input = clip(code);
    let input = input.to_str().unwrap();
    let options = ["-i", input, "-fps_mode", "passthrough", "-an", "-f", "rawvideo", "-pix_fmt", "yuv420p"];
    let bytes = std::fs::read(files.make("raw.yuv", &options)).unwrap();
    let (width, height) = size;
    bytes.chunks_exact(width * height + 2 * width.div_ceil(2) * height.div_ceil(2)).map(<[u8]>::to_vec).collect()
}

/// Pushes the clip as a camera of the given format and a microphone of odd pieces would give it.
fn pushed(code: &str, whole: &Clip, format: PixelFormat, options: LiveOptions) -> LiveBuffer {
    const START_S: f64 = 1_760_000_000.0;
    let mut buffer = LiveBuffer::new(options).unwrap();
    let (width, height) = (whole.frames[0].width, whole.frames[0].height);
    let yuv = if format == PixelFormat::Bgra32 { Vec::new() } else { raw_pictures(code, (width, height)) };
    assert!(yuv.is_empty() || yuv.len() == whole.frames.len(), "{} of {}", yuv.len(), whole.frames.len());
    let samples = &whole.audio.as_ref().unwrap().samples;
    let mut at = 0;
    for (i, frame) in whole.frames.iter().enumerate() {
        let time_s = START_S + frame.time_s;
        let (half_width, half_height) = (width.div_ceil(2), height.div_ceil(2));
        let (luma, chroma) = yuv.get(i).map_or((&[][..], &[][..]), |bytes| bytes.split_at(width * height));
        let (blue, red) = chroma.split_at(chroma.len() / 2);
        let plane = |data, stride| Plane { data, stride };
        let mut pixels = Vec::new();
        let planes = match format {
            PixelFormat::I420 => {
                Planes::I420 { luma: plane(luma, width), blue: plane(blue, half_width), red: plane(red, half_width) }
            }
            PixelFormat::Nv12 => {
                assert_eq!(blue.len(), half_width * half_height);
                pixels.extend(blue.iter().zip(red).flat_map(|(blue, red)| [*blue, *red]));
                Planes::Nv12 { luma: plane(luma, width), chroma: plane(&pixels, 2 * half_width) }
            }
            _ => {
                pixels.extend(frame.rgb.chunks_exact(3).flat_map(|rgb| [rgb[2], rgb[1], rgb[0], 7]));
                Planes::Packed(plane(&pixels, 4 * width))
            }
        };
        buffer.push_frame(&RawFrame { format, width, height, planes, time_s }).unwrap();
        while at < samples.len() && at as f64 / 16_000.0 <= frame.time_s {
            let end = samples.len().min(at + [353, 1, 801, 1600][at % 4]);
            let time_s = START_S + at as f64 / 16_000.0;
            let samples = PcmSamples::F32(&samples[at..end]);
            buffer.push_audio(&Pcm { samples, rate: 16_000, channels: 1, time_s }).unwrap();
            at = end;
        }
    }
    let time_s = START_S + at as f64 / 16_000.0;
    let samples = PcmSamples::F32(&samples[at..]);
    buffer.push_audio(&Pcm { samples, rate: 16_000, channels: 1, time_s }).unwrap();
    buffer
}

fn question() -> Question {
    Question { task: Some(Task::Emotion), ..Question::default() }
}

fn of_file(code: &str) -> Analysis {
    let request = Request { question: question(), ..Request::new(clip(code)) };
    engine().analyze(&request, &CancelToken::new(), &mut |_| {}).unwrap()
}

fn of_buffer(buffer: &LiveBuffer) -> Analysis {
    let live = buffer.clip(60.0, &engine().sampling(FramePick::Peak)).unwrap();
    let request = ClipRequest { question: question(), ..ClipRequest::default() };
    engine().analyze_clip(&live, &request, &CancelToken::new(), &mut |_| {}).unwrap()
}

fn most_moved(a: &Analysis, b: &Analysis) -> f32 {
    a.probabilities.iter().map(|(label, p)| (p - b.probabilities[label]).abs()).fold(0.0, f32::max)
}

#[test]
fn a_clip_that_is_pushed_is_read_as_its_file() {
    let options = LiveOptions { seconds: 60.0, max_frames_per_second: 240.0, ..LiveOptions::default() };
    for (code, format) in [("ANG", PixelFormat::I420), ("HAP", PixelFormat::Nv12), ("SAD", PixelFormat::Bgra32)] {
        let whole = whole(code);
        let buffer = pushed(code, &whole, format, options.clone());
        let live = buffer.clip(60.0, &engine().sampling(FramePick::Peak)).unwrap();
        let file = decode(&clip(code).into(), &Sampling::default(), &Limits::default(), &CancelToken::new()).unwrap();
        assert_eq!((live.frames.len(), live.frame_count), (file.frames.len(), file.frame_count), "{code}");
        for (live, file) in live.frames.iter().zip(&file.frames) {
            // The file says how long its last frame lasts, a camera does not: a tie may fall the other way.
            assert!(live.index.abs_diff(file.index) <= 1, "{code}: {live:?} {file:?}");
            let same = &whole.frames[live.index as usize];
            assert!(live.rgb == same.rgb, "{code}: frame {} differs", live.index);
            assert!((live.time_s - same.time_s).abs() < 1e-5, "{code}: {live:?} {same:?}");
        }
        assert!((live.duration_s - file.duration_s).abs() < 0.05, "{code}: {} {}", live.duration_s, file.duration_s);
        assert_eq!(live.audio.as_ref().unwrap().samples, file.audio.as_ref().unwrap().samples, "{code}");

        let (file, live) = (of_file(code), of_buffer(&buffer));
        println!("{code} {}: {} {:.6}", format.name(), live.emotion, most_moved(&file, &live));
        assert_eq!(live.emotion, file.emotion, "{code}");
        assert_eq!(live.transcript, file.transcript, "{code}");
        assert!(most_moved(&file, &live) <= MOST_MOVED, "{code}: {:?} {:?}", live.probabilities, file.probabilities);
    }
}

#[test]
fn at_the_default_rate_the_emotion_is_the_same() {
    for code in ["ANG", "HAP"] {
        let buffer = pushed(code, &whole(code), PixelFormat::Bgra32, LiveOptions::default());
        let (file, live) = (of_file(code), of_buffer(&buffer));
        println!("{code} at 15 a second: {} {:.6}", live.emotion, most_moved(&file, &live));
        assert_eq!(live.emotion, file.emotion, "{code}");
        assert!(most_moved(&file, &live) <= MOST_MOVED_AT_15, "{code}: {:?}", live.probabilities);
    }
}

#[test]
fn questions_about_a_clip_are_checked_and_can_be_cancelled() {
    let mut buffer = LiveBuffer::new(LiveOptions::default()).unwrap();
    let silence = vec![0i16; 16_000];
    buffer.push_audio(&Pcm { samples: PcmSamples::I16(&silence), rate: 16_000, channels: 1, time_s: 0.0 }).unwrap();
    let clip = buffer.clip(5.0, &engine().sampling(FramePick::First)).unwrap();
    let observe = |request: &ClipRequest, cancel: &CancelToken| {
        let mut stages = Vec::new();
        let seen = engine().observe_clip(&clip, request, cancel, &mut |event| {
            if let Event::Stage(stage) = event {
                stages.push(stage);
            }
        });
        seen.map(|observation| (observation, stages))
    };
    let (observation, stages) = observe(&ClipRequest::default(), &CancelToken::new()).unwrap();
    assert_eq!(stages, ["observe"]);
    let notes: Vec<&str> = observation.notes.iter().map(|note| note.name.as_str()).collect();
    assert_eq!(notes, ["no_video", "silent_audio", "no_voice"]);

    let bad = |request| observe(&request, &CancelToken::new()).unwrap_err().name();
    let labels = Some(vec!["one".to_owned()]);
    let one_label = Question { labels, ..Question::default() };
    assert_eq!(bad(ClipRequest { question: one_label, ..ClipRequest::default() }), "invalid_argument");
    let long = Transcript::Text("x".repeat(5000));
    assert_eq!(bad(ClipRequest { transcript: long, ..ClipRequest::default() }), "invalid_argument");
    assert_eq!(bad(ClipRequest { frame: FramePick::At(f64::NAN), ..ClipRequest::default() }), "invalid_argument");
    let cancel = CancelToken::new();
    cancel.cancel();
    assert_eq!(observe(&ClipRequest::default(), &cancel).unwrap_err().name(), "cancelled");
}

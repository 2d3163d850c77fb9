//! From files to clips: containers, codecs, colours, clocks, limits and bad input.
//!
//! The files are made by the `ffmpeg` command, which the project's set-up installs.

mod media_files;

use emotion_llama_core::media::{decode, Clip, Frame, FramePick, Limits, Note, Sampling, Source, Waveform};
use emotion_llama_core::CancelToken;
use media_files::Files;

/// Half a frame at the lowest frame rate used here, plus the time bases' rounding.
const TIME_TOLERANCE_S: f64 = 0.03;
/// Codecs and colour conversion move flat colours by this much in 0..255.
const COLOUR_TOLERANCE: i32 = 8;

fn open(source: impl Into<Source>) -> Clip {
    decode(&source.into(), &Sampling::default(), &Limits::default(), &CancelToken::new()).unwrap()
}

fn notes(clip: &Clip) -> Vec<&'static str> {
    clip.notes.iter().map(|note| note.name).collect()
}

fn assert_near(value: f64, expected: f64, tolerance: f64, what: &str) {
    assert!((value - expected).abs() <= tolerance, "{what}: {value}, expected {expected}");
}

/// The pixel at a place given in shares of width and height.
fn pixel(frame: &Frame, x: f64, y: f64) -> [i32; 3] {
    let (column, row) = ((x * frame.width as f64) as usize, (y * frame.height as f64) as usize);
    let at = (row * frame.width + column) * 3;
    [frame.rgb[at], frame.rgb[at + 1], frame.rgb[at + 2]].map(i32::from)
}

fn assert_colour(actual: [i32; 3], expected: [i32; 3], what: &str) {
    let worst = actual.iter().zip(expected).map(|(a, e)| (a - e).abs()).max().unwrap();
    assert!(worst <= COLOUR_TOLERANCE, "{what}: {actual:?}, expected {expected:?}");
}

/// Frequency in hertz by counting upward zero crossings.
fn frequency(samples: &[f32]) -> f64 {
    let crossings = samples.windows(2).filter(|pair| pair[0] <= 0.0 && pair[1] > 0.0).count();
    crossings as f64 * f64::from(Waveform::SAMPLE_RATE) / samples.len() as f64
}

fn rms(samples: &[f32]) -> f64 {
    (samples.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / samples.len().max(1) as f64).sqrt()
}

#[test]
fn every_container_gives_frames_and_sound() {
    let cases: [(&str, &[&str]); 9] = [
        ("h264.mp4", &["-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac"]),
        ("mpeg4.mov", &["-c:v", "mpeg4", "-c:a", "pcm_s16le"]),
        ("mpeg4.avi", &["-c:v", "mpeg4", "-bf", "2", "-c:a", "mp3"]),
        ("mjpeg.avi", &["-c:v", "mjpeg", "-pix_fmt", "yuvj420p", "-c:a", "pcm_u8"]),
        ("h264.mkv", &["-c:v", "libx264", "-preset", "ultrafast", "-c:a", "flac"]),
        ("vp8.webm", &["-c:v", "libvpx", "-deadline", "realtime", "-c:a", "libopus"]),
        ("vp9.webm", &["-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-c:a", "libvorbis"]),
        ("flv1.flv", &["-c:v", "flv", "-ar", "44100", "-c:a", "mp3"]),
        ("mpeg2.ts", &["-c:v", "mpeg2video", "-c:a", "mp2"]),
    ];
    let files = Files::new();
    for (name, options) in cases {
        let path = files.clip(name, 2.0, options);
        let clip = open(path.as_path());
        assert_eq!(clip.frames.len(), 12, "{name}");
        assert_eq!(clip.frame_count, 50, "{name}");
        assert!(clip.has_video && clip.has_audio, "{name}");
        assert_eq!(notes(&clip), [] as [&str; 0], "{name}");
        assert_near(clip.duration_s, 2.0, 0.1, name);
        for (bin, frame) in clip.frames.iter().enumerate() {
            assert_eq!((frame.width, frame.height), (160, 120), "{name}");
            assert_near(frame.time_s, (bin as f64 + 0.5) / 6.0, 0.06, name);
        }
        let audio = clip.audio.unwrap();
        assert_near(audio.duration_s(), 2.0, 0.1, name);
        assert_near(frequency(&audio.samples[4000..28_000]), 440.0, 2.0, name);
    }
}

#[test]
fn stills_are_one_frame_of_the_right_colour() {
    let files = Files::new();
    for name in ["a.png", "a.jpg", "a.bmp", "a.webp", "a.gif", "a.tiff", "a.ppm"] {
        let path = files.make(name, &["-f", "lavfi", "-i", "color=c=0xC83C1E:s=64x48,format=rgb24", "-frames:v", "1"]);
        let clip = open(path.as_path());
        assert_eq!((clip.frames.len(), clip.frame_count), (1, 1), "{name}");
        assert_eq!((clip.frames[0].width, clip.frames[0].height), (64, 48), "{name}");
        assert_eq!(clip.frames[0].time_s, 0.0, "{name}");
        assert!(clip.audio.is_none(), "{name}");
        if name != "a.gif" {
            assert_colour(pixel(&clip.frames[0], 0.5, 0.5), [200, 60, 30], name);
            assert_eq!(notes(&clip), [Note::STILL_PICTURE], "{name}");
            assert_eq!(clip.duration_s, 0.0, "{name}");
        }
    }
}

#[test]
fn animated_gif_has_its_frames_and_times() {
    let files = Files::new();
    let path = files.make("a.gif", &["-f", "lavfi", "-i", "testsrc2=size=64x48:rate=10:duration=1"]);
    let clip = open(path.as_path());
    assert_eq!(clip.frame_count, 10);
    assert_eq!(clip.frames.len(), 10, "fewer frames than max_frames are all kept");
    for (index, frame) in clip.frames.iter().enumerate() {
        assert_near(frame.time_s, index as f64 / 10.0, 0.011, "gif frame time");
    }
    assert_eq!(notes(&clip), [Note::NO_AUDIO]);
}

#[test]
fn sound_files_have_no_video() {
    let files = Files::new();
    let sine = ["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=44100:duration=2"];
    let cases: [(&str, &[&str]); 7] = [
        ("u8.wav", &["-c:a", "pcm_u8", "-ar", "8000"]),
        ("s24.wav", &["-c:a", "pcm_s24le"]),
        ("f64.wav", &["-c:a", "pcm_f64le"]),
        ("a.mp3", &["-c:a", "mp3"]),
        ("a.flac", &["-c:a", "flac"]),
        ("a.ogg", &["-c:a", "libvorbis"]),
        ("a.m4a", &["-c:a", "aac"]),
    ];
    for (name, options) in cases {
        let clip = open(files.make(name, &[&sine[..], options].concat()).as_path());
        assert_eq!(notes(&clip), [Note::NO_VIDEO], "{name}");
        assert!(clip.frames.is_empty() && !clip.has_video && clip.has_audio, "{name}");
        let audio = clip.audio.unwrap();
        assert_near(audio.duration_s(), 2.0, 0.06, name);
        assert_near(clip.duration_s, 2.0, 0.06, name);
        assert_near(frequency(&audio.samples[4000..28_000]), 440.0, 1.0, name);
    }
}

#[test]
fn cover_art_is_not_video() {
    let files = Files::new();
    let cover = files.make("cover.png", &["-f", "lavfi", "-i", "color=red:s=32x32", "-frames:v", "1"]);
    let cover = cover.to_str().unwrap();
    for name in ["song.m4a", "song.mp3"] {
        let inputs = ["-f", "lavfi", "-i", "sine=duration=1", "-i", cover, "-map", "0", "-map", "1", "-c:v", "copy"];
        let path = files.make(name, &[&inputs[..], &["-disposition:v:0", "attached_pic"]].concat());
        let clip = open(path.as_path());
        assert_eq!(notes(&clip), [Note::NO_VIDEO], "{name}");
        assert!(clip.frames.is_empty(), "{name}");
    }
}

#[test]
fn any_layout_and_rate_becomes_mono_of_the_same_loudness() {
    let files = Files::new();
    let plain = "sine=frequency=440:sample_rate=48000:duration=2";
    let reference = rms(&open(files.make("mono.wav", &["-f", "lavfi", "-i", plain]).as_path()).audio.unwrap().samples);
    // The same tone on every channel must come out as loud as on one.
    let everywhere = |layout: &str, channels: usize| {
        let gains: Vec<String> = (0..channels).map(|channel| format!("c{channel}=c0")).collect();
        format!("pan={layout}|{}", gains.join("|"))
    };
    let cases = [
        ("stereo.flac", everywhere("stereo", 2), "48000"),
        ("51.flac", everywhere("5.1", 6), "44100"),
        ("71.wav", everywhere("7.1", 8), "96000"),
        ("71.mka", everywhere("7.1", 8), "48000"),
        ("stereo_8k.wav", everywhere("stereo", 2), "8000"),
    ];
    for (name, filter, rate) in cases {
        let path = files.make(name, &["-f", "lavfi", "-i", plain, "-af", &filter, "-ar", rate]);
        let audio = open(path.as_path()).audio.unwrap();
        assert_near(audio.duration_s(), 2.0, 0.05, name);
        assert_near(frequency(&audio.samples[4000..28_000]), 440.0, 1.0, name);
        assert_near(rms(&audio.samples), reference, reference * 0.1, name);
    }
}

#[test]
fn channels_in_unknown_places_are_averaged() {
    const CHANNELS: u16 = 11;
    const RATE: u32 = 22_050;
    let mut data = Vec::new();
    for sample in 0..2 * RATE {
        let value = (f64::from(sample) / f64::from(RATE) * 440.0 * std::f64::consts::TAU).sin() * 16_384.0;
        for _ in 0..CHANNELS {
            data.extend((value as i16).to_le_bytes());
        }
    }
    let mut wav = Vec::new();
    wav.extend(b"RIFF");
    wav.extend((36 + data.len() as u32).to_le_bytes());
    wav.extend(b"WAVEfmt \x10\0\0\0\x01\0");
    wav.extend(CHANNELS.to_le_bytes());
    wav.extend(RATE.to_le_bytes());
    wav.extend((RATE * u32::from(CHANNELS) * 2).to_le_bytes());
    wav.extend((CHANNELS * 2).to_le_bytes());
    wav.extend(16u16.to_le_bytes());
    wav.extend(b"data");
    wav.extend((data.len() as u32).to_le_bytes());
    wav.extend(data);
    let audio = open(wav).audio.unwrap();
    assert_near(audio.duration_s(), 2.0, 0.01, "duration");
    assert_near(frequency(&audio.samples[4000..28_000]), 440.0, 1.0, "frequency");
    assert_near(rms(&audio.samples[1000..31_000]), 0.5 / 2f64.sqrt(), 0.01, "level");
}

/// A clip of four colours: red and green above, blue and white below.
fn quadrants(files: &Files, name: &str) -> std::path::PathBuf {
    let half = |colour: &str| format!("color=c={colour}:s=32x24:rate=10:duration=0.5");
    let (red, green, blue, white) = (half("red"), half("0x00FF00"), half("blue"), half("white"));
    let inputs: Vec<&str> = [&red, &green, &blue, &white].into_iter().flat_map(|s| ["-f", "lavfi", "-i", s]).collect();
    let stack = "[0][1]hstack[a];[2][3]hstack[b];[a][b]vstack,format=yuv444p";
    let codec = ["-filter_complex", stack, "-c:v", "libx264", "-qp", "10", "-preset", "ultrafast"];
    files.make(name, &[&inputs[..], &codec].concat())
}

#[test]
fn rotation_in_the_container_is_honoured() {
    const RED: [i32; 3] = [255, 0, 0];
    const GREEN: [i32; 3] = [0, 255, 0];
    const BLUE: [i32; 3] = [0, 0, 255];
    const WHITE: [i32; 3] = [255, 255, 255];
    let files = Files::new();
    let upright = std::fs::read(quadrants(&files, "q.mp4")).unwrap();
    // a, b, c, d of the track's matrix; degrees clockwise; then the corners: left and right above, left and right below.
    let cases = [
        ([1, 0, 0, 1], 0, [RED, GREEN, BLUE, WHITE]),
        ([0, 1, -1, 0], 90, [BLUE, RED, WHITE, GREEN]),
        ([-1, 0, 0, -1], 180, [WHITE, BLUE, GREEN, RED]),
        ([0, -1, 1, 0], 270, [GREEN, WHITE, RED, BLUE]),
        ([-1, 0, 0, 1], 0, [GREEN, RED, WHITE, BLUE]),
    ];
    for (matrix, degrees, corners) in cases {
        let mut bytes = upright.clone();
        let header = bytes.windows(4).position(|name| name == b"tkhd").unwrap();
        for (cell, value) in [0, 1, 3, 4].into_iter().zip(matrix) {
            let at = header + 4 + 40 + cell * 4;
            bytes[at..at + 4].copy_from_slice(&i32::to_be_bytes(value << 16));
        }
        let clip = open(bytes);
        let what = format!("{matrix:?}");
        assert_eq!(clip.rotation_deg, degrees, "{what}");
        let frame = &clip.frames[0];
        let expected_size = if degrees % 180 == 0 { (64, 48) } else { (48, 64) };
        assert_eq!((frame.width, frame.height), expected_size, "{what}");
        assert_eq!((frame.source_width, frame.source_height), expected_size, "{what}");
        let places = [(0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75)];
        for ((x, y), colour) in places.into_iter().zip(corners) {
            assert_colour(pixel(frame, x, y), colour, &what);
        }
    }
}

#[test]
fn orientation_in_exif_is_honoured() {
    let files = Files::new();
    let video = quadrants(&files, "q.mp4");
    let jpeg =
        files.make("q.jpg", &["-i", video.to_str().unwrap(), "-frames:v", "1", "-q:v", "2", "-pix_fmt", "yuvj444p"]);
    let jpeg = std::fs::read(jpeg).unwrap();
    // An APP1 segment with the one tag "orientation 6": turn by 90 degrees clockwise to view.
    let tag = b"MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
    let exif = [&b"\xff\xe1"[..], &((2 + 6 + tag.len()) as u16).to_be_bytes(), b"Exif\0\0", tag].concat();
    let turned = open([&jpeg[..2], &exif, &jpeg[2..]].concat());
    assert_eq!(turned.rotation_deg, 90);
    let frame = &turned.frames[0];
    assert_eq!((frame.width, frame.height), (48, 64));
    assert_colour(pixel(frame, 0.25, 0.25), [0, 0, 255], "blue, from below left to above left");
    assert_colour(pixel(frame, 0.75, 0.25), [255, 0, 0], "red, from above left to above right");
}

#[test]
fn every_pixel_format_keeps_its_colour() {
    const COLOUR: [i32; 3] = [200, 60, 30];
    let files = Files::new();
    let source = "color=c=0xC83C1E:s=64x48:rate=5:duration=0.4,format=rgb24";
    let matrix = |matrix: &str, range: &str, format: &str| {
        format!("scale=out_color_matrix={matrix}:out_range={range},format={format}")
    };
    let cases = [
        ("709.mkv", "ffv1", matrix("bt709", "tv", "yuv444p"), "bt709", "tv"),
        ("601.mkv", "ffv1", matrix("bt601", "tv", "yuv444p"), "smpte170m", "tv"),
        ("470.mkv", "ffv1", matrix("bt601", "tv", "yuv420p"), "bt470bg", "tv"),
        ("2020.mkv", "ffv1", matrix("bt2020", "tv", "yuv420p10le"), "bt2020nc", "tv"),
        ("full.mkv", "ffv1", matrix("bt709", "pc", "yuv420p"), "bt709", "pc"),
        ("unsaid.mkv", "ffv1", matrix("bt601", "tv", "yuv420p"), "unknown", "unknown"),
        ("yuvj.avi", "mjpeg", matrix("bt601", "pc", "yuvj420p"), "unknown", "pc"),
        ("422.mov", "prores_ks", matrix("bt601", "tv", "yuv422p10le"), "unknown", "tv"),
        ("411.avi", "ffv1", matrix("bt601", "tv", "yuv411p"), "unknown", "tv"),
        ("alpha.mkv", "ffv1", matrix("bt601", "tv", "yuva444p"), "smpte170m", "tv"),
        ("gbr.mkv", "ffv1", "format=gbrp".into(), "rgb", "pc"),
        ("bgr0.mkv", "ffv1", "format=bgr0".into(), "rgb", "pc"),
        ("raw24.avi", "rawvideo", "format=bgr24".into(), "rgb", "pc"),
        ("pal8.gif", "gif", "format=rgb8".into(), "rgb", "pc"),
        ("rgba.png", "png", "format=rgba".into(), "rgb", "pc"),
        ("rgb48.png", "png", "format=rgb48be".into(), "rgb", "pc"),
    ];
    for (name, codec, filter, space, range) in cases {
        let input = ["-f", "lavfi", "-i", source, "-vf", &filter, "-c:v", codec];
        let tags = ["-colorspace", space, "-color_range", range];
        let stills: &[&str] = if name.ends_with("png") { &["-frames:v", "1"] } else { &[] };
        let tags: &[&str] = if space == "rgb" { &[] } else { &tags };
        let clip = open(files.make(name, &[&input[..], tags, stills].concat()).as_path());
        let shown = pixel(&clip.frames[0], 0.5, 0.5);
        if name == "pal8.gif" {
            let near = shown.iter().zip(COLOUR).all(|(a, e)| (a - e).abs() <= 40);
            assert!(near, "{name}: {shown:?} is not the nearest colour of a palette of 3 + 3 + 2 bits");
        } else {
            assert_colour(shown, COLOUR, name);
        }
    }
}

#[test]
fn gray_is_full_range() {
    let files = Files::new();
    for (name, level) in [("white.png", "white"), ("dark.png", "0x202020")] {
        let source = format!("color=c={level}:s=16x16,format=rgb24,format=gray");
        let clip = open(files.make(name, &["-f", "lavfi", "-i", &source, "-frames:v", "1"]).as_path());
        let expected = if level == "white" { 255 } else { 32 };
        assert_colour(pixel(&clip.frames[0], 0.5, 0.5), [expected; 3], name);
    }
}

#[test]
fn large_pictures_are_scaled_and_know_their_size() {
    let files = Files::new();
    let source = "color=c=0xC83C1E:s=7680x4320,format=rgb24";
    let clip = open(files.make("8k.png", &["-f", "lavfi", "-i", source, "-frames:v", "1"]).as_path());
    let frame = &clip.frames[0];
    assert_eq!((frame.width, frame.height), (1280, 720));
    assert_eq!((frame.source_width, frame.source_height), (7680, 4320));
    assert_colour(pixel(frame, 0.99, 0.99), [200, 60, 30], "8K");
}

#[test]
fn pixels_that_are_not_square_are_stretched() {
    let files = Files::new();
    let clip = open(files.clip("wide.mp4", 0.4, &["-vf", "setsar=3/2", "-c:v", "mpeg4", "-an"]).as_path());
    assert_eq!((clip.frames[0].width, clip.frames[0].height), (240, 120));
}

#[test]
fn variable_frame_rate_goes_by_time_stamps() {
    let files = Files::new();
    let slow = "setpts='if(lt(N,30),N,30+(N-30)*10)/25/TB'";
    let path = files.make(
        "vfr.mkv",
        &[
            "-f",
            "lavfi",
            "-i",
            "testsrc2=size=64x48:rate=25:duration=2",
            "-vf",
            slow,
            "-fps_mode",
            "vfr",
            "-c:v",
            "ffv1",
        ],
    );
    let clip = open(path.as_path());
    assert_eq!(clip.frame_count, 50);
    let time_of = |n: f64| if n < 30.0 { n / 25.0 } else { (30.0 + (n - 30.0) * 10.0) / 25.0 };
    for frame in &clip.frames {
        assert_near(frame.time_s, time_of(frame.index as f64), 0.002, "frame time");
    }
    // 30 frames in the first 1.2 s, 20 in the following 8 s: evenly spread in time, not in number.
    let early = clip.frames.iter().filter(|frame| frame.time_s < 1.2).count();
    assert!((1..=3).contains(&early), "{early} of {} frames in the first eighth", clip.frames.len());
}

#[test]
fn sound_and_picture_share_one_clock() {
    let files = Files::new();
    let cases: [(&str, &[&str]); 4] = [
        ("sync.mp4", &["-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac"]),
        ("sync.webm", &["-c:v", "libvpx", "-deadline", "realtime", "-c:a", "libopus"]),
        ("sync.flv", &["-c:v", "flv", "-ar", "44100", "-c:a", "mp3"]),
        ("sync.ts", &["-c:v", "mpeg2video", "-c:a", "mp2"]),
    ];
    for (name, codecs) in cases {
        // From 1 s on the picture is white and there is a tone.
        let inputs = [
            "-f",
            "lavfi",
            "-i",
            "color=black:s=64x48:rate=25:duration=2,drawbox=c=white:t=fill:enable='gte(t,1)',format=yuv420p",
            "-f",
            "lavfi",
            "-i",
            "sine=duration=2:sample_rate=48000,volume=0:enable='lt(t,1)'",
        ];
        let path = files.make(name, &[&inputs[..], codecs].concat());
        let sampling = Sampling { max_frames: 100, ..Sampling::default() };
        let clip = decode(&path.as_path().into(), &sampling, &Limits::default(), &CancelToken::new()).unwrap();
        let flash = clip.frames.iter().find(|frame| pixel(frame, 0.5, 0.5)[0] > 128).unwrap();
        let samples = clip.audio.unwrap().samples;
        let tone = samples.iter().position(|sample| sample.abs() > 0.03).unwrap();
        let tone_s = tone as f64 / f64::from(Waveform::SAMPLE_RATE);
        assert_near(tone_s, flash.time_s, 0.045, &format!("{name}: tone against flash"));
        assert_near(flash.time_s, 1.0, 0.07, &format!("{name}: flash"));
    }
}

#[test]
fn late_sound_is_padded_and_late_video_keeps_its_time() {
    let files = Files::new();
    let video = ["-f", "lavfi", "-i", "testsrc2=size=64x48:rate=25:duration=2,format=yuv420p"];
    let sound = ["-f", "lavfi", "-i", "sine=duration=2:sample_rate=16000"];
    let codecs = ["-c:v", "mpeg4", "-c:a", "pcm_s16le"];
    let late_sound = [&video[..], &["-itsoffset", "0.75"], &sound, &codecs].concat();
    let clip = open(files.make("late_sound.mkv", &late_sound).as_path());
    let samples = clip.audio.as_ref().unwrap().samples.clone();
    assert_near(rms(&samples[..11_500]), 0.0, 1e-6, "padding");
    assert!(rms(&samples[12_500..16_000]) > 0.05);
    assert_near(clip.duration_s, 2.75, 0.06, "duration");
    assert_near(
        clip.frame_at(FramePick::First).map(|at| clip.frames[at].time_s).unwrap(),
        0.08,
        TIME_TOLERANCE_S,
        "first bin",
    );

    let late_video = [&sound[..], &["-itsoffset", "0.75"], &video, &codecs].concat();
    let clip = open(files.make("late_video.mkv", &late_video).as_path());
    assert!(rms(&clip.audio.as_ref().unwrap().samples[..1600]) > 0.05);
    assert_near(clip.video_span_s.0, 0.75, TIME_TOLERANCE_S, "start of the video");
    assert!(clip.frames.iter().all(|frame| frame.time_s >= 0.72));

    // A clip that starts at 100 s on the file's clock starts at 0.
    let shifted = [&video[..], &sound, &codecs, &["-output_ts_offset", "100"]].concat();
    let clip = open(files.make("shifted.mkv", &shifted).as_path());
    assert_near(clip.duration_s, 2.0, 0.06, "shifted duration");
    assert_near(clip.audio.unwrap().duration_s(), 2.0, 0.06, "shifted sound");
}

#[test]
fn an_edit_list_cuts_the_start() {
    let files = Files::new();
    let whole = files.clip("whole.mp4", 2.0, &["-c:v", "libx264", "-preset", "ultrafast", "-g", "100", "-c:a", "aac"]);
    // The copy keeps the frames from the key frame at 0 s and hides those before 1 s by an edit list.
    let cut = files.make("cut.mp4", &["-ss", "1", "-i", whole.to_str().unwrap(), "-c", "copy"]);
    let clip = open(cut.as_path());
    assert_near(clip.duration_s, 1.0, 0.1, "duration");
    assert_near(clip.frames[0].time_s, 0.5 / 12.0, 0.06, "first frame");
    assert_near(clip.audio.unwrap().duration_s(), 1.0, 0.1, "sound");
}

#[test]
fn a_picked_frame_is_the_nearest_of_all() {
    let files = Files::new();
    let path = files.clip("pick.mp4", 2.0, &["-c:v", "mpeg4", "-an"]);
    for (pick, index) in [
        (FramePick::First, 0),
        (FramePick::Middle, 25),
        (FramePick::At(0.0), 0),
        (FramePick::At(0.49), 12),
        (FramePick::At(0.51), 13),
        (FramePick::At(1e9), 49),
    ] {
        for max_frames in [0, 1, 12] {
            let sampling = Sampling { max_frames, pick: Some(pick), ..Sampling::default() };
            let clip = decode(&path.as_path().into(), &sampling, &Limits::default(), &CancelToken::new()).unwrap();
            let at = clip.frame_at(pick).unwrap();
            assert_eq!(clip.frames[at].index, index, "{pick:?} with {max_frames} frames");
            assert!(clip.frames.len() <= max_frames + 1);
            assert!(clip.frames.windows(2).all(|pair| pair[0].time_s < pair[1].time_s));
        }
    }
}

#[test]
fn bytes_and_path_give_the_same_twice() {
    let files = Files::new();
    for name in ["same.mp4", "same.webm", "same.flv"] {
        let path = files.clip(name, 1.0, &["-ar", "44100"].as_slice()[..if name.ends_with("webm") { 0 } else { 2 }]);
        let bytes = std::fs::read(&path).unwrap();
        let clips = [open(path.as_path()), open(path.as_path()), open(bytes)];
        for clip in &clips[1..] {
            assert_eq!(clip.duration_s, clips[0].duration_s, "{name}");
            assert_eq!(clip.notes, clips[0].notes, "{name}");
            assert!(clip.audio.as_ref().unwrap().samples == clips[0].audio.as_ref().unwrap().samples, "{name}");
            assert_eq!(clip.frames.len(), clips[0].frames.len(), "{name}");
            for (a, b) in clip.frames.iter().zip(&clips[0].frames) {
                assert!(a.rgb == b.rgb && a.time_s == b.time_s && a.index == b.index, "{name}");
            }
        }
    }
}

#[test]
fn what_is_missing_is_a_note() {
    let files = Files::new();
    let video = ["-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac"];
    let silent = files.clip("silent.mp4", 1.0, &[&video[..], &["-af", "volume=0"]].concat());
    assert_eq!(notes(&open(silent.as_path())), [Note::SILENT_AUDIO]);
    let mute = files.clip("mute.mp4", 1.0, &[&video[..], &["-an"]].concat());
    let clip = open(mute.as_path());
    assert_eq!(notes(&clip), [Note::NO_AUDIO]);
    assert!(clip.audio.is_none() && !clip.has_audio);

    let parts = ["-c:v", "libx264", "-preset", "ultrafast", "-c:a", "pcm_s16le"];
    let whole = std::fs::read(files.clip("whole.mov", 1.0, &parts)).unwrap();
    let without = |codec: &[u8; 4]| {
        let mut bytes = whole.clone();
        let at = bytes.windows(4).position(|name| name == codec).unwrap();
        bytes[at..at + 4].copy_from_slice(b"zzzz");
        open(bytes)
    };
    let clip = without(b"sowt");
    assert_eq!(notes(&clip), [Note::AUDIO_UNDECODABLE]);
    assert_eq!(clip.frames.len(), 12);
    let clip = without(b"avc1");
    assert_eq!(notes(&clip), [Note::VIDEO_UNDECODABLE]);
    assert_near(clip.audio.unwrap().duration_s(), 1.0, 0.1, "sound");
}

#[test]
fn the_content_decides_not_the_name() {
    let files = Files::new();
    let path = files.clip("a.mkv", 0.4, &["-c:v", "mpeg4", "-c:a", "flac"]);
    let disguised = files.path("photo.jpg");
    std::fs::rename(path, &disguised).unwrap();
    assert_eq!(open(disguised.as_path()).frame_count, 10);
}

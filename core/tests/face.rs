//! Finding and reading faces in real and in hopeless pictures.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use emotion_llama_core::face::{FaceReader, FaceReading, FramePick};
use emotion_llama_core::media::Frame;
use emotion_llama_core::{CancelToken, ErrorKind};
use image::imageops::{crop_imm, grayscale, resize, FilterType};
use image::{Rgb, RgbImage};

const HAPPY: usize = 3;

/// In `smiles.jpg`: left, top and side of squares around a laughing face and around a calm one.
const LAUGHING: [u32; 3] = [230, 110, 190];
const CALM: [u32; 3] = [435, 100, 190];

fn pack() -> PathBuf {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let pack = std::env::var_os("EMOTION_LLAMA_PACK").map(PathBuf::from);
    pack.unwrap_or_else(|| root.join("build/packs/emotion-llama-mini"))
}

fn reader() -> &'static FaceReader {
    static READER: OnceLock<FaceReader> = OnceLock::new();
    READER.get_or_init(|| FaceReader::open(&pack()).expect("the pack is built first: make pack"))
}

fn picture(name: &str) -> RgbImage {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/face").join(name);
    image::open(path).expect("a committed picture").to_rgb8()
}

fn square(name: &str, [left, top, side]: [u32; 3]) -> RgbImage {
    crop_imm(&picture(name), left, top, side, side).to_image()
}

fn gray(picture: &RgbImage, side: u32) -> RgbImage {
    let small = resize(picture, side, side, FilterType::Triangle);
    let luma = grayscale(&small);
    RgbImage::from_fn(side, side, |x, y| Rgb([luma.get_pixel(x, y).0[0]; 3]))
}

fn frame(picture: &RgbImage, number: u64) -> Frame {
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    let rgb = picture.as_raw().clone();
    let time_s = number as f64 * 0.2;
    Frame {
        width,
        height,
        rgb,
        time_s,
        index: number * 6,
        source_width: width,
        source_height: height,
        #[cfg(feature = "cuda")]
        on_device: None,
    }
}

fn read(pictures: &[RgbImage], pick: FramePick) -> Option<FaceReading> {
    let frames: Vec<Frame> = pictures.iter().zip(0..).map(|(picture, i)| frame(picture, i)).collect();
    reader().read(&frames, pick, &CancelToken::new()).expect("readable frames")
}

fn top(posterior: &[f32; 7]) -> usize {
    (0..7).max_by(|&a, &b| posterior[a].total_cmp(&posterior[b])).expect("seven classes")
}

/// Turned clockwise around the centre, with black corners.
fn turned(picture: &RgbImage, degrees: f32) -> RgbImage {
    let (sin, cos) = degrees.to_radians().sin_cos();
    let (cx, cy) = (picture.width() as f32 / 2.0, picture.height() as f32 / 2.0);
    RgbImage::from_fn(picture.width(), picture.height(), |x, y| {
        let (dx, dy) = (x as f32 + 0.5 - cx, y as f32 + 0.5 - cy);
        let (sx, sy) = (cx + dx * cos + dy * sin, cy - dx * sin + dy * cos);
        if sx < 0.0 || sy < 0.0 {
            return Rgb([0; 3]);
        }
        picture.get_pixel_checked(sx as u32, sy as u32).copied().unwrap_or(Rgb([0; 3]))
    })
}

fn noise(width: u32, height: u32) -> RgbImage {
    let mut state = 0x1234_5678_9abc_def1u64;
    RgbImage::from_fn(width, height, |_, _| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        Rgb([state as u8, (state >> 8) as u8, (state >> 16) as u8])
    })
}

#[test]
fn every_face_of_a_group_is_listed_and_one_is_described() {
    let group = picture("group.jpg");
    let reading = read(std::slice::from_ref(&group), FramePick::Peak).expect("five faces");
    assert_eq!(reading.faces.len(), 5, "{:?}", reading.faces);
    for (number, face) in reading.faces.iter().enumerate() {
        assert_eq!(face.track, number);
        assert!((0.5..=1.0).contains(&face.score));
        let (x, y) = (face.bbox.x + face.bbox.width / 2.0, face.bbox.y + face.bbox.height / 2.0);
        assert!(x > 0.0 && x < group.width() as f32 && y > 0.0 && y < group.height() as f32, "{face:?}");
        assert!((30.0..120.0).contains(&face.bbox.width), "{face:?}");
    }
    assert_eq!(reading.faces[0].bbox, reading.peak.bbox);
    for posterior in reading.per_net.iter().map(|(_, p)| p).chain([&reading.peak_posterior, &reading.mean_posterior]) {
        assert!((posterior.iter().sum::<f32>() - 1.0).abs() < 1e-3, "{posterior:?}");
    }
    assert_eq!(reading.per_net.len(), 4);
}

#[test]
fn a_laugh_is_happy_and_shows_in_the_geometry() {
    let laughing = read(&[square("smiles.jpg", LAUGHING)], FramePick::Peak).expect("a face");
    assert_eq!(top(&laughing.peak_posterior), HAPPY, "{:?}", laughing.peak_posterior);
    let calm = read(&[square("smiles.jpg", CALM)], FramePick::Peak).expect("a face");
    assert_ne!(top(&calm.peak_posterior), HAPPY, "{:?}", calm.peak_posterior);
    let (laughing, calm) = (laughing.geometry, calm.geometry);
    assert!(laughing.mouth_open > calm.mouth_open + 1.0, "{laughing:?} {calm:?}");
    assert!(laughing.mouth_width > calm.mouth_width, "{laughing:?} {calm:?}");
}

#[test]
fn small_faces_are_found() {
    let group = picture("group.jpg");
    let mut far = RgbImage::from_pixel(1600, 1200, Rgb([90, 80, 70]));
    image::imageops::replace(&mut far, &group, 480, 367);
    let reading = read(&[far], FramePick::Peak).expect("faces of 55 pixels in 1600");
    assert!(reading.faces.len() >= 3, "{:?}", reading.faces);
}

#[test]
fn a_tilted_head_reads_like_an_upright_one() {
    let upright = square("smiles.jpg", [180, 60, 290]);
    let expected = read(std::slice::from_ref(&upright), FramePick::Peak).expect("a face");
    for degrees in [-30.0, -15.0, 15.0, 30.0] {
        let reading = read(&[turned(&upright, degrees)], FramePick::Peak).expect("a tilted face");
        assert_eq!(top(&reading.peak_posterior), HAPPY, "{degrees}: {:?}", reading.peak_posterior);
        for (got, expected) in reading.geometry.values().iter().zip(expected.geometry.values()) {
            assert!((got - expected).abs() < 1.5, "{degrees}: {:?} {:?}", reading.geometry, expected);
        }
    }
}

#[test]
fn a_face_turned_by_a_right_angle_is_found() {
    let upright = square("smiles.jpg", [180, 60, 290]);
    for picture in [image::imageops::rotate90(&upright), image::imageops::rotate270(&upright)] {
        let reading = read(&[picture], FramePick::Peak).expect("a turned face");
        assert_eq!(top(&reading.peak_posterior), HAPPY, "{:?}", reading.peak_posterior);
    }
}

#[test]
fn pictures_without_a_face_give_none() {
    let gradient = RgbImage::from_fn(320, 240, |x, y| Rgb([(x / 2) as u8, y as u8, 128]));
    let legs = crop_imm(&picture("smiles.jpg"), 520, 480, 280, 160).to_image();
    let cases = [
        ("flat", RgbImage::from_pixel(640, 480, Rgb([128; 3]))),
        ("black", RgbImage::new(64, 64)),
        ("small and flat", RgbImage::from_pixel(48, 48, Rgb([200; 3]))),
        ("noise", noise(320, 240)),
        ("small noise", noise(48, 48)),
        ("gradient", gradient),
        ("no heads", legs),
        ("a corner", gray(&square("smiles.jpg", [600, 480, 160]), 48)),
        ("one pixel", RgbImage::new(1, 1)),
        ("one row", noise(500, 1)),
    ];
    for (what, picture) in cases {
        let reading = read(&[picture], FramePick::Peak);
        assert!(reading.is_none(), "{what}: {:?}", reading.map(|r| r.faces));
    }
    assert!(read(&[], FramePick::Peak).is_none());
}

#[test]
fn a_bare_gray_crop_is_read_as_a_face() {
    // As in FER2013 and CK+: the picture is nothing but the face, 48 by 48 and gray.
    for inset in [20, 30, 38] {
        let [left, top_edge, side] = LAUGHING;
        let tight = square("smiles.jpg", [left + inset, top_edge + inset / 2, side - 2 * inset]);
        let reading = read(&[gray(&tight, 48)], FramePick::Peak).unwrap_or_else(|| panic!("inset {inset}: no face"));
        assert_eq!(reading.faces.len(), 1);
        assert_eq!(top(&reading.peak_posterior), HAPPY, "inset {inset}: {:?}", reading.peak_posterior);
    }
}

#[test]
fn the_peak_is_the_most_expressive_frame_and_the_caller_may_choose_another() {
    let (calm, laughing) = (square("smiles.jpg", CALM), square("smiles.jpg", LAUGHING));
    let clip = [calm.clone(), calm.clone(), laughing.clone(), laughing, calm.clone(), calm];
    let peak = read(&clip, FramePick::Peak).expect("a face");
    assert!([2, 3].contains(&peak.peak.position), "{:?}", peak.peak);
    assert_eq!(top(&peak.peak_posterior), HAPPY);
    assert_eq!((peak.peak.index, peak.faces[0].frame_index), (peak.peak.position as u64 * 6, peak.peak.index));
    assert_eq!(peak.per_frame.len(), 6);
    assert_eq!(read(&clip, FramePick::First).expect("a face").peak.position, 0);
    assert!([2, 3].contains(&read(&clip, FramePick::Middle).expect("a face").peak.position));
    assert_eq!(read(&clip, FramePick::At(0.79)).expect("a face").peak.position, 4);
    assert_eq!(read(&clip, FramePick::At(1e9)).expect("a face").peak.position, 5);
    assert!(peak.mean_posterior[HAPPY] < peak.peak_posterior[HAPPY]);
}

#[test]
fn faces_keep_their_tracks_while_the_camera_moves() {
    let group = picture("group.jpg");
    let clip: Vec<RgbImage> = (0..4).map(|i| crop_imm(&group, i * 6, 0, 600, 466).to_image()).collect();
    let reading = read(&clip, FramePick::Peak).expect("faces");
    assert_eq!(reading.faces.len(), 5, "{:?}", reading.faces);
    assert_eq!(reading.per_frame.len(), 4);
}

#[test]
fn boxes_are_in_pixels_of_the_source() {
    let mut small = frame(&square("smiles.jpg", [180, 60, 290]), 0);
    let read = |frame: &Frame| {
        let frames = std::slice::from_ref(frame);
        reader().read(frames, FramePick::Peak, &CancelToken::new()).expect("a frame").expect("a face").peak.bbox
    };
    let before = read(&small);
    (small.source_width, small.source_height) = (small.width * 4, small.height * 2);
    let after = read(&small);
    assert_eq!((after.x, after.width), (before.x * 4.0, before.width * 4.0));
    assert_eq!((after.y, after.height), (before.y * 2.0, before.height * 2.0));
}

#[test]
fn two_runs_and_one_thread_give_the_same() {
    let clip = [square("smiles.jpg", CALM), square("smiles.jpg", LAUGHING), picture("group.jpg")];
    let first = read(&clip, FramePick::Peak);
    assert_eq!(first, read(&clip, FramePick::Peak));
    let single = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a pool");
    assert_eq!(first, single.install(|| read(&clip, FramePick::Peak)));
}

#[test]
fn cancelled_work_stops() {
    let cancel = CancelToken::new();
    cancel.cancel();
    let frames = [frame(&picture("group.jpg"), 0)];
    let error = reader().read(&frames, FramePick::Peak, &cancel).expect_err("it was cancelled");
    assert_eq!(error.kind, ErrorKind::Cancelled);

    let (cancel, other) = (CancelToken::new(), CancelToken::new());
    let frames: Vec<Frame> = (0..400).map(|i| frame(&picture("group.jpg"), i)).collect();
    let thread = std::thread::spawn({
        let cancel = cancel.clone();
        move || {
            std::thread::sleep(std::time::Duration::from_millis(30));
            cancel.cancel();
        }
    });
    let result = reader().read(&frames, FramePick::Peak, &cancel);
    thread.join().expect("the thread");
    assert_eq!(result.expect_err("400 frames take longer than 30 ms").kind, ErrorKind::Cancelled);
    assert!(!other.is_cancelled());
}

#[test]
fn a_frame_that_is_not_what_it_says_is_refused() {
    let mut short = frame(&picture("group.jpg"), 0);
    short.rgb.truncate(1000);
    let mut empty = short.clone();
    (empty.width, empty.rgb) = (0, Vec::new());
    let mut huge = short.clone();
    (huge.width, huge.height) = (usize::MAX, 3);
    for bad in [short, empty, huge] {
        let error = reader().read(&[bad], FramePick::Peak, &CancelToken::new()).expect_err("a bad frame");
        assert_eq!(error.kind, ErrorKind::InvalidArgument);
    }
}

#[test]
fn a_missing_or_damaged_pack_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let error = FaceReader::open(folder.path()).expect_err("nothing there");
    assert_eq!(error.kind, ErrorKind::NotFound);
    assert!(error.message.contains("face.safetensors"), "{error}");

    let whole = std::fs::read(pack().join("face.safetensors")).expect("the pack is built first: make pack");
    let path = folder.path().join("face.safetensors");
    for length in [0, 7, 8, 9, 1000, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&path, &whole[..length]).expect("a file");
        let error = FaceReader::open(folder.path()).expect_err("truncated");
        assert_eq!(error.kind, ErrorKind::PackInvalid, "{length}");
    }
    // A number that is not one, in the middle of the weights of a net: the last tensor of `landmarks` is stored as 8 bits, those
    // of `human` as floats.
    let header = u64::from_le_bytes(whole[..8].try_into().expect("eight bytes")) as usize;
    let listed: serde_json::Value = serde_json::from_slice(&whole[8..8 + header]).expect("a header");
    let at = listed["human.w0"]["data_offsets"][0].as_u64().expect("an offset") as usize;
    let mut damaged = whole;
    damaged[8 + header + at..][..4].copy_from_slice(&f32::NAN.to_le_bytes());
    std::fs::write(&path, &damaged).expect("a file");
    let error = FaceReader::open(folder.path()).expect_err("not a number");
    assert_eq!(error.kind, ErrorKind::PackInvalid);
    assert!(error.message.contains("human.w0"), "{error}");
}

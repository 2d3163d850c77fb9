//! `picture.cu` against `preprocess`: colours, crop and resize to the same 8 bits, and the same floats.

use emotion_llama_core::preprocess::{clip_normalised, resize, resize_windows, unit_range, Filter};
use half::{bf16, f16};
use proptest::prelude::*;

use super::frames::{put_frames, Crop, Format, Source, Storage, FORMATS, MATRICES};
use super::program::{Kernel, Launch, Program, Structure};
use crate::reference::Reference;

const TILE_WIDTH: usize = 32;
const TILE_HEIGHT: usize = 16;

/// In the order of the kernels' `ELEMENT_`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Element {
    Pixels,
    F32,
    F16,
    Bf16,
}

impl Element {
    fn bytes(self) -> usize {
        match self {
            Element::Pixels => 1,
            Element::F32 => 4,
            Element::F16 | Element::Bf16 => 2,
        }
    }

    fn of(self, value: f32) -> Vec<u8> {
        match self {
            Element::Pixels => unreachable!("pixels are not made from floats"),
            Element::F32 => value.to_le_bytes().to_vec(),
            Element::F16 => f16::from_f32(value).to_le_bytes().to_vec(),
            Element::Bf16 => bf16::from_f32(value).to_le_bytes().to_vec(),
        }
    }
}

/// What a batch becomes.
#[derive(Debug, Clone, Copy)]
struct Target {
    width: usize,
    height: usize,
    filter: Filter,
    element: Element,
    is_normalised: bool,
}

impl Target {
    fn pixels(width: usize, height: usize, filter: Filter) -> Self {
        Self { width, height, filter, element: Element::Pixels, is_normalised: false }
    }

    fn planes(&self, rgb: &[u8], width: usize, height: usize) -> Vec<u8> {
        let make = if self.is_normalised { clip_normalised } else { unit_range };
        make(rgb, width, height).unwrap().into_iter().flat_map(|value| self.element.of(value)).collect()
    }

    /// The crate's own way.
    fn expected(&self, source: &Source) -> Vec<u8> {
        let crop = source.crop;
        let rgb = source.cropped_rgb();
        let resized = resize(&rgb, crop.width, crop.height, self.width, self.height, self.filter).unwrap();
        match self.element {
            Element::Pixels => resized,
            _ => self.planes(&resized, self.width, self.height),
        }
    }
}

/// What the host does for a launch of `picture_batch`: tables, descriptors, grid.
fn launch(sources: &[Source], target: &Target) -> Launch {
    let grid = [target.width.div_ceil(TILE_WIDTH), target.height.div_ceil(TILE_HEIGHT), sources.len()];
    let mut launch = Launch::new(Kernel::PictureBatch, grid);
    let (mut windows, mut weights, mut starts) = (Vec::new(), Vec::new(), Vec::new());
    for source in sources {
        let mut add = |from: usize, to: usize| {
            let (first, offset) = (windows.len(), weights.len() as u32);
            let table = resize_windows(from, to, target.filter).unwrap();
            windows.extend(table.windows.iter().map(|w| [w.first, w.count, w.weights + offset]));
            weights.extend(table.weights);
            first
        };
        starts.push((add(source.crop.width, target.width), add(source.crop.height, target.height)));
    }
    let frames = put_frames(&mut launch, sources, |index| starts[index]);
    let words = |words: &[i32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
    let windows: Vec<i32> = windows.into_iter().flatten().map(|word| word as i32).collect();
    let windows = launch.input(words(&windows));
    let weights = launch.input(words(&weights));
    let levels = (target.element != Element::Pixels).then(|| {
        // The 256 greys as a picture of one row: its planes are the table.
        let greys: Vec<u8> = (0..=255).flat_map(|level| [level; 3]).collect();
        launch.input(target.planes(&greys, 256, 1))
    });
    let output = launch.output(sources.len() * 3 * target.width * target.height * target.element.bytes());
    let parameters =
        Structure::new().address(frames.descriptors).address(windows).address(weights).address(frames.chroma);
    let parameters = parameters.address(frames.colors);
    let parameters = if let Some(levels) = levels { parameters.address(levels) } else { parameters.null() };
    let numbers = [sources.len(), target.width, target.height, target.element as usize];
    launch.parameters(parameters.address(output).ints(&numbers.map(|number| number as i32)));
    launch
}

/// Where the first difference is, and how many there are.
fn compare(got: &[u8], expected: &[u8]) -> Result<(), String> {
    assert_eq!(got.len(), expected.len());
    let differing: Vec<usize> = (0..got.len()).filter(|&at| got[at] != expected[at]).collect();
    match differing.first() {
        None => Ok(()),
        Some(&at) => Err(format!(
            "{} of {} bytes differ, the first at {at}: {}, expected {}",
            differing.len(),
            got.len(),
            got[at],
            expected[at]
        )),
    }
}

fn check(program: &mut Program, sources: &[Source], target: &Target) -> Result<(), String> {
    let got = program.try_run(&launch(sources, target))?.remove(0);
    let expected: Vec<u8> = sources.iter().flat_map(|source| target.expected(source)).collect();
    compare(&got, &expected)
}

/// A batch that a wrong index cannot get right, for the tests of the tests.
pub fn check_one(program: &mut Program) -> Result<(), String> {
    let sources = [Source::noise(Format::Nv12, 61, 43, Storage::default(), 5)];
    check(program, &sources, &Target::pixels(40, 50, Filter::Bicubic))
}

fn any_target() -> impl Strategy<Value = Target> {
    let sizes = prop_oneof![1 => (1usize..4, 1usize..4), 4 => (1usize..90, 1usize..60)];
    let elements = prop_oneof![Just(Element::Pixels), Just(Element::F32), Just(Element::F16), Just(Element::Bf16)];
    (sizes, any::<bool>(), elements, any::<bool>()).prop_map(|((width, height), is_bicubic, element, is_normalised)| {
        let filter = if is_bicubic { Filter::Bicubic } else { Filter::Bilinear };
        Target { width, height, filter, element, is_normalised }
    })
}

#[test]
fn any_batch_is_the_same_to_the_last_bit() {
    let Some(program) = Program::start() else { return };
    let program = std::cell::RefCell::new(program);
    proptest!(ProptestConfig::with_cases(64), |(
        sources in prop::collection::vec(Source::any(150), 1..4), target in any_target(), keeps_size: bool,
    )| {
        let mut target = target;
        if keeps_size {
            (target.width, target.height) = (sources[0].crop.width, sources[0].crop.height);
        }
        let checked = check(&mut program.borrow_mut(), &sources, &target);
        prop_assert!(checked.is_ok(), "{}", checked.unwrap_err());
    });
}

#[test]
fn every_format_matrix_and_range_is_the_same() {
    let Some(mut program) = Program::start() else { return };
    for format in FORMATS {
        for matrix in 0..MATRICES.len() {
            for is_full_range in [false, true] {
                let storage = Storage { padding: 5, misalignment: 1, is_bottom_up: false };
                let mut source = Source::noise(format, 45, 31, storage, 11);
                (source.matrix, source.is_full_range) = (matrix, is_full_range);
                for target in [Target::pixels(45, 31, Filter::Bilinear), Target::pixels(20, 40, Filter::Bicubic)] {
                    let checked = check(&mut program, std::slice::from_ref(&source), &target);
                    assert!(checked.is_ok(), "{format:?} {matrix} {is_full_range}: {checked:?}");
                }
            }
        }
    }
}

#[test]
fn from_one_pixel_and_to_one_pixel() {
    let Some(mut program) = Program::start() else { return };
    for format in FORMATS {
        for (width, height, to_width, to_height) in
            [(1, 1, 1, 1), (1, 1, 70, 40), (97, 61, 1, 1), (1, 300, 33, 1), (300, 1, 1, 17)]
        {
            let source = Source::noise(format, width, height, Storage::default(), 9);
            for filter in [Filter::Bilinear, Filter::Bicubic] {
                let checked =
                    check(&mut program, std::slice::from_ref(&source), &Target::pixels(to_width, to_height, filter));
                assert!(checked.is_ok(), "{format:?} {width}x{height}: {checked:?}");
            }
        }
    }
}

/// 8K, whole, and a wide one's corner.
#[test]
fn pictures_of_8k_are_the_same() {
    let Some(mut program) = Program::start() else { return };
    let whole = Source::noise(Format::Nv12, 7680, 4320, Storage::default(), 1);
    let checked = check(&mut program, &[whole], &Target::pixels(160, 160, Filter::Bilinear));
    assert!(checked.is_ok(), "{checked:?}");
    let storage = Storage { padding: 3, misalignment: 1, is_bottom_up: true };
    let mut part = Source::noise(Format::Yuv420P10, 8191, 257, storage, 2);
    part.crop = Crop { left: 7001, top: 56, width: 1190, height: 201 };
    let checked = check(&mut program, &[part], &Target::pixels(448, 448, Filter::Bicubic));
    assert!(checked.is_ok(), "{checked:?}");
}

#[test]
fn an_empty_batch_is_left_alone() {
    let Some(mut program) = Program::start() else { return };
    let target = Target::pixels(10, 10, Filter::Bicubic);
    assert_eq!(program.run(&launch(&[], &target)), [Vec::<u8>::new()]);
}

/// The order of the output is told by the descriptors.
#[test]
fn frames_of_many_sizes_share_a_launch() {
    let Some(mut program) = Program::start() else { return };
    let size = |index: usize| (16 + 37 * index % 120, 9 + 53 * index % 90);
    let source = |index: usize| {
        let (width, height) = size(index);
        Source::noise(FORMATS[index % FORMATS.len()], width, height, Storage::default(), index as u64)
    };
    let sources: Vec<Source> = (0..16).map(source).collect();
    let target = Target { element: Element::F16, is_normalised: true, ..Target::pixels(112, 112, Filter::Bicubic) };
    check(&mut program, &sources, &target).unwrap();
}

#[test]
fn the_reference_pictures_are_the_same() {
    let Some(reference) = Reference::find() else { return };
    let Some(mut program) = Program::start() else { return };
    for (name, stage) in ["img_0", "img_1", "img_2"].map(|name| (name, "image_preprocess")) {
        let picture = image::open(reference.path("inputs").join(format!("{name}.png"))).unwrap().to_rgb8();
        let (width, height) = (picture.width() as usize, picture.height() as usize);
        let sources = [Source::rgb24(picture.as_raw(), width, height)];
        let pixels = Target::pixels(448, 448, Filter::Bicubic);
        let got = program.run(&launch(&sources, &pixels)).remove(0);
        compare(&got, &pixels.expected(&sources[0])).unwrap();
        let (_, expected) = reference.expected_bytes(stage, &format!("{name}.resized_u8"));
        compare(&got, &expected).unwrap();
        let planes = Target { element: Element::F32, is_normalised: true, ..pixels };
        check(&mut program, &sources, &planes).unwrap();
    }
    // The face and motion encoders' frames.
    let bytes = std::fs::read(reference.path("inputs").join("clip.safetensors")).unwrap();
    let clip = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let frames = clip.tensor("frames").unwrap();
    let (height, width) = (frames.shape()[1], frames.shape()[2]);
    let pictures = frames.data().chunks_exact(height * width * 3);
    let sources: Vec<Source> = pictures.map(|rgb| Source::rgb24(rgb, width, height)).collect();
    assert_eq!(sources.len(), frames.shape()[0]);
    let target = Target { element: Element::F32, ..Target::pixels(224, 224, Filter::Bilinear) };
    check(&mut program, &sources, &target).unwrap();
}

//! What crosses to the kernels: the structures of `kernels/parameters.cuh`, field by field. Pointers are addresses on the device.

#![allow(unsafe_code, reason = "structures are declared to be fit for the device")]

#[cfg(feature = "cuda")]
use cudarc::driver::DeviceRepr;

/// Pixels of the resized picture that one block of `picture_batch` makes.
pub const PICTURE_TILE_WIDTH: u32 = 32;
/// Likewise.
pub const PICTURE_TILE_HEIGHT: u32 = 16;
/// Threads of every block.
pub const THREADS: u32 = 256;
/// Blocks that share one recording in the `sound_` kernels.
pub const SOUND_BLOCKS: u32 = 64;
/// Blocks that share one pair of pictures in `difference_sums`.
#[cfg(test)]
pub const DIFFERENCE_BLOCKS: u32 = 32;
/// Samples of a spectrum.
#[cfg(test)]
pub const MEL_WINDOW: usize = 400;
/// Spectra that one block of `log_mel_frames` makes.
#[cfg(test)]
pub const MEL_FRAMES: u32 = 4;
/// Blocks that share one recording in `log_mel_clamp`.
#[cfg(test)]
pub const MEL_CLAMP_BLOCKS: u32 = 64;
/// What lies outside of a picture is black.
#[cfg(test)]
pub const OUTSIDE_BLACK: i32 = 0;
/// Luma, then U and V in turns.
pub const FORMAT_NV12: i32 = 0;
/// The same in words, of which the upper ten bits are the value.
pub const FORMAT_P010: i32 = 3;
/// 8-bit red, green, blue.
pub const FORMAT_RGB24: i32 = 4;
/// Rows and columns change places before anything is turned over.
pub const ORIENTATION_TRANSPOSE: i32 = 1;
/// Columns run from the right.
pub const ORIENTATION_FLIP_X: i32 = 2;
/// Rows run from below.
pub const ORIENTATION_FLIP_Y: i32 = 4;
/// Planes of f32.
pub const ELEMENT_F32: i32 = 1;
/// Planes of f16.
pub const ELEMENT_F16: i32 = 2;
/// Planes of bf16.
pub const ELEMENT_BF16: i32 = 3;

/// One picture and the part of it that is taken.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Frame {
    pub planes: [u64; 3],
    pub strides: [i64; 3],
    pub width: i32,
    pub height: i32,
    pub crop_left: i32,
    pub crop_top: i32,
    pub crop_width: i32,
    pub crop_height: i32,
    pub format: i32,
    pub orientation: i32,
    pub chroma_columns: i32,
    pub chroma_rows: i32,
    pub column_windows: i32,
    pub row_windows: i32,
    pub color: i32,
    pub output: i32,
}

/// The chroma samples that one column or row is made from.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct ChromaTap {
    pub first: i32,
    pub weight: i16,
    pub next_weight: i16,
}

/// From YUV to RGB.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ColorCoefficients {
    pub y_offset: i32,
    pub y: i32,
    pub v_to_r: i32,
    pub v_to_g: i32,
    pub u_to_g: i32,
    pub u_to_b: i32,
}

/// The source pixels that one target pixel is made from.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Window {
    pub first: i32,
    pub count: i32,
    pub weights: i32,
}

/// What `picture_batch` takes.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct PictureParameters {
    pub frames: u64,
    pub windows: u64,
    pub weights: u64,
    pub chroma: u64,
    pub colors: u64,
    pub levels: u64,
    pub output: u64,
    pub frame_count: i32,
    pub width: i32,
    pub height: i32,
    pub element: i32,
}

/// One recording at 16 kHz.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct Recording {
    pub samples: u64,
    pub output: u64,
    pub length: i64,
    pub first_frame: i64,
}

/// What the `sound_` kernels take.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct SoundParameters {
    pub recordings: u64,
    pub partials: u64,
    pub recording_count: i64,
}

/// What the `log_mel_` kernels take.
#[cfg(test)]
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct MelParameters {
    pub recordings: u64,
    pub window: u64,
    pub cosines: u64,
    pub bands: u64,
    pub band_weights: u64,
    pub frame_maxima: u64,
    pub loudest: u64,
    pub recording_count: i64,
}

/// One face, and where it lies in its picture.
#[cfg(test)]
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct Face {
    pub matrix: [f32; 6],
    pub frame: i32,
    pub output: i32,
}

/// What `face_batch` takes.
#[cfg(test)]
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct FaceParameters {
    pub frames: u64,
    pub faces: u64,
    pub chroma: u64,
    pub colors: u64,
    pub output: u64,
    pub scale: [f32; 3],
    pub shift: [f32; 3],
    pub face_count: i32,
    pub width: i32,
    pub height: i32,
    pub taps: i32,
    pub outside: i32,
    pub element: i32,
}

/// What the `difference_` kernels take.
#[cfg(test)]
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct DifferenceParameters {
    pub frames: u64,
    pub sums: u64,
    pub scores: u64,
    pub pair_count: i64,
}

// As the assertions at the end of parameters.cuh.
const _: () = {
    assert!(size_of::<Frame>() == 104 && size_of::<ChromaTap>() == 8 && size_of::<ColorCoefficients>() == 24);
    assert!(size_of::<Window>() == 12 && size_of::<PictureParameters>() == 72);
    assert!(size_of::<Recording>() == 32 && size_of::<SoundParameters>() == 24);
};
#[cfg(test)]
const _: () = {
    assert!(size_of::<Face>() == 32 && size_of::<FaceParameters>() == 88 && size_of::<MelParameters>() == 64);
    assert!(size_of::<DifferenceParameters>() == 32);
};

/// Lets structures cross.
macro_rules! fit_for_the_device {
    ($($structure:ty),+) => {
        $(
            // SAFETY: plain numbers without padding, laid out as the kernels expect them.
            #[cfg(feature = "cuda")]
            unsafe impl DeviceRepr for $structure {}
        )+
    };
}

fit_for_the_device!(Frame, ChromaTap, ColorCoefficients, Window, PictureParameters, Recording, SoundParameters);
#[cfg(test)]
fit_for_the_device!(MelParameters, Face, FaceParameters, DifferenceParameters);

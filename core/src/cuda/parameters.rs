//! What crosses to the kernels: the structures of `kernels/parameters.cuh`, field by field. Pointers are addresses on the device.

#![allow(unsafe_code, reason = "structures are declared to be fit for the device")]

use cudarc::driver::DeviceRepr;

/// Pixels of the resized picture that one block of `picture_batch` makes.
pub const PICTURE_TILE_WIDTH: u32 = 32;
/// Likewise.
pub const PICTURE_TILE_HEIGHT: u32 = 16;
/// Threads of every block.
pub const THREADS: u32 = 256;
/// 8-bit red, green, blue.
pub const FORMAT_RGB24: i32 = 3;
/// Planes of f32.
pub const ELEMENT_F32: i32 = 1;
/// Planes of f16.
pub const ELEMENT_F16: i32 = 2;
/// Planes of bf16.
pub const ELEMENT_BF16: i32 = 3;

/// One picture and the part of it that is taken.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
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

/// The source pixels that one target pixel is made from.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
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

// As the assertions at the end of parameters.cuh.
const _: () = assert!(size_of::<Frame>() == 104 && size_of::<Window>() == 12 && size_of::<PictureParameters>() == 72);

// SAFETY: plain numbers without padding, laid out as the kernels expect them.
unsafe impl DeviceRepr for Frame {}
// SAFETY: likewise.
unsafe impl DeviceRepr for Window {}
// SAFETY: likewise.
unsafe impl DeviceRepr for PictureParameters {}

//! Vectors of one instruction set, as the integer products need them. Kernels are written once over this trait and compiled for each.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;

#[cfg(target_arch = "x86_64")]
pub use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
pub use avx512::{dot_pairs_16, Avx512};
#[cfg(target_arch = "aarch64")]
pub use neon::Neon;
pub use portable::Portable;

/// Weights or activations that share a scale.
pub const GROUP: usize = 32;

/// Vectors of `N` 32-bit lanes, and groups of 32 16-bit integers.
///
/// # Safety
/// Every method may only run where the instructions are that the implementation names: in code that was compiled for them and is reached
/// after they were found. Pointers need no alignment, but what is said of each to be readable must be.
pub unsafe trait Lanes: Copy {
    /// Lanes.
    const N: usize;
    /// `N` 32-bit integers, or as many pairs of 16-bit ones.
    type Int: Copy;
    /// `N` floats.
    type Float: Copy;
    /// [`GROUP`] 16-bit integers.
    type Group: Copy;
    /// Vectors of 8 lanes, whose instructions are there too.
    type Eight: Lanes;

    /// All 0.
    unsafe fn zero() -> Self::Int;
    /// All 0.
    unsafe fn zero_float() -> Self::Float;
    /// `N` pairs.
    unsafe fn load(from: *const i32) -> Self::Int;
    /// The pair at `from` in all lanes.
    unsafe fn splat(from: *const i16) -> Self::Int;
    /// `sum + x.0 y.0 + x.1 y.1` in each lane.
    unsafe fn dot_pairs(sum: Self::Int, x: Self::Int, y: Self::Int) -> Self::Int;
    /// The integers as floats.
    unsafe fn to_float(x: Self::Int) -> Self::Float;
    /// `N` floats.
    unsafe fn load_float(from: *const f32) -> Self::Float;
    /// `x` in all lanes.
    unsafe fn splat_float(x: f32) -> Self::Float;
    /// `x y`.
    unsafe fn mul(x: Self::Float, y: Self::Float) -> Self::Float;
    /// `x y + z`.
    unsafe fn mul_add(x: Self::Float, y: Self::Float, z: Self::Float) -> Self::Float;
    /// `x + y`.
    unsafe fn add(x: Self::Float, y: Self::Float) -> Self::Float;
    /// The larger of the two in each lane; `y` where one of them is not a number.
    unsafe fn max(x: Self::Float, y: Self::Float) -> Self::Float;
    /// The smaller of the two in each lane; `y` where one of them is not a number.
    unsafe fn min(x: Self::Float, y: Self::Float) -> Self::Float;
    /// `min(max(slope x, x), greatest)`.
    #[inline(always)]
    unsafe fn limit(x: Self::Float, slope: Self::Float, greatest: Self::Float) -> Self::Float {
        Self::min(greatest, Self::max(Self::mul(slope, x), x))
    }
    /// Writes `N` floats.
    unsafe fn store_float(x: Self::Float, to: *mut f32);
    /// The first lane.
    unsafe fn first(x: Self::Float) -> f32;
    /// The sum of all lanes.
    unsafe fn sum(x: Self::Float) -> f32;

    /// A half as a float.
    unsafe fn half(bits: u16) -> f32;
    /// The half at `from`, as a float in all lanes.
    unsafe fn splat_half(from: *const u8) -> Self::Float;
    /// The two halves at `from`, likewise.
    unsafe fn splat_halves(from: *const u8) -> (Self::Float, Self::Float);
    /// Eight bytes as floats in the first lanes, 0 in the others.
    unsafe fn bytes_to_float(bytes: [u8; 8]) -> Self::Float;
    /// Fetches the line of memory at `from`, which need not be readable.
    unsafe fn prefetch(from: *const u8);
    /// 16 bytes: their low halves, then their high halves.
    unsafe fn nibbles(from: *const u8) -> Self::Group;
    /// As `nibbles`, each less 8.
    unsafe fn signed_nibbles(from: *const u8) -> Self::Group;
    /// The low halves of 32 bytes.
    unsafe fn low_nibbles(from: *const u8) -> Self::Group;
    /// The high halves of 32 bytes.
    unsafe fn high_nibbles(from: *const u8) -> Self::Group;
    /// 32 signed bytes.
    unsafe fn bytes(from: *const u8) -> Self::Group;
    /// 32 integers.
    unsafe fn load_group(from: *const i16) -> Self::Group;
    /// Writes 32 integers.
    unsafe fn store_group(x: Self::Group, to: *mut i16);
    /// The dot product of two groups, in `N` parts.
    unsafe fn dot_groups(x: Self::Group, y: Self::Group) -> Self::Float;
}

/// Vectors whose lanes are weight rows.
///
/// # Safety
/// As for [`Lanes`].
#[cfg(target_arch = "x86_64")]
pub unsafe trait RowLanes: Lanes {
    /// Of 16 bytes of each of `N` rows, `stride` bytes apart, the first four, the second four, and so on, as they lie.
    unsafe fn columns(from: *const u8, stride: usize) -> [Self::Int; 4];
    /// The first of these; all 16 bytes must be readable.
    unsafe fn first_column(from: *const u8, stride: usize) -> Self::Int;
    /// The bits that `mask` has in each lane.
    unsafe fn and(x: Self::Int, mask: i32) -> Self::Int;
    /// The bits of both.
    unsafe fn or(x: Self::Int, y: Self::Int) -> Self::Int;
    /// Each lane by `BY` bits, with zeros.
    unsafe fn shift_right<const BY: u32>(x: Self::Int) -> Self::Int;
    /// The low 16 bits of each lane, a half, and the high ones, as floats.
    unsafe fn halves(x: Self::Int) -> (Self::Float, Self::Float);
    /// The signed bytes 0 and 2 of each lane as a pair, and 1 and 3.
    unsafe fn widen(x: Self::Int) -> (Self::Int, Self::Int);
}

//! The CUDA kernels' sources, compiled for the CPU, against the crate's own functions.
//!
//! `core/kernels/host` compiles `core/kernels/*.cu` with a C++ compiler and AddressSanitizer, and runs them as a GPU would: grid, blocks,
//! threads and barriers. What comes out must be the same to the last bit where the crate computes the same way, and to 1e-6 where sums are
//! taken in another order. Nothing here runs on a GPU. Without a C++ compiler the tests say so loudly and pass.

mod cuda_kernel_cases;
mod reference;

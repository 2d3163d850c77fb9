// Enough of CUDA to compile the kernels as C++ for the CPU and run them there, under sanitizers.
//
// Blocks run one after the other, a block's threads as fibres (ucontext) of one thread of the system: each runs until it reaches
// __syncthreads or its end, then the next one goes on. Fibres and not loops over phases, because the kernels stay as they are
// written; fibres and not threads of the system, because 256 of those for every block take minutes. A run is the same every time, and
// a missing barrier is not hidden by luck: between two barriers the threads run in order, and in the other order between the next
// two and in the next block, so that one of them reads what is not written yet. Shared memory holds no zeros when a block starts, as
// on a GPU.
//
// A barrier that only a part of a block reaches ends the program.
#pragma once

#include <math.h>
#include <stdint.h>

#define __host__
#define __device__
#define __global__
#define __launch_bounds__(...)
// Kept in a section of their own, so that all of it can be found and filled. Blocks do not run side by side: one copy will do.
#define __shared__ static __attribute__((section("cuda_shared")))

struct Uint3 {
  uint32_t x, y, z;
};

extern Uint3 threadIdx;
extern Uint3 blockIdx;
extern Uint3 blockDim;
extern Uint3 gridDim;

// Waits until all threads of the block are here.
void __syncthreads();

template <typename T>
inline T __ldg(const T *address) {
  return *address;
}

// Runs `kernel(parameters)` for every thread of every block of the grid.
void run_grid(Uint3 grid, uint32_t threads, void (*kernel)(const void *), const void *parameters);

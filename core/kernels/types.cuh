// Integers of fixed width, and arithmetic that is the same wherever it runs.
//
// The kernels are compiled three ways: by nvcc, by NVRTC (which has no standard headers) and as C++ for the CPU
// (host/cuda_on_cpu.h stands in for CUDA).
#pragma once

#if defined(__CUDACC_RTC__)
typedef signed char int8_t;
typedef unsigned char uint8_t;
typedef short int16_t;
typedef unsigned short uint16_t;
typedef int int32_t;
typedef unsigned int uint32_t;
typedef long long int64_t;
typedef unsigned long long uint64_t;
#else
#include <stdint.h>
#endif

#if !defined(__CUDACC__) && !defined(__CUDACC_RTC__)
#include "host/cuda_on_cpu.h"
#endif

// Products and sums that are rounded one by one. Without these the compiler joins them to fused operations as it likes, and results
// would depend on it.
#if defined(__CUDA_ARCH__)
__device__ inline float times(float a, float b) { return __fmul_rn(a, b); }
__device__ inline float plus(float a, float b) { return __fadd_rn(a, b); }
__device__ inline double times(double a, double b) { return __dmul_rn(a, b); }
__device__ inline double plus(double a, double b) { return __dadd_rn(a, b); }
#else
__device__ inline float times(float a, float b) { return a * b; }
__device__ inline float plus(float a, float b) { return a + b; }
__device__ inline double times(double a, double b) { return a * b; }
__device__ inline double plus(double a, double b) { return a + b; }
#endif

__device__ inline int32_t lesser(int32_t a, int32_t b) { return a < b ? a : b; }
__device__ inline int32_t greater(int32_t a, int32_t b) { return a > b ? a : b; }

__device__ inline uint32_t bits_of(float value) {
#if defined(__CUDA_ARCH__)
  return __float_as_uint(value);
#else
  uint32_t bits;
  __builtin_memcpy(&bits, &value, sizeof bits);
  return bits;
#endif
}

// `value` as IEEE half precision, rounded to nearest, ties to even. In integers, because the type's header is not to be had in all
// three compilations, and what one of them tests the others run.
__device__ inline uint16_t half_bits(float value) {
  const uint32_t bits = bits_of(value);
  const uint32_t sign = (bits >> 16) & 0x8000u;
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return static_cast<uint16_t>(sign | 0x7e00u);
  // 65520 and above round to infinity.
  if (magnitude >= 0x477ff000u) return static_cast<uint16_t>(sign | 0x7c00u);
  if (magnitude < 0x33000000u) return static_cast<uint16_t>(sign);
  if (magnitude < 0x38800000u) {
    // Below 2^-14 the unit is 2^-24: the leading one is written out and everything is shifted there.
    const uint32_t shift = 126u - (magnitude >> 23);
    const uint32_t whole = (magnitude & 0x7fffffu) | 0x800000u;
    const uint32_t rest = whole & ((1u << shift) - 1u);
    const uint32_t middle = 1u << (shift - 1u);
    uint32_t half = whole >> shift;
    half += rest > middle || (rest == middle && (half & 1u)) ? 1u : 0u;
    return static_cast<uint16_t>(sign | half);
  }
  const uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1u);
  return static_cast<uint16_t>(sign | ((rounded - 0x38000000u) >> 13));
}

// `value` as bfloat16, rounded to nearest, ties to even.
__device__ inline uint16_t bfloat_bits(float value) {
  const uint32_t bits = bits_of(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((bits >> 16) | 0x40u);
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

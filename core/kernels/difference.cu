// How much neighbouring frames differ: the mean absolute difference of their luma. Sums are of integers, so that the score does not
// depend on who adds what.
#include "pixels.cuh"

namespace {

// The sum of all threads' values, for thread 0.
__device__ inline uint64_t block_sum(uint64_t (&values)[THREADS]) {
  for (int32_t half = THREADS / 2; half > 0; half /= 2) {
    __syncthreads();
    if (static_cast<int32_t>(threadIdx.x) < half) values[threadIdx.x] += values[threadIdx.x + half];
  }
  return values[0];
}

// Pixels that are compared, along one row and in all.
struct Common {
  int64_t width;
  int64_t pixels;
};
__device__ inline Common common_part(const Frame &a, const Frame &b) {
  const int64_t width = lesser(a.crop_width, b.crop_width);
  return Common{width, width * lesser(a.crop_height, b.crop_height)};
}

}  // namespace

extern "C" __global__ void __launch_bounds__(THREADS) difference_sums(const DifferenceParameters p) {
  __shared__ uint64_t sums[THREADS];
  const Frame a = p.frames[blockIdx.y], b = p.frames[blockIdx.y + 1];
  const Common common = common_part(a, b);
  uint64_t sum = 0;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * THREADS + threadIdx.x; i < common.pixels;
       i += static_cast<int64_t>(DIFFERENCE_BLOCKS) * THREADS) {
    const int32_t x = static_cast<int32_t>(i % common.width), y = static_cast<int32_t>(i / common.width);
    const int32_t difference = quarter_luma_at(a, a.crop_left + x, a.crop_top + y) -
                               quarter_luma_at(b, b.crop_left + x, b.crop_top + y);
    sum += static_cast<uint64_t>(difference < 0 ? -difference : difference);
  }
  sums[threadIdx.x] = sum;
  const uint64_t whole = block_sum(sums);
  if (threadIdx.x == 0) p.sums[static_cast<int64_t>(blockIdx.y) * DIFFERENCE_BLOCKS + blockIdx.x] = whole;
}

extern "C" __global__ void __launch_bounds__(THREADS) difference_scores(const DifferenceParameters p) {
  __shared__ uint64_t sums[THREADS];
  const int64_t pair = blockIdx.x;
  sums[threadIdx.x] = threadIdx.x < DIFFERENCE_BLOCKS ? p.sums[pair * DIFFERENCE_BLOCKS + threadIdx.x] : 0;
  const uint64_t whole = block_sum(sums);
  if (threadIdx.x != 0) return;
  const int64_t pixels = common_part(p.frames[pair], p.frames[pair + 1]).pixels;
  p.scores[pair] = pixels > 0 ? static_cast<float>(static_cast<double>(whole) / (4.0 * static_cast<double>(pixels))) : 0.0f;
}

// Crops of faces, turned and scaled: each pixel the mean of samples that are interpolated between four pixels of the picture.
//
// As `Picture::cut` of core/src/face/picture.rs samples a turned region, with the turn and scale given as a matrix.
#include "pixels.cuh"

namespace {

struct Color {
  float channels[3];
};

__device__ inline float between(float low, float high, float share) {
  return plus(times(low, plus(1.0f, -share)), times(high, share));
}

// `value` in 0..=limit; 0 for what is no number.
__device__ inline float limited(float value, float limit) { return fminf(fmaxf(value, 0.0f), limit); }

// The colour at (x, y) of the upright picture, where pixel centres lie at halves.
__device__ inline Color sample(const Frame &frame, const ChromaTap *chroma, const ColorCoefficients &color, float x, float y,
                               int32_t outside) {
  const int32_t width = upright_width(frame), height = upright_height(frame);
  const float end_x = static_cast<float>(width), end_y = static_cast<float>(height);
  if (outside == OUTSIDE_BLACK && !(x >= 0.0f && y >= 0.0f && x < end_x && y < end_y)) return Color{{0.0f, 0.0f, 0.0f}};
  x = limited(plus(x, -0.5f), plus(end_x, -1.0f));
  y = limited(plus(y, -0.5f), plus(end_y, -1.0f));
  const int32_t x0 = static_cast<int32_t>(x), y0 = static_cast<int32_t>(y);
  const int32_t x1 = lesser(x0 + 1, width - 1), y1 = lesser(y0 + 1, height - 1);
  const float share_x = plus(x, -static_cast<float>(x0)), share_y = plus(y, -static_cast<float>(y0));
  const uint32_t a = pixel_at(frame, chroma, color, x0, y0), b = pixel_at(frame, chroma, color, x1, y0);
  const uint32_t c = pixel_at(frame, chroma, color, x0, y1), d = pixel_at(frame, chroma, color, x1, y1);
  Color mixed;
  for (int32_t k = 0; k < 3; k++) {
    const float above = between(static_cast<float>(channel(a, k)), static_cast<float>(channel(b, k)), share_x);
    const float below = between(static_cast<float>(channel(c, k)), static_cast<float>(channel(d, k)), share_x);
    mixed.channels[k] = between(above, below, share_y);
  }
  return mixed;
}

}  // namespace

extern "C" __global__ void __launch_bounds__(THREADS, 4) face_batch(const FaceParameters p) {
  const int64_t plane = static_cast<int64_t>(p.width) * p.height;
  const int64_t pixel = static_cast<int64_t>(blockIdx.x) * THREADS + threadIdx.x;
  if (pixel >= plane) return;
  const Face face = p.faces[blockIdx.y];
  const Frame frame = p.frames[face.frame];
  const ColorCoefficients color = is_yuv(frame) ? p.colors[frame.color] : ColorCoefficients{};
  const int32_t row = static_cast<int32_t>(pixel / p.width), column = static_cast<int32_t>(pixel % p.width);
  const float taps = static_cast<float>(p.taps);

  float sums[3] = {0.0f, 0.0f, 0.0f};
  for (int32_t down = 0; down < p.taps; down++) {
    const float v = plus(static_cast<float>(row), plus(static_cast<float>(down), 0.5f) / taps);
    for (int32_t across = 0; across < p.taps; across++) {
      const float u = plus(static_cast<float>(column), plus(static_cast<float>(across), 0.5f) / taps);
      const float x = plus(plus(times(face.matrix[0], u), times(face.matrix[1], v)), face.matrix[2]);
      const float y = plus(plus(times(face.matrix[3], u), times(face.matrix[4], v)), face.matrix[5]);
      const Color color_there = sample(frame, p.chroma, color, x, y, p.outside);
      for (int32_t c = 0; c < 3; c++) sums[c] = plus(sums[c], color_there.channels[c]);
    }
  }
  const float share = 1.0f / times(taps, taps);
  for (int32_t c = 0; c < 3; c++) {
    const float value = plus(times(times(sums[c], share), p.scale[c]), p.shift[c]);
    const int64_t at = 3 * plane * face.output + plane * c + pixel;
    if (p.element == ELEMENT_F32) {
      static_cast<float *>(p.output)[at] = value;
    } else {
      static_cast<uint16_t *>(p.output)[at] = p.element == ELEMENT_F16 ? half_bits(value) : bfloat_bits(value);
    }
  }
}

// One pixel of a stored picture of any format.
#pragma once

#include "parameters.cuh"

// A pixel as 0x00BBGGRR: one word, so that one shared-memory access moves it.
__device__ inline uint32_t packed(uint32_t red, uint32_t green, uint32_t blue) { return red | green << 8 | blue << 16; }
__device__ inline int32_t channel(uint32_t pixel, int32_t index) {
  return static_cast<int32_t>(pixel >> (8 * index) & 0xffu);
}

__device__ inline bool is_yuv(const Frame &frame) { return frame.format <= FORMAT_P010; }
// Whether samples are words with values 0..1023.
__device__ inline bool is_wide(const Frame &frame) {
  return frame.format == FORMAT_YUV420P10 || frame.format == FORMAT_P010;
}

__device__ inline int32_t upright_width(const Frame &frame) {
  return frame.orientation & ORIENTATION_TRANSPOSE ? frame.height : frame.width;
}
__device__ inline int32_t upright_height(const Frame &frame) {
  return frame.orientation & ORIENTATION_TRANSPOSE ? frame.width : frame.height;
}

// Where the upright picture's pixel (x, y) is stored.
struct Place {
  int32_t x;
  int32_t y;
};
__device__ inline Place stored_place(const Frame &frame, int32_t x, int32_t y) {
  const int32_t column = frame.orientation & ORIENTATION_FLIP_X ? upright_width(frame) - 1 - x : x;
  const int32_t row = frame.orientation & ORIENTATION_FLIP_Y ? upright_height(frame) - 1 - y : y;
#if defined(DELIBERATE_BUG) && DELIBERATE_BUG == 2
  // Past the end of the picture, for the test that shows that it is noticed.
  return frame.orientation & ORIENTATION_TRANSPOSE ? Place{row, column} : Place{column, row + 1};
#else
  return frame.orientation & ORIENTATION_TRANSPOSE ? Place{row, column} : Place{column, row};
#endif
}

__device__ inline const uint8_t *row_of(const Frame &frame, int32_t plane, int32_t y) {
  return frame.planes[plane] + frame.strides[plane] * y;
}

// Sample `x` of a row. Words are read byte by byte: planes may lie at odd addresses.
__device__ inline int32_t sample_of(const Frame &frame, const uint8_t *row, int64_t x) {
  if (!is_wide(frame)) return __ldg(row + x);
  const int32_t word = static_cast<int32_t>(__ldg(row + 2 * x)) | static_cast<int32_t>(__ldg(row + 2 * x + 1)) << 8;
  return frame.format == FORMAT_P010 ? word >> 6 : word;
}

__device__ inline int32_t luma_sample(const Frame &frame, int32_t x, int32_t y) {
  return sample_of(frame, row_of(frame, 0, y), x);
}

// Sample `x` of row `y` of U (`which` 0) or V (1).
__device__ inline int32_t chroma_sample(const Frame &frame, int32_t which, int32_t x, int32_t y) {
  if (frame.format == FORMAT_NV12 || frame.format == FORMAT_P010) {
    return sample_of(frame, row_of(frame, 1, y), 2 * static_cast<int64_t>(x) + which);
  }
  return sample_of(frame, row_of(frame, 1 + which, y), x);
}

// U or V of a luma pixel. Columns first: a sum with 14 fractional bits, cut (not rounded) to 7 more bits than a sample of 8 bits has
// and to 32767 at most. Then rows: 12 fractional bits, rounded to 9 more bits, less the middle.
__device__ inline int32_t chroma_at(const Frame &frame, int32_t which, const ChromaTap &column, const ChromaTap &row) {
  const int32_t shift = is_wide(frame) ? 9 : 7;
  int32_t sum = (1 << 9) - (128 << 19);
  for (int32_t down = 0; down < 2; down++) {
    const int32_t weight = down == 0 ? row.weight : row.next_weight;
    if (weight == 0) continue;
    int32_t across = chroma_sample(frame, which, column.first, row.first + down) * column.weight;
    if (column.next_weight != 0) {
      across += chroma_sample(frame, which, column.first + 1, row.first + down) * column.next_weight;
    }
    sum += lesser(across >> shift, 32767) * weight;
  }
  return sum >> 10;
}

// A sum with 22 fractional bits as a level.
//
// The sum wraps in 32 bits and is then read as signed, so that the brightest, most saturated blue (which no camera sends) becomes 0: so
// does libswscale, whose results these are.
__device__ inline uint32_t color_level(uint32_t sum) {
  if (static_cast<int32_t>(sum) < 0) return 0;
  return (sum < 0x3fffffffu ? sum : 0x3fffffffu) >> 22;
}

__device__ inline uint32_t rgb_of(const ColorCoefficients &color, int32_t y, int32_t u, int32_t v) {
  const uint32_t light = static_cast<uint32_t>((y - color.y_offset) * color.y) + (1u << 21);
  const auto times_coefficient = [](int32_t value, int32_t coefficient) {
    return static_cast<uint32_t>(value) * static_cast<uint32_t>(coefficient);
  };
  return packed(color_level(light + times_coefficient(v, color.v_to_r)),
                color_level(light + times_coefficient(v, color.v_to_g) + times_coefficient(u, color.u_to_g)),
                color_level(light + times_coefficient(u, color.u_to_b)));
}

// The upright picture's pixel (x, y), which lies inside of it.
__device__ inline uint32_t pixel_at(const Frame &frame, const ChromaTap *chroma, const ColorCoefficients &color, int32_t x,
                                    int32_t y) {
  const Place place = stored_place(frame, x, y);
  if (is_yuv(frame)) {
    const ChromaTap column = chroma[frame.chroma_columns + place.x];
    const ChromaTap row = chroma[frame.chroma_rows + place.y];
    const int32_t shift = is_wide(frame) ? 5 : 7;
    const int32_t light = lesser(luma_sample(frame, place.x, place.y) << shift, 32767) * 4;
    return rgb_of(color, light, chroma_at(frame, 0, column, row), chroma_at(frame, 1, column, row));
  }
  const bool has_alpha = frame.format >= FORMAT_RGBA;
  const bool is_red_first = frame.format == FORMAT_RGB24 || frame.format == FORMAT_RGBA;
  const uint8_t *bytes = row_of(frame, 0, place.y) + static_cast<int64_t>(place.x) * (has_alpha ? 4 : 3);
  const uint32_t first = __ldg(bytes), green = __ldg(bytes + 1), last = __ldg(bytes + 2);
  return is_red_first ? packed(first, green, last) : packed(last, green, first);
}

// Luma of the upright picture's pixel (x, y) in quarters of an 8-bit level: as stored, or (77 R + 150 G + 29 B) / 256 of RGB.
__device__ inline int32_t quarter_luma_at(const Frame &frame, int32_t x, int32_t y) {
  if (is_yuv(frame)) {
    const Place place = stored_place(frame, x, y);
    const int32_t luma = luma_sample(frame, place.x, place.y);
    return is_wide(frame) ? lesser(luma, 1023) : luma * 4;
  }
  const uint32_t pixel = pixel_at(frame, nullptr, ColorCoefficients{}, x, y);
  return (77 * channel(pixel, 0) + 150 * channel(pixel, 1) + 29 * channel(pixel, 2)) >> 6;
}

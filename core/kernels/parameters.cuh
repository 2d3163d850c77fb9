// What the host hands to the kernels: every structure that crosses, and the sizes that a launch must know.
//
// Each kernel takes one structure by value. The host's side of it has the same fields in the same order (`#[repr(C)]`), with u64 for
// the pointers, which are addresses on the device. There is no padding anywhere; the assertions at the end hold that down.
//
// Every kernel has one-dimensional blocks of THREADS threads. Some say how many blocks a processor is to hold at least: left to itself, the
// assembler spills registers to fit more. The grids are told with the structures. A grid may not be empty: for an
// empty batch nothing is launched.
#pragma once

#include "types.cuh"

constexpr int32_t THREADS = 256;
// Pixels of the resized picture that one block of `picture_batch` makes.
constexpr int32_t PICTURE_TILE_WIDTH = 32;
constexpr int32_t PICTURE_TILE_HEIGHT = 16;
// Blocks that share one pair of frames in `difference_sums`, and one recording in the `sound_` kernels. Part of what
// the sums of floating point are: their order follows from it.
constexpr int32_t DIFFERENCE_BLOCKS = 32;
constexpr int32_t SOUND_BLOCKS = 64;
constexpr int32_t MEL_BANDS = 80;
constexpr int32_t MEL_WINDOW = 400;
constexpr int32_t MEL_HOP = 160;
// Spectra that one block of `log_mel_frames` makes.
constexpr int32_t MEL_FRAMES = 4;
// Blocks that share one recording in `log_mel_clamp`.
constexpr int32_t MEL_CLAMP_BLOCKS = 64;

// Values of Frame.format.

// Luma, then U and V interleaved at half the width and height, rounded up.
constexpr int32_t FORMAT_NV12 = 0;
// Luma, U and V in planes of their own, these at half the width and height, rounded up.
constexpr int32_t FORMAT_I420 = 1;
// As FORMAT_I420 in 16-bit little-endian words with values 0..1023.
constexpr int32_t FORMAT_YUV420P10 = 2;
// As FORMAT_NV12 in 16-bit little-endian words, of which the upper ten bits are the value.
constexpr int32_t FORMAT_P010 = 3;
constexpr int32_t FORMAT_RGB24 = 4;
constexpr int32_t FORMAT_BGR24 = 5;
constexpr int32_t FORMAT_RGBA = 6;
constexpr int32_t FORMAT_BGRA = 7;

// Bits of Frame.orientation: how stored rows and columns become those of the upright picture. First the transposition, then the flips.
constexpr int32_t ORIENTATION_TRANSPOSE = 1;
constexpr int32_t ORIENTATION_FLIP_X = 2;
constexpr int32_t ORIENTATION_FLIP_Y = 4;

// Values of `element`.

// 8-bit RGB, [height, width, 3].
constexpr int32_t ELEMENT_PIXELS = 0;
// Planes [3, height, width].
constexpr int32_t ELEMENT_F32 = 1;
constexpr int32_t ELEMENT_F16 = 2;
constexpr int32_t ELEMENT_BF16 = 3;

// Values of `FaceParameters.outside`.
constexpr int32_t OUTSIDE_BLACK = 0;
// The nearest pixel of the picture.
constexpr int32_t OUTSIDE_EDGE = 1;

// One decoded picture. Addresses and strides may be any: nothing is aligned, and nothing is read between a row's end and the next.
struct Frame {
  // Unused planes are null.
  const uint8_t *planes[3];
  // Bytes from one row to the next, negative where rows run upwards.
  int64_t strides[3];
  // Of the picture as stored.
  int32_t width;
  int32_t height;
  // The part that is taken, in the upright picture. It lies inside of it and is not empty.
  int32_t crop_left;
  int32_t crop_top;
  int32_t crop_width;
  int32_t crop_height;
  int32_t format;
  int32_t orientation;
  // Entry of `chroma` where the taps of the stored columns begin, and those of the stored rows. Unused for RGB.
  int32_t chroma_columns;
  int32_t chroma_rows;
  // Entry of `windows` where those of the target's columns begin (crop_width to width), and those of its rows.
  int32_t column_windows;
  int32_t row_windows;
  // Entry of `colors`. Unused for RGB.
  int32_t color;
  // Which picture of the output this becomes, from 0.
  int32_t output;
};

// The chroma samples that one column or row is made from: `first` and the one after it (which is not read when its weight is 0).
// Weights are in 1/16384 for columns and in 1/4096 for rows.
struct ChromaTap {
  int32_t first;
  int16_t weight;
  int16_t next_weight;
};

// YUV to RGB in fixed point, see pixels.cuh.
struct ColorCoefficients {
  int32_t y_offset;
  int32_t y;
  int32_t v_to_r;
  int32_t v_to_g;
  int32_t u_to_g;
  int32_t u_to_b;
};

// The `count` source pixels that one target pixel is made from, and where their weights begin. The first pixels, and the ends, of
// neighbouring windows never decrease.
struct Window {
  int32_t first;
  int32_t count;
  int32_t weights;
};

// picture_batch: grid (ceil(width / PICTURE_TILE_WIDTH), ceil(height / PICTURE_TILE_HEIGHT), frame_count).
struct PictureParameters {
  const Frame *frames;
  const Window *windows;
  // With 22 fractional bits.
  const int32_t *weights;
  const ChromaTap *chroma;
  const ColorCoefficients *colors;
  // What each of the 256 levels of red, green and blue becomes, [3, 256], in the output's element type (uint32 for f32, uint16 for
  // both 16-bit types): scaling, normalisation and rounding to the type are all in here. Null for ELEMENT_PIXELS.
  const void *levels;
  // [pictures, 3, height, width], or [pictures, height, width, 3] for ELEMENT_PIXELS.
  void *output;
  int32_t frame_count;
  int32_t width;
  int32_t height;
  int32_t element;
};

// One face: where the crop's point (u, v), in pixels with centres at halves, lies in the upright picture (likewise):
// x = m[0] u + m[1] v + m[2], y = m[3] u + m[4] v + m[5].
struct Face {
  float matrix[6];
  // Entry of `frames`.
  int32_t frame;
  // Which crop of the output this becomes, from 0.
  int32_t output;
};

// face_batch: grid (ceil(width * height / THREADS), face_count). Levels 0..255, interpolated, times `scale` plus `shift` of the channel.
struct FaceParameters {
  // Their crops and windows are not used.
  const Frame *frames;
  const Face *faces;
  const ChromaTap *chroma;
  const ColorCoefficients *colors;
  // [faces, 3, height, width]. Not ELEMENT_PIXELS.
  void *output;
  float scale[3];
  float shift[3];
  int32_t face_count;
  int32_t width;
  int32_t height;
  // Samples along each side of a pixel, whose mean it becomes: 1 or more.
  int32_t taps;
  int32_t outside;
  int32_t element;
};

// difference_sums: grid (DIFFERENCE_BLOCKS, pair_count), then difference_scores: grid (pair_count).
// Pair i is the frames i and i + 1, of which the crops are compared (the part that both have, where their sizes differ).
struct DifferenceParameters {
  const Frame *frames;
  // [pairs, DIFFERENCE_BLOCKS]
  uint64_t *sums;
  // [pairs]: mean absolute difference of luma, in levels of 8 bits.
  float *scores;
  int64_t pair_count;
};

// One recording at 16 kHz. Samples are f32.
struct Recording {
  const float *samples;
  // As many values for the `sound_` kernels, [length / MEL_HOP, MEL_BANDS] for the log_mel_ ones.
  float *output;
  int64_t length;
  // Entry of `frame_maxima` that belongs to its first frame.
  int64_t first_frame;
};

// sound_sums, sound_squares, sound_normalise, in this order: each with grid (SOUND_BLOCKS, recording_count).
// Samples must be finite numbers, which the host makes sure of.
struct SoundParameters {
  const Recording *recordings;
  // [recordings, 2, SOUND_BLOCKS]: sums, then sums of squared deviations.
  double *partials;
  int64_t recording_count;
};

// log_mel_frames: grid (ceil(most frames of a recording / MEL_FRAMES), recording_count);
// log_mel_loudest: grid (recording_count); log_mel_clamp: grid (MEL_CLAMP_BLOCKS, recording_count).
struct MelParameters {
  const Recording *recordings;
  // [MEL_WINDOW]
  const float *window;
  // cos(2 pi i / MEL_WINDOW), [MEL_WINDOW]
  const double *cosines;
  // [MEL_BANDS]: bins and where their weights begin in `band_weights`.
  const Window *bands;
  const float *band_weights;
  // One for each frame of all recordings.
  float *frame_maxima;
  // [recordings]
  float *loudest;
  int64_t recording_count;
};

static_assert(sizeof(void *) == 8, "addresses have 64 bits");
static_assert(sizeof(Frame) == 104, "Frame");
static_assert(sizeof(ChromaTap) == 8, "ChromaTap");
static_assert(sizeof(ColorCoefficients) == 24, "ColorCoefficients");
static_assert(sizeof(Window) == 12, "Window");
static_assert(sizeof(PictureParameters) == 72, "PictureParameters");
static_assert(sizeof(Face) == 32, "Face");
static_assert(sizeof(FaceParameters) == 88, "FaceParameters");
static_assert(sizeof(DifferenceParameters) == 32, "DifferenceParameters");
static_assert(sizeof(Recording) == 32, "Recording");
static_assert(sizeof(SoundParameters) == 24, "SoundParameters");
static_assert(sizeof(MelParameters) == 64, "MelParameters");

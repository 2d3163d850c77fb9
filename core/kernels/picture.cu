// Pictures of any format to an encoder's input: colours, crop, resize, normalisation and layout in one launch for a batch of frames.
//
// The resize is that of core/src/preprocess/resize.rs: rows first, rounded and clipped to 8 bits, then columns. Sums are of integers,
// so that it does not matter in which pieces they are added up.
//
// One launch and no buffer between the passes: a block makes one tile of the target. It goes through the source that the tile needs
// in pieces of SOURCE_ROWS x SOURCE_COLUMNS pixels, converts each pixel of a piece once, adds it to the row sums (in registers) and,
// when the rows are complete, adds their levels to the column sums (in registers too). So shared memory is the same for any size, and
// a picture of 8K goes the same way as one of a single pixel. What neighbouring tiles both need is converted twice: for 1920 x 1080
// to 224 x 224, 1.4 times the work of a pass without overlap, against writing and reading a picture in between.
#include "pixels.cuh"

namespace {

constexpr int32_t LANES = 32;
constexpr int32_t WARPS = THREADS / LANES;
constexpr int32_t SOURCE_ROWS = LANES;
constexpr int32_t SOURCE_COLUMNS = 64;
// Columns of the tile that a warp makes row sums of, and rows of it that it makes column sums of.
constexpr int32_t WARP_COLUMNS = PICTURE_TILE_WIDTH / WARPS;
constexpr int32_t WARP_ROWS = PICTURE_TILE_HEIGHT / WARPS;
static_assert(PICTURE_TILE_WIDTH == LANES, "a lane makes one column of the tile");
static_assert(WARP_COLUMNS * WARPS == PICTURE_TILE_WIDTH && WARP_ROWS * WARPS == PICTURE_TILE_HEIGHT, "whole shares");

constexpr int32_t FRACTION_BITS = 22;
constexpr int32_t HALF = 1 << (FRACTION_BITS - 1);

__device__ inline uint32_t resized_level(int32_t sum) {
  return static_cast<uint32_t>(lesser(greater(sum >> FRACTION_BITS, 0), 255));
}

__device__ inline int32_t end_of(const Window &window) { return window.first + window.count; }

// The window of target `at`, or an empty one past the target's end.
__device__ inline Window window_or_none(const Window *windows, int32_t at, int32_t limit) {
  return at < limit ? windows[at] : Window{0, 0, 0};
}

__device__ inline void add(int32_t (&sums)[3], uint32_t pixel, int32_t weight) {
  for (int32_t c = 0; c < 3; c++) sums[c] += channel(pixel, c) * weight;
}

}  // namespace

extern "C" __global__ void __launch_bounds__(THREADS, 2) picture_batch(const PictureParameters p) {
  // Lanes read down a column of the source and write down a column of the rows: an odd pitch puts them in different banks.
  __shared__ uint32_t source[SOURCE_ROWS][SOURCE_COLUMNS + 1];
  __shared__ uint32_t rows[SOURCE_ROWS][PICTURE_TILE_WIDTH + 1];
  __shared__ uint32_t levels[3 * 256];
  __shared__ Frame frame;
  __shared__ ColorCoefficients color;

  const int32_t thread = static_cast<int32_t>(threadIdx.x);
  const int32_t lane = thread % LANES;
  const int32_t warp = thread / LANES;
  const int32_t left = static_cast<int32_t>(blockIdx.x) * PICTURE_TILE_WIDTH;
  const int32_t top = static_cast<int32_t>(blockIdx.y) * PICTURE_TILE_HEIGHT;
  if (thread == 0) {
    frame = p.frames[blockIdx.z];
    color = is_yuv(frame) ? p.colors[frame.color] : ColorCoefficients{};
  }
  if (p.element != ELEMENT_PIXELS) {
    for (int32_t i = thread; i < 3 * 256; i += THREADS) {
      levels[i] = p.element == ELEMENT_F32 ? static_cast<const uint32_t *>(p.levels)[i]
                                           : static_cast<const uint16_t *>(p.levels)[i];
    }
  }
  __syncthreads();

  const Window *column_windows = p.windows + frame.column_windows;
  const Window *row_windows = p.windows + frame.row_windows;
  const int32_t first_column = column_windows[left].first;
  const int32_t end_column = end_of(column_windows[lesser(left + PICTURE_TILE_WIDTH, p.width) - 1]);
  const int32_t first_row = row_windows[top].first;
  const int32_t end_row = end_of(row_windows[lesser(top + PICTURE_TILE_HEIGHT, p.height) - 1]);

  Window across[WARP_COLUMNS];
  for (int32_t k = 0; k < WARP_COLUMNS; k++) {
    across[k] = window_or_none(column_windows, left + warp * WARP_COLUMNS + k, p.width);
  }
  Window down[WARP_ROWS];
  int32_t column_sums[WARP_ROWS][3];
  for (int32_t k = 0; k < WARP_ROWS; k++) {
    down[k] = window_or_none(row_windows, top + warp * WARP_ROWS + k, p.height);
    for (int32_t c = 0; c < 3; c++) column_sums[k][c] = HALF;
  }

  for (int32_t row = first_row; row < end_row; row += SOURCE_ROWS) {
    int32_t row_sums[WARP_COLUMNS][3];
    for (int32_t k = 0; k < WARP_COLUMNS; k++) {
      for (int32_t c = 0; c < 3; c++) row_sums[k][c] = HALF;
    }
    for (int32_t column = first_column; column < end_column; column += SOURCE_COLUMNS) {
      __syncthreads();
      for (int32_t i = thread; i < SOURCE_ROWS * SOURCE_COLUMNS; i += THREADS) {
        const int32_t y = i / SOURCE_COLUMNS, x = i % SOURCE_COLUMNS;
        if (row + y < end_row && column + x < end_column) {
          source[y][x] = pixel_at(frame, p.chroma, color, frame.crop_left + column + x, frame.crop_top + row + y);
        }
      }
      __syncthreads();
      if (row + lane < end_row) {
        for (int32_t k = 0; k < WARP_COLUMNS; k++) {
          const int32_t weights = across[k].weights - across[k].first;
          const int32_t end = lesser(end_of(across[k]), column + SOURCE_COLUMNS);
          for (int32_t x = greater(across[k].first, column); x < end; x++) {
            add(row_sums[k], source[lane][x - column], __ldg(p.weights + (weights + x)));
          }
        }
      }
    }
    for (int32_t k = 0; k < WARP_COLUMNS; k++) {
      rows[lane][warp * WARP_COLUMNS + k] =
          packed(resized_level(row_sums[k][0]), resized_level(row_sums[k][1]), resized_level(row_sums[k][2]));
    }
    __syncthreads();
    for (int32_t k = 0; k < WARP_ROWS; k++) {
      const int32_t weights = down[k].weights - down[k].first;
      const int32_t end = lesser(end_of(down[k]), row + SOURCE_ROWS);
      for (int32_t y = greater(down[k].first, row); y < end; y++) {
#if defined(DELIBERATE_BUG) && DELIBERATE_BUG == 1
        // A neighbour's column, for the test that shows that it is noticed.
        add(column_sums[k], rows[y - row][lane ^ 1], __ldg(p.weights + (weights + y)));
#else
        add(column_sums[k], rows[y - row][lane], __ldg(p.weights + (weights + y)));
#endif
      }
    }
  }

  const int32_t x = left + lane;
  if (x >= p.width) return;
  const int64_t plane = static_cast<int64_t>(p.width) * p.height;
  for (int32_t k = 0; k < WARP_ROWS; k++) {
    const int32_t y = top + warp * WARP_ROWS + k;
    if (y >= p.height) break;
    const int64_t pixel = static_cast<int64_t>(y) * p.width + x;
    const int64_t picture = 3 * plane * frame.output;
    for (int32_t c = 0; c < 3; c++) {
      const uint32_t level = resized_level(column_sums[k][c]);
      if (p.element == ELEMENT_PIXELS) {
        static_cast<uint8_t *>(p.output)[picture + pixel * 3 + c] = static_cast<uint8_t>(level);
      } else if (p.element == ELEMENT_F32) {
        static_cast<uint32_t *>(p.output)[picture + plane * c + pixel] = levels[256 * c + level];
      } else {
        static_cast<uint16_t *>(p.output)[picture + plane * c + pixel] = static_cast<uint16_t>(levels[256 * c + level]);
      }
    }
  }
}

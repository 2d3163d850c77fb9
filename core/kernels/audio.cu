// Sound for the voice encoder (zero mean, unit variance, as core/src/preprocess/audio.rs) and for Whisper (log-mel, as
// core/src/encoders/whisper/mel.rs). Many recordings a launch.
//
// Sums are of f64 and in an order that only the recording's length decides: results are the same in every run and on every device.
#include "parameters.cuh"

namespace {

// Added to the variance.
constexpr double VARIANCE_FLOOR = 1e-7;
// Samples beyond this are cut, as the CPU does.
constexpr float LOUDEST = 1e6f;
constexpr int32_t MEL_BINS = MEL_WINDOW / 2 + 1;
constexpr int32_t MEL_MIDDLE = MEL_WINDOW / 2;
static_assert(MEL_BINS <= THREADS, "a thread makes one bin");

// The sum of all threads' values, for every thread. Always the same tree.
__device__ inline double block_sum(double (&values)[THREADS], double value) {
  __syncthreads();
  values[threadIdx.x] = value;
  for (int32_t half = THREADS / 2; half > 0; half /= 2) {
    __syncthreads();
    if (static_cast<int32_t>(threadIdx.x) < half) {
      values[threadIdx.x] = plus(values[threadIdx.x], values[threadIdx.x + half]);
    }
  }
  __syncthreads();
  return values[0];
}

// The largest of all threads' values, for every thread.
__device__ inline float block_maximum(float (&values)[THREADS], float value) {
  values[threadIdx.x] = value;
  for (int32_t half = THREADS / 2; half > 0; half /= 2) {
    __syncthreads();
    if (static_cast<int32_t>(threadIdx.x) < half) {
      values[threadIdx.x] = fmaxf(values[threadIdx.x], values[threadIdx.x + half]);
    }
  }
  __syncthreads();
  return values[0];
}

constexpr int64_t SOUND_STEP = static_cast<int64_t>(SOUND_BLOCKS) * THREADS;
__device__ inline int64_t first_sample() { return static_cast<int64_t>(blockIdx.x) * THREADS + threadIdx.x; }

// Where a recording's sums (`which` 0) or those of its squared deviations (1) are.
__device__ inline double *partials_of(const SoundParameters &p, int64_t which) {
  return p.partials + (2 * static_cast<int64_t>(blockIdx.y) + which) * SOUND_BLOCKS;
}

// A recording's partial sums, added up and divided by its length.
__device__ inline double mean_of(double (&values)[THREADS], const double *partials, int64_t length) {
  const double sum = block_sum(values, threadIdx.x < SOUND_BLOCKS ? partials[threadIdx.x] : 0.0);
  return sum / static_cast<double>(length > 0 ? length : 1);
}

}  // namespace

extern "C" __global__ void __launch_bounds__(THREADS) sound_sums(const SoundParameters p) {
  __shared__ double values[THREADS];
  const Recording recording = p.recordings[blockIdx.y];
  double sum = 0.0;
  for (int64_t i = first_sample(); i < recording.length; i += SOUND_STEP) {
    sum = plus(sum, static_cast<double>(__ldg(recording.samples + i)));
  }
  sum = block_sum(values, sum);
  if (threadIdx.x == 0) partials_of(p, 0)[blockIdx.x] = sum;
}

extern "C" __global__ void __launch_bounds__(THREADS) sound_squares(const SoundParameters p) {
  __shared__ double values[THREADS];
  const Recording recording = p.recordings[blockIdx.y];
  const double mean = mean_of(values, partials_of(p, 0), recording.length);
  double sum = 0.0;
  for (int64_t i = first_sample(); i < recording.length; i += SOUND_STEP) {
    const double deviation = plus(static_cast<double>(__ldg(recording.samples + i)), -mean);
    sum = plus(sum, times(deviation, deviation));
  }
  sum = block_sum(values, sum);
  if (threadIdx.x == 0) partials_of(p, 1)[blockIdx.x] = sum;
}

extern "C" __global__ void __launch_bounds__(THREADS) sound_normalise(const SoundParameters p) {
  __shared__ double values[THREADS];
  const Recording recording = p.recordings[blockIdx.y];
  const double mean = mean_of(values, partials_of(p, 0), recording.length);
  const double variance = mean_of(values, partials_of(p, 1), recording.length);
  const double scale = 1.0 / sqrt(plus(variance, VARIANCE_FLOOR));
  for (int64_t i = first_sample(); i < recording.length; i += SOUND_STEP) {
    const double deviation = plus(static_cast<double>(__ldg(recording.samples + i)), -mean);
    recording.output[i] = static_cast<float>(times(deviation, scale));
  }
}

namespace {

__device__ inline int64_t mel_frames(const Recording &recording) { return recording.length / MEL_HOP; }

// The index of sample `at` when both ends of `length` samples are mirrored, the end sample itself not repeated.
__device__ inline int64_t mirrored(int64_t at, int64_t length) {
  const int64_t last = length - 1;
  if (last <= 0) return 0;
  int64_t turned = at % (2 * last);
  if (turned < 0) turned += 2 * last;
  return turned > last ? 2 * last - turned : turned;
}

// A sample times the window, rounded to f32 as on the CPU. What is not finite counts as 0.
__device__ inline float windowed(const MelParameters &p, const Recording &recording, int64_t frame, int32_t offset) {
  const int64_t at = mirrored(frame * MEL_HOP - MEL_MIDDLE + offset, recording.length);
  const float sample = __ldg(recording.samples + at);
  if ((bits_of(sample) & 0x7f800000u) == 0x7f800000u) return 0.0f;
  return times(fminf(fmaxf(sample, -LOUDEST), LOUDEST), __ldg(p.window + offset));
}

}  // namespace

// The transform is the sum that defines it, in f64: of 400 points, folded once (the cosine is even, the sine odd), it is less work than
// its inputs are to fetch, and exact where f32 transforms lose quiet bands beside loud ones.
extern "C" __global__ void __launch_bounds__(THREADS, 4) log_mel_frames(const MelParameters p) {
  __shared__ double cosines[MEL_WINDOW];
  __shared__ float samples[MEL_FRAMES][MEL_WINDOW];
  __shared__ double power[MEL_FRAMES][MEL_BINS];
  __shared__ float band_values[MEL_FRAMES][MEL_BANDS];
  const int32_t thread = static_cast<int32_t>(threadIdx.x);
  const Recording recording = p.recordings[blockIdx.y];
  const int64_t first = static_cast<int64_t>(blockIdx.x) * MEL_FRAMES;
  const int64_t left = mel_frames(recording) - first;
  // The same for all threads of the block.
  if (left <= 0) return;
  const int32_t frames = static_cast<int32_t>(left < MEL_FRAMES ? left : MEL_FRAMES);

  for (int32_t i = thread; i < MEL_WINDOW; i += THREADS) {
    cosines[i] = p.cosines[i];
    for (int32_t frame = 0; frame < frames; frame++) samples[frame][i] = windowed(p, recording, first + frame, i);
  }
  __syncthreads();

  if (thread < MEL_BINS) {
    for (int32_t frame = 0; frame < frames; frame++) {
      const float *values = samples[frame];
      const double middle = static_cast<double>(values[MEL_MIDDLE]);
      double real = plus(static_cast<double>(values[0]), thread % 2 == 0 ? middle : -middle);
      double imaginary = 0.0;
      int32_t angle = 0;
      for (int32_t i = 1; i < MEL_MIDDLE; i++) {
        angle += thread;
        if (angle >= MEL_WINDOW) angle -= MEL_WINDOW;
        // sin a = cos (a - 90 degrees).
        const int32_t quarter_back = angle < MEL_WINDOW / 4 ? angle + 3 * (MEL_WINDOW / 4) : angle - MEL_WINDOW / 4;
        const double here = static_cast<double>(values[i]), there = static_cast<double>(values[MEL_WINDOW - i]);
        real = plus(real, times(plus(here, there), cosines[angle]));
        imaginary = plus(imaginary, times(plus(here, -there), cosines[quarter_back]));
      }
      power[frame][thread] = plus(times(real, real), times(imaginary, imaginary));
    }
  }
  __syncthreads();

  for (int32_t i = thread; i < frames * MEL_BANDS; i += THREADS) {
    const int32_t frame = i / MEL_BANDS, band = i % MEL_BANDS;
    const Window bins = p.bands[band];
    double energy = 0.0;
    for (int32_t k = 0; k < bins.count; k++) {
      energy = plus(energy, times(static_cast<double>(p.band_weights[bins.weights + k]), power[frame][bins.first + k]));
    }
    const float value = static_cast<float>(log10(energy > 1e-10 ? energy : 1e-10));
    band_values[frame][band] = value;
    recording.output[(first + frame) * MEL_BANDS + band] = value;
  }
  __syncthreads();

  if (thread < frames) {
    float loudest = band_values[thread][0];
    for (int32_t band = 1; band < MEL_BANDS; band++) loudest = fmaxf(loudest, band_values[thread][band]);
    p.frame_maxima[recording.first_frame + first + thread] = loudest;
  }
}

extern "C" __global__ void __launch_bounds__(THREADS) log_mel_loudest(const MelParameters p) {
  __shared__ float values[THREADS];
  const Recording recording = p.recordings[blockIdx.x];
  const int64_t frames = mel_frames(recording);
  // No lower value can come out of log_mel_frames.
  float loudest = -10.0f;
  for (int64_t frame = threadIdx.x; frame < frames; frame += THREADS) {
    loudest = fmaxf(loudest, p.frame_maxima[recording.first_frame + frame]);
  }
  loudest = block_maximum(values, loudest);
  if (threadIdx.x == 0) p.loudest[blockIdx.x] = loudest;
}

// In a launch of its own: the loudest value is known when the last block of the first is done.
extern "C" __global__ void __launch_bounds__(THREADS) log_mel_clamp(const MelParameters p) {
  const Recording recording = p.recordings[blockIdx.y];
  const int64_t count = mel_frames(recording) * MEL_BANDS;
  const float floor = plus(p.loudest[blockIdx.y], -8.0f);
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * THREADS + threadIdx.x; i < count;
       i += static_cast<int64_t>(MEL_CLAMP_BLOCKS) * THREADS) {
    recording.output[i] = times(plus(fmaxf(recording.output[i], floor), 4.0f), 0.25f);
  }
}

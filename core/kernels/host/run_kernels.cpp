// Runs kernels on the CPU for a program at the other end of two pipes.
//
// A request on standard input, all numbers little-endian:
//   u32 kernel (index in KERNELS), u32 grid[3], u32 threads of a block, u32 buffers, u32 addresses
//   buffers times: u64 length, u32 misalignment, u32 whether it is sent back, then its bytes
//   addresses times: u32 buffer, u32 offset in it, u32 buffer whose address is put there, u32 offset that is added to it
// Buffer 0 holds the kernel's parameters. The answer on standard output: the bytes of the buffers to be sent back, in order.
//
// Each buffer is an allocation of exactly its length behind `misalignment` bytes, so that the sanitizer sees a single byte read past it.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vector>

#include "../audio.cu"
#include "../difference.cu"
#include "../face.cu"
#include "../picture.cu"

namespace {

template <typename Parameters, void (*kernel)(const Parameters)>
void call(const void *parameters) {
  kernel(*static_cast<const Parameters *>(parameters));
}

using Kernel = void (*)(const void *);
constexpr Kernel KERNELS[] = {
    call<PictureParameters, picture_batch>,       call<FaceParameters, face_batch>,
    call<DifferenceParameters, difference_sums>,  call<DifferenceParameters, difference_scores>,
    call<SoundParameters, sound_sums>,            call<SoundParameters, sound_squares>,
    call<SoundParameters, sound_normalise>,       call<MelParameters, log_mel_frames>,
    call<MelParameters, log_mel_loudest>,         call<MelParameters, log_mel_clamp>,
};
constexpr uint32_t KERNEL_COUNT = sizeof KERNELS / sizeof KERNELS[0];

struct Header {
  uint32_t kernel;
  uint32_t grid[3];
  uint32_t threads;
  uint32_t buffers;
  uint32_t addresses;
};

struct Buffer {
  char *memory;
  char *data;
  uint64_t length;
  bool is_sent_back;
};

struct Address {
  uint32_t buffer;
  uint32_t offset;
  uint32_t target;
  uint32_t target_offset;
};

[[noreturn]] void stop(const char *reason) {
  fprintf(stderr, "run_kernels: %s\n", reason);
  exit(2);
}

void receive(void *to, size_t bytes) {
  if (bytes > 0 && fread(to, 1, bytes, stdin) != bytes) stop("the request ends early");
}

Buffer receive_buffer() {
  uint64_t length;
  uint32_t misalignment, is_sent_back;
  receive(&length, sizeof length);
  receive(&misalignment, sizeof misalignment);
  receive(&is_sent_back, sizeof is_sent_back);
  char *memory = static_cast<char *>(malloc(length + misalignment));
  if (memory == nullptr && length + misalignment > 0) stop("no memory for a buffer");
  receive(memory + misalignment, length);
  return Buffer{memory, memory + misalignment, length, is_sent_back != 0};
}

void put_address(const std::vector<Buffer> &buffers, const Address &address) {
  if (address.buffer >= buffers.size() || address.target >= buffers.size()) stop("an address of no buffer");
  const Buffer &buffer = buffers[address.buffer];
  const Buffer &target = buffers[address.target];
  if (buffer.length < 8 || address.offset > buffer.length - 8 || address.target_offset > target.length) {
    stop("an address outside of its buffer");
  }
  const char *value = target.data + address.target_offset;
  memcpy(buffer.data + address.offset, &value, sizeof value);
}

}  // namespace

int main() {
  Header header;
  while (fread(&header, sizeof header, 1, stdin) == 1) {
    if (header.kernel >= KERNEL_COUNT || header.buffers == 0 || header.threads == 0) stop("not a request");
    std::vector<Buffer> buffers;
    for (uint32_t i = 0; i < header.buffers; i++) buffers.push_back(receive_buffer());
    for (uint32_t i = 0; i < header.addresses; i++) {
      Address address;
      receive(&address, sizeof address);
      put_address(buffers, address);
    }
    run_grid(Uint3{header.grid[0], header.grid[1], header.grid[2]}, header.threads, KERNELS[header.kernel], buffers[0].data);
    for (const Buffer &buffer : buffers) {
      if (buffer.is_sent_back && fwrite(buffer.data, 1, buffer.length, stdout) != buffer.length) stop("nobody reads the answer");
      free(buffer.memory);
    }
    fflush(stdout);
  }
  return 0;
}

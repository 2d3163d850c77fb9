// The scheduler of cuda_on_cpu.h.
#include "cuda_on_cpu.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

Uint3 threadIdx, blockIdx, blockDim, gridDim;

// The linker's names for the ends of the section.
extern "C" char __start_cuda_shared[];
extern "C" char __stop_cuda_shared[];

namespace {

// Enough for frames that a sanitizer has blown up.
constexpr size_t STACK_BYTES = 256 * 1024;
constexpr size_t GUARD_BYTES = 4096;

enum class State { Ready, AtBarrier, Finished };

struct Fibre {
  ucontext_t context;
  char *stack;
  void *fake_stack;
  State state;
};

std::vector<Fibre> fibres;
ucontext_t scheduler;
void *scheduler_fake_stack;
const void *scheduler_stack;
size_t scheduler_stack_bytes;
uint32_t current;
void (*running_kernel)(const void *);
const void *running_parameters;

[[noreturn]] void stop(const char *reason) {
  fprintf(stderr, "cuda_on_cpu: %s\n", reason);
  abort();
}

// AddressSanitizer must know which stack is in use.
void leaving(void **fake_stack, const void *stack, size_t bytes) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(fake_stack, stack, bytes);
#else
  (void)fake_stack, (void)stack, (void)bytes;
#endif
}
void arrived(void *fake_stack, const void **left_stack, size_t *left_bytes) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(fake_stack, left_stack, left_bytes);
#else
  (void)fake_stack, (void)left_stack, (void)left_bytes;
#endif
}

void to_scheduler(State state) {
  Fibre &fibre = fibres[current];
  fibre.state = state;
  leaving(&fibre.fake_stack, scheduler_stack, scheduler_stack_bytes);
  swapcontext(&fibre.context, &scheduler);
  arrived(fibre.fake_stack, &scheduler_stack, &scheduler_stack_bytes);
}

void to_fibre(uint32_t index) {
  current = index;
  threadIdx = Uint3{index, 0, 0};
  Fibre &fibre = fibres[index];
  leaving(&scheduler_fake_stack, fibre.stack, STACK_BYTES);
  swapcontext(&scheduler, &fibre.context);
  arrived(scheduler_fake_stack, nullptr, nullptr);
}

// What a fibre runs: the kernel, for one block after the other.
void fibre_main() {
  arrived(nullptr, &scheduler_stack, &scheduler_stack_bytes);
  for (;;) {
    running_kernel(running_parameters);
    to_scheduler(State::Finished);
  }
}

void make_fibres(uint32_t count) {
  while (fibres.size() < count) {
    void *memory = mmap(nullptr, STACK_BYTES + GUARD_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED || mprotect(memory, GUARD_BYTES, PROT_NONE) != 0) stop("no memory for a stack");
    Fibre fibre{};
    fibre.stack = static_cast<char *>(memory) + GUARD_BYTES;
    fibres.push_back(fibre);
  }
  // Contexts hold addresses into themselves and are made when they no longer move.
  for (Fibre &fibre : fibres) {
    getcontext(&fibre.context);
    fibre.context.uc_stack.ss_sp = fibre.stack;
    fibre.context.uc_stack.ss_size = STACK_BYTES;
    fibre.context.uc_link = nullptr;
    makecontext(&fibre.context, fibre_main, 0);
    // The registers point to the stack now. AddressSanitizer, which looks here at each switch, would forget what it knows of it.
    fibre.context.uc_stack.ss_size = 0;
  }
}

// Past the sanitizer, which guards the space between the variables.
__attribute__((no_sanitize_address)) void fill_shared() {
  for (volatile char *byte = __start_cuda_shared; byte < __stop_cuda_shared; byte++) *byte = static_cast<char>(0xa5);
}

void run_block(uint32_t threads, bool is_forward) {
  fill_shared();
  for (uint32_t i = 0; i < threads; i++) fibres[i].state = State::Ready;
  for (;;) {
    uint32_t waiting = 0;
    for (uint32_t i = 0; i < threads; i++) {
      const uint32_t index = is_forward ? i : threads - 1 - i;
      to_fibre(index);
      if (fibres[index].state == State::AtBarrier) waiting++;
    }
    if (waiting == 0) return;
    if (waiting != threads) stop("a barrier was reached by a part of the block only");
    is_forward = !is_forward;
  }
}

}  // namespace

void __syncthreads() { to_scheduler(State::AtBarrier); }

void run_grid(Uint3 grid, uint32_t threads, void (*kernel)(const void *), const void *parameters) {
  if (fibres.size() < threads) make_fibres(threads);
  running_kernel = kernel;
  running_parameters = parameters;
  gridDim = grid;
  blockDim = Uint3{threads, 1, 1};
  bool is_forward = true;
  for (uint32_t z = 0; z < grid.z; z++) {
    for (uint32_t y = 0; y < grid.y; y++) {
      for (uint32_t x = 0; x < grid.x; x++) {
        blockIdx = Uint3{x, y, z};
        run_block(threads, is_forward);
        is_forward = !is_forward;
      }
    }
  }
}

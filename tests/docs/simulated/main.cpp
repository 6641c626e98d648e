// The code of docs/simulated-gpu.md: its kernel runs, its controls act.

#include <miniparallel/simulator.h>
#include <miniparallel/simulator_clock.h>

#include <cuda_runtime.h>

#include <cassert>
#include <cstdio>

void scale_on(cudaStream_t stream, float* x, int n);

namespace {

float* numbers = nullptr;

void train_one_step() {
  if (numbers != nullptr) scale_on(nullptr, numbers, 1000);
}

void ok(cudaError_t code) { assert(code == cudaSuccess); }

}  // namespace

int main() {
  {
    miniparallel::simulator::reset(miniparallel::simulator::machine_with(1));
    ok(cudaMalloc(&numbers, 1000 * sizeof(float)));
    ok(cudaMemset(numbers, 0, 1000 * sizeof(float)));
    train_one_step();
    float first = 1;
    ok(cudaMemcpy(&first, numbers, sizeof first, cudaMemcpyDeviceToHost));
    ok(cudaFree(numbers));
    numbers = nullptr;
    if (first != 0) return std::puts("2 * 0 is not 0"), 1;
  }

#include "snippets/simulated-gpu/hostile.inc"
  // On the page the faults are examples: here, the fifth allocation of GPU 2 fails and GPU 3 is lost.
  ok(cudaSetDevice(2));
  int failures = 0;
  for (int i = 0; i < 6; ++i) {
    void* memory = nullptr;
    if (cudaMalloc(&memory, 64) == cudaErrorMemoryAllocation)
      ++failures, static_cast<void>(cudaGetLastError());
    if (memory != nullptr) ok(cudaFree(memory));
  }
  if (failures != 1) return std::printf("%d allocations failed\n", failures), 1;

  ok(cudaSetDevice(0));
#include "snippets/simulated-gpu/clock.inc"
}

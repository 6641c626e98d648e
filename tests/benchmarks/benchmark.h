#pragma once

#include <miniparallel/miniparallel.h>

#include <benchmark/benchmark.h>

/// What the programs for one family of ops share. They run on the CPU or, with `--device cuda`, on a GPU.

namespace miniparallel::benchmarks {

/// For the tensors that are measured: on the device of `--device`.
inline TensorOptions here;

/// Times `work()` to its end on the device. (`UseRealTime`: while a GPU works the CPU's clock may stand.)
template <class Work>
void measure(benchmark::State& state, Work&& work) {
  work();  // fills caches of memory and plans
  synchronize(here.device);
  for (auto _ : state) {
    work();
    synchronize(here.device);
  }
}

}  // namespace miniparallel::benchmarks

#pragma once

#include "engine/cuda/gpus.h"

#include <array>
#include <memory>
#include <shared_mutex>
#include <vector>

namespace miniparallel::cuda {

/// Records what one thread enqueues, on streams of its own, so that other threads use theirs as always.
class GraphCapture {
 public:
  explicit GraphCapture(Gpus& gpus) : gpus_(gpus) {}

  void begin();
  std::unique_ptr<Graph> end();
  /// The recording stream in the place of one of the GPU's. The first one that is asked for begins the graph;
  /// others join it.
  kernels::Stream stream(Gpu& gpu, StreamKind kind);

 private:
  struct Joined {
    Gpu* gpu;
    StreamKind kind;
    kernels::Stream stream;
  };

  Gpus& gpus_;
  std::unique_lock<std::shared_mutex> alone_;
  std::vector<Joined> joined_;          // the first one is where the graph begins
  std::unique_ptr<PooledEvent> begun_;  // recorded there
};

}  // namespace miniparallel::cuda

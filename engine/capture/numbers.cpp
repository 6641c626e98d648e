#include "engine/capture/numbers.h"

#include "engine/capture/exclusive.h"
#include "engine/device/accelerator.h"
#include "engine/tensor/tensor_impl.h"

#include <algorithm>

namespace miniparallel {
namespace {

constexpr std::size_t kChunk = 16384, kAlignment = 16;

}  // namespace

Capture::Numbers StepNumbers::reserve(std::size_t bytes) {
  const std::size_t size = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  if (chunks_.empty() || chunks_.back()->used + size > chunks_.back()->now.size()) {
    auto chunk = std::make_unique<Chunk>();
    chunk->now.resize(std::max(size, kChunk));
    chunk->on_device = make_exclusive({static_cast<std::int64_t>(chunk->now.size())}, uint8, device_);
    if (!chunk->on_device.defined()) return {};
    chunks_.push_back(std::move(chunk));
  }
  Chunk& chunk = *chunks_.back();
  const std::size_t begin = chunk.used;
  chunk.used += size;
  return {chunk.now.data() + begin, chunk.on_device.impl()->data() + begin};
}

void StepNumbers::upload() {
  for (const std::unique_ptr<Chunk>& chunk : chunks_) {
    const std::span now(chunk->now.data(), chunk->used);
    if (std::ranges::equal(now, chunk->uploaded)) continue;
    accelerator(device_).copy_to_device(chunk->on_device.impl()->data(), now.data(), now.size(),
                                        stream(device_));
    chunk->uploaded.assign(now.begin(), now.end());
  }
}

}  // namespace miniparallel

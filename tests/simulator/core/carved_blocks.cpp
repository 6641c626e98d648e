// Blocks that a caching allocator carves out of an allocation:
// handed out and returned in the order of a stream.

#include "core/call.h"
#include "core/checker.h"

#include <utility>

namespace miniparallel::simulator {
namespace {

/// Queues what is no call of CUDA: nothing is noted as an error, and a machine that has failed ignores it.
void tell(CUstream_st* handle, Work work) {
  Simulation& s = simulation();
  const Lock lock(s.mutex);
  if (HostThread::get(s).in_operation || s.sticky != cudaSuccess) return;
  const auto stream = resolve(s, handle);
  if (stream && state_error(s, stream->device) == cudaSuccess) append(s, stream, std::move(work));
}

}  // namespace

void block_handed_out(const void* begin, std::size_t bytes, CUstream_st* handle) {
  Simulation& s = simulation();
  if (checker() == nullptr) return;
  const auto address = reinterpret_cast<std::uintptr_t>(begin);
  tell(handle, {.name = "a block's hand-out",
                .kind = WorkKind::note,
                .accesses = {},
                .run =
                    [&s, address, bytes] {
                      const std::scoped_lock lock(s.mutex, checker()->mutex);
                      auto block = std::make_unique<Allocation>();
                      block->parent = s.arenas.find(address);
                      if (block->parent == nullptr || address % Shadow::granule != 0)
                        return cudaErrorInvalidValue;
                      block->parent->carved = true;
                      block->number = block->parent->number;
                      block->owner = block->parent->owner;
                      block->begin = address;
                      block->bytes = bytes;
                      checker()->block_changed(*block);
                      s.retired_blocks.push_back(std::exchange(s.blocks[address], std::move(block)));
                      return cudaSuccess;
                    },
                .after = {},
                .gate = {}});
}

void block_returned(const void* begin, CUstream_st* handle) {
  Simulation& s = simulation();
  if (checker() == nullptr) return;
  const auto address = reinterpret_cast<std::uintptr_t>(begin);
  tell(handle, {.name = "a block's return",
                .kind = WorkKind::note,
                .accesses = {},
                .run =
                    [&s, address] {
                      const std::scoped_lock lock(s.mutex, checker()->mutex);
                      const auto block = s.blocks.find(address);
                      // Unknown if the graph that hands it out was never launched.
                      if (block != s.blocks.end()) block->second->freed = true;
                      return cudaSuccess;
                    },
                .after = {},
                .gate = {}});
}

}  // namespace miniparallel::simulator

#pragma once

#include "engine/capturing.h"
#include "engine/memory/caching_allocator.h"

#include <memory>

namespace miniparallel {

/// Memory of a graph: blocks of another allocator that serve nothing else until the pool ends. Work that is
/// recorded uses them in the order of its own streams; the graph runs in the order of `stream`, to which the
/// blocks belong in the other allocator.
class Pool {
 public:
  Pool(CachingAllocator& parent, kernels::Stream stream)
      : source_(parent, stream), allocator_("the memory of a captured step", source_, parent.smallest()) {}

  CachingAllocator& allocator() { return allocator_; }
  kernels::Stream stream() const { return source_.stream(); }
  CachingAllocator& parent() const { return source_.parent(); }

 private:
  class Source final : public MemorySource {
   public:
    Source(CachingAllocator& parent, kernels::Stream stream) : parent_(parent), stream_(stream) {}
    CachingAllocator& parent() const { return parent_; }
    kernels::Stream stream() const { return stream_; }

    void* take(std::size_t bytes) override {
      const WithoutCapture outside;
      return parent_.try_allocate(bytes, stream_);
    }
    void give_back(void* block, std::size_t bytes) override { parent_.deallocate(block, bytes, stream_, {}); }
    void synchronize() override { parent_.source().synchronize(); }
    bool waits() const override { return parent_.source().waits(); }
    Mark record_mark(kernels::Stream stream) override { return parent_.source().record_mark(stream); }
    void release_mark(Mark mark) override { parent_.source().release_mark(mark); }
    bool wait_mark(Mark mark, kernels::Stream stream) override {
      return parent_.source().wait_mark(mark, stream);
    }

   private:
    CachingAllocator& parent_;
    kernels::Stream stream_;
  };

  Source source_;
  CachingAllocator allocator_;
};

/// Ends a pool as soon as no tensor holds any of its blocks. Waits for the device.
void retire(std::unique_ptr<Pool> pool);
/// Ends those retired ones of which no tensor holds a block any more.
void end_retired_pools();

}  // namespace miniparallel

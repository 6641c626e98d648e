#include "engine/memory/pool.h"

#include <exception>
#include <mutex>
#include <utility>
#include <vector>

namespace miniparallel {
namespace {

struct Retired {
  std::mutex mutex;
  std::vector<std::unique_ptr<Pool>> pools;
};

Retired& retired() {
  static auto* const all = new Retired;  // usable while the process ends
  return *all;
}

}  // namespace

void retire(std::unique_ptr<Pool> pool) {
  {
    const std::scoped_lock lock(retired().mutex);
    retired().pools.push_back(std::move(pool));
  }
  end_retired_pools();
}

void end_retired_pools() {
  const std::scoped_lock lock(retired().mutex);
  std::erase_if(retired().pools, [](const std::unique_ptr<Pool>& pool) {
    try {
      pool->allocator().empty_cache();
    } catch (const std::exception&) {
      // A device that has failed keeps its memory.
    }
    return pool->allocator().stats().used == 0;
  });
}

}  // namespace miniparallel

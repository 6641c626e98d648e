#include "engine/memory/pool.h"

#include <algorithm>
#include <exception>
#include <iterator>
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
  std::vector<std::unique_ptr<Pool>> pools;
  {
    const std::scoped_lock lock(retired().mutex);
    pools.swap(retired().pools);
  }
  std::erase_if(pools, [](const std::unique_ptr<Pool>& pool) {  // waits, so without the lock
    try {
      pool->allocator().empty_cache();
    } catch (const std::exception&) {
      // A device that has failed keeps its memory.
    }
    return pool->allocator().stats().used == 0;
  });
  const std::scoped_lock lock(retired().mutex);
  std::move(pools.begin(), pools.end(), std::back_inserter(retired().pools));
}

}  // namespace miniparallel

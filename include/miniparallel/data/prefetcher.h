#pragma once

#include <miniparallel/require_cxx20.h>

#include <cstdint>
#include <functional>
#include <memory>

namespace miniparallel::data {

/// Makes item first, first + 1, ... before end on worker threads and hands them out in that order, however
/// the workers overtake each other. Workers run at most `ahead` items in front of the reader. Without workers
/// an item is made when it is asked for. Workers take over grad mode and default dtype of the thread that
/// makes the prefetcher.
class Prefetcher {
 public:
  using Item = std::shared_ptr<void>;
  using Make = std::function<Item(std::int64_t)>;

  Prefetcher(std::int64_t first, std::int64_t end, int workers, int ahead, Make make);
  ~Prefetcher();  ///< starts no further item, waits for those being made, and drops them
  Prefetcher(const Prefetcher&) = delete;
  Prefetcher& operator=(const Prefetcher&) = delete;

  /// The next item, waiting for it if need be; null after the
  /// last. What `make` threw for the item is thrown here.
  Item next();

 private:
  struct Workers;

  void forget_lost_workers();

  std::int64_t next_, end_;
  Make make_;
  std::unique_ptr<Workers> workers_;
};

}  // namespace miniparallel::data

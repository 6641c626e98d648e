#pragma once

#include <miniparallel/data/collate.h>
#include <miniparallel/data/dataset.h>
#include <miniparallel/data/prefetcher.h>
#include <miniparallel/data/sampler.h>
#include <miniparallel/state_dict.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <numeric>
#include <optional>
#include <span>
#include <utility>
#include <vector>

namespace miniparallel::data {

struct DataLoaderOptions {
  std::int64_t batch_size = 1;  ///< examples; at least 1
  bool shuffle = false;         ///< a new order each epoch
  bool drop_last = false;       ///< leave out the last batch where it is smaller
  int num_workers = 0;          ///< threads that make batches ahead, at most 4096; 0: made when asked for
  int prefetch = 2;             ///< batches that each worker may be ahead, 1 to 4096
  std::optional<std::uint64_t> seed =
      {};                ///< of the order and of augmentation; else drawn after `manual_seed`
  Sampler sampler = {};  ///< instead of `shuffle`: which examples, in which order
  /// Makes batches in page-locked memory, from which GPUs copy by themselves: `to` a GPU, and DataParallel,
  /// then copy nothing on the host and do not wait. Does nothing where there is no GPU. Writing a batch in
  /// place, and `data<T>()` of it, waits until copies from it are done.
  bool pin_memory = false;
};

/// Where a loader stands: enough to continue in the middle of an epoch with the same batches.
struct LoaderPosition {
  std::uint64_t seed = 0;
  std::int64_t epoch = 0;
  std::int64_t batch = 0;  ///< batches of this epoch handed out so far
  friend bool operator==(const LoaderPosition&, const LoaderPosition&) = default;
};

namespace detail {
/// Throws `Error` where an option makes no sense.
void check_options(const DataLoaderOptions& options, std::int64_t size);
/// Throws `Error` where an index is not in a dataset of `size` examples.
void check_order(const std::vector<std::int64_t>& order, std::int64_t size);
/// Throws `Error` where no loader could have stood there.
void check_position(const LoaderPosition& position);
/// The state that a loader saves: its position, and the sizes on which the numbering of batches depends.
StateDict loader_state(const LoaderPosition& position, std::int64_t examples, std::int64_t batch_size);
/// The position in such a state. Throws `Error` where there
/// is none, or it is in the middle of an epoch of other batches.
LoaderPosition loader_position(const StateDict& state, std::int64_t examples, std::int64_t batch_size);
/// A seed from the process's random state, so that `manual_seed` decides it.
std::uint64_t draw_seed();
/// The stream of random numbers for the example at `place` of an epoch's order.
RandomStream example_stream(const LoaderPosition& epoch, std::int64_t place);

/// While it lives, and `on`, CPU tensors that the thread makes are in pinned memory, where there are GPUs.
class PinMemory {
 public:
  explicit PinMemory(bool on);
  ~PinMemory();
  PinMemory(const PinMemory&) = delete;
  PinMemory& operator=(const PinMemory&) = delete;

 private:
  bool previous_;
};

/// One batch, by the best of the ways that the dataset offers.
template <class D>
auto make_batch(const D& dataset, std::span<const std::int64_t> indices, const LoaderPosition& epoch,
                std::int64_t first_place, bool pin_memory = false) {
  if constexpr (HasGetBatch<D>) {
    const PinMemory scope(pin_memory);
    return dataset.get_batch(indices);
  } else if constexpr (Dataset<D>) {
    const auto get = [&](std::size_t i) {
      if constexpr (HasRandomGet<D>) {
        RandomStream random = example_stream(epoch, first_place + static_cast<std::int64_t>(i));
        return dataset.get(indices[i], random);
      } else {
        return dataset.get(indices[i]);
      }
    };
    std::vector<decltype(get(0))> examples;
    examples.reserve(indices.size());
    for (std::size_t i = 0; i < indices.size(); ++i) examples.push_back(get(i));
    const PinMemory scope(pin_memory);
    return collate(std::move(examples));
  } else {
    return 0;
  }
}
}  // namespace detail

/// All examples of a dataset as one batch, in order: for what fits in memory.
template <class D>
auto as_batch(const D& dataset) {
  detail::check_dataset<D>();
  std::vector<std::int64_t> indices(static_cast<std::size_t>(dataset.size()));
  std::iota(indices.begin(), indices.end(), 0);
  return detail::make_batch(dataset, indices, {.seed = detail::draw_seed()}, 0);
}

/// Batches of a dataset, one epoch per loop:
///
///   for (auto& [images, labels] : loader) ...
///
/// The batches depend on the seed and the epoch alone, not on the number of workers.
/// The batch itself is valid until the next step of the loop; its tensors may be
/// kept. An exception of a dataset on a worker is rethrown by the loop when it
/// comes to that batch. Leaving the loop early stops the workers. One loop at a time.
template <class D>
class DataLoader {
  static_assert((detail::check_dataset<D>(), true));

 public:
  using Batch = decltype(detail::make_batch(std::declval<const D&>(), {}, {}, 0));

  /// Throws `Error` for options out of range, and for `shuffle` together with a sampler.
  explicit DataLoader(D dataset, DataLoaderOptions options = {})
      : dataset_(std::move(dataset)), options_(std::move(options)) {
    detail::check_options(options_, dataset_.size());
    position_.seed = options_.seed ? *options_.seed : detail::draw_seed();
  }
  DataLoader(const DataLoader&) = delete;  // workers read the dataset where it is
  DataLoader& operator=(const DataLoader&) = delete;

  struct End {};
  class Iterator {
   public:
    using value_type = Batch;
    using difference_type = std::ptrdiff_t;

    explicit Iterator(DataLoader& loader) : loader_(&loader), prefetcher_(loader.start()) { advance(); }
    Batch& operator*() const { return *batch_; }
    Batch* operator->() const { return batch_.get(); }
    Iterator& operator++() {
      advance();
      return *this;
    }
    void operator++(int) { advance(); }
    friend bool operator==(const Iterator& at, End) { return at.batch_ == nullptr; }

   private:
    void advance() {
      batch_ = nullptr;  // its memory can serve the batch after the next
      batch_ = std::static_pointer_cast<Batch>(prefetcher_->next());
      loader_->count(batch_ != nullptr);
    }

    DataLoader* loader_;
    std::unique_ptr<Prefetcher> prefetcher_;
    std::shared_ptr<Batch> batch_;
  };

  /// Starts an epoch: from its first batch, or from where `resume` said.
  Iterator begin() { return Iterator(*this); }
  End end() const { return {}; }

  /// Batches per epoch; with a sampler of the user's, of this epoch.
  std::int64_t size() const {
    return batch_count(options_.sampler ? static_cast<std::int64_t>(order(position_).size())
                                        : dataset_.size());
  }
  const D& dataset() const { return dataset_; }
  const DataLoaderOptions& options() const { return options_; }

  /// Where the loop stands; in its body the batch at hand counts as handed out. After a whole epoch it is the
  /// start of the next, so `epoch` counts the epochs that are done. After a loop that was left early it is
  /// where it was left, though the next loop starts a new epoch unless `resume` says otherwise.
  const LoaderPosition& position() const { return position_; }
  /// The next loop hands out the batches that follow `position`; `Error` for a negative one.
  void resume(const LoaderPosition& position) {
    detail::check_position(position);
    position_ = position;
    resumed_ = true;
  }

  /// The position as tensors, for `save_checkpoint`. Loaded into a loader of the same dataset and options it
  /// continues with the batch that would have been next; the number of workers may differ.
  StateDict state_dict() const {
    return detail::loader_state(position_, dataset_.size(), options_.batch_size);
  }
  /// Throws `Error`, changing nothing, where the state is not a DataLoader's or, in the middle of an epoch,
  /// of one with other batches.
  void load_state_dict(const StateDict& state) { prepare_load(state)(); }
  PreparedLoad prepare_load(const StateDict& state) {
    return [this, position = detail::loader_position(state, dataset_.size(), options_.batch_size)] {
      resume(position);
    };
  }

 private:
  std::vector<std::int64_t> order(const LoaderPosition& at) const {
    RandomStream random(at.seed, static_cast<std::uint64_t>(at.epoch));
    const Sampler& sampler = options_.sampler;
    if (!sampler) return (options_.shuffle ? shuffled() : in_order())(dataset_.size(), random);
    auto indices = sampler(dataset_.size(), random);
    detail::check_order(indices, dataset_.size());
    return indices;
  }
  std::int64_t batch_count(std::int64_t examples) const {
    const bool part_of_one = !options_.drop_last && examples % options_.batch_size != 0;
    return examples / options_.batch_size + (part_of_one ? 1 : 0);
  }

  std::unique_ptr<Prefetcher> start() {
    if (!std::exchange(resumed_, false) && position_.batch > 0) {  // the loop before was left early
      ++position_.epoch;
      position_.batch = 0;
    }
    auto indices = order(position_);
    const std::int64_t batches = batch_count(static_cast<std::int64_t>(indices.size()));
    auto make = [this, epoch = position_, indices = std::move(indices)](std::int64_t number) {
      const std::int64_t first = number * options_.batch_size;
      const std::int64_t left = static_cast<std::int64_t>(indices.size()) - first;
      const std::int64_t count = left < options_.batch_size ? left : options_.batch_size;
      const auto chosen =
          std::span(indices).subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count));
      return std::make_shared<Batch>(detail::make_batch(dataset_, chosen, epoch, first, options_.pin_memory));
    };
    return std::make_unique<Prefetcher>(position_.batch, batches, options_.num_workers,
                                        options_.num_workers * options_.prefetch, std::move(make));
  }

  void count(bool handed_out) {
    if (handed_out) {
      ++position_.batch;
    } else {
      ++position_.epoch;
      position_.batch = 0;
    }
  }

  D dataset_;
  DataLoaderOptions options_;
  LoaderPosition position_;
  bool resumed_ = false;
};

}  // namespace miniparallel::data

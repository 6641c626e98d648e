#include <miniparallel/data/data_loader.h>

#include <miniparallel/data/mnist.h>
#include <miniparallel/error.h>
#include <miniparallel/random.h>

#include "tests/support/idx_files.h"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <limits>
#include <memory>
#include <stdexcept>
#include <thread>

namespace miniparallel::data {
namespace {

using Integers = std::vector<std::int64_t>;

/// The numbers 0 .. n-1, each with a random companion.
struct Numbers {
  std::int64_t count;
  std::int64_t size() const { return count; }
  std::pair<std::int64_t, double> get(std::int64_t index, RandomStream& random) const {
    return {index, random.uniform()};
  }
};

struct Broken {
  std::int64_t size() const { return 10; }
  std::int64_t get(std::int64_t index) const {
    if (index == 5) throw std::runtime_error("example 5 is broken");
    return index;
  }
};

template <class Loader>
std::vector<Integers> epoch(Loader& loader) {
  std::vector<Integers> batches;
  for (auto& [numbers, random] : loader) batches.push_back(numbers.template to_vector<std::int64_t>());
  return batches;
}

TEST_CASE("data loader: batches in order, the last one smaller or dropped") {
  DataLoader whole(Numbers{7}, {.batch_size = 3});
  CHECK(epoch(whole) == std::vector<Integers>{{0, 1, 2}, {3, 4, 5}, {6}});
  CHECK(whole.size() == 3);
  DataLoader dropped(Numbers{7}, {.batch_size = 3, .drop_last = true});
  CHECK(epoch(dropped) == std::vector<Integers>{{0, 1, 2}, {3, 4, 5}});
  CHECK(dropped.size() == 2);
  DataLoader nothing(Numbers{0}, {.batch_size = 3, .num_workers = 2});
  CHECK(epoch(nothing).empty());
}

TEST_CASE("data loader: pin_memory changes no batch") {
  DataLoader plain(Numbers{7}, {.batch_size = 3, .shuffle = true, .seed = 5});
  for (const int workers : {0, 2}) {
    DataLoader pinned(
        Numbers{7},
        {.batch_size = 3, .shuffle = true, .num_workers = workers, .seed = 5, .pin_memory = true});
    plain.resume({.seed = 5});
    CHECK(epoch(pinned) == epoch(plain));
  }
}

TEST_CASE("data loader: order and augmentation depend on seed and epoch, not on the workers") {
  std::vector<std::vector<Integers>> orders;
  std::vector<double> first;
  for (const int workers : {0, 1, 2, 4}) {
    DataLoader loader(Numbers{100}, {.batch_size = 8, .shuffle = true, .num_workers = workers, .seed = 11});
    std::vector<Integers> seen;
    std::vector<double> random;
    for (int i = 0; i < 2; ++i) {
      for (auto& [numbers, companions] : loader) {
        seen.push_back(numbers.to_vector<std::int64_t>());
        const auto values = companions.to_vector<double>();
        random.insert(random.end(), values.begin(), values.end());
      }
    }
    orders.push_back(seen);
    if (first.empty()) first = random;
    CHECK(random == first);
    CHECK(orders.back() == orders.front());
    CHECK(seen.front() != seen.at(13));  // the second epoch has another order
  }
  CHECK(first[0] != first[100]);
}

TEST_CASE("data loader: the seed comes from manual_seed where none is given") {
  const auto first_epoch = [] {
    DataLoader loader(Numbers{50}, {.batch_size = 50, .shuffle = true});
    return epoch(loader);
  };
  manual_seed(3);
  const auto first = first_epoch(), second = first_epoch();
  CHECK(first != second);
  manual_seed(3);
  CHECK(first_epoch() == first);
}

TEST_CASE("data loader: what a worker throws reaches the loop at its batch") {
  for (const int workers : {0, 2}) {
    DataLoader loader(Broken{}, {.batch_size = 2, .num_workers = workers});
    std::int64_t batches = 0;
    const auto run = [&] {
      for ([[maybe_unused]] auto& batch : loader) ++batches;
    };
    CHECK_THROWS_WITH_AS(run(), "example 5 is broken", std::runtime_error);
    CHECK(batches == 2);
  }
}

TEST_CASE("data loader: the loop may be left early, the next one is a new epoch") {
  DataLoader loader(Numbers{100}, {.batch_size = 5, .shuffle = true, .num_workers = 3, .seed = 1});
  DataLoader whole(Numbers{100}, {.batch_size = 5, .shuffle = true, .seed = 1});
  for ([[maybe_unused]] auto& batch : loader) break;
  epoch(whole);
  CHECK(epoch(loader) == epoch(whole));
}

TEST_CASE("data loader: resume goes on in the middle of an epoch") {
  const DataLoaderOptions options{.batch_size = 5, .shuffle = true, .num_workers = 2};
  DataLoader original(Numbers{52}, options);
  epoch(original);
  LoaderPosition position;
  std::vector<Integers> rest;
  for (auto& [numbers, random] : original) {
    if (original.position().batch > 4) rest.push_back(numbers.to_vector<std::int64_t>());
    if (original.position().batch == 4) position = original.position();
  }
  CHECK(position.epoch == 1);

  DataLoader resumed(Numbers{52}, options);
  resumed.resume(position);
  CHECK(epoch(resumed) == rest);
  CHECK(resumed.position() == original.position());
  CHECK(epoch(resumed) == epoch(original));
}

TEST_CASE("data loader: tensors of a batch may be kept") {
  DataLoader loader(TensorDataset(arange(6)), {.batch_size = 2, .num_workers = 1});
  std::vector<Tensor> kept;
  for (auto& [numbers] : loader) kept.push_back(numbers);
  REQUIRE(kept.size() == 3);
  CHECK(kept[0].to_vector<int>() == std::vector<int>{0, 1});
  CHECK(kept[2].to_vector<int>() == std::vector<int>{4, 5});
}

/// Counts what is asked of it, and what of that is alive.
struct Counted {
  struct Alive {
    Alive() { ++count; }
    Alive(const Alive&) { ++count; }
    Alive& operator=(const Alive&) = default;
    ~Alive() { --count; }
    static inline std::atomic<int> count = 0;
  };
  std::int64_t size() const { return 1000; }
  std::shared_ptr<Alive> get_batch(std::span<const std::int64_t>) const {
    ++made;
    return std::make_shared<Alive>();
  }
  static inline std::atomic<int> made = 0;
};

std::ptrdiff_t threads() {
  std::this_thread::sleep_for(std::chrono::milliseconds(5));  // one that was joined is listed a moment longer
  return std::distance(std::filesystem::directory_iterator("/proc/self/task"), {});
}

TEST_CASE("data loader: workers are no more than their share ahead; leaving early drops all and ends them") {
  const auto threads_before = threads();
  for (const int workers : {0, 1, 3}) {
    for (const int prefetch : {1, 4}) {
      Counted::made = 0;
      DataLoader loader(Counted{}, {.batch_size = 2, .num_workers = workers, .prefetch = prefetch});
      for ([[maybe_unused]] auto& batch : loader) {
        if (loader.position().batch < 3) continue;
        const int most = 3 + workers * prefetch;
        for (int wait = 0; wait < 1000 && Counted::made < most; ++wait)
          std::this_thread::sleep_for(std::chrono::milliseconds(1));
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
        CHECK(Counted::made == most);
        break;
      }
      CHECK(Counted::Alive::count == 0);
    }
  }
  CHECK(threads() == threads_before);
}

TEST_CASE("data loader: the loop's own exception and one of a worker end the workers, the loader goes on") {
  const auto threads_before = threads();
  DataLoader loader(Numbers{100}, {.batch_size = 5, .num_workers = 3});
  const auto interrupted = [&] {
    for ([[maybe_unused]] auto& batch : loader) throw std::runtime_error("of the loop");
  };
  CHECK_THROWS_WITH_AS(interrupted(), "of the loop", std::runtime_error);
  CHECK(epoch(loader).size() == 20);

  DataLoader broken(Broken{}, {.batch_size = 2, .num_workers = 3});
  for (int i = 0; i < 2; ++i) {
    const auto run = [&] {
      for ([[maybe_unused]] auto& batch : broken) {
      }
    };
    CHECK_THROWS_WITH_AS(run(), "example 5 is broken", std::runtime_error);
  }
  CHECK(threads() == threads_before);
}

TEST_CASE("data loader: examples that cannot be joined, and a bad order, are errors of the loop") {
  struct Ragged {
    std::int64_t size() const { return 4; }
    Tensor get(std::int64_t index) const { return ones({index + 1}); }
  };
  for (const int workers : {0, 2}) {
    DataLoader ragged(Ragged{}, {.batch_size = 2, .num_workers = workers});
    CHECK_THROWS_AS(ragged.begin(), Error);
    for (const std::int64_t index : {-1, 4}) {
      DataLoader loader(Numbers{4}, {.num_workers = workers, .sampler = [index](std::int64_t, RandomStream&) {
                                       return Integers{0, index};
                                     }});
      CHECK_THROWS_WITH_AS(loader.begin(), doctest::Contains("of a dataset of 4; expected 0 to 3"), Error);
    }
  }
}

TEST_CASE("data loader: transforms run on the workers, with the workers' default dtype that of the loop") {
  const auto where = [](std::pair<std::int64_t, double> example) {
    example.second = static_cast<double>(std::hash<std::thread::id>()(std::this_thread::get_id()) >> 12);
    return std::pair{ones({1}), example.second};
  };
  const auto here = where({}).second;
  set_default_dtype(float64);
  for (const int workers : {0, 2}) {
    DataLoader loader(Transformed(Numbers{20}, where), {.batch_size = 4, .num_workers = workers});
    for (auto& [made, threads] : loader) {
      CHECK(made.dtype() == float64);
      for (const double thread : threads.to_vector<double>()) CHECK((thread == here) == (workers == 0));
    }
  }
  set_default_dtype(float32);
}

TEST_CASE("data loader: a batch is valid until the next step, what was moved out of it for longer") {
  for (const int workers : {0, 2}) {
    DataLoader loader(TensorDataset(arange(6)), {.batch_size = 1, .num_workers = workers, .prefetch = 1});
    std::vector<std::array<Tensor, 1>> whole_batches;
    for (auto& batch : loader) {
      const auto& seen = batch;                                   // one object for the whole body
      std::this_thread::sleep_for(std::chrono::milliseconds(1));  // the workers make the next ones
      CHECK(seen[0].item<int>() == loader.position().batch - 1);
      whole_batches.push_back(std::move(batch));
    }
    for (int i = 0; i < 6; ++i) CHECK(whole_batches.at(i)[0].item<int>() == i);
  }
}

TEST_CASE("data loader: samplers choose the examples") {
  DataLoader loader(Numbers{4}, {.batch_size = 2, .sampler = [](std::int64_t, RandomStream&) {
                                   return std::vector<std::int64_t>{3, 3, 0};
                                 }});
  CHECK(loader.size() == 2);
  CHECK(epoch(loader) == std::vector<Integers>{{3, 3}, {0}});
}

TEST_CASE("data loader: options that make no sense are refused") {
  CHECK_THROWS_WITH_AS(DataLoader(Numbers{4}, {.batch_size = 0}), doctest::Contains("batch_size is 0"),
                       Error);
  CHECK(DataLoader(Numbers{4}, {.batch_size = std::numeric_limits<std::int64_t>::max()}).size() == 1);
  CHECK_THROWS_WITH_AS(DataLoader(Numbers{4}, {.num_workers = 1 << 20}), doctest::Contains("0 to 4096"),
                       Error);
  CHECK_THROWS_WITH_AS(DataLoader(Numbers{4}).resume({.batch = -1}), doctest::Contains("batch -1"), Error);
  CHECK_THROWS_WITH_AS(DataLoader(Numbers{4}, {.num_workers = -1}), doctest::Contains("num_workers is -1"),
                       Error);
  CHECK_THROWS_WITH_AS(DataLoader(Numbers{4}, {.shuffle = true, .sampler = in_order()}),
                       doctest::Contains("exclude each other"), Error);
}

TEST_CASE("tensor dataset: rows of several tensors") {
  const TensorDataset dataset(arange(6).view({3, 2}), tensor({7, 8, 9}));
  CHECK(dataset.size() == 3);
  CHECK(dataset.get(1)[0].to_vector<int>() == std::vector<int>{2, 3});
  CHECK(dataset.get(1)[1].item() == 8);
  CHECK_THROWS_WITH_AS(TensorDataset(ones({3}), ones({2})), doctest::Contains("first sizes differ"), Error);
  CHECK_THROWS_WITH_AS(TensorDataset(scalar_tensor(1)), doctest::Contains("no dimensions"), Error);

  DataLoader loader(dataset, {.batch_size = 2});
  auto batch = loader.begin();
  auto& [rows, labels] = *batch;
  CHECK(rows.to_vector<int>() == std::vector<int>{0, 1, 2, 3});
  CHECK(labels.to_vector<int>() == std::vector<int>{7, 8});
}

TEST_CASE("dataset: transformed on the workers, and parts of it") {
  const Transformed doubled(Numbers{10}, [](std::pair<std::int64_t, double> example) {
    example.first *= 2;
    return example;
  });
  DataLoader loader(Subset(doubled, {4, 1}), {.batch_size = 2});
  CHECK(epoch(loader) == std::vector<Integers>{{8, 2}});

  const Transformed noisy(
      Broken{}, [](std::int64_t number, RandomStream& random) { return number + random.below(100) * 10; });
  RandomStream random(1, 2), same(1, 2);
  CHECK(noisy.get(3, random) == noisy.get(3, same));
}

TEST_CASE("data loader: MNIST") {
  const testing::TemporaryFolder folder;
  testing::write_mnist_split(folder.path(), "train", 10, true);
  DataLoader loader(Mnist(folder.path(), Split::train),
                    {.batch_size = 4, .shuffle = true, .num_workers = 2, .seed = 1});
  std::int64_t examples = 0;
  for (auto& [images, labels] : loader) {
    CHECK(images.size(0) == labels.size(0));
    examples += labels.size(0);
  }
  CHECK(examples == 10);
}

}  // namespace
}  // namespace miniparallel::data

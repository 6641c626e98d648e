#include <miniparallel/data/data_loader.h>

#include "engine/device/accelerator.h"
#include "engine/error.h"
#include "engine/random/generator.h"

namespace miniparallel::data::detail {

PinMemory::PinMemory(bool on) : previous_(set_pins_memory(on)) {}
PinMemory::~PinMemory() { set_pins_memory(previous_); }

void check_options(const DataLoaderOptions& options, std::int64_t size) {
  check(size >= 0, "DataLoader: the dataset's size is ", size, "; it must be at least 0");
  check(options.batch_size > 0, "DataLoader: batch_size is ", options.batch_size, "; it must be at least 1");
  constexpr int kMax = 4096;  // of either: their product is an int
  check(options.num_workers >= 0 && options.num_workers <= kMax, "DataLoader: num_workers is ",
        options.num_workers, "; it must be from 0 to ", kMax);
  check(options.prefetch > 0 && options.prefetch <= kMax, "DataLoader: prefetch is ", options.prefetch,
        "; it must be from 1 to ", kMax);
  check(!(options.shuffle && options.sampler),
        "DataLoader: shuffle and sampler exclude each other; set one of them");
}

void check_order(const std::vector<std::int64_t>& order, std::int64_t size) {
  for (const std::int64_t index : order) {
    check(index >= 0 && index < size, "DataLoader: the sampler chose example ", index, " of a dataset of ",
          size, "; expected 0 to ", size - 1);
  }
}

void check_position(const LoaderPosition& position) {
  constexpr std::int64_t kMax = std::int64_t{1} << 27;  // epochs whose examples have separate streams
  check(position.epoch >= 0 && position.epoch < kMax && position.batch >= 0, "DataLoader: epoch ",
        position.epoch, ", batch ", position.batch,
        " is not a position to resume at; take one from position()");
}

StateDict loader_state(const LoaderPosition& position, std::int64_t examples, std::int64_t batch_size) {
  return {{"seed", scalar_tensor(static_cast<std::int64_t>(position.seed))},  // its bits
          {"epoch", scalar_tensor(position.epoch)},
          {"batch", scalar_tensor(position.batch)},
          {"examples", scalar_tensor(examples)},
          {"batch_size", scalar_tensor(batch_size)}};
}

LoaderPosition loader_position(const StateDict& state, std::int64_t examples, std::int64_t batch_size) {
  const auto number = [&](const char* name) {
    const auto found = state.find(name);
    check(found != state.end() && found->second.dtype() == int64 && found->second.dim() == 0,
          "DataLoader::load_state_dict: the state has no whole number '", name,
          "'; pass that of a DataLoader");
    return found->second.item<std::int64_t>();
  };
  const LoaderPosition position{
      .seed = static_cast<std::uint64_t>(number("seed")), .epoch = number("epoch"), .batch = number("batch")};
  check(state.size() == 5, "DataLoader::load_state_dict: the state has ", state.size(),
        " entries, not 5; pass that of a DataLoader");
  check_position(position);
  const bool same = number("examples") == examples && number("batch_size") == batch_size;
  check(same || position.batch == 0, "DataLoader::load_state_dict: the state is batch ", position.batch,
        " of an epoch of ", number("examples"), " examples in batches of ", number("batch_size"),
        ", here are ", examples, " in batches of ", batch_size,
        "; in the middle of an epoch both must agree, other batches can start with a new epoch");
  return position;
}

std::uint64_t draw_seed() { return kernels::random_bits(next_key(1), 0); }

RandomStream example_stream(const LoaderPosition& epoch, std::int64_t place) {
  // The streams below 2^36 are those of the epochs' orders.
  return {epoch.seed,
          (static_cast<std::uint64_t>(epoch.epoch) + 1) << 36 | static_cast<std::uint64_t>(place)};
}

}  // namespace miniparallel::data::detail

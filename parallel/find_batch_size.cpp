#include <miniparallel/parallel/find_batch_size.h>

#include <miniparallel/memory.h>
#include <miniparallel/random.h>

#include "engine/error.h"
#include "parallel/devices.h"

#include <algorithm>
#include <bit>
#include <string>
#include <utility>

namespace miniparallel::parallel {
namespace {

/// Puts back, at the end, what a search changes for the whole process.
class Restore {
 public:
  explicit Restore(std::vector<Device> devices) : devices_(std::move(devices)), random_(random_state()) {}
  ~Restore() {
    set_random_state(random_);
    try {
      for (const Device device : devices_) empty_cache(device);
    } catch (const Error&) {  // of a GPU that has failed: every later call says so too
    }
  }
  Restore(const Restore&) = delete;
  Restore& operator=(const Restore&) = delete;

 private:
  std::vector<Device> devices_;
  RandomState random_;
};

}  // namespace

BatchSize find_batch_size(const std::vector<Device>& placement, const FindBatchSizeOptions& options,
                          const std::function<void(std::int64_t rows)>& train) {
  const std::vector<Device> devices = each_once(placement);
  const auto count = static_cast<std::int64_t>(devices.size());
  std::int64_t most = 0;  // replicas of one device
  for (const Device device : devices)
    most = std::max<std::int64_t>(most, std::ranges::count(placement, device));
  // Two rows for each replica at least, since batch normalisation cannot train on one.
  const auto first = static_cast<std::int64_t>(std::bit_ceil(2 * static_cast<std::uint64_t>(most)));
  check(first * count <= options.max_batch_size, "find_batch_size: max_batch_size is ",
        options.max_batch_size, "; ", placement.size(), " replicas need at least ", first * count, " rows");
  check(options.steps >= 1, "find_batch_size: got ", options.steps, " steps; name at least one");
  BatchSize found;
  std::string why;
  for (std::int64_t rows = first; rows * count <= options.max_batch_size; rows *= 2) {
    const Restore restore(devices);
    try {
      train(rows * count);
      for (const Device device : devices) synchronize(device);
    } catch (const OutOfMemoryError& error) {
      why = error.what();
      break;
    }
    found = {.per_device = rows, .total = rows * count};
  }
  if (found.total == 0)
    throw OutOfMemoryError(
        message("find_batch_size: ", first * count,
                " rows are too many already; the model needs more memory or larger GPUs: ", why));
  return found;
}

Tensor repeat_rows(const Tensor& tensor, std::int64_t rows, int dim) {
  const std::int64_t from = rows_of(tensor, dim);
  check(from > 0, "find_batch_size: the sample has no rows; pass at least one");
  Tensor index = empty({rows}, {.dtype = int64});
  for (std::int64_t i = 0; i < rows; ++i) index.data<std::int64_t>()[i] = i % from;
  return tensor.index_select(dim, index);
}

}  // namespace miniparallel::parallel

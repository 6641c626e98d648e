#include "kernels/cpu/index_runs.h"

#include "kernels/cpu/scratch.h"
#include "kernels/index_at.h"

#include <algorithm>
#include <cstring>

namespace miniparallel::kernels::cpu {
namespace {

constexpr std::int64_t kManyUses = 4;  // of the indices: to look for runs costs about one use
constexpr std::int64_t kLongRun = 6;   // indices: from here on a run's copy is worth its call

template <class T>
void copy_backwards(const std::byte* whole, std::int64_t first, std::int64_t count, std::byte* picked) {
  const T* const end = reinterpret_cast<const T*>(whole) + first + 1;
  std::reverse_copy(end - count, end, reinterpret_cast<T*>(picked));
}

}  // namespace

std::span<const IndexRun> index_runs(const IndexArgs& args) {
  if (args.outer < kManyUses || args.count < kLongRun || args.skip >= 0) return {};
  const auto at = [&](std::int64_t i) { return index_at(args.index, args.index_dtype, i); };
  const auto most = static_cast<std::size_t>(args.count / kLongRun);
  IndexRun* const runs = scratch<IndexRun, IndexRun>(args.count / kLongRun);
  std::size_t n = 0;
  for (std::int64_t i = 0; i < args.count;) {
    if (n == most) return {};
    IndexRun run{at(i), 1, 1};
    if (i + 1 < args.count && at(i + 1) == run.first - 1) run.step = -1;
    while (i + run.count < args.count && at(i + run.count) == run.first + run.count * run.step) ++run.count;
    i += run.count;
    runs[n++] = run;
  }
  return {runs, n};
}

void copy_run(const IndexRun& run, std::size_t bytes, const std::byte* whole, std::byte* picked) {
  const auto row = [&](std::int64_t index) { return static_cast<std::size_t>(index) * bytes; };
  if (run.step > 0) {
    std::memcpy(picked, whole + row(run.first), row(run.count));
    return;
  }
  switch (bytes) {
    case 1:
      return copy_backwards<std::uint8_t>(whole, run.first, run.count, picked);
    case 2:
      return copy_backwards<std::uint16_t>(whole, run.first, run.count, picked);
    case 4:
      return copy_backwards<std::uint32_t>(whole, run.first, run.count, picked);
    case 8:
      return copy_backwards<std::uint64_t>(whole, run.first, run.count, picked);
    default:
      for (std::int64_t i = 0; i < run.count; ++i)
        std::memcpy(picked + row(i), whole + row(run.first - i), bytes);
  }
}

}  // namespace miniparallel::kernels::cpu

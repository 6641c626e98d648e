#include "kernels/cpu/index_runs.h"

#include "kernels/cpu/copy.h"
#include "kernels/cpu/scratch.h"
#include "kernels/index_at.h"

#include <cstring>

namespace miniparallel::kernels::cpu {
namespace {

constexpr std::int64_t kManyUses = 4;  // of the indices: to look for runs costs about one use
constexpr std::int64_t kLongRun = 6;   // indices: from here on a run's copy is worth its call

}  // namespace

std::span<const IndexRun> index_runs(const IndexArgs& args) {
  if (args.outer < kManyUses || args.parts > 1 || args.count < kLongRun || args.skip >= 0) return {};
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
  const std::byte* const last = whole + row(run.first - run.count + 1);
  if (bytes == 1 || bytes == 2 || bytes == 4 || bytes == 8)
    return copy_backwards_for(bytes)(picked, last, run.count);
  for (std::int64_t i = 0; i < run.count; ++i)
    std::memcpy(picked + row(i), whole + row(run.first - i), bytes);
}

}  // namespace miniparallel::kernels::cpu

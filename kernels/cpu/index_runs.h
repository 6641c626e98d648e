#pragma once

#include "kernels/indexing.h"

#include <cstddef>
#include <cstdint>
#include <span>

namespace miniparallel::kernels::cpu {

/// `count` indices in a row, each one more than the one before it (step 1) or one less (step -1).
struct IndexRun {
  std::int64_t first, count, step;
};

/// The indices as runs, where these are long enough and every outer index uses them; else none. What pads,
/// mirrors, rolls or cuts windows is so.
std::span<const IndexRun> index_runs(const IndexArgs& args);

/// The rows of a run, of `bytes` each, one after the other.
void copy_run(const IndexRun& run, std::size_t bytes, const std::byte* whole, std::byte* picked);

}  // namespace miniparallel::kernels::cpu

#include "parallel/gradients.h"

#include "engine/tensor/arena.h"
#include "parallel/reduce.h"

#include <algorithm>
#include <utility>

namespace miniparallel::parallel {
namespace {

/// Calls f(first, last) for the longest runs of neighbours in the bucket that `takes(i)` names, in which
/// `joins(i)` says of each but the last that i + 1 is like i.
template <class Takes, class Joins, class F>
void for_each_run(const Arena& arena, Bucket bucket, const Takes& takes, const Joins& joins, const F& f) {
  for (std::size_t first = bucket.begin; first < bucket.end; ++first) {
    if (!takes(first)) continue;
    std::size_t last = first;
    while (last + 1 < bucket.end && arena.is_followed(last) && takes(last + 1) && joins(last)) ++last;
    f(first, last);
    first = last;
  }
}

bool has(const Gradients* part, std::size_t i) { return part != nullptr && part->has[i] != 0; }

}  // namespace

void add(const Gradients& from, Gradients& into, Bucket bucket) {
  for_each_run(
      from.arena, bucket, [&](std::size_t i) { return has(&from, i); },
      [&](std::size_t i) { return into.has[i] == into.has[i + 1]; },
      [&](std::size_t first, std::size_t last) {
        const Tensor to = into.arena.run(first, last);
        std::vector<Part> parts{{1, from.arena.run(first, last)}};
        if (has(&into, first)) parts.insert(parts.begin(), {0, to});
        sum_parts(std::move(parts), to);
        std::fill_n(into.has.begin() + static_cast<std::ptrdiff_t>(first), last + 1 - first, 1);
      });
}

std::int64_t sum_gradients(const std::vector<const Gradients*>& parts, const Sums& sums, Bucket bucket,
                           GradientReduction reduction) {
  std::int64_t bytes = 0;
  for_each_run(
      *sums.arenas[0], bucket,
      [&](std::size_t i) {
        return std::ranges::any_of(parts, [&](const Gradients* part) { return has(part, i); });
      },
      [&](std::size_t i) {
        return std::ranges::all_of(parts,
                                   [&](const Gradients* part) { return has(part, i) == has(part, i + 1); });
      },
      [&](std::size_t first, std::size_t last) {
        std::vector<Part> run;
        for (std::size_t rank = 0; rank < parts.size(); ++rank)
          if (has(parts[rank], first))  // with its padding, that none is left unwritten between two runs
            run.push_back({static_cast<int>(rank), parts[rank]->arena.padded_run(first, last)});
        const Tensor sum = sums.arenas[0]->padded_run(first, last);
        if (sums.partition == nullptr) {
          bytes += sum_parts(std::move(run), sum, reduction);
          return;
        }
        std::vector<Tensor> shards;
        for (const auto& [device, begin, end] : sums.partition->shards(sum))
          shards.push_back(elements_of(*sums.arenas[device], sum.dtype(), begin, end));
        bytes += sum_parts(std::move(run), shards, reduction);
      });
  return bytes;
}

}  // namespace miniparallel::parallel

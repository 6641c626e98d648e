#include "parallel/gradients.h"

#include <miniparallel/autograd.h>

#include "engine/ops/common.h"
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

/// Whether a gradient can be added to `grad` where that is.
bool is_added_to(const Tensor& grad) { return grad.is_contiguous() && !grad.requires_grad(); }

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

void accumulate_gradients(std::vector<std::pair<Tensor, Tensor>> gradients) {
  // Whatever asks for memory or for other work comes first, then the one launch that writes
  // to what there was.
  const NoGradGuard no_grad;
  std::vector<std::pair<Tensor, Tensor>> made;  // parameters and their new `grad`
  std::vector<Tensor> sums, addends;
  for (auto& [parameter, gradient] : gradients) {
    gradient = gradient.to(parameter.device(), parameter.dtype());
    const Tensor sum = parameter.grad();
    if (!sum.defined()) {
      made.emplace_back(parameter, is_exclusive(gradient) ? std::move(gradient) : gradient.clone());
    } else if (is_added_to(sum)) {
      sums.push_back(sum);
      addends.push_back(gradient.contiguous());
    } else {
      made.emplace_back(parameter, sum + gradient);
    }
  }
  std::vector<kernels::SumRow> rows;
  miniparallel::for_each_run(
      sums.size(),
      [&](std::size_t i) {
        return are_neighbours(sums[i], sums[i + 1]) && are_neighbours(addends[i], addends[i + 1]);
      },
      [&](std::size_t first, std::size_t last) {
        rows.push_back({sums[first].dtype(), raw(sums[first], sums[last]), raw(addends[first], addends[last]),
                        elements(sums[first], sums[last])});
      });
  if (!rows.empty()) backend(sums[0]).optimizer.accumulate(rows, stream(sums[0].device()));
  for (const Tensor& sum : sums) bump_version(sum);
  for (auto& [parameter, gradient] : made) parameter.set_grad(std::move(gradient));
}

}  // namespace miniparallel::parallel

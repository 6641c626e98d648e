#include "engine/autograd/accumulate.h"
#include "engine/autograd/graph_task.h"

#include <algorithm>
#include <tuple>

// Sums whose order must not depend on timing.

namespace miniparallel::autograd {
namespace {

struct Part {
  int rank;
  Tensor gradient;
};

/// Adds neighbours in a balanced binary tree over the ranks; ranks that sent nothing are left out. The tree of
/// the first n ranks is part of every larger one, and where ranks are dealt out in equal runs of a power of
/// two, each run is a subtree.
Tensor sum_by_rank(std::vector<Part> parts, bool create_graph) {
  while (parts.size() > 1) {
    std::size_t kept = 0;
    for (std::size_t i = 0; i < parts.size(); ++kept) {
      Part sum = std::move(parts[i++]);
      if (i < parts.size() && parts[i].rank / 2 == sum.rank / 2)
        accumulate(sum.gradient, std::move(parts[i++].gradient), create_graph);
      parts[kept] = {sum.rank / 2, std::move(sum.gradient)};
    }
    parts.resize(kept);
  }
  return std::move(parts.front().gradient);
}

}  // namespace

void GraphTask::add_contributions(State& found) const {
  const auto place = [](const Contribution& c) {  // within a recorder as in a walk by one thread
    return std::tuple(c.output, c.rank, c.device, ~c.sequence, c.input);
  };
  std::ranges::sort(found.contributions, {}, place);
  const auto end = found.contributions.end();
  for (auto next = found.contributions.begin(); next != end;) {
    const int output = next->output;
    Tensor& sum = found.grads[static_cast<std::size_t>(output)];
    std::vector<Part> parts;
    for (; next != end && next->output == output && next->rank != kNoRank; ++next) {
      if (parts.empty() || parts.back().rank != next->rank) parts.push_back({next->rank, {}});
      accumulate(parts.back().gradient, std::move(next->gradient), create_graph_);
    }
    if (!parts.empty()) accumulate(sum, sum_by_rank(std::move(parts), create_graph_), create_graph_);
    for (; next != end && next->output == output; ++next)
      accumulate(sum, std::move(next->gradient), create_graph_);
  }
  found.contributions.clear();
}

}  // namespace miniparallel::autograd

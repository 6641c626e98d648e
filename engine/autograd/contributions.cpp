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

/// Adds neighbours in a balanced binary tree over the ranks; ranks that sent nothing are left out. The tree
/// of the first n ranks is part of every larger one, and where ranks are dealt out in equal runs of a power
/// of two, each run is a subtree.
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

/// Within a recorder as in a walk by one thread.
template <class Contribution>
auto place_of(const Contribution& c) {
  return std::tuple(c.output, c.rank, c.device, ~c.sequence, c.input);
}

/// Takes the contributions from `next` on that recorders sent to one output, and sums up those of each.
template <class Iterator>
std::vector<Part> sums_of_recorders(Iterator& next, Iterator end, bool create_graph) {
  std::vector<Part> parts;
  for (const int output = next->output; next != end && next->output == output && next->rank != kNoRank;
       ++next) {
    if (parts.empty() || parts.back().rank != next->rank) parts.push_back({next->rank, {}});
    accumulate(parts.back().gradient, std::move(next->gradient), create_graph);
  }
  return parts;
}

}  // namespace

void GraphTask::add_contributions(State& found) const {
  std::ranges::sort(found.contributions, {}, place_of<Contribution>);
  const auto end = found.contributions.end();
  for (auto next = found.contributions.begin(); next != end;) {
    const int output = next->output;
    Tensor& sum = found.grads[static_cast<std::size_t>(output)];
    std::vector<Part> parts = sums_of_recorders(next, end, create_graph_);
    if (!parts.empty()) accumulate(sum, sum_by_rank(std::move(parts), create_graph_), create_graph_);
    for (; next != end && next->output == output; ++next)
      accumulate(sum, std::move(next->gradient), create_graph_);
  }
  found.contributions.clear();
}

/// The one output of an end of the graph, a gradient for each recorder; then nothing more,
/// which is said, too.
void GraphTask::hand_to_sink(State& found) const {
  if (Tensor& sum = found.grads[0]; sum.defined())
    found.sink->arrived(found.sink_end, found.contributions.empty() ? found.sender.rank : kNoRank,
                        std::move(sum));
  if (!found.contributions.empty()) {
    std::ranges::sort(found.contributions, {}, place_of<Contribution>);
    auto next = found.contributions.begin();
    for (Part& part : sums_of_recorders(next, found.contributions.end(), create_graph_))
      found.sink->arrived(found.sink_end, part.rank, std::move(part.gradient));
    for (; next != found.contributions.end(); ++next)
      found.sink->arrived(found.sink_end, kNoRank, std::move(next->gradient));
  }
  found.sink->arrived(found.sink_end, kNoRank, {});
}

}  // namespace miniparallel::autograd

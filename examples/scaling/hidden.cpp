#include "hidden.h"

#include <algorithm>
#include <utility>

namespace scaling {
namespace {

using miniparallel::simulator::Step;
using miniparallel::simulator::StepKind;

/// Begin and end of spans of time.
using Spans = std::vector<std::pair<double, double>>;

bool sums_gradients(const Step& step) { return step.name.find("sum_arrays<") != std::string::npos; }

/// Sorted and apart from each other.
Spans joined(Spans spans) {
  std::ranges::sort(spans);
  Spans result;
  for (const auto& [begin, end] : spans) {
    if (result.empty() || begin > result.back().second) result.emplace_back(begin, end);
    result.back().second = std::max(result.back().second, end);
  }
  return result;
}

double length(const Spans& spans) {
  double sum = 0;
  for (const auto& [begin, end] : spans) sum += end - begin;
  return sum;
}

Spans common(const Spans& a, const Spans& b) {
  Spans result;
  for (const auto& [begin, end] : a)
    for (const auto& [other_begin, other_end] : b)
      if (std::max(begin, other_begin) < std::min(end, other_end))
        result.emplace_back(std::max(begin, other_begin), std::min(end, other_end));
  return result;
}

}  // namespace

double hidden_share(const std::vector<Step>& steps) {
  Spans sums, computing;
  for (const Step& step : steps)
    if (step.kind == StepKind::kernel || step.kind == StepKind::library_call)
      (sums_gradients(step) ? sums : computing).emplace_back(step.start, step.end);
  sums = joined(std::move(sums));
  return sums.empty() ? 0 : length(common(sums, joined(std::move(computing)))) / length(sums);
}

}  // namespace scaling

#include "engine/optim/line_search.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace miniparallel::optim {
namespace {

constexpr double kFall = 1e-4;  // of the loss: this part of what the slope at the start promises
constexpr double kSlope = 0.9;  // left of the slope at the start, at most

/// Where the cubic through two points with their slopes is least, within bounds.
double cubic_minimum(const LinePoint& a, const LinePoint& b, double low, double high) {
  const double d1 = a.slope + b.slope - 3 * (a.value - b.value) / (a.length - b.length);
  const double square = d1 * d1 - a.slope * b.slope;
  if (!(square >= 0)) return (low + high) / 2;
  const double d2 = std::sqrt(square);
  const double least =
      a.length <= b.length
          ? b.length - (b.length - a.length) * ((b.slope + d2 - d1) / (b.slope - a.slope + 2 * d2))
          : a.length - (a.length - b.length) * ((a.slope + d2 - d1) / (a.slope - b.slope + 2 * d2));
  return std::min(std::max(least, low), high);
}

double cubic_minimum(const LinePoint& a, const LinePoint& b) {
  return cubic_minimum(a, b, std::min(a.length, b.length), std::max(a.length, b.length));
}

class Search {
 public:
  Search(const std::function<LinePoint(double)>& at, const LinePoint& start, double smallest,
         std::int64_t most_steps)
      : at_(at), start_(start), smallest_(smallest), most_steps_(most_steps) {}

  LinePoint run(double first) {
    if (!bracket(first)) return ends_[0];
    divide();
    return ends_[low()];
  }

 private:
  bool falls(const LinePoint& point) const {
    return point.value <= start_.value + kFall * point.length * start_.slope;
  }
  bool is_flat(const LinePoint& point) const { return std::abs(point.slope) <= -kSlope * start_.slope; }
  std::size_t low() const { return ends_[0].value <= ends_[1].value ? 0 : 1; }

  /// Goes on until a minimum lies between `ends_`; false where the first of them is a point to take.
  bool bracket(double first) {
    LinePoint before = start_, now = at_(first);
    for (; steps_ < most_steps_; ++steps_) {
      if (!falls(now) || (steps_ > 1 && now.value >= before.value)) return ends_ = {before, now}, true;
      if (is_flat(now)) return ends_[0] = now, false;
      if (now.slope >= 0) return ends_ = {before, now}, true;
      const double nearest = now.length + 0.01 * (now.length - before.length), farthest = 10 * now.length;
      const double next = cubic_minimum(before, now, nearest, farthest);
      before = now;
      now = at_(next);
    }
    ends_ = {start_, now};
    return true;
  }

  /// Divides the bracket until a point is found, or it is too small.
  void divide() {
    bool hardly_moved = false;
    while (steps_ < most_steps_) {
      const std::size_t best = low(), other = 1 - best;
      const double width = std::abs(ends_[1].length - ends_[0].length);
      if (width < smallest_) return;
      double length = cubic_minimum(ends_[0], ends_[1]);
      const double least = std::min(ends_[0].length, ends_[1].length), most = least + width;
      // Near an end twice in a row, or outside: a tenth from it.
      if (std::min(most - length, length - least) < 0.1 * width) {
        if (hardly_moved || length >= most || length <= least) {
          length =
              std::abs(length - most) < std::abs(length - least) ? most - 0.1 * width : least + 0.1 * width;
          hardly_moved = false;
        } else {
          hardly_moved = true;
        }
      } else {
        hardly_moved = false;
      }
      const LinePoint now = at_(length);
      ++steps_;
      if (!falls(now) || now.value >= ends_[best].value) {
        ends_[other] = now;
        continue;
      }
      const bool done = is_flat(now);
      if (!done && now.slope * (ends_[other].length - ends_[best].length) >= 0) ends_[other] = ends_[best];
      ends_[best] = now;
      if (done) return;
    }
  }

  const std::function<LinePoint(double)>& at_;
  const LinePoint& start_;
  double smallest_;
  std::int64_t most_steps_, steps_ = 0;
  std::array<LinePoint, 2> ends_{};
};

}  // namespace

LinePoint strong_wolfe(const std::function<LinePoint(double)>& at, const LinePoint& start, double first,
                       double smallest, std::int64_t most_steps) {
  return Search(at, start, smallest, most_steps).run(first);
}

}  // namespace miniparallel::optim

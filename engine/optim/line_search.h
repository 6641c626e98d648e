#pragma once

#include <miniparallel/tensor.h>

#include <functional>

namespace miniparallel::optim {

/// A step of `length` along a direction: the loss there, its slope along the direction, its gradient.
struct LinePoint {
  double length, value, slope;
  Tensor gradient;
};

/// A length at which the loss has fallen enough and its slope is flat (Nocedal, Wright: "Numerical
/// optimization", algorithms 3.5 and 3.6, with cubic interpolation), after `most_steps` evaluations at most
/// and the first; the best one seen where there is none. `at` evaluates, `start` is the point at length 0,
/// `first` the length to try first. `smallest`: of a bracket that is worth dividing.
LinePoint strong_wolfe(const std::function<LinePoint(double)>& at, const LinePoint& start, double first,
                       double smallest, std::int64_t most_steps);

}  // namespace miniparallel::optim

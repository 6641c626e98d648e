#include "engine/threads/recorder.h"

#include <miniparallel/miniparallel.h>

#include <doctest/doctest.h>

#include <stdexcept>

namespace miniparallel {
namespace {

std::shared_ptr<const autograd::Recorder> recorder(int rank) {
  return std::make_shared<const autograd::Recorder>(autograd::Recorder{rank, std::to_string(rank)});
}

/// The gradient of a leaf that recorder i multiplies by parts[i], recorded in the order of `ranks`.
float sum_of(const std::vector<float>& parts, const std::vector<int>& ranks) {
  const Tensor w = ones({1}).requires_grad_();
  std::vector<Tensor> products(parts.size());
  for (const int rank : ranks) {
    const autograd::RecorderScope scope(recorder(rank));
    products[static_cast<std::size_t>(rank)] = w * parts[static_cast<std::size_t>(rank)];
  }
  Tensor sum = zeros({1});
  for (const int rank : ranks) sum = sum + products[static_cast<std::size_t>(rank)];
  sum.backward();
  return w.grad().item<float>();
}

TEST_CASE("recorder: gradients of several recorders add up as a tree over their ranks") {
  const std::vector<float> four{1e8f, 3.0f, -1e8f, 5.0f};
  CHECK(sum_of(four, {0, 1, 2, 3}) == 8);  // (1e8 + 3) + (-1e8 + 5): one after the other it would be 5
  CHECK(sum_of(four, {3, 2, 1, 0}) == 8);
  CHECK(sum_of(four, {2, 0, 3, 1}) == 8);
  const std::vector<float> six{1e8f, 3.0f, -1e8f, 5.0f, 7e7f, 1.0f};
  const float left = (six[0] + six[1]) + (six[2] + six[3]), right = six[4] + six[5];
  CHECK(sum_of(six, {5, 0, 3, 1, 4, 2}) == left + right);
  CHECK(sum_of({six.begin(), six.begin() + 5}, {4, 0, 3, 1, 2}) == left + six[4]);
}

TEST_CASE("recorder: a rank that sent nothing is left out of the tree") {
  const std::vector<float> parts{1e8f, 3.0f, -1e8f, 5.0f};
  CHECK(sum_of(parts, {3, 1, 0}) == (parts[0] + parts[1]) + parts[3]);
  CHECK(sum_of(parts, {3, 0}) == parts[0] + parts[3]);
}

TEST_CASE("recorder: what was recorded outside is added last") {
  const Tensor w = ones({1}).requires_grad_();
  Tensor sum = w * 5;
  for (const int rank : {1, 0}) {
    const autograd::RecorderScope scope(recorder(rank));
    sum = sum + w * (rank == 0 ? 1e8f : -1e8f);
  }
  sum.backward();
  CHECK(w.grad().item<float>() == 5);
}

TEST_CASE("recorder: the sum has one order under create_graph too, and can be differentiated again") {
  const Tensor w = full({1}, 2, {.dtype = float64}).requires_grad_();
  Tensor sum = zeros({1}, {.dtype = float64});
  for (const int rank : {2, 0, 1}) {
    const autograd::RecorderScope scope(recorder(rank));
    sum = sum + w * w * w * static_cast<double>(rank + 1);
  }
  const Tensor first = autograd::grad({sum}, {w}, {.create_graph = true})[0];
  CHECK(first.item() == 6 * 3 * 4);
  CHECK(autograd::grad({first}, {w})[0].item() == 6 * 6 * 2);
}

TEST_CASE("recorder: of several errors of one walk the lowest rank's is thrown") {
  for (const std::vector<int>& ranks : {std::vector<int>{0, 1, 2, 3}, {3, 1, 0, 2}, {2, 3, 1, 0}}) {
    const Tensor w = ones({1}).requires_grad_();
    Tensor sum = zeros({1});
    for (const int rank : ranks) {
      const autograd::RecorderScope scope(recorder(rank));
      const Tensor y = w * 2;
      if (rank % 2 == 1)
        y.register_hook([rank](const Tensor&) -> Tensor { throw std::runtime_error(std::to_string(rank)); });
      sum = sum + y;
    }
    CHECK_THROWS_WITH_AS(sum.backward(), "1", std::runtime_error);
    CHECK_FALSE(w.grad().defined());
  }
}

}  // namespace
}  // namespace miniparallel

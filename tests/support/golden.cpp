#include "tests/support/golden.h"

#include <miniparallel/error.h>
#include <miniparallel/io.h>

#include <cmath>
#include <functional>
#include <limits>

namespace miniparallel::testing {

const StateDict& goldens(std::string_view file) {
  static std::map<std::string, StateDict, std::less<>> files;
  auto found = files.find(file);
  if (found == files.end())
    found = files.emplace(file, load(MINIPARALLEL_TEST_DATA "/" + std::string(file))).first;
  return found->second;
}

Tensor golden(const std::string& file, const std::string& name) {
  const auto& tensors = goldens(file);
  const auto found = tensors.find(name);
  if (found == tensors.end())
    throw Error("golden: " + file + " has no " + name + "; write it again with its script in tests/data");
  return found->second;
}

double largest_difference(const Tensor& a, const Tensor& b) {
  if (a.shape() != b.shape()) return std::numeric_limits<double>::infinity();
  const auto left = a.to_vector<double>(), right = b.to_vector<double>();
  double largest = 0;
  for (std::size_t i = 0; i < left.size(); ++i) {
    if (left[i] == right[i] || (std::isnan(left[i]) && std::isnan(right[i]))) continue;
    const double difference = std::abs(left[i] - right[i]);
    largest =
        std::isnan(difference) ? std::numeric_limits<double>::infinity() : std::max(largest, difference);
  }
  return largest;
}

double largest_magnitude(const Tensor& x) {
  double largest = 0;
  for (const double value : x.to_vector<double>()) largest = std::max(largest, std::abs(value));
  return largest;
}

bool identical(const Tensor& a, const Tensor& b) {
  if (a.shape() != b.shape() || a.dtype() != b.dtype()) return false;
  std::string left(static_cast<std::size_t>(a.numel()) * size_of(a.dtype()), '\0'), right = left;
  a.copy_to_host(left.data(), a.dtype());
  b.copy_to_host(right.data(), b.dtype());
  return left == right;
}

}  // namespace miniparallel::testing

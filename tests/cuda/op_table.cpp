#include "tests/op_cases.h"

#include <miniparallel/autograd.h>
#include <miniparallel/miniparallel.h>
#include <miniparallel/random.h>

#include <cmath>
#include <set>

#include "simulated.h"

// The table of ops on a simulated GPU: values and gradients against the CPU's.

namespace miniparallel::testing {
namespace {

using Tensors = std::vector<Tensor>;

/// Ops whose kernels CUDA does not have yet. An op that gets its kernels leaves this list, or the test fails.
const std::set<std::string> missing_ops{
    "adaptive_avg_pool2d",         "avg_pool2d", "batch_norm", "conv2d", "layer_norm", "max_pool2d",
    "scaled_dot_product_attention"};

const std::set<std::string> answers_on_host{"allclose", "cpu", "equal"};

/// The value and the gradients of a row, on the CPU.
Tensors run(const OpCase& row, DType dtype, Device device) {
  manual_seed(7);
  Tensors leaves;
  for (std::size_t i = 0; i < row.inputs.size(); ++i) {
    Tensor leaf = make_input(row.inputs[i], static_cast<int>(i), dtype).to(device);
    if (row.inputs[i].kind == Input::Kind::real && !row.has(no_gradient)) leaf.requires_grad_();
    leaves.push_back(leaf);
  }
  const Tensor value = row.function(leaves);
  CHECK((value.device() == device || answers_on_host.contains(row.op())));
  Tensors results{value.detach().cpu()};
  if (!value.requires_grad()) return results;
  const Tensor seed = make_input({value.shape()}, 2, value.dtype()).to(device);
  value.backward(seed);
  for (const Tensor& leaf : leaves)
    if (leaf.grad().defined()) results.push_back(leaf.grad().cpu());
  return results;
}

void check_close(const Tensor& got, const Tensor& expected) {
  REQUIRE(got.shape() == expected.shape());
  CHECK(got.dtype() == expected.dtype());
  const std::vector<double> a = got.to_vector<double>(), b = expected.to_vector<double>();
  double scale = 1, difference = 0;
  for (const double value : b)
    if (std::isfinite(value)) scale = std::max(scale, std::abs(value));
  for (std::size_t i = 0; i < a.size(); ++i)
    if (a[i] != b[i] && !(std::isnan(a[i]) && std::isnan(b[i])))
      difference = std::max(difference, std::abs(a[i] - b[i]));
  CHECK(difference <= (expected.dtype() == float64 ? 1e-11 : 1e-5) * scale);
}

void compare_rows(DType dtype, Device device) {
  std::set<std::string> without_kernel;
  for (const OpCase& row : op_cases()) {
    INFO("op case '", row.name, "'");
    try {
      const Tensors expected = run(row, dtype, Device::cpu()), got = run(row, dtype, device);
      REQUIRE(got.size() == expected.size());
      for (std::size_t i = 0; i < got.size(); ++i) {
        INFO("result ", i, ": the value, then gradients");
        check_close(got[i], expected[i]);
      }
    } catch (const Error& error) {
      const std::string text = error.what();
      if (text.find("there is no CUDA kernel") == std::string::npos) FAIL_CHECK("threw: ", text);
      without_kernel.insert(row.op());
    }
  }
  std::string listed, found;
  for (const std::string& op : missing_ops) listed += op + ' ';
  for (const std::string& op : without_kernel) found += op + ' ';
  CHECK(found == listed);
}

TEST_CASE("the table of ops in float64") {
  const Simulated machine;
  compare_rows(float64, Device::cuda(0));
}

TEST_CASE("the table of ops in float32, on a second GPU") {
  const Simulated machine(2);
  compare_rows(float32, Device::cuda(1));
}

}  // namespace
}  // namespace miniparallel::testing

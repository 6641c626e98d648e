#include <miniparallel/random.h>

#include "compare.h"
#include "gpus.h"
#include "tests/op_cases.h"

#include <set>

// The table of ops on a simulated GPU: values and gradients against the CPU's.

namespace miniparallel::testing {
namespace {

const std::set<std::string> answers_elsewhere{"allclose", "cpu", "cuda", "equal"};

/// Of 16 bits the GPU's gradients read the result, which is rounded.
double roundings_of(const OpCase& row, DType dtype) {
  return size_of(dtype) == 2 && row.op() == "scaled_dot_product_attention" ? 4 : 1;
}

void compare_rows(DType dtype, Device device) {
  for (const OpCase& row : op_cases()) {
    if (row.has(full_precision) && size_of(dtype) == 2) continue;
    INFO("op case '", row.name, "'");
    Tensors inputs = make_inputs(row, dtype);
    for (std::size_t i = 0; i < inputs.size(); ++i)
      inputs[i].requires_grad_(row.inputs[i].kind == Input::Kind::real && !row.has(no_gradient));
    const auto function = [&](const Tensors& leaves) {
      manual_seed(7);
      const Tensor value = row.function(leaves);
      CHECK((value.device() == leaves.at(0).device() || answers_elsewhere.contains(row.op())));
      return value;
    };
    CHECK_NOTHROW(check_like_cpu(function, inputs, device, roundings_of(row, dtype)));
  }
}

TEST_CASE("the table of ops in float64") {
  const Gpus machine;
  compare_rows(float64, Device::cuda(0));
}

TEST_CASE("the table of ops in float32, on a second GPU") {
  const Gpus machine(2);
  compare_rows(float32, machine.last());
}

TEST_CASE("the table of ops in bfloat16") {
  const Gpus machine;
  compare_rows(bfloat16, Device::cuda(0));
}

TEST_CASE("the table of ops in float16") {
  const Gpus machine;
  compare_rows(float16, Device::cuda(0));
}

}  // namespace
}  // namespace miniparallel::testing

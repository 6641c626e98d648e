#include "compare.h"
#include "gpus.h"

namespace miniparallel::testing {
namespace {

const Device gpu = Device::cuda(0);

TEST_CASE("recurrent cells: a block in part, several blocks, no rows; gradients of one state alone") {
  const Gpus machine;
  manual_seed(4);
  for (const DType dtype : {float32, float64})
    for (const auto& [n, hidden] :
         std::vector<std::pair<std::int64_t, std::int64_t>>{{1, 1}, {3, 5}, {40, 33}, {0, 4}}) {
      CAPTURE(n);
      const auto random = [&](std::int64_t columns) { return randn({n, columns}, dtype).requires_grad_(); };
      const Tensor x = random(2), h = random(hidden), c = random(hidden);
      nn::LSTMCell lstm{2, hidden};
      nn::GRUCell gru{2, hidden};
      to(lstm, dtype);
      to(gru, dtype);
      const auto on = [](auto cell, Device device) {
        auto copy = clone(cell);
        to(copy, device);
        return copy;
      };
      check_like_cpu(
          [&](const Tensors& a) {
            const auto [next_h, next_c] = on(lstm, a[0].device())(a[0], {a[1], a[2]});
            return cat({next_h, next_c}, 1);
          },
          {x, h, c}, gpu);
      check_like_cpu([&](const Tensors& a) { return on(lstm, a[0].device())(a[0], {a[1], a[2]}).c; },
                     {x, h, c}, gpu);
      check_like_cpu([&](const Tensors& a) { return on(lstm, a[0].device())(a[0], {a[1], a[2]}).h; },
                     {x, h, c}, gpu);
      check_like_cpu([&](const Tensors& a) { return on(gru, a[0].device())(a[0], a[1]); }, {x, h}, gpu);
    }
}

}  // namespace
}  // namespace miniparallel::testing

#include <miniparallel/miniparallel.h>

#include "engine/threads/recorder.h"
#include "simulated.h"

#include <chrono>
#include <stdexcept>
#include <thread>

// Several recorders, each on a GPU, in one graph: the order of sums and the error that is thrown do not
// depend on which GPU is first.

namespace miniparallel {
namespace {

using testing::Simulated;

std::shared_ptr<const autograd::Recorder> recorder(int rank) {
  return std::make_shared<const autograd::Recorder>(autograd::Recorder{rank, std::to_string(rank)});
}

/// Sum over the recorders of w * parts[rank], that of rank i on devices[i]; `hook` is called with the rank.
Tensor sum_over(const Tensor& w, const std::vector<int>& devices, const std::vector<float>& parts,
                const std::function<void(int)>& hook) {
  Tensor sum = zeros({1});
  for (std::size_t i = 0; i < devices.size(); ++i) {
    const int rank = static_cast<int>(i);
    Tensor y;
    {
      const autograd::RecorderScope scope(recorder(rank));
      y = w.to(Device::cuda(devices[i])) * parts[i];
      y.register_hook([=](const Tensor&) {
        hook(rank);
        return Tensor();
      });
    }
    sum = sum + y.to(Device::cpu());
  }
  return sum;
}

TEST_CASE("recorders: the order of a sum is that of the ranks, not of the devices or of time") {
  const std::vector<float> parts{1e8f, 3.0f, -1e8f, 5.0f};
  for (const std::vector<int>& devices :
       {std::vector<int>{3, 2, 1, 0}, {0, 1, 2, 3}, {0, 0, 1, 1}, {1, 0, 1, 0}, {0, 0, 0, 0}})
    for (int late = 0; late < 4; ++late) {
      const Simulated machine(4);
      const Tensor w = ones({1}).requires_grad_();
      sum_over(w, devices, parts, [late](int rank) {
        std::this_thread::sleep_for(std::chrono::milliseconds(rank == late ? 5 : 0));
      }).backward();
      CHECK(w.grad().item<float>() == 8);  // (1e8 + 3) + (-1e8 + 5)
    }
}

TEST_CASE("recorders: of several that fail, the lowest rank's error is thrown, whoever fails first") {
  for (int round = 0; round < 20; ++round) {
    const Simulated machine(4);
    const Tensor w = ones({1}).requires_grad_();
    const Tensor sum = sum_over(w, {3, 2, 1, 0}, {1, 1, 1, 1}, [round](int rank) {
      if (rank == 0 || rank == 3) return;
      if (rank == 1 + round % 2) std::this_thread::sleep_for(std::chrono::milliseconds(3));
      throw std::runtime_error(std::to_string(rank));
    });
    CHECK_THROWS_WITH_AS(sum.backward(), "1", std::runtime_error);
    CHECK_FALSE(w.grad().defined());
  }
}

}  // namespace
}  // namespace miniparallel

#include <miniparallel/cuda.h>
#include <miniparallel/miniparallel.h>

#include "engine/threads/spin.h"
#include "engine/threads/workers.h"
#include "gpus.h"
#include "tests/support/forked.h"

namespace miniparallel {
namespace {

TEST_CASE("fork: in a child CUDA is not there, and what says so; the CPU is" *
          doctest::skip(!testing::kForksWithThreads)) {
  const testing::Gpus gpus;
  const Tensor x = ones({3}, {.device = Device::cuda()}).requires_grad_();
  CHECK((x * 2).sum().item() == 6);
  testing::run_forked([&] {
    if (cuda_device_count() != 0) return false;
    if (cuda_unavailable_reason().find("when this process was forked") == std::string::npos) return false;
    for (const auto& use : std::initializer_list<std::function<void()>>{
             [] { ones({2}, {.device = Device::cuda()}); }, [&] { x* x; }, [&] { x.cpu(); },
             [&] { x.sum().backward(); }, [] { synchronize(Device::cuda()); }}) {
      try {
        use();
        return false;
      } catch (const Error& error) {
        if (std::string(error.what()).find("fork before the first use of a GPU") == std::string::npos)
          return false;
      }
    }
    const Tensor w = ones({1000, 1000}).requires_grad_();
    matmul(w, w).sum().backward();
    return w.grad().sum().item() == 2e9;
  });
  CHECK((x * 3).sum().item() == 9);
}

TEST_CASE("fork: a child has none of its parent's GPU threads, which leaves it its cores" *
          doctest::skip(!testing::kForksWithThreads)) {
  const testing::Gpus gpus;
  post(accelerator(Device::cuda()), 0, [] {});
  count_workers(1000);  // as on a machine with as many GPUs
  CHECK_FALSE(leave_cores());
  testing::run_forked([] { return leave_cores(); });
  CHECK_FALSE(leave_cores());
  count_workers(-1000);
}

}  // namespace
}  // namespace miniparallel

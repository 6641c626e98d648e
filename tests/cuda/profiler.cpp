#include <miniparallel/cuda.h>
#include <miniparallel/miniparallel.h>

#include "gpus.h"

#include <cmath>
#include <map>

namespace miniparallel {
namespace {

TEST_CASE("the profiler sees launches, copies and waiting of a GPU beside those of the CPU") {
  const testing::Gpus machine;
  const Device gpu = Device::cuda(0);
  Profiler profile({}, {.table_rows = 0});
  const Tensor x = randn({4, 3}), w = randn({3, 2}).to(gpu).requires_grad_();
  const Tensor loss = sum(relu(matmul(x.to(gpu), w)));
  loss.backward();
  synchronize(gpu);
  CHECK(std::isfinite(loss.item()));
  profile.stop();
  std::map<std::string, std::int64_t> calls;
  for (const OpStats& row : profile.key_averages()) calls[row.name] = row.calls;
  CHECK(calls["random.normal"] == 2);
  CHECK(calls["copy_to_device"] == 2);
  CHECK(calls["copy_to_host"] == 1);
  CHECK(calls["synchronize"] == 1);
  CHECK(calls["matmul.multiply"] == 2);
  CHECK(calls["matmul backward"] == 1);
  CHECK(calls["relu"] == 1);
  CHECK(calls["relu.backward"] == 1);
}

}  // namespace
}  // namespace miniparallel

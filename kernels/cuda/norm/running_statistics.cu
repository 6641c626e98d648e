#include "kernels/by_dtype.h"
#include "kernels/cuda/device/launch_on.cuh"
#include "kernels/cuda/device/pack.cuh"
#include "kernels/cuda/norm/running_statistics.h"

#include <algorithm>
#include <cstddef>

// All layers of a model in one launch: a block takes a layer. Rows and shares travel
// as the kernel's argument.

namespace miniparallel::kernels::cuda {
namespace {

/// Of the 32764 bytes that arguments may have. An argument is copied whole, however much of it is used, so
/// there are two sizes.
template <std::size_t Rows, std::size_t Parts>
struct RunningBatch {
  std::int64_t parts, stride;
  double shares[Parts];
  RunningRow rows[Rows];
};
constexpr std::size_t kFewRows = 48, kFewParts = 16, kManyRows = 384;
static_assert(sizeof(RunningBatch<kManyRows, kMaxParts>) <= 32764);

template <class T, class Batch>
__global__ void update_layers(Batch batch) {
  const RunningRow& row = batch.rows[blockIdx.x];
  const double share = share_of_batch(row.momentum, row.batches);
  for (std::int64_t c = threadIdx.x; c < row.channels; c += blockDim.x)
    move_running<T>(row, batch.shares, batch.parts, batch.stride, share, c);
  __syncthreads();  // all have read the number of batches
  if (threadIdx.x == 0 && row.batches != nullptr) ++*row.batches;
}

template <class T, std::size_t Rows, std::size_t Parts>
void launch_batches(const RunningArgs& args, Stream stream) {
  using Batch = RunningBatch<Rows, Parts>;
  Batch batch{static_cast<std::int64_t>(args.shares.size()), args.stride, {}, {}};
  std::ranges::copy(args.shares, batch.shares);
  for (std::size_t first = 0; first < args.rows.size(); first += Rows) {
    const auto rows = args.rows.subspan(first, std::min(args.rows.size() - first, Rows));
    std::ranges::copy(rows, batch.rows);
    launch_on(stream, update_layers<T, Batch>, static_cast<unsigned>(rows.size()), kBlock, batch);
  }
}

}  // namespace

void update_running(DType dtype, const RunningArgs& args, Stream stream) {
  const bool small = args.rows.size() <= kFewRows && args.shares.size() <= kFewParts;
  with_type(dtype, [&]<class T>() {
    small ? launch_batches<T, kFewRows, kFewParts>(args, stream)
          : launch_batches<T, kManyRows, kMaxParts>(args, stream);
  });
}

}  // namespace miniparallel::kernels::cuda

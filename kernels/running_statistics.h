#pragma once

#include "kernels/macros.h"
#include "kernels/sizes.h"

#include <cstddef>
#include <cstdint>
#include <span>

/// What a training batch, which may have been normalised in parts, does to the running statistics of layers.

namespace miniparallel::kernels {

/// A batch has at most so many.
inline constexpr std::size_t kMaxParts = 896;

/// Of one layer; all but the number of batches in the call's dtype, (channels) each.
struct RunningRow {
  void* mean = nullptr;
  void* var = nullptr;
  std::int64_t* batches = nullptr;  ///< one more; null where nothing counts them
  const void* batch_mean = nullptr;
  const void* batch_variance = nullptr;  ///< biased
  std::int64_t channels = 0;
  double momentum = 0;  ///< the batch's share; negative: the plain average over `batches`, itself included
  double unbiased = 1;  ///< count / (count - 1) of the whole batch: the variance enters times that
};

/// No two rows share running statistics. Part p of a row's batch_mean and batch_variance is p * stride
/// elements after the first one, and holds shares[p] of the batch.
struct RunningArgs {
  std::span<const RunningRow> rows;
  std::span<const double> shares;  ///< their sum is 1
  std::int64_t stride = 0;
};
inline Sizes sizes(const RunningArgs& args) {
  return {"layers parts",
          {static_cast<std::int64_t>(args.rows.size()), static_cast<std::int64_t>(args.shares.size())}};
}

/// The share of the new batch in the running statistics; `batches` is counted before the batch.
MP_INLINE double share_of_batch(double momentum, const std::int64_t* batches) {
  return momentum < 0 ? 1 / static_cast<double>(*batches + 1) : momentum;
}

/// Channel c: means and variances of the parts are merged, in float64, by counts, means and squared
/// deviations, as Chan, Golub, LeVeque: "Updating formulae and a pairwise algorithm for computing sample
/// variances", 1979; then running = (1 - share) running + share * batch.
template <class T>
MP_INLINE void move_running(const RunningRow& row, const double* shares, std::int64_t parts,
                            std::int64_t stride, double share, std::int64_t c) {
  const T* means = static_cast<const T*>(row.batch_mean) + c;
  const T* variances = static_cast<const T*>(row.batch_variance) + c;
  double mean = 0, variance = 0;
  for (std::int64_t p = 0; p < parts; ++p) mean += shares[p] * static_cast<double>(means[p * stride]);
  for (std::int64_t p = 0; p < parts; ++p) {
    const double distance = static_cast<double>(means[p * stride]) - mean;
    variance += shares[p] * (static_cast<double>(variances[p * stride]) + distance * distance);
  }
  T& running_mean = static_cast<T*>(row.mean)[c];
  T& running_var = static_cast<T*>(row.var)[c];
  running_mean = static_cast<T>((1 - share) * static_cast<double>(running_mean) + share * mean);
  running_var =
      static_cast<T>((1 - share) * static_cast<double>(running_var) + share * row.unbiased * variance);
}

}  // namespace miniparallel::kernels

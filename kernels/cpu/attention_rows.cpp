#include "kernels/cpu/attention.h"
#include "kernels/cpu/exponentials.h"

#include <algorithm>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/attention_rows.cpp"
#include "kernels/cpu/targets.h"

HWY_BEFORE_NAMESPACE();
namespace miniparallel::kernels::cpu::HWY_NAMESPACE {
namespace {

template <class T>
constexpr T kInfinity = std::numeric_limits<T>::infinity();

/// Columns that row `row` of the scores may see.
std::int64_t visible(const ScoreBlock& block, std::int64_t row) {
  return block.args->causal ? std::min(block.columns, row + 1) : block.columns;
}

/// Scales the n visible scores of a row and applies the mask to them.
template <class T>
void scale_and_mask(const ScoreBlock& block, std::int64_t row, std::int64_t n, T* s) {
  const AttentionArgs& args = *block.args;
  const T scale = static_cast<T>(args.scale);
  for (std::int64_t j = 0; j < n; ++j) s[j] *= scale;
  if (!block.mask) return;
  const std::int64_t start = row * args.mask_strides[0], step = args.mask_strides[1];
  if (args.mask_is_bool) {
    const bool* mask = static_cast<const bool*>(block.mask) + start;
    for (std::int64_t j = 0; j < n; ++j) s[j] = mask[j * step] ? s[j] : -kInfinity<T>;
  } else {
    const T* mask = static_cast<const T*>(block.mask) + start;
    for (std::int64_t j = 0; j < n; ++j) s[j] += mask[j * step];
  }
}

template <class T>
void probabilities(const ScoreBlock& block, void* scores, void* log_sums) {
  for (std::int64_t i = 0; i < block.rows; ++i) {
    T* s = static_cast<T*>(scores) + i * block.stride;
    const std::int64_t n = visible(block, block.first + i);
    scale_and_mask(block, block.first + i, n, s);
    const T maximum = row_max(s, n);
    T& log_sum = static_cast<T*>(log_sums)[i];
    if (maximum == -kInfinity<T>) {
      log_sum = kInfinity<T>;
      std::fill_n(s, block.columns, T(0));
      continue;
    }
    const double sum = exponentials(s, n, maximum, s);
    log_sum = maximum + math::log(static_cast<T>(sum));
    const T factor = static_cast<T>(1 / sum);
    for (std::int64_t j = 0; j < n; ++j) s[j] *= factor;
    std::fill(s + n, s + block.columns, T(0));
  }
}

template <class T>
void score_gradients(const ScoreBlock& block, void* scores, const void* log_sums, const BlockRows& out,
                     const BlockRows& g, void* dp) {
  const std::int64_t width = block.args->ev;
  const T scale = static_cast<T>(block.args->scale);
  for (std::int64_t i = 0; i < block.rows; ++i) {
    T* s = static_cast<T*>(scores) + i * block.stride;
    T* ds = static_cast<T*>(dp) + i * block.stride;
    const std::int64_t n = visible(block, block.first + i);
    scale_and_mask(block, block.first + i, n, s);
    const T log_sum = static_cast<const T*>(log_sums)[i];
    const T mean = static_cast<T>(dot_row(static_cast<const T*>(out.data) + i * out.stride,
                                          static_cast<const T*>(g.data) + i * g.stride, width));
    MP_IVDEP
    for (std::int64_t j = 0; j < n; ++j) {
      s[j] = math::exp(s[j] - log_sum);
      ds[j] = s[j] * (ds[j] - mean) * scale;
    }
    std::fill(s + n, s + block.columns, T(0));
    std::fill(ds + n, ds + block.columns, T(0));
  }
}

}  // namespace

const ByDType<AttentionLoops>& attention_loops() {
  static constexpr ByDType<AttentionLoops> table{{probabilities<float>, score_gradients<float>},
                                                 {probabilities<double>, score_gradients<double>}};
  return table;
}

}  // namespace miniparallel::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace miniparallel::kernels::cpu {

MP_DISPATCH(ByDType<AttentionLoops>, attention_loops)

}  // namespace miniparallel::kernels::cpu
#endif

#pragma once

#include <miniparallel/dtype.h>

#include "kernels/math.h"
#include "kernels/sizes.h"
#include "kernels/stream.h"

#include <cstdint>

namespace miniparallel::kernels {

/// x is row-major (outer, classes, inner), target and everything per item (outer, inner). With p = softmax(x)
/// over the classes, an item's loss is (1 - smoothing) * -log p[target] + smoothing * mean of -log p.
struct CrossEntropyArgs {
  const char* op = "cross_entropy";  ///< for the error message
  std::int64_t outer = 0, classes = 0, inner = 1;
  const void* x = nullptr;
  bool log_probabilities = false;  ///< x is log p already
  const void* target = nullptr;
  DType target_dtype = DType::int64;  ///< int64, int32 or uint8
  std::int64_t ignore_index = -100;   ///< items with this target have loss and gradient 0
  double smoothing = 0;
  bool reduce = true;  ///< one result instead of one per item
  bool mean = true;    ///< divided by the number of items that are not ignored
};
inline Sizes sizes(const CrossEntropyArgs& args) {
  return {"outer classes inner", {args.outer, args.classes, args.inner}};
}

/// Items up to which every block of the CUDA kernel counts those that are not ignored for itself.
inline constexpr std::int64_t kFewItems = 1024;

/// Whether a loss that is about to be differentiated writes its gradient, too: where a launch costs more than
/// the work, which is in vain if the result's gradient then is not 1.
inline bool writes_gradient_with_loss(const CrossEntropyArgs& args) {
  constexpr std::int64_t few_classes = 256;
  return args.reduce && args.outer * args.inner <= kFewItems && args.classes <= few_classes;
}

namespace functors {

/// The loss of an item from x of its target, its two statistics and, if smoothed, the mean of its x.
template <class T>
MP_INLINE T item_loss(double smoothing, T x, T maximum, T log_sum, double mean) {
  const T loss = log_sum - (x - maximum);
  const double uniform = static_cast<double>(log_sum) - (mean - static_cast<double>(maximum));
  return smoothing == 0 ? loss
                        : static_cast<T>((1 - smoothing) * static_cast<double>(loss) + smoothing * uniform);
}

/// p = softmax(x) of a class.
template <class T>
MP_INLINE T class_probability(T x, T maximum, T log_sum) {
  return math::exp((x - maximum) - log_sum);
}

/// The gradient of an item's loss, `factor` the result's: `aim` is the probability that would make it 0.
template <class T>
MP_INLINE T class_gradient(T probability, T aim, T factor) {
  return (probability - aim) * factor;
}

/// What the sum of `count` losses and its gradient are multiplied by. The mean of none is 0 * infinity, NaN,
/// and its gradient 0.
struct LossFactors {
  double result, gradient;

  MP_INLINE LossFactors(bool mean, double count)
      : result(mean ? 1 / count : 1), gradient(mean && count == 0 ? 0 : result) {}
};

}  // namespace functors

/// float32 and float64; CUDA: 16 bits, too, with float32 statistics, normalizer and losses to be summed.
struct CrossEntropy {
  /// `losses`: per item. `statistics`: for `backward`, (2, outer, inner): maximum of x and log of the sum of
  /// exp(x - maximum); null for log-probabilities. When reducing, `result` gets the sum of the losses times
  /// `normalizer`, which gets 1 or 1 / count, 0 of none. `dx`: null, or what `backward` writes there for a
  /// gradient of 1; if writes_gradient_with_loss. A target out of range is an `Error`: thrown on the CPU, set
  /// as the device's error elsewhere.
  void (*forward)(DType dtype, const CrossEntropyArgs& args, void* losses, void* statistics, void* result,
                  void* normalizer, void* dx, Stream stream);
  /// `g`: gradient of the result, null for 1, or per item. `normalizer`: null when not reducing.
  void (*backward)(DType dtype, const CrossEntropyArgs& args, const void* g, const void* statistics,
                   const void* normalizer, void* dx, Stream stream);
};

}  // namespace miniparallel::kernels

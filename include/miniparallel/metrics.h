#pragma once

#include <miniparallel/tensor.h>

#include <cstdint>
#include <vector>

/// How good a classifier is. Logits are (n, classes), labels (n) class indices, on one device. `Error` for
/// shapes that do not fit. Nothing here waits for a GPU but the functions that return numbers.
namespace miniparallel {

/// The share of the rows whose label is among the `top_k` largest logits: without dimensions, of
/// `default_dtype`; NaN of no rows.
Tensor accuracy(const Tensor& logits, const Tensor& labels, std::int64_t top_k = 1);

namespace metrics {

/// `accuracy` over batches of any size, added up where they are computed:
///
///   metrics::Accuracy accuracy;
///   for (auto& [x, y] : batches) accuracy.update(net(x), y);
///   std::cout << accuracy.compute();
class Accuracy {
 public:
  /// Throws `Error` unless `top_k` is at least 1.
  explicit Accuracy(std::int64_t top_k = 1);

  void update(const Tensor& logits, const Tensor& labels);
  double compute() const;  ///< of all rows since the start or `reset`; NaN of none. Waits for a GPU.
  void reset();
  std::int64_t count() const { return count_; }  ///< rows

 private:
  std::int64_t top_k_;
  std::int64_t count_ = 0;
  Tensor correct_;  ///< int64, without dimensions
};

/// How often rows of each class were taken for each.
class ConfusionMatrix {
 public:
  /// Throws `Error` unless there is a class.
  explicit ConfusionMatrix(std::int64_t num_classes);

  /// A label out of range is an `Error`, on a GPU at the next `synchronize` or `step`.
  void update(const Tensor& logits, const Tensor& labels);
  /// (classes, classes), int64: [label][prediction], on the device of the batches.
  Tensor compute() const;
  // Of each class, (classes), float64; NaN where nothing was counted. `mean` of one is the macro average.
  Tensor precision() const;  ///< the share of its rows among those taken for it
  Tensor recall() const;     ///< the share of those taken for it among its rows
  Tensor f1() const;         ///< 2 precision recall / (precision + recall)
  void reset();

 private:
  std::int64_t num_classes_;
  Tensor counts_;
};

/// The area under the receiver operating characteristic: how often a positive example scores above a negative
/// one, ties counted half. Keeps all scores, on the device of the batches, until `reset`.
class AUROC {
 public:
  /// scores (n), floating; labels (n), bool or whole numbers, positive where not 0.
  void update(const Tensor& scores, const Tensor& labels);
  double compute() const;  ///< NaN unless there are both. Waits for a GPU.
  void reset();

 private:
  std::vector<Tensor> scores_, labels_;
};

}  // namespace metrics
}  // namespace miniparallel

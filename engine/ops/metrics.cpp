#include <miniparallel/metrics.h>

#include "engine/ops/common.h"

#include <limits>

namespace miniparallel {
namespace {

void check_classes(const char* op, const Tensor& logits, const Tensor& labels) {
  check_defined(op, logits);
  check_defined(op, labels);
  check_same_device(op, {logits, labels});
  check(logits.dim() == 2 && labels.shape() == Shape{logits.size(0)} && !labels.is_floating(), op,
        ": got logits of shape ", logits.shape(), " and ", labels.dtype(), " labels of shape ",
        labels.shape(), "; they must be (n, classes) and (n), whole numbers");
}

void check_top_k(const char* op, std::int64_t top_k) {
  check(top_k >= 1, op, ": top_k is ", top_k, "; it must be at least 1");
}

/// Which rows are right: bool.
Tensor right(const char* op, const Tensor& logits, const Tensor& labels, std::int64_t top_k) {
  const NoGradGuard no_grad;
  check_classes(op, logits, labels);
  check(top_k <= logits.size(1), op, ": top_k is ", top_k, " of ", logits.size(1),
        " classes; it must not be more");
  const Tensor wanted = labels.to(int64);
  if (top_k == 1) return argmax(logits, 1) == wanted;
  return any(topk(logits, top_k, 1).indices == wanted.unsqueeze(1), {1});
}

}  // namespace

Tensor accuracy(const Tensor& logits, const Tensor& labels, std::int64_t top_k) {
  check_top_k("accuracy", top_k);
  return mean(right("accuracy", logits, labels, top_k));
}

namespace metrics {

Accuracy::Accuracy(std::int64_t top_k) : top_k_(top_k) { check_top_k("Accuracy", top_k); }

void Accuracy::update(const Tensor& logits, const Tensor& labels) {
  const Tensor correct = sum(right("Accuracy", logits, labels, top_k_));
  correct_ = correct_.defined() ? correct_.to(correct.device()) + correct : correct;
  count_ += labels.size(0);
}

double Accuracy::compute() const {
  return count_ == 0 ? std::numeric_limits<double>::quiet_NaN()
                     : correct_.item() / static_cast<double>(count_);
}

void Accuracy::reset() {
  count_ = 0;
  correct_ = {};
}

ConfusionMatrix::ConfusionMatrix(std::int64_t num_classes) : num_classes_(num_classes) {
  check(num_classes > 0, "ConfusionMatrix: got ", num_classes, " classes; it needs at least one");
  reset();
}

void ConfusionMatrix::update(const Tensor& logits, const Tensor& labels) {
  const NoGradGuard no_grad;
  check_classes("ConfusionMatrix", logits, labels);
  check(logits.size(1) == num_classes_, "ConfusionMatrix: got logits of shape ", logits.shape(),
        "; it is for ", num_classes_, " classes");
  // A label out of range has a place out of range. float64 counts exactly, and has an index_add.
  const Tensor places = labels.to(int64) * num_classes_ + argmax(logits, 1);
  const Tensor one = ones({1}, {.dtype = float64, .device = logits.device()});
  counts_ = index_add(counts_.to(logits.device()), 0, places, one.expand(places.shape()));
}

Tensor ConfusionMatrix::compute() const { return counts_.to(int64).view({num_classes_, num_classes_}); }

Tensor ConfusionMatrix::precision() const {
  const Tensor counts = counts_.view({num_classes_, num_classes_});
  return counts.diagonal() / sum(counts, {0});
}

Tensor ConfusionMatrix::recall() const {
  const Tensor counts = counts_.view({num_classes_, num_classes_});
  return counts.diagonal() / sum(counts, {1});
}

Tensor ConfusionMatrix::f1() const {
  const Tensor counts = counts_.view({num_classes_, num_classes_});
  return 2 * counts.diagonal() / (sum(counts, {0}) + sum(counts, {1}));
}

void ConfusionMatrix::reset() { counts_ = zeros({num_classes_ * num_classes_}, {.dtype = float64}); }

void AUROC::update(const Tensor& scores, const Tensor& labels) {
  check_floating("AUROC", scores);
  check_defined("AUROC", labels);
  check_same_device("AUROC", {scores, labels});
  check(scores.dim() == 1 && labels.shape() == scores.shape() && !labels.is_floating(),
        "AUROC: got scores of shape ", scores.shape(), " and ", labels.dtype(), " labels of shape ",
        labels.shape(), "; both must be (n), the labels bool or whole numbers");
  scores_.push_back(scores.detach().clone());
  labels_.push_back(labels != 0);
}

double AUROC::compute() const {
  constexpr double none = std::numeric_limits<double>::quiet_NaN();
  if (scores_.empty()) return none;
  const Tensor scores = cat(scores_), positive = cat(labels_);
  const Tensor above = masked_select(scores, positive), below = sort(masked_select(scores, ~positive)).values;
  if (above.numel() == 0 || below.numel() == 0) return none;
  const Tensor beaten = searchsorted(below, above), beaten_or_equal = searchsorted(below, above, true);
  return (beaten + beaten_or_equal).to(float64).mean().item() / (2 * static_cast<double>(below.numel()));
}

void AUROC::reset() {
  scores_.clear();
  labels_.clear();
}

}  // namespace metrics
}  // namespace miniparallel

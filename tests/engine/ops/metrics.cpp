#include <miniparallel/miniparallel.h>

#include <doctest/doctest.h>

#include <cmath>

namespace miniparallel {
namespace {

// Rows whose largest logits are 2, 0, 1, 2; the second largest 1, 1, 2, 0.
const Tensor logits = tensor({{0.1, 0.3, 0.9}, {0.8, 0.5, 0.1}, {0.2, 0.7, 0.4}, {0.3, 0.2, 0.6}});
const Tensor labels = tensor({2, 1, 1, 1});

TEST_CASE("accuracy: the share of rows whose label is among the largest") {
  CHECK(accuracy(logits, labels).item() == 0.5);
  CHECK(accuracy(logits, labels.to(uint8)).item() == 0.5);
  CHECK(accuracy(logits, labels, 2).item() == 0.75);
  CHECK(accuracy(logits, labels, 3).item() == 1);
  CHECK(accuracy(logits, labels).dtype() == float32);
  CHECK(std::isnan(accuracy(zeros({0, 3}), zeros({0}, int64)).item()));
  CHECK_FALSE(accuracy(logits.clone().requires_grad_(), labels).requires_grad());
}

TEST_CASE("metrics: add up over batches of different size") {
  metrics::Accuracy top1, top2(2);
  metrics::ConfusionMatrix confusion(3);
  CHECK(std::isnan(top1.compute()));
  for (const auto& [first, rows] : {std::pair{0, 3}, std::pair{3, 0}, std::pair{3, 1}}) {
    const Tensor x = logits.narrow(0, first, rows), y = labels.narrow(0, first, rows);
    top1.update(x, y);
    top2.update(x, y);
    confusion.update(x, y);
  }
  CHECK(top1.compute() == 0.5);
  CHECK(top2.compute() == 0.75);
  CHECK(top1.count() == 4);
  CHECK(equal(confusion.compute(), tensor({{0, 0, 0}, {1, 1, 1}, {0, 0, 1}})));
  top1.reset();
  confusion.reset();
  top1.update(logits, argmax(logits, 1));
  CHECK(top1.compute() == 1);
  CHECK(equal(confusion.compute(), zeros({3, 3}, int64)));
}

TEST_CASE("metrics: what does not fit is an error") {
  CHECK_THROWS_WITH_AS(
      accuracy(logits, labels.view({2, 2})),
      "accuracy: got logits of shape [4, 3] and int64 labels of shape [2, 2]; they must be (n, "
      "classes) and (n), whole numbers",
      Error);
  CHECK_THROWS_WITH_AS(accuracy(logits, labels, 4), "accuracy: top_k is 4 of 3 classes; it must not be more",
                       Error);
  CHECK_THROWS_WITH_AS(metrics::Accuracy(0), "Accuracy: top_k is 0; it must be at least 1", Error);
  metrics::ConfusionMatrix confusion(4);
  CHECK_THROWS_WITH_AS(confusion.update(logits, labels),
                       "ConfusionMatrix: got logits of shape [4, 3]; it is for 4 classes", Error);
  metrics::ConfusionMatrix three(3);
  CHECK_THROWS_WITH_AS(three.update(logits, tensor({0, 1, 2, 3})), doctest::Contains("out of range"), Error);
}

TEST_CASE("metrics: precision, recall and F1 of each class") {
  metrics::ConfusionMatrix confusion(3);
  const Tensor taken = one_hot(tensor({0, 0, 1, 1, 1, 0}), 3).to(float32);
  confusion.update(taken.narrow(0, 0, 2), tensor({0, 1}));
  confusion.update(taken.narrow(0, 2, 4), tensor({1, 1, 2, 0}));
  CHECK(allclose(confusion.precision().narrow(0, 0, 2), tensor({2 / 3.0, 2 / 3.0}, {.dtype = float64})));
  CHECK(std::isnan(confusion.precision()[2].item()));  // none was taken for it
  CHECK(allclose(confusion.recall(), tensor({1.0, 2 / 3.0, 0.0}, {.dtype = float64})));
  CHECK(allclose(confusion.f1(), tensor({0.8, 2 / 3.0, 0.0}, {.dtype = float64})));
}

TEST_CASE("metrics: the area under the ROC curve, ties counted half") {
  metrics::AUROC auroc;
  CHECK(std::isnan(auroc.compute()));
  auroc.update(tensor({0.9, 0.4, 0.4}), tensor({true, true, false}));
  auroc.update(tensor({0.1, 0.8}), tensor({0, 0}));
  // of the six pairs of a positive and a negative score four are in order and one is a tie
  CHECK(auroc.compute() == doctest::Approx(4.5 / 6));
  CHECK_THROWS_WITH_AS(
      auroc.update(zeros({2, 1}), tensor({0, 1})),
      "AUROC: got scores of shape [2, 1] and int64 labels of shape [2]; both must be (n), the "
      "labels bool or whole numbers",
      Error);
  auroc.reset();
  CHECK(std::isnan(auroc.compute()));
}

}  // namespace
}  // namespace miniparallel

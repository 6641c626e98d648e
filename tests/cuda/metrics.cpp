#include <miniparallel/metrics.h>

#include <miniparallel/ops.h>
#include <miniparallel/random.h>

#include "simulated.h"

namespace miniparallel::testing {
namespace {

const Device gpu = Device::cuda(0);

TEST_CASE("metrics and draws on a GPU: those of the CPU, and nobody waits until a number is asked for") {
  const Simulated machine;
  manual_seed(4);
  const Tensor logits = randn({60, 5}), labels = randint(0, 5, {60});
  const Tensor x = logits.to(gpu), y = labels.to(gpu), weights = sigmoid(x);
  metrics::Accuracy top1, top2(2), expected(2);
  metrics::ConfusionMatrix confusion(5), expected_confusion(5);
  synchronize(gpu);
  const auto before = simulator::counters();
  for (int batch = 0; batch < 3; ++batch) {
    top1.update(x, y);
    top2.update(x, y);
    confusion.update(x, y);
    expected.update(logits, labels);
    expected_confusion.update(logits, labels);
  }
  manual_seed(8);
  const Tensor trials = bernoulli(weights), once = multinomial(weights, 3),
               often = multinomial(weights, 50, true);
  CHECK((simulator::counters() - before).host_synchronizations == 0);
  manual_seed(8);
  const Tensor p = weights.cpu();
  CHECK(equal(trials.cpu(), bernoulli(p)));
  CHECK(equal(once.cpu(), multinomial(p, 3)));
  CHECK(equal(often.cpu(), multinomial(p, 50, true)));
  CHECK(top1.compute() == doctest::Approx(accuracy(logits, labels).item()));
  CHECK(top2.compute() == expected.compute());
  CHECK(equal(confusion.compute().cpu(), expected_confusion.compute()));
}

TEST_CASE("metrics on a GPU: a label out of range is an error of the next wait") {
  const Simulated machine;
  metrics::ConfusionMatrix confusion(3);
  confusion.update(zeros({2, 3}, {.device = gpu}), tensor({1, 3}).to(gpu));
  CHECK_THROWS_WITH_AS(synchronize(gpu), doctest::Contains("out of range"), Error);
}

}  // namespace
}  // namespace miniparallel::testing

#include <miniparallel/parallel/data_parallel.h>

#include "machines.h"
#include "models.h"

#include <doctest/doctest.h>

// DataParallel::loss: each part of the batch has its loss on its device, together they are
// that of one device.

namespace miniparallel {
namespace {

using testing::on_machines;

template <class Criterion>
void compare(const std::vector<Device>& devices, Criterion&& criterion, const Tensor& target) {
  manual_seed(5);
  testing::Mlp net;
  to(net, float64);
  testing::Mlp alone = clone(net);
  DataParallel model{net, {.devices = devices}};
  const Tensor x = testing::Mlp::batch(target.size(0));
  const Tensor expected = parallel::criterion_of(criterion)(alone(x), target);
  sum(expected).backward();
  const Tensor loss = model.loss(criterion, x, target);
  CHECK(loss.device() == model.device());
  CHECK(loss.shape() == expected.shape());
  sum(loss).backward();
  CHECK(allclose(loss.cpu(), expected, 1e-11, 1e-11));
  for (std::size_t i = 0; i < parameters(alone).size(); ++i)
    CHECK(allclose(model.parameters()[i].grad().cpu(), parameters(alone)[i].grad(), 1e-11, 1e-11));
}

TEST_CASE("loss: is exact for chunks of different sizes, for every criterion and reduction") {
  on_machines([](const std::vector<Device>& devices) {
    const Tensor classes = randint(0, 4, {11}), values = randn({11, 4}, {.dtype = float64});
    compare(devices, cross_entropy, classes);
    compare(devices, nn::CrossEntropyLoss{{.label_smoothing = 0.1}}, classes);
    compare(devices, mse_loss, values);
    compare(devices, nn::L1Loss{}, values);
    compare(devices, nn::MSELoss{Reduction::sum}, values);
    compare(devices, nn::CrossEntropyLoss{{.reduction = Reduction::sum}}, classes);
    compare(devices, nn::CrossEntropyLoss{{.reduction = Reduction::none}}, classes);
    compare(devices, [](const Tensor& y, const Tensor& t) { return mean(square(y - t)); }, values);
    compare(devices, [](const Tensor& y, const Tensor& t) { return mean(abs(y - t), {1}); }, values);
  });
}

TEST_CASE("loss: ignored targets count nowhere, also where a whole chunk is ignored") {
  on_machines([](const std::vector<Device>& devices) {
    Tensor classes = tensor({0, 1, 3, 2, -100, 1, 0, -100, -100, -100, -100});
    compare(devices, cross_entropy, classes);
    compare(devices, nn::CrossEntropyLoss{{.ignore_index = 1}}, randint(0, 4, {11}));
  });
}

TEST_CASE("loss: means that weights of classes, probabilities or rows divide are exact too") {
  on_machines([](const std::vector<Device>& devices) {
    const Tensor weight = tensor({0.5, 2.0, 1.0, 3.0});
    compare(devices, nn::CrossEntropyLoss{{.weight = weight}},
            tensor({0, 1, 3, 2, -100, 1, 0, 3, 3, -100, 1}));
    compare(devices, nn::CrossEntropyLoss{{.label_smoothing = 0.1, .weight = weight}}, randint(0, 4, {11}));
    const Tensor probabilities = softmax(randn({11, 4}, {.dtype = float64}), 1);
    compare(devices, cross_entropy, probabilities);
    compare(devices, nn::CrossEntropyLoss{{.weight = weight}}, probabilities);
    compare(devices, nn::KLDivLoss{{.batch_mean = true}}, probabilities);
    compare(devices, nn::HuberLoss{}, probabilities);
    compare(devices, nn::BCEWithLogitsLoss{.pos_weight = weight}, probabilities);
  });
}

}  // namespace
}  // namespace miniparallel

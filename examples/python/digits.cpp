#include "bindings.h"

#include <utility>

// A Python module of one model, which C++ trains.

using namespace miniparallel;
namespace nb = nanobind;

namespace {

// Images (n, 1, 28, 28) -> logits of ten digits.
struct Digits {
  nn::Conv2d conv{1, 8, 5, {.stride = 2}};
  nn::BatchNorm2d norm{8};
  nn::Linear output{8 * 12 * 12, 10};

  Tensor operator()(const Tensor& x) { return output(relu(norm(conv(x))).flatten(1)); }
};

/// A model with its optimizer: what a training in Python holds.
class Trainer {
 public:
  Trainer(Digits& model, double lr) : model_(model), optimizer_(parameters(model), {.lr = lr}) {}

  /// The loss of a batch, before the step.
  double step(const Tensor& images, const Tensor& labels) {
    optimizer_.zero_grad();
    const Tensor loss = cross_entropy(model_(images), labels);
    loss.backward();
    optimizer_.step();
    return loss.item<double>();
  }

 private:
  Digits& model_;
  optim::Adam optimizer_;
};

}  // namespace

NB_MODULE(digits, module) {
  python::bind_tensors(module);
  python::bind_model<Digits>(module, "Digits");
  nb::class_<Trainer>(module, "Trainer")
      .def(nb::init<Digits&, double>(), nb::arg("model"), nb::arg("lr") = 1e-3, nb::keep_alive<1, 2>())
      .def(
          "step",
          [](Trainer& self, nb::handle images, nb::handle labels) {
            const Tensor x = python::tensor_of(images), y = python::tensor_of(labels);
            const nb::gil_scoped_release released;
            return self.step(x, y);
          },
          nb::arg("images"), nb::arg("labels"));
}

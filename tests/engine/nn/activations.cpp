#include "tests/engine/nn/golden_layer.h"

using namespace miniparallel;
using namespace miniparallel::testing;

TEST_CASE("layers against PyTorch: activations") {
  check_against_pytorch("relu6", nn::ReLU6{});
  check_against_pytorch("leaky_relu", nn::LeakyReLU{0.1});
  check_against_pytorch("elu", nn::ELU{0.7});
  check_against_pytorch("selu", nn::SELU{});
  check_against_pytorch("celu", nn::CELU{0.5});
  check_against_pytorch("softplus", nn::Softplus{2, 3});
  check_against_pytorch("mish", nn::Mish{});
  check_against_pytorch("softsign", nn::Softsign{});
  check_against_pytorch("logsigmoid", nn::LogSigmoid{});
  check_against_pytorch("hardswish", nn::Hardswish{});
  check_against_pytorch("hardtanh", nn::Hardtanh{-0.5, 0.7});
  check_against_pytorch("glu", nn::GLU{1});
  check_against_pytorch("softmin", nn::Softmin{1});
  CHECK(equal(nn::Hardsigmoid{}(tensor({-4.0, 0.0, 4.0})), tensor({0.0, 0.5, 1.0})));
}

TEST_CASE("PReLU: learns a slope for all, or one for each channel") {
  check_against_pytorch("prelu", nn::PReLU{});
  check_against_pytorch("prelu_channels", nn::PReLU{4});
  CHECK(equal(nn::PReLU(3, 0.1).weight, full({3}, 0.1)));
  CHECK(parameters(nn::PReLU{}).size() == 1);
  CHECK(error_of([] { nn::PReLU{0}; }) == "PReLU: got 0 parameters; it needs at least one");
}

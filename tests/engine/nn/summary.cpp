#include <miniparallel/miniparallel.h>

#include <doctest/doctest.h>

using namespace miniparallel;

namespace {

struct Mlp {
  nn::Sequential layers{nn::Linear{4, 300}, nn::ReLU{}, [](const Tensor& x) { return x * 2; },
                        nn::Dropout{0.5}};
  nn::Linear head{300, 5, {.bias = false}}, unused{2, 1};
  nn::Parameter scale{ones({5})};
  nn::Linear tied = head;
  Tensor operator()(const Tensor& x) { return head(layers(x)) * scale; }
};

struct Text {
  nn::Embedding tokens{10, 4};
  Tensor operator()(const Tensor& indices) { return tokens(indices); }
};

}  // namespace

TEST_CASE("summary: a row for each layer, parameters counted once") {
  Mlp model;
  requires_grad_(model.unused, false);
  CHECK(summary(model, {2, 4}) ==
        "Layer                Output shape  Parameters\n"
        "---------------------------------------------\n"
        "(model) (Mlp)        -                      5\n"
        "layers (Sequential)  [2, 300]               -\n"
        "layers.0 (Linear)    [2, 300]           1,500\n"
        "layers.1 (ReLU)      [2, 300]               -\n"
        "layers.2 (function)  [2, 300]               -\n"
        "layers.3 (Dropout)   [2, 300]               -\n"
        "head (Linear)        [2, 5]             1,500\n"
        "unused (Linear)      -                      3\n"
        "tied (Linear)        -                      0\n"
        "---------------------------------------------\n"
        "Parameters: 3,008, of which 3,005 are trained\n");
}

TEST_CASE("summary: leaves the mode and the random numbers as they were") {
  Mlp model;
  const RandomState before = random_state();
  (void)summary(model, {2, 4});
  CHECK(random_state() == before);
  CHECK(model.layers.at<nn::Dropout>(3).training);
  CHECK_THROWS_AS(summary(model, {2, 3}), Error);
  CHECK(model.layers.at<nn::Dropout>(3).training);
  CHECK(grad_enabled());
}

TEST_CASE("summary: indices as input") {
  Text model;
  CHECK(summary(model, {2, 3}, {.dtype = int64}).find("tokens (Embedding)  [2, 3, 4]             40") !=
        std::string::npos);
}

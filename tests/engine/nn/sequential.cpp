#include <miniparallel/miniparallel.h>

#include <doctest/doctest.h>

using namespace miniparallel;

namespace {

struct Doubled {
  nn::Parameter offset{ones({3})};
  Tensor operator()(const Tensor& x) { return 2 * x + offset; }
};

struct Net {
  nn::Sequential body{nn::Linear{2, 3}, Doubled{}, [](const Tensor& x) { return relu(x); },
                      nn::Sequential{nn::Linear{3, 3}, nn::Dropout{0.3}}};
  nn::Linear head{3, 1};
  Tensor operator()(const Tensor& x) const { return head(body(x)); }
};

Tensor halved(const Tensor& x) { return x * 0.5; }

}  // namespace

TEST_CASE("Sequential: names layers, structs and nested ones by number") {
  Net net;
  std::vector<std::string> names;
  for (const auto& [name, parameter] : named_parameters(net)) names.push_back(name);
  CHECK(names == std::vector<std::string>{"body.0.weight", "body.0.bias", "body.1.offset", "body.3.0.weight",
                                          "body.3.0.bias", "head.weight", "head.bias"});
  CHECK(net.body.size() == 4);
  eval(net);
  CHECK_FALSE(net.body.at<nn::Sequential>(3).at<nn::Dropout>(1).training);
}

TEST_CASE("Sequential: applies its layers in order") {
  nn::Sequential layers{Doubled{}, halved, [k = 3.0](const Tensor& x) { return x - k; }};
  layers.add(nn::Flatten{0});
  const Tensor y = layers(full({1, 3}, 4.0));
  CHECK(y.shape() == Shape{3});
  CHECK(y.to_vector<double>() == std::vector<double>{1.5, 1.5, 1.5});
  CHECK(nn::Sequential()(y).is_same(y));
}

TEST_CASE("Sequential: copies share tensors and not structure, clones share nothing") {
  nn::Sequential layers{nn::Linear{2, 2}, nn::Dropout{0.5}};
  nn::Sequential copy = layers;
  const nn::Sequential cloned = clone(layers);
  CHECK(copy.at<nn::Linear>(0).weight.is_same(layers.at<nn::Linear>(0).weight));
  CHECK_FALSE(cloned.at<nn::Linear>(0).weight.is_same(layers.at<nn::Linear>(0).weight));
  copy.at<nn::Dropout>(1).p = 0.1;
  CHECK(layers.at<nn::Dropout>(1).p == 0.5);
  copy.add(nn::ReLU{});
  CHECK(layers.size() == 2);
  layers = copy;
  CHECK(layers.size() == 3);
}

TEST_CASE("Sequential: a wrong type or number is an error") {
  nn::Sequential layers{nn::Linear{2, 2}};
  CHECK_THROWS_WITH_AS(layers.at<nn::Conv2d>(0),
                       "Sequential::at: layer 0 is a Linear, not a Conv2d; ask for the type that it has",
                       Error);
  CHECK_THROWS_WITH_AS(layers.at<nn::Linear>(1), "Sequential::at: there is no layer 1; it must be below 1",
                       Error);
}

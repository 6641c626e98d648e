#include <miniparallel/miniparallel.h>

#include "tests/support/error_of.h"
#include "tests/support/temporary_folder.h"

#include <doctest/doctest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

// What ONNX's own tools say of the files, tests/programs/read_onnx.py shows.

namespace miniparallel {
namespace {

using testing::error_of;

struct Net {
  nn::Linear hidden{4, 8};
  nn::Dropout dropout{0.5};
  nn::Linear out{8, 2};
  Tensor operator()(const Tensor& x) { return out(dropout(relu(hidden(x)))); }
};

/// A mask is not recorded.
struct Depends {
  nn::Linear layer{4, 4};
  Tensor operator()(const Tensor& x) { return layer(x) * (x > 0); }
};

struct Sorts {
  nn::Linear layer{4, 4};
  Tensor operator()(const Tensor& x) { return cumprod(layer(x), 1); }
};

std::string content(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST_CASE("onnx: a file has the model's operators, weights and names, and the model stays as it was") {
  const testing::TemporaryFolder folder;
  const std::string path = (folder / "net.onnx").string();
  Net net;
  net.hidden.weight.requires_grad_(false);
  onnx::export_model(net, randn({3, 4}), path, {.input_names = {"pixels"}, .output_names = {"logits"}});
  const std::string bytes = content(path);
  for (const char* word :
       {"miniparallel", "MatMul", "Relu", "hidden.weight", "out.bias", "pixels", "logits", "batch"}) {
    CAPTURE(word);
    CHECK(bytes.find(word) != std::string::npos);
  }
  CHECK(bytes.find("Dropout") == std::string::npos);
  CHECK_FALSE(net.hidden.weight.requires_grad());
  CHECK(net.out.weight.requires_grad());
  const NoGradGuard no_grad;
  onnx::export_model(net, randn({3, 4}), path, {.dynamic_batch = false});
  CHECK_FALSE(grad_enabled());
  CHECK(content(path).find("batch") == std::string::npos);
}

TEST_CASE("onnx: a recurrent layer is written step by step, its first state for any batch") {
  const testing::TemporaryFolder folder;
  const std::string path = (folder / "lstm.onnx").string();
  nn::LSTM lstm(3, 4, {.batch_first = true});
  struct First {
    nn::LSTM& lstm;
    Tensor operator()(const Tensor& x) { return lstm(x).first; }
    MINIPARALLEL_MEMBERS(lstm)
  } first{lstm};
  onnx::export_model(first, randn({5, 2, 3}), path);
  const std::string bytes = content(path);
  for (const char* word : {"Sigmoid", "Tanh", "Expand", "Shape"}) {
    CAPTURE(word);
    CHECK(bytes.find(word) != std::string::npos);
  }
  onnx::export_model(first, randn({5, 2, 3}), path, {.dynamic_batch = false});
  CHECK(content(path).find("Expand") == std::string::npos);
}

TEST_CASE("onnx: weights may be NaN") {
  const testing::TemporaryFolder folder;
  Net net;
  NoGradGuard no_grad;
  net.out.bias.fill_(std::nan(""));
  onnx::export_model(net, randn({3, 4}), (folder / "net.onnx").string());
  CHECK(std::filesystem::exists(folder / "net.onnx"));
}

TEST_CASE("onnx: what a file cannot say is an error, and nothing is written") {
  const testing::TemporaryFolder folder;
  const std::string path = (folder / "net.onnx").string();
  Depends depends;
  CHECK(error_of([&] {
          onnx::export_model(depends, randn({3, 4}), path);
        }).starts_with("onnx: a float32 tensor of shape [3, 4] in the model depends on the inputs"));
  Sorts sorts;
  CHECK(error_of([&] { onnx::export_model(sorts, randn({3, 4}), path); }) ==
        "onnx: cumprod has no form in ONNX as it is used here; leave it out of the model");
  CHECK_FALSE(std::filesystem::exists(path));
}

}  // namespace
}  // namespace miniparallel

#include <miniparallel/miniparallel.h>

#include "examples/models/gpt2.h"
#include "examples/models/resnet.h"
#include "tests/support/golden.h"

#include <doctest/doctest.h>

#include <cmath>
#include <sstream>

// Models of torchvision and of Hugging Face, of examples/models: their state dicts load as they are, and the
// logits are PyTorch's. tests/data/make_models.py has the other side.

namespace miniparallel {
namespace {

// --- the weights of make_models.py

Tensor spread(const Shape& shape, std::uint64_t seed) {
  std::vector<float> values(static_cast<std::size_t>(shape.numel()));
  for (std::size_t k = 0; k < values.size(); ++k) {
    std::uint64_t h = (k * 2654435761U + seed * 97531 + 12345) & 0xffffffff;
    h ^= h >> 15;
    h = h * 2246822519U & 0xffffffff;
    h ^= h >> 13;
    values[k] = static_cast<float>(static_cast<double>(h) / 4294967296.0 - 0.5);
  }
  return tensor(values, shape);
}

Tensor generated(const std::string& name, const Shape& shape, std::uint64_t seed) {
  if (name.ends_with("num_batches_tracked")) return zeros(shape, {.dtype = int64});
  const Tensor u = spread(shape, seed);
  if (shape.rank() > 1)
    return u * static_cast<float>(
                   std::sqrt(24.0 * static_cast<double>(shape[0]) / static_cast<double>(shape.numel())));
  if (name.ends_with("running_var")) return 1 + u / 2;
  return name.ends_with("weight") ? 1 + u / 4 : u / 4;
}

/// The state dict of PyTorch's model, by the names and shapes in the notes of the file.
StateDict theirs(const std::string& model) {
  std::istringstream lines(load_metadata(MINIPARALLEL_TEST_DATA "/models.safetensors").at(model));
  StateDict state;
  std::string line;
  for (std::uint64_t seed = 0; std::getline(lines, line); ++seed) {
    std::istringstream words(line);
    std::string name;
    Shape shape;
    words >> name;
    for (std::int64_t size = 0; words >> size;) shape.push_back(size);
    state[name] = generated(name, shape, seed);
  }
  return state;
}

template <class Model>
void check_logits(const std::string& name, Model& model, const Tensor& x) {
  CAPTURE(name);
  load_state_dict(model, theirs(name));  // every name and every shape, no more and no less
  eval(model);
  const NoGradGuard no_gradients;
  const Tensor expected = testing::golden("models.safetensors", name);
  const Tensor logits = model(x).slice(-1, 0, expected.size(-1));
  CHECK(testing::largest_difference(logits, expected) < 1e-4 * testing::largest_magnitude(expected));
}

TEST_CASE("models of PyTorch: torchvision's ResNet-18 and ResNet-50 load by name, and give its logits") {
  const Tensor images = spread({2, 3, 64, 48}, 1000);
  auto small = torchvision::resnet18();
  check_logits("resnet18", small, images);
  auto large = torchvision::resnet50();
  check_logits("resnet50", large, images);
}

TEST_CASE("models of PyTorch: Hugging Face's GPT-2 loads by name, and gives its logits") {
  huggingface::Gpt2 model({.vocabulary = 61, .places = 16, .width = 24, .layers = 2, .heads = 3});
  check_logits("gpt2", model, remainder(arange(22) * 7, 61).view({2, 11}));
}

}  // namespace
}  // namespace miniparallel

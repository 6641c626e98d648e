#include <miniparallel/miniparallel.h>

#include "machines.h"

#include <doctest/doctest.h>

#include <cstdlib>

// The number of replicas decides every bit, the number of GPUs that they are placed on decides none.

namespace miniparallel {
namespace {

using testing::on_machine;

/// The full run of CI takes 1000, and fewer where each access is looked up.
int steps() {
  const char* const text = std::getenv("MINIPARALLEL_SAME_BITS_STEPS");
  return text == nullptr ? 100 : std::atoi(text);
}

// Small, and without most biases, whose gradients cost a simulated GPU more than the rest.

struct Cnn {
  nn::Conv2d conv{1, 4, 3, {.bias = false}};
  nn::BatchNorm2d norm{4};
  nn::Dropout drop{0.3};
  nn::Linear fc{36, 4};
  Tensor operator()(Tensor x) { return fc(drop(max_pool2d(relu(norm(conv(x))), 2).flatten(1))); }
  static Tensor batch() { return randn({19, 1, 8, 8}); }
};

struct Block {
  nn::Dropout drop{0.2};
  nn::Linear embed{6, 8, {.bias = false}};
  nn::LayerNorm norm1{8}, norm2{8};
  nn::MultiheadAttention attention{8, 2, {.bias = false}};
  nn::Linear wide{8, 16, {.bias = false}}, narrow{16, 8, {.bias = false}}, head{40, 4};
  Tensor operator()(const Tensor& x) {
    Tensor h = embed(drop(x));
    h = h + attention(norm1(h), {.causal = true});
    h = h + narrow(gelu(wide(norm2(h))));
    return head(h.flatten(1));
  }
  static Tensor batch() { return randn({13, 5, 6}); }
};

using Values = std::vector<std::vector<float>>;

Values values_of(const StateDict& state) {
  Values all;
  for (const auto& [name, tensor] : state) all.push_back(tensor.to_vector<float>());
  return all;
}

/// Parameters, buffers and losses after `count` steps from one seed; the model goes on
/// from `start` where given.
template <class Net>
Values train(const std::vector<Device>& devices, int count, StateDict* checkpoint = nullptr,
             const StateDict* start = nullptr) {
  manual_seed(21);
  Net net;
  DataParallel model{net, {.devices = devices, .replicas = 8}};
  if (start != nullptr) model.load_state_dict(*start);
  optim::Adam optimizer(model.parameters(), {.lr = 1e-2});
  std::vector<float> losses;
  manual_seed(start != nullptr ? 5 : 4);
  for (int step = 0; step < count; ++step) {
    const Tensor x = Net::batch(), target = randint(0, 4, {x.size(0)});
    const Tensor loss = cross_entropy(model(x), target.to(model.device()));
    loss.backward();
    optimizer.step();
    optimizer.zero_grad();
    losses.push_back(loss.item<float>());
  }
  if (checkpoint != nullptr) {
    checkpoint->clear();
    for (const auto& [name, tensor] : model.state_dict()) checkpoint->emplace(name, tensor.cpu().clone());
  }
  Values values = values_of(model.state_dict());
  values.push_back(losses);
  return values;
}

template <class Net>
void compare() {
  Values expected, continued;
  StateDict checkpoint;
  on_machine(8, [&](const std::vector<Device>& devices) {
    expected = train<Net>(devices, steps(), &checkpoint);
    continued = train<Net>(devices, 5, nullptr, &checkpoint);
  });
  for (const int gpus : {1, 2, 3, 4})
    on_machine(gpus, [&](const std::vector<Device>& devices) {
      CHECK(train<Net>(devices, steps()) == expected);
      CHECK(train<Net>(devices, 5, nullptr, &checkpoint) == continued);
    });
}

TEST_CASE("same bits: a CNN with BatchNorm and dropout, trained by Adam") { compare<Cnn>(); }
TEST_CASE("same bits: a transformer block with dropout") { compare<Block>(); }

}  // namespace
}  // namespace miniparallel

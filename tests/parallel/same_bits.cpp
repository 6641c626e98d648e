#include <miniparallel/miniparallel.h>

#include "../support/temporary_folder.h"
#include "machines.h"

#include <doctest/doctest.h>

#include <cstdlib>
#include <string>
#include <vector>

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

using Values = std::vector<std::vector<double>>;

void append(Values& values, const StateDict& state) {
  for (const auto& [name, tensor] : state) values.push_back(tensor.cpu().to(float64).to_vector<double>());
}

constexpr int kRest = 5;  // steps after the checkpoint

/// What a run ends with: parameters, buffers, the optimizer's state, the random numbers that would come next,
/// and the last losses. It writes `checkpoint` on its way, or, if it is `resumed`, begins with it.
template <class Net>
Values train(const std::vector<Device>& devices, const std::string& checkpoint, bool resumed = false) {
  manual_seed(resumed ? 99 : 21);
  DataParallel model{Net{}, {.devices = devices, .replicas = 8}};
  optim::Adam optimizer(model.parameters(), {.lr = 1e-2});
  const Checkpoint training{{"model", model}, {"optimizer", optimizer}};
  std::vector<double> losses;
  for (int step = resumed ? steps() - kRest : 0; step < steps(); ++step) {
    if (step == steps() - kRest) {
      losses.clear();
      if (resumed)
        load_checkpoint(checkpoint, training);
      else
        save_checkpoint(checkpoint, training);
    }
    const Tensor x = Net::batch(), target = randint(0, 4, {x.size(0)});
    const Tensor loss = cross_entropy(model(x), target.to(model.device()));
    loss.backward();
    optimizer.step();
    optimizer.zero_grad();
    losses.push_back(loss.item());
  }
  Values values = {losses};
  append(values, model.state_dict());
  append(values, optimizer.state_dict());
  append(values, {{"random", randn({3})}});
  return values;
}

template <class Net>
void compare() {
  const testing::TemporaryFolder folder;
  const std::string of_eight = folder / "8", of_fewer = folder / "fewer";
  Values expected;
  on_machine(8, [&](const std::vector<Device>& devices) { expected = train<Net>(devices, of_eight); });
  for (const int gpus : {1, 2, 3, 4}) {
    on_machine(gpus, [&](const std::vector<Device>& devices) {
      CHECK(train<Net>(devices, of_fewer) == expected);
      CHECK(testing::read_text(of_fewer) == testing::read_text(of_eight));
      CHECK(train<Net>(devices, of_eight, true) == expected);
    });
  }
  on_machine(
      8, [&](const std::vector<Device>& devices) { CHECK(train<Net>(devices, of_fewer, true) == expected); });
}

TEST_CASE("same bits: a CNN with BatchNorm and dropout, trained by Adam") { compare<Cnn>(); }
TEST_CASE("same bits: a transformer block with dropout") { compare<Block>(); }

}  // namespace
}  // namespace miniparallel

#include <miniparallel/model/plain_members.h>

#include <miniparallel/miniparallel.h>

#include <doctest/doctest.h>

#include <functional>

namespace miniparallel {
namespace {

using reflect::assign_plain_members;

struct Schedule {
  std::string name = "constant";
  std::vector<double> rates{1, 2};
  std::optional<int> limit;
  std::map<std::string, double> weights;
};

struct Block {
  nn::Linear fc{2, 2};
  nn::Dropout drop{0.5};
  Tensor operator()(const Tensor& x) { return drop(fc(x)); }
};

struct Net {
  nn::Conv2d conv{1, 2, 3};
  nn::BatchNorm2d norm{2};
  std::vector<Block> blocks{2};
  std::optional<nn::LayerNorm> last = nn::LayerNorm(2);
  std::map<std::string, nn::Dropout> named{{"a", {0.1}}};
  std::unique_ptr<Block> owned = std::make_unique<Block>();
  nn::Sequential steps{nn::Linear{2, 2}, nn::Dropout{0.25}, [](const Tensor& x) { return x + 1; }, Block{}};
  Schedule schedule;
  const int kept = 3;
  double scale = 1;
  Tensor noise = zeros({2});
};

std::string error_of(const Net& from, Net& to) {
  try {
    assign_plain_members(from, to);
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing was thrown";
}

TEST_CASE("assign_plain_members: numbers, options, strings and flags at any depth; tensors stay") {
  Net from, to = clone(from);
  const std::vector<Tensor> tensors = parameters(to);
  eval(from);
  from.conv.options.stride = 2;
  from.norm.options.momentum = std::nullopt;
  from.blocks[1].drop.p = 0.125;
  from.blocks[0].fc.activation = Activation::relu;
  from.last->eps = 0.5;
  from.named.at("a").p = 0.75;
  from.owned->drop.p = 0.875;
  from.steps.at<nn::Dropout>(1).p = 0.375;
  from.steps.at<Block>(3).drop.p = 0.625;
  from.schedule = {"cosine", {3, 4, 5}, 7, {{"b", 2.0}}};
  from.scale = 9;
  from.noise = ones({5});
  assign_plain_members(from, to);
  CHECK_FALSE(to.norm.training);
  CHECK_FALSE(to.steps.at<Block>(3).drop.training);
  CHECK(to.conv.options.stride.height == 2);
  CHECK_FALSE(to.norm.options.momentum.has_value());
  CHECK(to.blocks[1].drop.p == 0.125);
  CHECK(to.blocks[0].drop.p == 0.5);
  CHECK(to.blocks[0].fc.activation == Activation::relu);
  CHECK(to.last->eps == 0.5);
  CHECK(to.named.at("a").p == 0.75);
  CHECK(to.owned->drop.p == 0.875);
  CHECK(to.steps.at<nn::Dropout>(1).p == 0.375);
  CHECK(to.steps.at<Block>(3).drop.p == 0.625);
  CHECK(to.schedule.name == "cosine");
  CHECK(to.schedule.rates == std::vector<double>{3, 4, 5});
  CHECK(to.schedule.limit == 7);
  CHECK(to.schedule.weights.at("b") == 2);
  CHECK(to.scale == 9);
  CHECK(to.noise.shape() == Shape{2});
  const std::vector<Tensor> after = parameters(to);
  for (std::size_t i = 0; i < tensors.size(); ++i) CHECK(after[i].is_same(tensors[i]));
  CHECK(from.schedule.name == "cosine");
}

TEST_CASE("assign_plain_members: what a list of members leaves out is not seen") {
  class Hidden {
    nn::Linear fc_{1, 1};
    MINIPARALLEL_MEMBERS(fc_)
   public:
    int unlisted = 0;
  };
  Hidden from, to;
  from.unlisted = 4;
  assign_plain_members(from, to);
  CHECK(to.unlisted == 0);
}

TEST_CASE("assign_plain_members: other layers or shapes are an error that names the member") {
  const auto error_after = [](const std::function<void(Net&)>& change) {
    Net from, to = clone(from);
    change(from);
    return error_of(from, to);
  };
  const std::string differ = "assign_plain_members: the models differ at ",
                    end = "; they must have the same layers";
  CHECK(error_after([](Net& net) { net.blocks.emplace_back(); }) ==
        differ + "blocks: 3 and 2 elements" + end);
  CHECK(error_after([](Net& net) { net.last.reset(); }) ==
        differ + "last: one holds a value, the other none" + end);
  CHECK(error_after([](Net& net) { net.named.clear(); }) == differ + "named: 0 and 1 elements" + end);
  CHECK(error_after([](Net& net) { net.steps.add(nn::ReLU{}); }) == differ + "steps: 5 and 4 layers" + end);
  CHECK(error_after([](Net& net) {
          net.steps = nn::Sequential{nn::Linear{2, 2}, nn::ReLU{}, nn::ReLU{}, Block{}};
        }) == differ + "steps.1: a ReLU and a Dropout" + end);
  CHECK(error_after([](Net& net) { net.blocks[1].fc = nn::Linear(3, 2); }) ==
        differ + "blocks.1.fc.weight: shapes [2, 3] and [2, 2]" + end);
  CHECK(error_after([](Net& net) { net.steps.at<Block>(3).fc = nn::Linear(2, 2, {.bias = false}); }) ==
        differ + "steps.3.fc.bias: one tensor is defined, the other is not" + end);
}

}  // namespace
}  // namespace miniparallel

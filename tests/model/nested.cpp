#include <miniparallel/nested.h>

#include <miniparallel/error.h>
#include <miniparallel/ops.h>

#include "tests/support/error_of.h"

#include <doctest/doctest.h>

#include <array>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

namespace miniparallel {
namespace {

using testing::error_of;

enum class Side { left, right };

struct Loss {
  std::vector<Tensor> parts;
  double scale = 1;
};

struct Outputs {
  Tensor logits;
  Loss loss;
  std::optional<Tensor> mask;
  std::map<std::string, Tensor> named;
  std::unordered_map<int, std::pair<Tensor, int>> counted;
  std::tuple<std::string, Tensor> titled;
  std::array<Tensor, 2> both;
  std::unique_ptr<Tensor> owned;
  std::map<Side, std::vector<std::optional<Tensor>>> sides;
  Side side = Side::right;
  Shape shape;
};

/// All its tensors are [value, value + step, ...], in the order in which they are declared.
Outputs outputs(double value, double step = 0) {
  double next = value - step;
  const auto make = [&] { return tensor({next += step}); };
  Outputs made;
  made.logits = make();
  made.loss = {{make(), make()}, value};
  made.mask = make();
  made.named["b"] = make();
  made.counted.emplace(7, std::pair(make(), static_cast<int>(value)));
  made.titled = {"title " + std::to_string(static_cast<int>(value)), make()};
  made.both = {make(), make()};
  made.owned = std::make_unique<Tensor>(make());
  made.sides[Side::left].push_back(make());
  made.sides[Side::left].push_back(std::nullopt);
  made.shape = {static_cast<std::int64_t>(value)};
  return made;
}

constexpr int kTensors = 11;
const std::vector<std::string> kPaths{"logits",       "loss.parts[0]", "loss.parts[1]", "mask",
                                      "named[\"b\"]", "counted[7][0]", "titled[1]",     "both[0]",
                                      "both[1]",      "owned",         "sides[0][0]"};

std::vector<double> values_of(const Outputs& value) {
  std::vector<double> values;
  nested::for_each(value, [&](const Tensor& tensor) {
    for (const double x : tensor.to_vector<double>()) values.push_back(x);
  });
  return values;
}

Tensor rows(const std::vector<Tensor>& tensors) { return cat(tensors); }

TEST_CASE("for_each: every tensor in order, with its path; what is replaced stays replaced") {
  Outputs value = outputs(0, 1);
  std::vector<std::string> paths;
  nested::for_each(value, [&](Tensor& tensor, const nested::Path& path) {
    CHECK(tensor.item() == static_cast<double>(paths.size()));
    paths.push_back(path.text());
    tensor = tensor + 1;
  });
  CHECK(paths == kPaths);
  CHECK(values_of(value) == std::vector<double>{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11});
}

TEST_CASE("map: types are kept, what is no tensor is copied") {
  const Outputs value = outputs(3);
  const Outputs doubled = nested::map(value, [](const Tensor& x) { return x * 2; });
  CHECK(values_of(doubled) == std::vector<double>(kTensors, 6));
  CHECK(values_of(value) == std::vector<double>(kTensors, 3));
  CHECK(doubled.loss.scale == 3);
  CHECK(doubled.counted.at(7).second == 3);
  CHECK(std::get<0>(doubled.titled) == "title 3");
  CHECK(std::get<0>(value.titled) == "title 3");
  CHECK(doubled.owned != value.owned);
  CHECK_FALSE(doubled.sides.at(Side::left)[1].has_value());
  CHECK(doubled.side == Side::right);
  CHECK(doubled.shape == Shape{3});
}

TEST_CASE("map: a tensor, a container and a temporary are values too, undefined tensors stay") {
  CHECK(nested::map(tensor({2.0}), [](const Tensor& x) { return -x; }).item() == -2);
  std::vector<std::string> paths;
  const auto note = [&paths](const Tensor& x, const nested::Path& path) {
    paths.push_back(path.text());
    return x;
  };
  const auto list =
      nested::map(std::pair(std::vector<Tensor>{tensor({1.0}), Tensor()}, std::string("kept")), note);
  CHECK(paths == std::vector<std::string>{"[0][0]"});
  CHECK_FALSE(list.first[1].defined());
  CHECK(list.second == "kept");
}

TEST_CASE("map: a class that lists its members keeps the others") {
  class Hidden {
    Tensor x_ = tensor({1.0});
    MINIPARALLEL_MEMBERS(x_)
   public:
    int other = 0;
    double x() const { return x_.item(); }
  };
  Hidden value;
  value.other = 5;
  const Hidden mapped = nested::map(value, [](const Tensor& x) { return x + 1; });
  CHECK(mapped.x() == 2);
  CHECK(mapped.other == 5);
}

TEST_CASE("join: tensors at one place become one, of the rest the first is taken") {
  for (const int count : {1, 2, 8, 9, 40}) {
    std::vector<Outputs> values;
    for (int i = 0; i < count; ++i) values.push_back(outputs(i));
    const Outputs joined = nested::join(std::move(values), rows);
    std::vector<double> expected;
    for (int place = 0; place < kTensors; ++place)
      for (int i = 0; i < count; ++i) expected.push_back(i);
    CHECK(values_of(joined) == expected);
    CHECK(joined.loss.scale == 0);
    CHECK(std::get<0>(joined.titled) == "title 0");
    CHECK(joined.counted.at(7).second == 0);
  }
}

TEST_CASE("join: elements of maps are found by their keys") {
  std::unordered_map<int, Tensor> up, down;
  for (int i = 0; i < 50; ++i) up[i] = full({1}, static_cast<double>(i));
  for (int i = 49; i >= 0; --i) down[i] = full({1}, static_cast<double>(-i));
  const auto joined = nested::join(std::vector{up, down}, rows);
  CHECK(joined.size() == 50);
  for (const auto& [key, value] : joined)
    CHECK(value.to_vector<double>() ==
          std::vector<double>{static_cast<double>(key), static_cast<double>(-key)});
}

TEST_CASE("join: f is told the path") {
  std::vector<std::string> paths;
  static_cast<void>(
      nested::join(std::vector{std::pair(ones({1}), ones({2})), std::pair(ones({3}), ones({4}))},
                   [&](std::vector<Tensor> parts, const nested::Path& path) {
                     paths.push_back(path.text());
                     return std::move(parts[1]);
                   }));
  CHECK(paths == std::vector<std::string>{"[0]", "[1]"});
}

TEST_CASE("join: a different structure is an error with the path and both sides of it") {
  const auto join_with = [](auto&& change) {
    std::vector<Outputs> values;
    for (int i = 0; i < 3; ++i) values.push_back(outputs(i));
    change(values[2]);
    return error_of([&] {
      static_cast<void>(nested::join(std::move(values), rows, {.op = "gather", .values = "replicas"}));
    });
  };
  const std::string differ = "gather: replicas 0 and 2 differ at ",
                    end = "; they must have the same structure";
  CHECK(join_with([](Outputs& o) { o.loss.parts.pop_back(); }) ==
        differ + "loss.parts: 2 and 1 elements" + end);
  CHECK(join_with([](Outputs& o) { o.mask.reset(); }) ==
        differ + "mask: one holds a value, the other none" + end);
  CHECK(join_with([](Outputs& o) { o.owned.reset(); }) ==
        differ + "owned: one holds a value, the other none" + end);
  CHECK(join_with([](Outputs& o) { o.named["c"] = ones({1}); }) == differ + "named: 1 and 2 elements" + end);
  CHECK(join_with([](Outputs& o) {
          o.named.clear();
          o.named["c"] = ones({1});
        }) == differ + "named: only one has the element [\"b\"]" + end);
  CHECK(join_with([](Outputs& o) { o.counted.clear(); }) == differ + "counted: 1 and 0 elements" + end);
  CHECK(join_with([](Outputs& o) { o.sides[Side::left][1] = ones({1}); }) ==
        differ + "sides[0][1]: one holds a value, the other none" + end);
  CHECK(join_with([](Outputs& o) { o.logits = Tensor(); }) ==
        differ + "logits: one tensor is defined, the other is not" + end);
}

TEST_CASE("join: the values themselves may differ, and there must be one") {
  CHECK(error_of([] {
          static_cast<void>(nested::join(std::vector<std::vector<Tensor>>{{ones({1})}, {}}, rows));
        }) == "join: values 0 and 1 differ: 1 and 0 elements; they must have the same structure");
  CHECK(error_of([] { static_cast<void>(nested::join(std::vector<Tensor>{}, rows)); }) ==
        "join: there are no values; pass at least one");
}

TEST_CASE("path: it begins with the name that the value is given") {
  const std::pair<Tensor, Tensor> value{ones({1}), ones({1})};
  std::string text;
  const auto note = [&](const Tensor& x, const nested::Path& path) {
    text += path.text() + " ";
    return x;
  };
  nested::for_each(value, note, nested::Path("x"));
  static_cast<void>(nested::map(value, note, nested::Path("y")));
  CHECK(text == "x[0] x[1] y[0] y[1] ");
}

TEST_CASE("path: negative and huge keys are written as they are") {
  const std::map<std::int64_t, Tensor> below{{-3, ones({1})}};
  nested::for_each(below, [](const Tensor&, const nested::Path& path) { CHECK(path.text() == "[-3]"); });
  const std::map<std::uint64_t, Tensor> above{{~std::uint64_t{0}, ones({1})}};
  nested::for_each(above, [](const Tensor&, const nested::Path& path) {
    CHECK(path.text() == "[18446744073709551615]");
    CHECK(path.state_key() == "18446744073709551615");
  });
}

TEST_CASE("to: a copy of a value on a device, the value stays") {
  const Outputs value = outputs(1);
  const Outputs there = to(Device::cpu(), value);
  CHECK(there.logits.is_same(value.logits));
  CHECK(there.counted.at(7).first.is_same(value.counted.at(7).first));
}

}  // namespace
}  // namespace miniparallel

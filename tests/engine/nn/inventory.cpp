#include <miniparallel/model/inventory.h>

#include <miniparallel/miniparallel.h>

#include <doctest/doctest.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace miniparallel {
namespace {

using reflect::Inventory;

struct Net {
  nn::Linear fc_with_a_long_name{2, 3};
  std::vector<nn::BatchNorm1d> norms{2, nn::BatchNorm1d(3)};
  std::map<int, nn::Linear> numbered{{-12, {3, 3}}, {7, {3, 3}}};
  std::optional<nn::Dropout> drop;
  nn::Sequential steps{nn::Linear{3, 3}, nn::Dropout{}};
  Tensor scale = ones({3});
};

/// What the inventory says, and whether its handles are the model's.
void check_is_of(const Inventory& inventory, const Net& net) {
  const Inventory fresh = reflect::inventory(net);
  REQUIRE(inventory.items.size() == fresh.items.size());
  for (std::size_t i = 0; i < fresh.items.size(); ++i) {
    CHECK(inventory.items[i].name == fresh.items[i].name);
    CHECK(inventory.items[i].kind == fresh.items[i].kind);
    CHECK(inventory.items[i].handle == fresh.items[i].handle);
  }
  REQUIRE(inventory.modules.size() == fresh.modules.size());
  for (std::size_t i = 0; i < fresh.modules.size(); ++i) {
    CHECK(inventory.modules[i].name == fresh.modules[i].name);
    CHECK(inventory.modules[i].type == fresh.modules[i].type);
    CHECK(inventory.modules[i].address == fresh.modules[i].address);
    CHECK(inventory.modules[i].first_item == fresh.modules[i].first_item);
    CHECK(inventory.modules[i].end_item == fresh.modules[i].end_item);
  }
  CHECK(inventory.training == fresh.training);
}

TEST_CASE("inventory: taken once more it finds the same members where they are now, and keeps its lists") {
  Net net;
  Inventory inventory = reflect::inventory(net);
  CHECK(inventory.items[12].name == "numbered.-12.weight");
  const auto* const items = inventory.items.data();
  const auto* const modules = inventory.modules.data();
  const char* const name = inventory.items[0].name.data();
  const auto retake = [&] {
    reflect::retake(inventory, net);
    check_is_of(inventory, net);
  };
  retake();
  net.norms = std::vector<nn::BatchNorm1d>(2, nn::BatchNorm1d(3));  // elsewhere
  net.steps = nn::Sequential{nn::Linear{3, 3}, nn::Dropout{}};
  net.scale = zeros({3});
  retake();
  CHECK(inventory.items.data() == items);
  CHECK(inventory.modules.data() == modules);
  CHECK(inventory.items[0].name.data() == name);
}

TEST_CASE("inventory: taken once more it finds what has come and gone") {
  Net net;
  Inventory inventory = reflect::inventory(net);
  const auto retake = [&] {
    reflect::retake(inventory, net);
    check_is_of(inventory, net);
  };
  net.norms.emplace_back(3);
  retake();
  net.norms.resize(1, nn::BatchNorm1d(3));
  retake();
  net.drop.emplace();  // a flag, no tensor
  retake();
  net.drop.reset();
  retake();
  net.steps.add([](const Tensor& x) { return x; });  // neither
  retake();
  net.steps = nn::Sequential{nn::Dropout{}, nn::Linear{3, 3}};
  retake();
  net.norms.clear();
  net.numbered.clear();
  retake();
}

}  // namespace
}  // namespace miniparallel

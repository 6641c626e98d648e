#include <miniparallel/model/reflect.h>

#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace miniparallel;

namespace {

/// Stands for a parameter: a handle to shared data.
struct Handle {
  std::shared_ptr<int> data;
  explicit Handle(int value) : data(std::make_shared<int>(value)) {}
  MINIPARALLEL_MEMBERS()
};

struct Layer {
  Handle weight, bias;
  Layer(int weight_value, int bias_value) : weight(weight_value), bias(bias_value) {}
  MINIPARALLEL_MEMBERS(weight, bias)
};

struct Block {
  Layer fc{1, 2};
  double rate = 0.5;
};
enum class Side { left, right };

struct Net {
  Layer conv1{3, 4};
  std::vector<Block> blocks{2};
  std::optional<Layer> maybe;
  std::tuple<int, Handle> pair{7, Handle(5)};
  std::map<std::string, Handle> named{{"b", Handle(6)}, {"a", Handle(7)}};
  std::map<Side, Handle> sides{{Side::right, Handle(8)}};
  std::vector<std::unique_ptr<Handle>> owned;
  std::vector<bool> flags{true};
};

/// Writes what it sees as "path=value" and the structs as "(Type ...)".
struct Writer {
  std::string text, path;
  std::vector<std::size_t> lengths;

  void leaf(Handle& handle) { text += path + "=" + std::to_string(*handle.data) + " "; }
  void enter(std::string_view name) {
    lengths.push_back(path.size());
    path += (path.empty() ? "" : ".") + std::string(name);
  }
  void leave() {
    path.resize(lengths.back());
    lengths.pop_back();
  }
  template <class T>
  void begin(T&) {
    text += "(" + std::string(reflect::type_name<T>) + " ";
  }
  void end() { text += ") "; }
};

template <class T>
std::string write(T& object) {
  Writer writer;
  reflect::visit(object, writer);
  CHECK(writer.path.empty());
  return writer.text;
}

}  // namespace

TEST_CASE("visit names every leaf by its path") {
  Net net;
  net.owned.push_back(std::make_unique<Handle>(9));
  net.owned.push_back(nullptr);
  const std::string text =
      "(Net (Layer conv1.weight=3 conv1.bias=4 ) "
      "(Block (Layer blocks.0.fc.weight=1 blocks.0.fc.bias=2 ) ) "
      "(Block (Layer blocks.1.fc.weight=1 blocks.1.fc.bias=2 ) ) "
      "pair.1=5 named.a=7 named.b=6 sides.1=8 owned.0=9 ) ";
  CHECK(write(net) == text);
  net.maybe.emplace(10, 11);
  CHECK(write(net).find("(Layer maybe.weight=10 maybe.bias=11 ) ") != std::string::npos);
}

TEST_CASE("visit takes containers and unique_ptr as the model itself") {
  std::vector<Block> blocks(1);
  CHECK(write(blocks) == "(Block (Layer 0.fc.weight=1 0.fc.bias=2 ) ) ");
  auto owned = std::make_unique<Layer>(1, 2);
  CHECK(write(owned) == "(Layer weight=1 bias=2 ) ");
}

TEST_CASE("copy makes new structs around the same handles") {
  Net net;
  net.owned.push_back(std::make_unique<Handle>(9));
  net.maybe.emplace(10, 11);
  Net copied = reflect::copy(net);
  CHECK(write(copied) == write(net));
  CHECK(copied.owned[0] != net.owned[0]);
  *copied.owned[0]->data = 12;
  *copied.blocks[1].fc.bias.data = 13;
  CHECK(*net.owned[0]->data == 12);
  CHECK(*net.blocks[1].fc.bias.data == 13);
  copied.blocks.clear();
  CHECK(net.blocks.size() == 2);
  CHECK(copied.flags == net.flags);
}

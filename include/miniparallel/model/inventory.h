#pragma once

#include <miniparallel/model/reflect.h>
#include <miniparallel/nn/parameter.h>
#include <miniparallel/nn/training.h>
#include <miniparallel/ops.h>

#include <string>
#include <string_view>
#include <vector>

namespace miniparallel {

template <>
inline constexpr bool is_plain<Size2> = true;
template <>
inline constexpr bool is_plain<Pool2dOptions> = true;
template <>
inline constexpr bool is_plain<Size3> = true;
template <>
inline constexpr bool is_plain<Pool3dOptions> = true;

namespace reflect {

/// All that a model consists of, in order of declaration: the functions on models work with it, so that
/// they need no template. Valid while the model lives and keeps its layers.
class Inventory {
 public:
  enum class Kind { parameter, buffer, tensor };
  struct Item {
    std::string name;  ///< the path of members, "blocks.3.fc.bias"
    Kind kind;
    Tensor* handle;  ///< the member itself; may be undefined
  };
  /// A struct with members: a layer or a struct of layers.
  struct Module {
    std::string name;       ///< the path of members; "" for the model
    std::string_view type;  ///< "Linear"
    const void* address;
    std::size_t first_item, end_item;  ///< in `items`, with those of modules inside
  };

  std::vector<Item> items;
  std::vector<Module> modules;
  std::vector<nn::Training*> training;

  // --- what `visit` calls
  void leaf(nn::Parameter& parameter) { add(Kind::parameter, parameter); }
  void leaf(nn::Buffer& buffer) { add(Kind::buffer, buffer); }
  void leaf(Tensor& tensor) { add(Kind::tensor, tensor); }
  void leaf(nn::Training& flag);
  void enter(std::string_view name);
  void leave();
  template <class T>
  void begin(T& object) {
    begin_module(type_name<T>, &object);
  }
  void begin_module(std::string_view type, const void* address);
  void end();

  // --- the inventory taken once more: see `retake`
  void begin_check();
  /// Whether the walk since has met what is listed, and nothing else.
  bool end_check();

 private:
  /// The next in each list while it is checked.
  struct Check {
    std::size_t item = 0, module = 0, flag = 0;
    bool same = true;
  };
  void add(Kind kind, Tensor& handle);

  bool checks_ = false;
  Check check_;
  std::string path_;
  std::vector<std::size_t> path_lengths_;  ///< before each `enter`
  std::vector<std::size_t> open_;          ///< modules that have begun and not ended
};

/// Takes the inventory of a model, any struct, container or layer. That of a const model serves to read it;
/// its handles must not be replaced.
template <class Model>
Inventory inventory(const Model& model) {
  Inventory made;
  reflect::visit(const_cast<Model&>(model), made);  // NOLINT: see above
  return made;
}

/// Brings an inventory of `model` up to date. Where the model still consists of the same members, of which
/// some may be in other places of memory by now, this allocates nothing and keeps the names.
template <class Model>
void retake(Inventory& inventory, const Model& model) {
  inventory.begin_check();
  reflect::visit(const_cast<Model&>(model), inventory);  // NOLINT: as above
  if (!inventory.end_check()) inventory = reflect::inventory(model);
}

}  // namespace reflect
}  // namespace miniparallel

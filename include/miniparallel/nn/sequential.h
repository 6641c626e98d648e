#pragma once

#include <miniparallel/model/inventory.h>
#include <miniparallel/model/plain_members.h>

#include <concepts>
#include <memory>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace miniparallel::nn {

/// The steps of a Sequential: a layer, a struct, a lambda or a function from a tensor to a tensor.
template <class T>
concept Layer = requires(T& layer, const Tensor& x) {
  { layer(x) } -> std::convertible_to<Tensor>;
};

/// Layers one after the other, named "0", "1", ... Copying copies the layers, which share their tensors.
/// Lambdas and functions hold nothing to train; a lambda that owns a layer or a tensor does not compile: make
/// it a struct.
class Sequential {
 public:
  Sequential() = default;
  template <Layer... Layers>
    requires(!(sizeof...(Layers) == 1 && (std::same_as<Layers, Sequential> && ...)))
  explicit Sequential(Layers... layers) {
    steps_.reserve(sizeof...(Layers));
    (add(std::move(layers)), ...);
  }
  Sequential(const Sequential& other);
  Sequential(Sequential&&) noexcept = default;
  Sequential& operator=(Sequential other) noexcept {
    steps_ = std::move(other.steps_);
    return *this;
  }

  /// Appends a layer.
  template <Layer T>
  Sequential& add(T layer) {
    steps_.push_back(std::make_unique<StepOf<T>>(std::move(layer)));
    return *this;
  }

  Tensor operator()(Tensor x) const;

  std::size_t size() const { return steps_.size(); }
  /// Layer `i`, which must be a T: `net.at<nn::Linear>(0).weight`. Throws `Error` where it is not.
  template <Layer T>
  T& at(std::size_t i) const {
    return *static_cast<T*>(checked_layer(i, reflect::type_name<T>, &type_id<T>));
  }

  void visit_parts(reflect::Inventory& inventory);
  void assign_plain_parts(const Sequential& from, const reflect::Path& path);

 private:
  /// Its address tells one type from all others.
  template <class T>
  static constexpr char type_id = 0;

  struct Step {
    virtual ~Step() = default;
    virtual Tensor operator()(const Tensor& x) = 0;
    virtual void visit(reflect::Inventory& inventory) = 0;
    /// `from` is a step of the same type.
    virtual void assign_plain_members(const Step& from, const reflect::Path& path) = 0;
    virtual std::unique_ptr<Step> copy() const = 0;

    std::string_view type;
    const void* id;
    void* layer;

   protected:
    Step(std::string_view type_name, const void* type_id_of, void* address)
        : type(type_name), id(type_id_of), layer(address) {}
  };

  template <class T>
  struct StepOf final : Step {
    /// A lambda or a function: a type that copies trivially owns no tensor.
    static constexpr bool opaque =
        !std::is_aggregate_v<T> && !reflect::Access::lists_members<T>() && std::is_trivially_copyable_v<T>;

    explicit StepOf(T of)
        : Step(opaque ? "function" : reflect::type_name<T>, &type_id<T>, &held), held(std::move(of)) {}
    Tensor operator()(const Tensor& x) override { return held(x); }
    void visit(reflect::Inventory& inventory) override {
      if constexpr (opaque) {
        inventory.begin_module(type, layer);
        inventory.end();
      } else {
        reflect::visit(held, inventory);
      }
    }
    void assign_plain_members(const Step& from, const reflect::Path& path) override {
      if constexpr (!opaque) reflect::assign_plain_members(static_cast<const StepOf&>(from).held, held, path);
    }
    std::unique_ptr<Step> copy() const override { return std::make_unique<StepOf>(reflect::copy(held)); }

    T held;
  };

  void* checked_layer(std::size_t i, std::string_view type, const void* id) const;

  std::vector<std::unique_ptr<Step>> steps_;
};

}  // namespace miniparallel::nn

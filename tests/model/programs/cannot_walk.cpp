// Must not compile. Each "expect" is a part of an error message, which names a way out.
// expect: miniparallel: this class has a constructor, a private or protected member or a private base class
// expect: miniparallel: a member is a pointer, and what it points to is not visited
// expect: template <> inline constexpr bool miniparallel::is_plain<T> = true;
// expect: miniparallel: the members of a struct with a base class cannot be found
// expect: miniparallel: an nn::Parameter or nn::Buffer belongs to a model
// expect: for another type write collate(std::vector<T>) in its namespace
// expect: miniparallel: the elements of an unordered_map have no lasting order
#include <miniparallel/miniparallel.h>

using namespace miniparallel;

class Private {
  Tensor hidden_;
};
struct Base {
  Tensor x;
};
struct Derived : Base {
  Tensor y;
};
struct Result {
  std::shared_ptr<Tensor> shared;
};
struct Model {
  nn::Parameter weight;
};
struct Unordered {
  std::unordered_map<std::string, nn::Linear> heads;
};
enum class Colour { red };

Private map_private(const Private& value) {
  return nested::map(value, [](const Tensor& x) { return x; });
}
Result join_shared(std::vector<Result> values) {
  return nested::join(std::move(values), [](const std::vector<Tensor>& x) { return stack(x); });
}
Derived to_device(const Derived& value) { return to(Device::cpu(), value); }
void visit_private(Private& value) {
  nested::for_each(value, [](Tensor&) {});
}
Model map_model(const Model& model) {
  return nested::map(model, [](const Tensor& x) { return x; });
}
auto collate_enum(std::vector<Colour> colours) { return data::collate(std::move(colours)); }
auto collate_private(std::vector<Private> values) { return data::collate(std::move(values)); }
std::vector<Tensor> parameters_of(const Unordered& model) { return parameters(model); }

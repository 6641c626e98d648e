// Must not compile. Each "expect" is a part of an error message, which names a way out.
// expect: this class has a constructor, a private or protected member or a private base class
// expect: a member is a pointer, and what it points to is not visited
// expect: with a base class cannot be found; make the base a member, or list the members
// expect: has a C array as a member; make it a std::array, or list the members
// expect: has a reference member; make it a value
// expect: must not be const members
// expect: the keys of a map of layers must be strings, integers or enums
// expect: MINIPARALLEL_MEMBERS(conv1, fc) inside the struct
// expect: template <> inline constexpr bool miniparallel::is_plain<T> = true;
// expect: write its elements with NoGradGuard guard; parameter.copy_(tensor);
// expect: write its elements with buffer.copy_(tensor);
#include <miniparallel/nn.h>

struct Layer {
  Layer(int, int) {}
  MINIPARALLEL_MEMBERS()
};
struct Visitor {
  void leaf(Layer&) {}
  void enter(std::string_view) {}
  void leave() {}
  template <class T>
  void begin(T&) {}
  void end() {}
};

class Private {
  Layer layer{1, 2};
};
struct HasPrivate {
  Private part;
};
struct HasShared {
  std::shared_ptr<Layer> part;
};
struct Base {
  Layer layer{1, 2};
};
struct HasBase : Base {
  int n = 0;
};
struct ListsOnlyInBase : Layer {
  Layer own{1, 2};
};
struct HasArray {
  Layer layers[2] = {{1, 2}, {2, 3}};
};
struct HasArrayOfOne {
  Layer layers[1] = {{1, 2}};
  int n = 0;
};
struct HasText {
  Layer layer{1, 2};
  char name[8] = "net";
};
struct HasConstReference {
  const Layer& layer;
};
struct HasReference {
  Layer& layer;
};
struct HasConst {
  const Layer layer{1, 2};
};
struct HasOddMap {
  std::map<double, Layer> layers;
};

template <class T>
void check(T& object) {
  Visitor visitor;
  miniparallel::reflect::visit(object, visitor);
}
template void check(HasPrivate&);
template void check(HasShared&);
template void check(HasBase&);
template void check(ListsOnlyInBase&);
template void check(HasArray&);
template void check(HasArrayOfOne&);
template void check(HasText&);
template void check(HasConstReference&);
template void check(HasReference&);
template void check(HasConst&);
template void check(HasOddMap&);

using miniparallel::Tensor;
void assign(miniparallel::nn::Parameter& parameter, miniparallel::nn::Buffer& buffer, const Tensor& tensor) {
  parameter = tensor;
  buffer = tensor;
}

class Hidden {
  miniparallel::nn::Linear layer_{1, 2};

 public:
  Tensor operator()(const Tensor& x) { return layer_(x); }
};
miniparallel::nn::Sequential of_hidden() { return miniparallel::nn::Sequential{Hidden()}; }

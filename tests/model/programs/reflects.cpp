// Compiled and run with every compiler at hand: what reflection must see.
#include <miniparallel/model/reflect.h>

#include <cstdint>
#include <functional>

using namespace miniparallel::reflect;

namespace sample {

/// A layer as the library writes them: constructors, so no aggregate; cheap to copy.
struct Layer {
  Layer(std::int64_t in, std::int64_t out, double scale = 1) : in_(in), out_(out), scale_(scale) {}
  std::int64_t in_, out_;
  double scale_;
  MINIPARALLEL_MEMBERS()
};

enum class Mode { sum, mean };

struct Net {
  Layer conv1{1, 32}, conv2{32, 64, 0.5};
  double rate = 0.25;
  Mode mode = Mode::sum;
  std::string title = "net";
  Layer fc{9216, 128};
};
struct NoDefaults {
  Layer a, b;
};
struct Nested {
  Net body{.conv1 = {3, 8}, .rate = 0.5};
  NoDefaults pair{.a = {1, 2}, .b = {2, 1}};
};
struct Containers {
  std::vector<Layer> blocks{{1, 2}, {2, 3}};
  std::vector<NoDefaults> aggregates;
  std::array<Layer, 2> heads{Layer{1, 2}, Layer{2, 3}};
  std::optional<Layer> maybe;
  std::optional<NoDefaults> maybe_aggregate;
  std::tuple<Layer, NoDefaults> both{{1, 2}, {{1, 2}, {2, 3}}};
  std::pair<Layer, int> counted{{1, 2}, 3};
  std::map<std::string, Layer> named;
  std::unique_ptr<Layer> owned;
  std::unique_ptr<NoDefaults> owned_aggregate;
  std::vector<std::unique_ptr<Nested>> many;
  std::vector<bool> flags{true, false};
};
namespace {
struct Unnamed {
  Net net;
};
}  // namespace
struct Empty {};
template <class T>
struct Template {
  T inner;
  [[no_unique_address]] Empty empty;
  std::int64_t _under_score9;
};
class Private {
  Layer hidden_{1, 2};
  Net* unlisted_ = nullptr;
  MINIPARALLEL_MEMBERS(hidden_)
 public:
  explicit Private(Net* net) : unlisted_(net) {}
  Net* unlisted() const { return unlisted_; }
};
class Opaque {
  explicit Opaque(int);

 public:
  Opaque() = default;
  void* handle = nullptr;
};
struct DeclaredPlain {
  Layer fc{1, 2};
  Opaque opaque;
  std::function<int(int)> callback;
};
struct Base {
  Layer base{1, 2};
};
struct Derived : Base {
  Layer own{1, 2};
  MINIPARALLEL_MEMBERS(base, own)
};
struct Big {
  int i0, i1, i2, i3, i4, i5, i6, i7, i8, i9, i10, i11, i12, i13, i14, i15, i16, i17, i18, i19, i20, i21, i22,
      i23, i24, i25, i26, i27, i28, i29, i30, i31, i32, i33, i34, i35, i36, i37, i38, i39, i40, i41, i42, i43,
      i44, i45, i46, i47, i48, i49, i50, i51, i52, i53, i54, i55, i56, i57, i58, i59, i60, i61, i62, i63;
};

}  // namespace sample

template <>
inline constexpr bool miniparallel::is_plain<sample::Opaque> = true;
template <>
inline constexpr bool miniparallel::is_plain<std::function<int(int)>> = true;

namespace sample {

static_assert(initialiser_count<Net> == 6 && initialiser_count<NoDefaults> == 2);
static_assert(initialiser_count<Containers> == 12 && initialiser_count<Empty> == 0);
static_assert(initialiser_count<Big> == 64);
static_assert(!has_array_member<Net>() && !has_array_member<Containers>() && !has_array_member<Nested>());
static_assert(!has_base_class<Net>() && !has_base_class<Containers>() && !has_base_class<Empty>());
static_assert(!has_reference_member<Net> && !has_reference_member<Containers>);

static_assert(detail::split_names<2>("base,   own")[1] == "own");
static_assert(Access::lists_members<Private>() && Access::lists_members<Derived>());

/// Accepts layers, ignores structure.
struct Visitor {
  void leaf(Layer&) {}
  void enter(std::string_view) {}
  void leave() {}
  template <class T>
  void begin(T&) {}
  void end() {}
};

}  // namespace sample

template <class T>
void visit_and_copy(T& object) {
  sample::Visitor visitor;
  visit(object, visitor);
  [[maybe_unused]] T copied = copy(object);
}

int main() {
  using namespace sample;
  struct Local {
    Layer first{1, 2};
    Unnamed second;
  };
  Net net;
  Nested nested;
  Containers containers;
  Private with_private(&net);
  Derived derived;
  DeclaredPlain declared_plain;
  Big big{};
  Local local;
  Template<NoDefaults> of_template{{{1, 2}, {2, 3}}, {}, 1};
  std::vector<Net> several(2);
  [&](auto&... object) { (visit_and_copy(object), ...); }(net, nested, containers, with_private, derived,
                                                          declared_plain, big, local, of_template, several);

  // Not by static_assert: the first pass of nvcc spells
  // addresses in its own way, its second is the compiler's.
  const bool named = member_names<Net>[0] == "conv1" && member_names<Net>[3] == "mode" &&
                     member_names<Containers>[11] == "flags" && member_names<Local>[1] == "second" &&
                     member_names<Template<Layer>>[2] == "_under_score9" && member_names<Big>[63] == "i63" &&
                     type_name<Net> == "Net" && type_name<Template<Layer>> == "Template" &&
                     type_name<Local> == "Local" && member_names<Unnamed>[0] == "net" &&
                     type_name<Unnamed> == "Unnamed";
  return named ? 0 : 1;
}

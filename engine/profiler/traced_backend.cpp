#include "engine/profiler/traced_backend.h"

#include <miniparallel/model/field_names.h>

#include "engine/profiler/span.h"

#include <array>
#include <mutex>
#include <string_view>
#include <tuple>
#include <type_traits>

// A family is a struct of function pointers. Each gets a function of the
// same signature that opens a span and calls on; its members and their names
// are found by reflection, so a new launcher is traced without a word here.

namespace miniparallel::profiler {
namespace {

/// The launchers that the traced ones call, of GPUs and of the CPU, set before these are handed out.
template <class Family>
Family plain_launchers[2];

template <class Family>
constexpr std::size_t launcher_count = reflect::member_names<Family>.size();

template <std::size_t index, class Family>
auto& launcher(Family& family) {
  return reflect::with_members_of_aggregate(
      family, [](auto&... members) -> auto& { return std::get<index>(std::tie(members...)); });
}

/// "family.launcher", by launcher.
template <class Family>
std::array<const char*, launcher_count<Family>> names;

#define MP_TEXT(name, functor) #name,
#define MP_BACKWARD_TEXT(name, functor) #name ".backward",
constexpr const char* kUnary[] = {MP_ALL_UNARY_ARITHMETIC(MP_TEXT) MP_ALL_UNARY_FLOATING(MP_TEXT)};
constexpr const char* kUnaryBackward[] = {MP_ALL_UNARY_ARITHMETIC(MP_BACKWARD_TEXT)
                                              MP_ALL_UNARY_FLOATING(MP_BACKWARD_TEXT)};
constexpr const char* kBinary[] = {MP_BINARY_ARITHMETIC(MP_TEXT) MP_BINARY_FLOATING(MP_TEXT)
                                       MP_BINARY_INTEGER(MP_TEXT)};
constexpr const char* kBinaryBackward[] = {MP_BINARY_ARITHMETIC(MP_BACKWARD_TEXT)
                                               MP_BINARY_FLOATING(MP_BACKWARD_TEXT)};
constexpr const char* kTernary[] = {MP_TERNARY_FLOATING(MP_TEXT)};
constexpr const char* kCompare[] = {MP_COMPARE(MP_TEXT)};
#undef MP_TEXT
#undef MP_BACKWARD_TEXT

/// An elementwise launcher runs many functions: the name is that of the function.
const char* name_of(const char* launcher, kernels::Unary function, DType, const kernels::ElementwiseArgs&,
                    kernels::Stream) {
  const bool backward = std::string_view(launcher).ends_with("backward");
  return (backward ? kUnaryBackward : kUnary)[static_cast<int>(function)];
}
const char* name_of(const char*, kernels::Binary function, DType, const kernels::ElementwiseArgs&,
                    kernels::Stream) {
  return kBinary[static_cast<int>(function)];
}
const char* name_of(const char*, kernels::Binary function, int, DType, const kernels::ElementwiseArgs&,
                    kernels::Stream) {
  return kBinaryBackward[static_cast<int>(function)];
}
const char* name_of(const char*, kernels::Ternary function, DType, const kernels::ElementwiseArgs&,
                    kernels::Stream) {
  return kTernary[static_cast<int>(function)];
}
const char* name_of(const char*, kernels::Compare function, DType, const kernels::ElementwiseArgs&,
                    kernels::Stream) {
  return kCompare[static_cast<int>(function)];
}
template <class... Arguments>
const char* name_of(const char* launcher, const Arguments&...) {
  return launcher;
}

/// The size of the work that an argument tells; most tell none.
template <class Argument>
void describe(Span& span, const Argument& argument) {
  if constexpr (std::is_same_v<Argument, DType>) {
    span.set_dtype(argument);
  } else if constexpr (requires { sizes(argument); }) {
    const kernels::Sizes size = sizes(argument);
    span.set_sizes(size.labels, {size.values, size.count});
  }
}

/// Whose launcher is called: the last argument tells.
template <class... Arguments>
bool is_for_cpu(const Arguments&... arguments) {
  const kernels::Stream& stream = std::get<sizeof...(Arguments) - 1>(std::tie(arguments...));
  return stream.device < 0;
}

template <class Family, std::size_t index, class... Arguments>
void traced(Arguments... arguments) {
  Span span(Kind::kernel, name_of(names<Family>[index], arguments...));
  if (span.active()) (describe(span, arguments), ...);
  launcher<index>(plain_launchers<Family>[is_for_cpu(arguments...)])(arguments...);
}

template <class Family, std::size_t index, class... Arguments>
void replace(void (*&pointer)(Arguments...)) {
  pointer = traced<Family, index, Arguments...>;
}

template <class Family>
Family trace(const std::string& family, Family launchers) {
  [&]<std::size_t... index>(std::index_sequence<index...>) {
    ((names<Family>[index] = intern(family + "." + std::string(reflect::member_names<Family>[index])),
      replace<Family, index>(launcher<index>(launchers))),
     ...);
  }(std::make_index_sequence<launcher_count<Family>>());
  return launchers;
}

}  // namespace

const kernels::Backend& traced_backend(const kernels::Backend& plain, bool of_cpu) {
#define MP_PLAIN(Family, name) plain_launchers<kernels::Family>[of_cpu] = plain.name;
#define MP_TRACED(Family, name) .name = trace(#name, plain.name),
  static std::once_flag set[2];
  std::call_once(set[of_cpu], [&] { MP_FAMILIES(MP_PLAIN) });
  static const kernels::Backend backend{MP_FAMILIES(MP_TRACED)};
#undef MP_PLAIN
#undef MP_TRACED
  return backend;
}

}  // namespace miniparallel::profiler

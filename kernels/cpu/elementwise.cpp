#include "kernels/elementwise.h"

#include "kernels/cpu/backend.h"
#include "kernels/cpu/copy.h"
#include "kernels/cpu/fixed_pow.h"
#include "kernels/cpu/map.h"
#include "kernels/half.h"

#include <algorithm>
#include <cmath>
#include <type_traits>
#include <utility>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/elementwise.cpp"
#include "kernels/cpu/targets.h"
// After targets.h:
#include "kernels/cpu/long_loops.h"

// One loop over plain arrays per function and dtype; the driver in map.cpp feeds it from any layout.

HWY_BEFORE_NAMESPACE();
namespace miniparallel::kernels::cpu::HWY_NAMESPACE {
namespace {

/// Whether loops of many steps go by blocks: the baseline's need only be small.
template <bool is_long, class T>
constexpr bool by_blocks = is_long && std::is_same_v<T, float> && HWY_TARGET != HWY_SCALAR;

template <class F, class T>
void unary_loop(const LoopArgs& a) {
  T* y = a.output<T>();
  const T* x = a.input<T>(0);
  if constexpr (by_blocks<is_long_forward<F>, T>) return long_loop(a.n, y, UnaryForward<F>{a.p, a.q}, x);
  MP_IVDEP
  for (std::int64_t i = 0; i < a.n; ++i) y[i] = F::forward(x[i], a.p, a.q);
}

template <class F, class T>
void unary_backward_loop(const LoopArgs& a) {
  T* dx = a.output<T>();
  const T *g = a.input<T>(0), *saved = a.input<T>(1);
  if constexpr (by_blocks<is_long_backward<F>, T>)
    return long_loop(a.n, dx, UnaryBackward<F>{a.p, a.q}, g, saved);
  MP_IVDEP
  for (std::int64_t i = 0; i < a.n; ++i) dx[i] = F::backward(g[i], saved[i], a.p, a.q);
}

template <class F, class T>
void binary_loop(const LoopArgs& args) {
  T* y = args.output<T>();
  const T *a = args.input<T>(0), *b = args.input<T>(1);
  if constexpr (by_blocks<is_long_forward<F>, T>) return long_loop(args.n, y, BinaryForward<F>{}, a, b);
  MP_IVDEP
  for (std::int64_t i = 0; i < args.n; ++i) y[i] = F::forward(a[i], b[i]);
}

template <class F, int one>
void with_one_loop(const LoopArgs& args) {
  float* y = args.output<float>();
  const float *a = args.input<float>(0), *b = args.input<float>(1), value = one == 0 ? *a : *b;
  MP_IVDEP
  for (std::int64_t i = 0; i < args.n; ++i)
    y[i] = F::forward(one == 0 ? value : a[i], one == 1 ? value : b[i]);
}

template <class F, class T, int side>
void binary_backward_loop(const LoopArgs& args) {
  T* d = args.output<T>();
  const T *g = args.input<T>(0), *a = args.input<T>(1), *b = args.input<T>(2);
  if constexpr (by_blocks<is_long_backward<F>, T>)
    return long_loop(args.n, d, BinaryBackward<F, side>{}, g, a, b);
  MP_IVDEP
  for (std::int64_t i = 0; i < args.n; ++i)
    d[i] = side == 0 ? F::backward_a(g[i], a[i], b[i]) : F::backward_b(g[i], a[i], b[i]);
}

template <class F, class T>
void ternary_loop(const LoopArgs& args) {
  T* y = args.output<T>();
  const T *a = args.input<T>(0), *b = args.input<T>(1), *c = args.input<T>(2);
  MP_IVDEP
  for (std::int64_t i = 0; i < args.n; ++i) y[i] = F::forward(a[i], b[i], c[i], args.p);
}

#define MP_COMPARE_LOOP(name, op)                                  \
  template <class T>                                               \
  void name##_loop(const LoopArgs& args) {                         \
    bool* y = args.output<bool>();                                 \
    const T *a = args.input<T>(0), *b = args.input<T>(1);          \
    for (std::int64_t i = 0; i < args.n; ++i) y[i] = a[i] op b[i]; \
  }
MP_COMPARE(MP_COMPARE_LOOP)

/// A bool is read as the byte that it is, 0 or 1: GCC 12 vectorises no loop over bools.
template <class T>
using Readable = std::conditional_t<std::is_same_v<T, bool>, std::uint8_t, T>;

template <class T>
void where_loop(const LoopArgs& args) {
  T* y = args.output<T>();
  const Readable<bool>* condition = args.input<Readable<bool>>(0);
  const T *a = args.input<T>(1), *b = args.input<T>(2);
  MP_IVDEP
  for (std::int64_t i = 0; i < args.n; ++i) y[i] = condition[i] != 0 ? a[i] : b[i];
}

/// Calls f(power), which raises to the exponent, if there is a loop for it; tells whether.
template <class T, class F>
MP_INLINE bool with_power(double exponent, const F& f) {
  const bool fixed = with_fixed_exponent(exponent, [&]<int halves>() HWY_ATTR { f(FixedPow<halves>()); });
  if (fixed || !std::is_same_v<T, float> || !std::isfinite(exponent)) return fixed;
  if constexpr (std::is_same_v<T, float>) f(FinitePow(exponent));
  return true;
}

template <class T>
void pow_loop(const LoopArgs& a) {
  T* y = a.output<T>();
  const T* x = a.input<T>(0);
  const bool done = with_power<T>(a.p, [&]<class P>(const P& power) HWY_ATTR {
    if constexpr (by_blocks<true, T>) return long_loop(a.n, y, PowForward<P>{power}, x);
    MP_IVDEP
    for (std::int64_t i = 0; i < a.n; ++i) y[i] = power(x[i]);
  });
  if (!done) unary_loop<functors::PowScalar, T>(a);
}

template <class T>
void pow_backward_loop(const LoopArgs& a) {
  T* dx = a.output<T>();
  const T *g = a.input<T>(0), *x = a.input<T>(1), p = static_cast<T>(a.p);
  const bool done = a.p != 0 && with_power<T>(a.p - 1, [&]<class P>(const P& power) HWY_ATTR {
                      if constexpr (by_blocks<true, T>)
                        return long_loop(a.n, dx, PowBackward<P>{power, p}, g, x);
                      MP_IVDEP
                      for (std::int64_t i = 0; i < a.n; ++i) dx[i] = g[i] * p * power(x[i]);
                    });
  if (!done) unary_backward_loop<functors::PowScalar, T>(a);
}

template <class From, class To>
constexpr Loop convert_loop = [](const LoopArgs& a) {
  To* y = a.output<To>();
  const Readable<From>* x = a.input<Readable<From>>(0);
  MP_IVDEP
  for (std::int64_t i = 0; i < a.n; ++i) y[i] = convert<To>(x[i]);
};
template <class T>
constexpr Loop convert_loop<T, T> = nullptr;  // a copy

#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3
namespace hn = hwy::HWY_NAMESPACE;

/// Calls convert_vector for `lanes` elements at a time; the rest of a row goes through memory of so many.
template <class To, class From, class F>
HWY_ATTR void convert_vectors(const LoopArgs& a, std::int64_t lanes, const F& convert_vector) {
  To* y = a.output<To>();
  const From* x = a.input<From>(0);
  const std::int64_t n = a.n;
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes) convert_vector(x + i, y + i);
  if (i == n) return;
  From rest[32] = {};
  To converted[32];
  std::copy_n(x + i, n - i, rest);
  convert_vector(rest, converted);
  std::copy_n(converted, n - i, y + i);
}

// By the processor's own instructions.
template <>
constexpr Loop convert_loop<Half, float> = [](const LoopArgs& a) HWY_ATTR {
  const hn::ScalableTag<float> floats;
  const hn::Rebind<hwy::float16_t, decltype(floats)> halves;
  convert_vectors<float, Half>(a, hn::Lanes(floats), [=](const Half* x, float* y) HWY_ATTR {
    hn::StoreU(hn::PromoteTo(floats, hn::LoadU(halves, reinterpret_cast<const hwy::float16_t*>(x))), floats,
               y);
  });
};
/// Two vectors at a time: a loop that stores half of one took twice as long.
template <>
constexpr Loop convert_loop<float, Half> = [](const LoopArgs& a) HWY_ATTR {
  const hn::ScalableTag<float> floats;
  const hn::Rebind<hwy::float16_t, decltype(floats)> halves;
  const hn::ScalableTag<std::uint16_t> bits;
  const auto lanes = hn::Lanes(floats);
  convert_vectors<Half, float>(a, 2 * lanes, [=](const float* x, Half* y) HWY_ATTR {
    const auto rounded = [=](const float* from) HWY_ATTR {
      return hn::BitCast(hn::Half<decltype(bits)>(), hn::DemoteTo(halves, hn::LoadU(floats, from)));
    };
    hn::StoreU(hn::Combine(bits, rounded(x + lanes), rounded(x)), bits, reinterpret_cast<std::uint16_t*>(y));
  });
};
#endif

// Rows of a table: one loop per dtype, null where it has none. Order of the dtypes as in DType.
using Row = DTypeRow;

template <class F>
constexpr Row unary_floating{unary_loop<F, float>, unary_loop<F, double>};
template <>
constexpr Row unary_floating<functors::PowScalar>{pow_loop<float>, pow_loop<double>};
template <class F>
constexpr Row unary_arithmetic{unary_loop<F, float>, unary_loop<F, double>, unary_loop<F, std::int64_t>,
                               unary_loop<F, std::int32_t>, unary_loop<F, std::uint8_t>};
template <class F>
constexpr Row unary_backward{unary_backward_loop<F, float>, unary_backward_loop<F, double>};
template <>
constexpr Row unary_backward<functors::PowScalar>{pow_backward_loop<float>, pow_backward_loop<double>};
template <class F>
constexpr Row binary_floating{binary_loop<F, float>, binary_loop<F, double>};
template <class F>
constexpr Loop bool_loop = binary_loop<F, bool>;
template <>
constexpr Loop bool_loop<functors::Sub> = nullptr;
template <class F>
constexpr Row binary_arithmetic{binary_loop<F, float>,        binary_loop<F, double>,
                                binary_loop<F, std::int64_t>, binary_loop<F, std::int32_t>,
                                binary_loop<F, std::uint8_t>, bool_loop<F>};
/// Those that broadcasting is mostly for.
template <class F, int one>
constexpr Loop with_one = nullptr;
#define MP_WITH_ONE(functor) \
  template <int one>         \
  constexpr Loop with_one<functors::functor, one> = with_one_loop<functors::functor, one>;
MP_WITH_ONE(Add)
MP_WITH_ONE(Sub)
MP_WITH_ONE(Mul)
MP_WITH_ONE(Div)
/// The bits of bool are those of uint8.
template <class F>
constexpr Row binary_integer{nullptr,
                             nullptr,
                             binary_loop<F, std::int64_t>,
                             binary_loop<F, std::int32_t>,
                             binary_loop<F, std::uint8_t>,
                             binary_loop<F, std::uint8_t>};
template <class F, int side>
constexpr Row binary_backward{binary_backward_loop<F, float, side>, binary_backward_loop<F, double, side>};

template <class F>
constexpr Row ternary_floating{ternary_loop<F, float>, ternary_loop<F, double>};

template <class From>
constexpr Row convert_from{convert_loop<From, float>,        convert_loop<From, double>,
                           convert_loop<From, std::int64_t>, convert_loop<From, std::int32_t>,
                           convert_loop<From, std::uint8_t>, convert_loop<From, bool>,
                           convert_loop<From, Half>,         convert_loop<From, BFloat16>};

}  // namespace

const ElementwiseLoops& elementwise_loops() {
#define MP_ROW(name, functor) unary_arithmetic<functors::functor>,
#define MP_ROW_FLOATING(name, functor) unary_floating<functors::functor>,
#define MP_ROW_BACKWARD(name, functor) unary_backward<functors::functor>,
#define MP_ROW_BINARY(name, functor) binary_arithmetic<functors::functor>,
#define MP_ROW_BINARY_FLOATING(name, functor) binary_floating<functors::functor>,
#define MP_ROW_BINARY_INTEGER(name, functor) binary_integer<functors::functor>,
#define MP_LOOP_WITH_0(name, functor) with_one<functors::functor, 0>,
#define MP_LOOP_WITH_1(name, functor) with_one<functors::functor, 1>,
#define MP_ROW_BINARY_A(name, functor) binary_backward<functors::functor, 0>,
#define MP_ROW_BINARY_B(name, functor) binary_backward<functors::functor, 1>,
#define MP_ROW_TERNARY(name, functor) ternary_floating<functors::functor>,
#define MP_ROW_COMPARE(name, op)                                                       \
  Row{name##_loop<float>,        name##_loop<double>,       name##_loop<std::int64_t>, \
      name##_loop<std::int32_t>, name##_loop<std::uint8_t>, name##_loop<bool>},
  static constexpr ElementwiseLoops table{
      .unary = {MP_ALL_UNARY_ARITHMETIC(MP_ROW) MP_ALL_UNARY_FLOATING(MP_ROW_FLOATING)},
      .unary_backward = {MP_ALL_UNARY_ARITHMETIC(MP_ROW_BACKWARD) MP_ALL_UNARY_FLOATING(MP_ROW_BACKWARD)},
      .binary = {MP_BINARY_ARITHMETIC(MP_ROW_BINARY) MP_BINARY_FLOATING(MP_ROW_BINARY_FLOATING)
                     MP_BINARY_INTEGER(MP_ROW_BINARY_INTEGER)},
      .binary_backward = {{MP_BINARY_ARITHMETIC(MP_ROW_BINARY_A) MP_BINARY_FLOATING(MP_ROW_BINARY_A)},
                          {MP_BINARY_ARITHMETIC(MP_ROW_BINARY_B) MP_BINARY_FLOATING(MP_ROW_BINARY_B)}},
      .binary_with_one = {{MP_BINARY_ARITHMETIC(MP_LOOP_WITH_0) MP_BINARY_FLOATING(MP_LOOP_WITH_0)},
                          {MP_BINARY_ARITHMETIC(MP_LOOP_WITH_1) MP_BINARY_FLOATING(MP_LOOP_WITH_1)}},
      .ternary = {MP_TERNARY_FLOATING(MP_ROW_TERNARY)},
      .compare = {MP_COMPARE(MP_ROW_COMPARE)},
      .where = {where_loop<float>, where_loop<double>, where_loop<std::int64_t>, where_loop<std::int32_t>,
                where_loop<std::uint8_t>, where_loop<bool>},
      .convert = {convert_from<float>, convert_from<double>, convert_from<std::int64_t>,
                  convert_from<std::int32_t>, convert_from<std::uint8_t>, convert_from<bool>,
                  convert_from<Half>, convert_from<BFloat16>},
  };
  return table;
}

}  // namespace miniparallel::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace miniparallel::kernels::cpu {
namespace {

MP_DISPATCH(ElementwiseLoops, elementwise_loops)

constexpr int at(auto value) { return static_cast<int>(value); }
/// Of the loop for the dtype: 16-bit types are computed with as float32.
constexpr int at(DType dtype) { return static_cast<int>(is_half(dtype) ? float32 : dtype); }

void unary(Unary function, DType dtype, const ElementwiseArgs& args, Stream) {
  map(elementwise_loops().unary[at(function)][at(dtype)], args, {dtype, dtype});
}
void unary_backward(Unary function, DType dtype, const ElementwiseArgs& args, Stream) {
  map(elementwise_loops().unary_backward[at(function)][at(dtype)], args, {dtype, dtype, dtype});
}
void binary(Binary function, DType dtype, const ElementwiseArgs& args, Stream) {
  if (const int one = dtype == float32 ? one_in_rows(args, 3) : 0; one > 0)
    if (const Loop loop = elementwise_loops().binary_with_one[one - 1][at(function)])
      return map_with_one(loop, args, 3, one);
  map(elementwise_loops().binary[at(function)][at(dtype)], args, {dtype, dtype, dtype});
}
void binary_backward(Binary function, int side, DType dtype, const ElementwiseArgs& args, Stream) {
  map(elementwise_loops().binary_backward[side][at(function)][at(dtype)], args, {dtype, dtype, dtype, dtype});
}
void ternary(Ternary function, DType dtype, const ElementwiseArgs& args, Stream) {
  map(elementwise_loops().ternary[at(function)][at(dtype)], args, {dtype, dtype, dtype, dtype});
}
void compare(Compare function, DType dtype, const ElementwiseArgs& args, Stream) {
  map(elementwise_loops().compare[at(function)][at(dtype)], args, {boolean, dtype, dtype});
}
void where(DType dtype, const ElementwiseArgs& args, Stream) {
  map(elementwise_loops().where[at(dtype)], args, {dtype, boolean, dtype, dtype});
}
void convert_or_copy(DType from, DType to, const ElementwiseArgs& args, Stream) {
  if (from == to) return copy(size_of(from), args);
  const Loop loop = elementwise_loops().convert[static_cast<std::size_t>(from)][static_cast<std::size_t>(to)];
  map(loop, args, {to, from}, Halves::as_stored);
}

}  // namespace

const std::array<DTypeRow, 8>& convert_loops() { return elementwise_loops().convert; }

const Elementwise& elementwise() {
  static constexpr Elementwise launchers{.unary = unary,
                                         .unary_backward = unary_backward,
                                         .binary = binary,
                                         .binary_backward = binary_backward,
                                         .ternary = ternary,
                                         .compare = compare,
                                         .where = where,
                                         .convert = convert_or_copy,
                                         .fill = fill,
                                         .sequence = sequence,
                                         .real_sequence = real_sequence};
  return launchers;
}

}  // namespace miniparallel::kernels::cpu
#endif

#include "kernels/cuda/elementwise/map.cuh"
#include "kernels/cuda/elementwise/tables.h"

namespace miniparallel::kernels::cuda {
namespace {

template <class F, class T>
struct Forward {
  MP_INLINE T operator()(T a, T b) const { return F::forward(a, b); }
};

template <class F, class T, int side>
struct BackwardOf {
  MP_INLINE T operator()(T g, T a, T b) const {
    if constexpr (side == 0)
      return F::backward_a(g, a, b);
    else
      return F::backward_b(g, a, b);
  }
};

template <class F, class T>
void forward(const ElementwiseArgs& args, Stream stream) {
  map<T, T, T>(Forward<F, T>{}, args, stream);
}
template <class F, class T, int side>
void backward(const ElementwiseArgs& args, Stream stream) {
  map<T, T, T, T>(BackwardOf<F, T, side>{}, args, stream);
}
template <class F, DType dtype>
void forward_half(const ElementwiseArgs& args, Stream stream) {
  map_halves_of<std::uint16_t, dtype, std::uint16_t, std::uint16_t>(Forward<F, float>{}, args, stream);
}
template <class F, int side, DType dtype>
void backward_half(const ElementwiseArgs& args, Stream stream) {
  map_halves_of<std::uint16_t, dtype, std::uint16_t, std::uint16_t, std::uint16_t>(
      BackwardOf<F, float, side>{}, args, stream);
}

template <class F>
constexpr MapRow floating{forward<F, float>,        forward<F, double>,       {}, {}, {}, {},
                          forward_half<F, float16>, forward_half<F, bfloat16>};
template <class F>
constexpr Map bool_forward = forward<F, bool>;
template <>
constexpr Map bool_forward<functors::Sub> = nullptr;
template <class F>
constexpr MapRow arithmetic{forward<F, float>,        forward<F, double>,       forward<F, std::int64_t>,
                            forward<F, std::int32_t>, forward<F, std::uint8_t>, bool_forward<F>,
                            forward_half<F, float16>, forward_half<F, bfloat16>};
/// The bits of bool are those of uint8.
template <class F>
constexpr MapRow integer{nullptr,
                         nullptr,
                         forward<F, std::int64_t>,
                         forward<F, std::int32_t>,
                         forward<F, std::uint8_t>,
                         forward<F, std::uint8_t>};
template <class F, int side>
constexpr MapRow gradient{backward<F, float, side>,        backward<F, double, side>,       {}, {}, {}, {},
                          backward_half<F, side, float16>, backward_half<F, side, bfloat16>};

}  // namespace

#define MP_ROW(name, functor) arithmetic<functors::functor>,
#define MP_ROW_FLOATING(name, functor) floating<functors::functor>,
#define MP_ROW_INTEGER(name, functor) integer<functors::functor>,
#define MP_ROW_A(name, functor) gradient<functors::functor, 0>,
#define MP_ROW_B(name, functor) gradient<functors::functor, 1>,
const MapTable<Binary> binary_maps{MP_BINARY_ARITHMETIC(MP_ROW) MP_BINARY_FLOATING(MP_ROW_FLOATING)
                                       MP_BINARY_INTEGER(MP_ROW_INTEGER)};
const std::array<MapTable<Binary>, 2> binary_backward_maps{
    MapTable<Binary>{MP_BINARY_ARITHMETIC(MP_ROW_A) MP_BINARY_FLOATING(MP_ROW_A)},
    MapTable<Binary>{MP_BINARY_ARITHMETIC(MP_ROW_B) MP_BINARY_FLOATING(MP_ROW_B)}};

}  // namespace miniparallel::kernels::cuda

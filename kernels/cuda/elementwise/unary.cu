#include "kernels/cuda/elementwise/map.cuh"
#include "kernels/cuda/elementwise/tables.h"

namespace miniparallel::kernels::cuda {
namespace {

template <class F, class T>
struct Forward {
  double p, q;
  MP_INLINE T operator()(T x) const { return F::forward(x, p, q); }
};

template <class F, class T>
void forward(const ElementwiseArgs& args, Stream stream) {
  map<T, T>(Forward<F, T>{args.p, args.q}, args, stream);
}
template <class F, DType dtype>
void forward_half(const ElementwiseArgs& args, Stream stream) {
  map_halves_of<std::uint16_t, dtype, std::uint16_t>(Forward<F, float>{args.p, args.q}, args, stream);
}

template <class F>
constexpr MapRow floating{forward<F, float>,        forward<F, double>,       {}, {}, {}, {},
                          forward_half<F, float16>, forward_half<F, bfloat16>};
template <class F>
constexpr MapRow arithmetic{forward<F, float>,        forward<F, double>,       forward<F, std::int64_t>,
                            forward<F, std::int32_t>, forward<F, std::uint8_t>, {},
                            forward_half<F, float16>, forward_half<F, bfloat16>};

}  // namespace

#define MP_ROW(name, functor) arithmetic<functors::functor>,
#define MP_ROW_FLOATING(name, functor) floating<functors::functor>,
const MapTable<Unary> unary_maps{MP_ALL_UNARY_ARITHMETIC(MP_ROW) MP_ALL_UNARY_FLOATING(MP_ROW_FLOATING)};

}  // namespace miniparallel::kernels::cuda

#include "kernels/cuda/elementwise/map.cuh"
#include "kernels/cuda/elementwise/tables.h"

namespace miniparallel::kernels::cuda {
namespace {

template <class F, class T>
struct Forward {
  double p;
  MP_INLINE T operator()(T a, T b, T c) const { return F::forward(a, b, c, p); }
};

template <class F, class T>
void forward(const ElementwiseArgs& args, Stream stream) {
  map<T, T, T, T>(Forward<F, T>{args.p}, args, stream);
}
template <class F, DType dtype>
void forward_half(const ElementwiseArgs& args, Stream stream) {
  map_halves_of<std::uint16_t, dtype, std::uint16_t, std::uint16_t, std::uint16_t>(Forward<F, float>{args.p},
                                                                                   args, stream);
}

template <class F>
constexpr MapRow floating{forward<F, float>,        forward<F, double>,       {}, {}, {}, {},
                          forward_half<F, float16>, forward_half<F, bfloat16>};

}  // namespace

#define MP_ROW(name, functor) floating<functors::functor>,
const MapTable<Ternary> ternary_maps{MP_TERNARY_FLOATING(MP_ROW)};

}  // namespace miniparallel::kernels::cuda

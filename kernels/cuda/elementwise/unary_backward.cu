#include "kernels/cuda/elementwise/map.cuh"
#include "kernels/cuda/elementwise/tables.h"

namespace miniparallel::kernels::cuda {
namespace {

template <class F, class T>
struct BackwardOf {
  double p, q;
  MP_INLINE T operator()(T g, T saved) const { return F::backward(g, saved, p, q); }
};

template <class F, class T>
void backward(const ElementwiseArgs& args, Stream stream) {
  map<T, T, T>(BackwardOf<F, T>{args.p, args.q}, args, stream);
}
template <class F, DType dtype>
void backward_half(const ElementwiseArgs& args, Stream stream) {
  map_halves_of<std::uint16_t, dtype, std::uint16_t, std::uint16_t>(BackwardOf<F, float>{args.p, args.q},
                                                                    args, stream);
}

template <class F>
constexpr MapRow floating{backward<F, float>,        backward<F, double>,       {}, {}, {}, {},
                          backward_half<F, float16>, backward_half<F, bfloat16>};

}  // namespace

#define MP_ROW(name, functor) floating<functors::functor>,
const MapTable<Unary> unary_backward_maps{MP_ALL_UNARY_ARITHMETIC(MP_ROW) MP_ALL_UNARY_FLOATING(MP_ROW)};

}  // namespace miniparallel::kernels::cuda

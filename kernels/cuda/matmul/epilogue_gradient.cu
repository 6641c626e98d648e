#include "kernels/by_dtype.h"
#include "kernels/cuda/device/two_stage.cuh"
#include "kernels/cuda/matmul/epilogue_gradient.h"
#include "kernels/reductions.h"

namespace miniparallel::kernels::cuda {
namespace {

/// Column sums of the gradient through an activation, which is written on the way: it is read, and a kernel
/// started, once instead of twice.
template <class T, class F>
struct EpilogueGradient {
  struct Values {
    using Accumulator = typename SumOf<T>::Accumulator;
    MP_INLINE static Accumulator initial() { return SumOf<T>::initial; }
    MP_INLINE static Accumulator combine(Accumulator a, Accumulator b) { return SumOf<T>::combine(a, b); }
  };
  std::int64_t columns;
  const T *g, *saved;
  T *dx, *dbias;
  int beta;

  __device__ auto part(std::int64_t column, std::int64_t begin, std::int64_t end, std::int64_t step) const {
    struct Loaded {
      T g, saved;
    };
    auto sum = Values::initial();
    for_each_in_batches<32 / sizeof(T)>(
        begin, end, step,
        [&](std::int64_t row) {
          const std::int64_t at = row * columns + column;
          return Loaded{g[at], saved[at]};
        },
        [&](const Loaded& of, std::int64_t row) {
          const T gradient = F::backward(of.g, of.saved, 0, 0);
          dx[row * columns + column] = gradient;
          sum += gradient;
        });
    return sum;
  }
  __device__ void store(std::int64_t column, double total) const {
    dbias[column] = static_cast<T>(total) + (beta == 0 ? T(0) : dbias[column]);
  }
};

template <class T, class F>
void run(const EpilogueGradientArgs& args, Stream stream) {
  const EpilogueGradient<T, F> gradient{args.columns,    in<T>(args.g),           in<T>(args.saved),
                                        out<T>(args.dx), out<T>(args.dbias.data), args.dbias.beta};
  reduce_in_two_stages(gradient, args.columns, args.rows, args.columns >= 32, stream);
}

}  // namespace

void epilogue_gradient(DType dtype, const EpilogueGradientArgs& args, Stream stream) {
  with_type(dtype, [&]<class T>() {
    (args.activation == Activation::relu ? run<T, functors::Relu> : run<T, functors::GeluTanh>)(args, stream);
  });
}

}  // namespace miniparallel::kernels::cuda

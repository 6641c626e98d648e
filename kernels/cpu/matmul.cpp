#include "kernels/matmul.h"

#include "kernels/activate.h"
#include "kernels/by_dtype.h"
#include "kernels/cpu/backend.h"
#include "kernels/cpu/blas.h"
#include "kernels/cpu/parallel.h"

#include <algorithm>
#include <type_traits>

namespace miniparallel::kernels::cpu {
namespace {

constexpr std::int64_t kGrain = 1 << 18;  // multiplications per thread at least: some 5 us
constexpr std::int64_t kSmall = 1 << 20;  // below, the BLAS gains little from several threads

/// The arguments of matrix `index` of the batch.
template <class T>
MatmulArgs matrix_of_batch(const MatmulArgs& args, std::int64_t index) {
  MatmulArgs one = args;
  std::int64_t offsets[3] = {};
  for (int d = args.batch.rank - 1; d >= 0; --d) {
    const std::int64_t i = index % args.batch.sizes[d];
    index /= args.batch.sizes[d];
    for (int k = 0; k < 3; ++k) offsets[k] += i * args.batch.strides[k][d];
  }
  one.c = static_cast<T*>(args.c) + offsets[0];
  if (args.pre_activation != nullptr) one.pre_activation = static_cast<T*>(args.pre_activation) + offsets[0];
  one.a.data = static_cast<const T*>(args.a.data) + offsets[1];
  one.b.data = static_cast<const T*>(args.b.data) + offsets[2];
  return one;
}

/// c (+)= a column by a row: each product once, for which the BLAS would clear c, then pack both.
template <class T>
void multiply_outer(const MatmulArgs& args) {
  ElementwiseArgs pass;
  pass.layout = make_layout({args.rows, args.columns}, {{args.c_stride, 1},
                                                        {args.a.transposed ? 1 : args.a.stride, 0},
                                                        {0, args.b.transposed ? args.b.stride : 1}});
  pass.operands[0] = args.c;
  pass.operands[1] = const_cast<void*>(args.a.data);
  pass.operands[2] = const_cast<void*>(args.b.data);
  pass.accumulate = args.beta == 1;
  elementwise().binary(Binary::mul, std::is_same_v<T, float> ? float32 : float64, pass, Stream{});
}

template <class T>
void multiply_one(const MatmulArgs& args) {
  MatmulArgs product = args;
  if (args.pre_activation != nullptr) product.c = args.pre_activation;
  if (product.inner == 1 && product.bias == nullptr)
    multiply_outer<T>(product);
  else
    blas_multiply<T>(product);
  activate(elementwise(), std::is_same_v<T, float> ? float32 : float64, args, 1, 0, Stream{});
}

template <class T>
void multiply_batch(const MatmulArgs& args) {
  const std::int64_t batch = args.batch.numel();
  const std::int64_t work = std::max<std::int64_t>(args.rows * args.columns * args.inner, 1);
  const auto run = [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) multiply_one<T>(matrix_of_batch<T>(args, i));
  };
  // Several small matrices, or many of any size: one thread for each; else all threads for one after another.
  if (batch > 1 && (work < kSmall || batch >= 4 * available_threads()))
    parallel_for(batch, std::max<std::int64_t>(kGrain / work, 1), run);
  else
    run(0, batch);
}

void multiply(DType dtype, const MatmulArgs& args, Stream) {
  with_type(dtype, [&]<class T>() { multiply_batch<T>(args); });
}

void epilogue_gradient(DType dtype, const EpilogueGradientArgs& args, Stream stream) {
  ElementwiseArgs pass;
  pass.layout = make_layout({args.rows * args.columns}, {{1}, {1}, {1}});
  pass.operands[0] = args.dx;
  pass.operands[1] = const_cast<void*>(args.g);
  pass.operands[2] = const_cast<void*>(args.saved);
  elementwise().unary_backward(function_of(args.activation), dtype, pass, stream);
  ReduceArgs sums;
  sums.kept = make_layout({args.columns}, {{1}});
  sums.reduced = make_layout({args.rows}, {{args.columns}});
  sums.in = args.dx;
  sums.out = args.dbias.data;
  sums.accumulate = args.dbias.beta == 1;
  reduce().sum(dtype, sums, stream);
}

}  // namespace

const Matmul& matmul() {
  static constexpr Matmul launchers{.multiply = multiply, .epilogue_gradient = epilogue_gradient};
  return launchers;
}

}  // namespace miniparallel::kernels::cpu

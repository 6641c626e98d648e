#include "kernels/cuda/norm_layer.h"

#include "kernels/cuda/by_dtype.h"
#include "kernels/cuda/moments.cuh"
#include "kernels/cuda/two_stage.cuh"
#include "kernels/math.h"

// A warp, or for long rows a block, works on each row: blocks are (32, 8) or (256, 1) threads.

namespace miniparallel::kernels::cuda {
namespace {

constexpr std::int64_t kLongRow = 2048;  // elements

/// The rows of a matrix, seen from one thread of the row's.
struct Row {
  std::int64_t index, start;

  __device__ static Row mine(std::int64_t width) {
    const std::int64_t index = static_cast<std::int64_t>(blockIdx.x) * blockDim.y + threadIdx.y;
    return {index, index * width};
  }
};

template <class T>
__global__ void layer_normalize(std::int64_t rows, std::int64_t width, const T* x, const T* weight,
                                const T* bias, double eps, T* y, T* mean, T* inv_std) {
  const Row row = Row::mine(width);
  if (row.index >= rows) return;
  const T* in = x + row.start;
  T* out = y + row.start;
  const T origin = width == 0 ? std::numeric_limits<T>::quiet_NaN() : in[0];
  RunningMoments<T> running;
  for (std::int64_t i = threadIdx.x; i < width; i += blockDim.x) running.add(in[i] - origin);
  const Moments moments = combine_over_x<Moments>(running);
  const T center = static_cast<T>(static_cast<double>(origin) + moments.mean);
  const T scale = static_cast<T>(1 / math::sqrt(moments.deviations / moments.count + eps));
  for (std::int64_t i = threadIdx.x; i < width; i += blockDim.x)
    out[i] = (in[i] - center) * scale * (weight == nullptr ? T(1) : weight[i]) +
             (bias == nullptr ? T(0) : bias[i]);
  if (threadIdx.x != 0) return;
  mean[row.index] = center;
  inv_std[row.index] = scale;
}

/// dx = inv_std (g w - mean of g w - normalised x times the mean of g w times that).
template <class T>
__global__ void layer_gradient(std::int64_t rows, std::int64_t width, const T* g, const T* x, const T* mean,
                               const T* inv_std, const T* weight, T* dx, int beta) {
  const Row row = Row::mine(width);
  if (row.index >= rows) return;
  const T *gradient = g + row.start, *in = x + row.start;
  T* out = dx + row.start;
  const T center = mean[row.index], scale = inv_std[row.index];
  const auto weighted = [&](std::int64_t i) { return gradient[i] * (weight == nullptr ? T(1) : weight[i]); };
  Sums sums = Sums::initial();
  for (std::int64_t i = threadIdx.x; i < width; i += blockDim.x) {
    const T of_y = weighted(i);
    sums.add(of_y, of_y * (in[i] - center));
  }
  sums = combine_over_x<Sums>(sums);
  const T shift = static_cast<T>(sums.first / static_cast<double>(width));
  const T slope = static_cast<T>(sums.second / static_cast<double>(width)) * scale * scale;
  for (std::int64_t i = threadIdx.x; i < width; i += blockDim.x) {
    const T value = scale * (weighted(i) - shift - (in[i] - center) * slope);
    out[i] = beta == 0 ? value : out[i] + value;
  }
}

/// Sums over the rows, for each column: the gradients of bias and weight.
template <class T>
struct ParameterSums {
  using Values = Sums;
  std::int64_t width;
  const T *g, *x, *mean, *inv_std;
  T* dweight;
  int weight_beta;
  T* dbias;
  int bias_beta;

  __device__ Sums part(std::int64_t column, std::int64_t begin, std::int64_t end, std::int64_t step) const {
    Sums sums = Values::initial();
    for (std::int64_t row = begin; row < end; row += step) {
      const std::int64_t at = row * width + column;
      sums.add(g[at], g[at] * ((x[at] - mean[row]) * inv_std[row]));
    }
    return sums;
  }
  __device__ static void write(T* to, std::int64_t column, double value, int beta) {
    if (to != nullptr) to[column] = static_cast<T>(value) + (beta == 0 ? T(0) : to[column]);
  }
  __device__ void store(std::int64_t column, const Sums& total) const {
    write(dbias, column, total.first, bias_beta);
    write(dweight, column, total.second, weight_beta);
  }
};

template <class... Parameters, class... Arguments>
void launch_rows(Stream stream, void (*kernel)(std::int64_t, std::int64_t, Parameters...), std::int64_t rows,
                 std::int64_t width, const Arguments&... arguments) {
  if (rows == 0) return;
  const unsigned lanes = width < kLongRow ? 32 : kBlock;
  const dim3 block(lanes, kBlock / lanes);
  launch_blocks(stream, kernel, dim3(static_cast<unsigned>((rows + block.y - 1) / block.y)), block, rows,
                width, arguments...);
}

}  // namespace

void layer_forward(DType dtype, std::int64_t rows, std::int64_t width, const void* x, const void* weight,
                   const void* bias, double eps, void* y, void* mean, void* inv_std, Stream stream) {
  with_type(dtype, [&]<class T>(T) {
    launch_rows(stream, layer_normalize<T>, rows, width, in<T>(x), in<T>(weight), in<T>(bias), eps, out<T>(y),
                out<T>(mean), out<T>(inv_std));
  });
}

void layer_data_gradient(DType dtype, std::int64_t rows, std::int64_t width, const void* g, const void* x,
                         const void* mean, const void* inv_std, const void* weight, void* dx, int beta,
                         Stream stream) {
  with_type(dtype, [&]<class T>(T) {
    launch_rows(stream, layer_gradient<T>, rows, width, in<T>(g), in<T>(x), in<T>(mean), in<T>(inv_std),
                in<T>(weight), out<T>(dx), beta);
  });
}

void layer_parameter_gradient(DType dtype, std::int64_t rows, std::int64_t width, const void* g,
                              const void* x, const void* mean, const void* inv_std, void* dweight,
                              int weight_beta, void* dbias, int bias_beta, Stream stream) {
  with_type(dtype, [&]<class T>(T) {
    const ParameterSums<T> sums{width,           in<T>(g),    in<T>(x),      in<T>(mean), in<T>(inv_std),
                                out<T>(dweight), weight_beta, out<T>(dbias), bias_beta};
    reduce_in_two_stages(sums, width, rows, true, stream);
  });
}

}  // namespace miniparallel::kernels::cuda

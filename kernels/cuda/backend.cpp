#include "kernels/cuda/backend.h"

#include "kernels/cuda/bad_index.h"
#include "kernels/cuda/missing.h"

namespace miniparallel::kernels {
namespace cuda {
namespace {

constexpr Attention attention{.forward = Missing<"attention">(), .backward = Missing<"attention">()};
constexpr Conv2d conv2d{.forward = Missing<"conv2d">(),
                        .data_gradient = Missing<"conv2d">(),
                        .weight_gradient = Missing<"conv2d">()};
constexpr CrossEntropy cross_entropy{.forward = Missing<"cross_entropy">(),
                                     .backward = Missing<"cross_entropy">()};
constexpr Indexing indexing{.gather = Missing<"index_select">(), .scatter_add = Missing<"index_select">()};
constexpr Matmul matmul{.multiply = Missing<"matmul">()};
constexpr Norm norm{.batch_statistics = Missing<"batch_norm">(),
                    .batch_normalize = Missing<"batch_norm">(),
                    .batch_sums = Missing<"batch_norm">(),
                    .batch_data_gradient = Missing<"batch_norm">(),
                    .layer_forward = Missing<"layer_norm">(),
                    .layer_data_gradient = Missing<"layer_norm">(),
                    .layer_parameter_gradient = Missing<"layer_norm">()};
constexpr PointwiseLoss pointwise_loss{.forward = Missing<"pointwise loss">(),
                                       .backward = Missing<"pointwise loss">()};
constexpr Optimizer optimizer{.sgd = Missing<"SGD">(),
                              .adam = Missing<"Adam">(),
                              .norm = Missing<"clip_grad_norm">(),
                              .clip_norm = Missing<"clip_grad_norm">(),
                              .clip_value = Missing<"clip_grad_value">()};
constexpr Pool2d pool2d{.max = Missing<"max_pool2d">(),
                        .max_scatter = Missing<"max_pool2d">(),
                        .max_gather = Missing<"max_pool2d">(),
                        .average = Missing<"avg_pool2d">(),
                        .average_backward = Missing<"avg_pool2d">()};
constexpr Random random{.uniform = Missing<"rand">(),
                        .normal = Missing<"randn">(),
                        .integers = Missing<"randint">(),
                        .dropout = Missing<"dropout">()};
constexpr Reduce reduce{.sum = Missing<"sum">(),
                        .sum_squares = Missing<"var">(),
                        .amax = Missing<"amax">(),
                        .amin = Missing<"amin">(),
                        .argmax = Missing<"argmax">()};
constexpr Softmax softmax{.forward = Missing<"softmax">(), .backward = Missing<"softmax">()};

}  // namespace

void release() { release_bad_index_words(); }

}  // namespace cuda

const Backend& cuda_backend() {
  static const Backend backend{.attention = cuda::attention,
                               .conv2d = cuda::conv2d,
                               .cross_entropy = cuda::cross_entropy,
                               .elementwise = cuda::elementwise(),
                               .indexing = cuda::indexing,
                               .matmul = cuda::matmul,
                               .norm = cuda::norm,
                               .optimizer = cuda::optimizer,
                               .pointwise_loss = cuda::pointwise_loss,
                               .pool2d = cuda::pool2d,
                               .random = cuda::random,
                               .reduce = cuda::reduce,
                               .softmax = cuda::softmax};
  return backend;
}

}  // namespace miniparallel::kernels

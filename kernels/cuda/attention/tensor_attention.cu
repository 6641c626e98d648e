#include "kernels/cuda/attention/attention.h"
#include "kernels/cuda/attention/launch.cuh"
#include "kernels/cuda/attention/passes.cuh"
#include "kernels/cuda/attention/tensor_tile.cuh"

namespace miniparallel::kernels::cuda {
namespace {

template <class Tile>
__global__ void __launch_bounds__(Tile::kThreads, 2) attention_tensor_forward(AttentionCall call) {
  if constexpr (has_tensor_cores<typename Tile::Number>) make_forward<Tile>(call);
}
template <class Tile>
__global__ void __launch_bounds__(Tile::kThreads, 2) attention_tensor_dq(AttentionCall call) {
  if constexpr (has_tensor_cores<typename Tile::Number>) make_dq<Tile>(call);
}
template <class Tile>
__global__ void __launch_bounds__(Tile::kThreads, 2) attention_tensor_dk_dv(AttentionCall call) {
  if constexpr (has_tensor_cores<typename Tile::Number>) make_dk_dv<Tile>(call);
}

}  // namespace

template <class T>
void attention_forward_on_tensor_cores(const AttentionArgs& args, Stream stream) {
  using Tile = AttentionTensorTile<T, 64>;
  launch_tiles<Tile>(attention_tensor_forward<Tile>, args, {}, args.n, args.ev, stream);
}

template <class T>
void attention_backward_on_tensor_cores(const AttentionArgs& args, const AttentionGradients& gradients,
                                        Stream stream) {
  using Tile = AttentionTensorTile<T, 64>;
  launch_tiles<Tile>(attention_tensor_dq<Tile>, args, gradients, args.n, args.e, stream);
  launch_tiles<Tile>(attention_tensor_dk_dv<Tile>, args, gradients, args.m, std::max(args.e, args.ev),
                     stream);
}

template void attention_forward_on_tensor_cores<Half>(const AttentionArgs&, Stream);
template void attention_forward_on_tensor_cores<BFloat16>(const AttentionArgs&, Stream);
template void attention_forward_on_tensor_cores<float>(const AttentionArgs&, Stream);
template void attention_backward_on_tensor_cores<Half>(const AttentionArgs&, const AttentionGradients&,
                                                       Stream);
template void attention_backward_on_tensor_cores<BFloat16>(const AttentionArgs&, const AttentionGradients&,
                                                           Stream);
template void attention_backward_on_tensor_cores<float>(const AttentionArgs&, const AttentionGradients&,
                                                        Stream);

}  // namespace miniparallel::kernels::cuda

#include "kernels/cuda/attention/attention.h"
#include "kernels/cuda/attention/launch.cuh"
#include "kernels/cuda/attention/passes.cuh"
#include "kernels/cuda/backend.h"
#include "kernels/cuda/device/probe.h"
#include "kernels/tf32.h"

namespace miniparallel::kernels::cuda {
namespace {

template <class Tile>
__global__ void __launch_bounds__(Tile::kThreads, 2) attention_forward(AttentionCall call) {
  make_forward<Tile>(call);
}
template <class Tile>
__global__ void __launch_bounds__(Tile::kThreads, 2) attention_dq(AttentionCall call) {
  make_dq<Tile>(call);
}
template <class Tile>
__global__ void __launch_bounds__(Tile::kThreads, 2) attention_dk_dv(AttentionCall call) {
  make_dk_dv<Tile>(call);
}

/// Runs `kernel_of(tile)` for results of `rows` rows, `width` wide: of tall tiles, which read less from
/// shared memory, where their blocks are enough for the device.
template <class T, class KernelOf>
void run(const AttentionArgs& args, const AttentionGradients& gradients, std::int64_t rows,
         std::int64_t width, Stream stream, const KernelOf& kernel_of) {
  const auto launch = [&]<class Tile>(Tile tile) {
    launch_tiles<Tile>(kernel_of(tile), args, gradients, rows, width, stream);
  };
  if constexpr (sizeof(T) == 4) {
    using Tall = AttentionTile<T, 8, true>;
    const AttentionBlocks<Tall> blocks{rows, width, args.matrices};
    if (are_packed<T>(args, gradients))
      return blocks.count() >= multiprocessors(stream.device) ? launch(Tall())
                                                              : launch(AttentionTile<T, 4, true>());
  }
  launch(AttentionTile<T, 4, false>());
}

template <class T>
void forward_by_tiles(const AttentionArgs& args, Stream stream) {
  run<T>(args, {}, args.n, args.ev, stream, []<class Tile>(Tile) { return attention_forward<Tile>; });
}

template <class T>
void backward_by_tiles(const AttentionArgs& args, const AttentionGradients& gradients, Stream stream) {
  run<T>(args, gradients, args.n, args.e, stream, []<class Tile>(Tile) { return attention_dq<Tile>; });
  run<T>(args, gradients, args.m, std::max(args.e, args.ev), stream,
         []<class Tile>(Tile) { return attention_dk_dv<Tile>; });
}

/// Whether matrices of T go to tensor cores: they take the type, there is code for it, and rows are packs.
template <class T>
bool suits_tensor_cores(const AttentionArgs& args, const AttentionGradients& gradients, Stream stream) {
  if (std::is_same_v<T, float> && !tf32_is_allowed.load(std::memory_order_relaxed)) return false;
  if (!std::is_same_v<T, Half> && code_architecture(stream.device) < 80) return false;
  return are_packed<T>(args, gradients);
}

void forward(DType dtype, const AttentionArgs& args, Stream stream) {
  with_stored_type(dtype, [&]<class T>() {
    if constexpr (sizeof(T) <= 4)
      if (suits_tensor_cores<T>(args, {}, stream)) return attention_forward_on_tensor_cores<T>(args, stream);
    forward_by_tiles<T>(args, stream);
  });
}

void backward(DType dtype, const AttentionArgs& args, const AttentionGradients& gradients, Stream stream) {
  with_stored_type(dtype, [&]<class T>() {
    if constexpr (sizeof(T) <= 4)
      if (suits_tensor_cores<T>(args, gradients, stream))
        return attention_backward_on_tensor_cores<T>(args, gradients, stream);
    backward_by_tiles<T>(args, gradients, stream);
  });
}

}  // namespace

const Attention& attention() {
  static constexpr Attention launchers{.forward = forward, .backward = backward};
  return launchers;
}

}  // namespace miniparallel::kernels::cuda

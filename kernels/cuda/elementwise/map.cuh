#pragma once

#include "kernels/cuda/device/divider.cuh"
#include "kernels/cuda/device/launch_on.cuh"
#include "kernels/cuda/device/pack.cuh"
#include "kernels/cuda/elementwise/index_ranges.h"
#include "kernels/elementwise.h"
#include "kernels/half.h"

#include <algorithm>
#include <cstdint>
#include <type_traits>
#include <utility>

/// Runs a function of elements over any layout: plain arrays 16 bytes at a time, float32 that is broadcast or
/// sliced as well where its rows allow it, everything else element by element by 32-bit offsets. float16 and
/// bfloat16 have one kernel per function, which computes in float32.

namespace miniparallel::kernels::cuda {

// --- kernels

/// y = value, or y += value.
template <class T>
MP_INLINE void put(T& y, T value, bool accumulate) {
  if constexpr (std::is_floating_point_v<T>)
    y = accumulate ? y + value : value;
  else
    y = value;
}

template <int N, class F, class Out, class... In>
MP_INLINE void put_pack(const F& f, bool accumulate, Pack<Out, N>& y, Pack<In, N>... x) {
  Pack<Out, N> result;
  if (accumulate) result = y;
  MP_UNROLL
  for (int k = 0; k < N; ++k) put(result.at[k], f(x.at[k]...), accumulate);
  y = result;
}

/// Plain arrays, N elements at a time: 16 bytes of the widest operand.
template <int N, class F, class Out, class... In>
__global__ void map_arrays(F f, std::int64_t n, bool accumulate, Out* y, const In*... x) {
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  const std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  const std::int64_t packs = n / N;
  for (std::int64_t i = first; i < packs; i += step)
    put_pack<N>(f, accumulate, pack_at<N>(y, i * N), pack_at<N>(x, i * N)...);
  for (std::int64_t i = packs * N + first; i < n; i += step) put(y[i], f(x[i]...), accumulate);
}

/// Where the operands of element i are.
template <int operands>
struct Offsets {
  int rank = 0;
  Divider sizes[kMaxRank];
  std::uint32_t strides[kMaxRank][operands] = {};

  explicit Offsets(const Layout& layout) : rank(layout.rank) {
    for (int d = 0; d < rank; ++d) {
      sizes[d] = Divider(static_cast<std::uint32_t>(layout.sizes[d]));
      for (int k = 0; k < operands; ++k) strides[d][k] = static_cast<std::uint32_t>(layout.strides[k][d]);
    }
  }

  MP_INLINE void locate(std::uint32_t i, std::uint32_t (&offsets)[operands]) const {
    for (int d = rank - 1; d >= 0; --d) {
      const std::uint32_t index = sizes[d].divide(i);
      MP_UNROLL
      for (int k = 0; k < operands; ++k) offsets[k] += index * strides[d][k];
    }
  }
};

template <class F, class Out, class... In, int... k>
MP_INLINE void put_at(const F& f, bool accumulate, const std::uint32_t* offsets,
                      std::integer_sequence<int, k...>, Out* y, const In*... x) {
  put(y[offsets[0]], f(x[offsets[k + 1]]...), accumulate);
}

template <class F, class Out, class... In>
__global__ void map_strided(F f, std::uint32_t n, bool accumulate, Offsets<1 + sizeof...(In)> layout, Out* y,
                            const In*... x) {
  const std::uint32_t step = gridDim.x * blockDim.x;
  for (std::uint32_t i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step) {
    std::uint32_t offsets[1 + sizeof...(In)] = {};
    layout.locate(i, offsets);
    put_at(f, accumulate, offsets, std::make_integer_sequence<int, sizeof...(In)>(), y, x...);
  }
}

/// N elements `step` apart.
template <int N, class T>
MP_INLINE Pack<T, N> gather(const T* x, std::uint32_t step) {
  if (step == 1) return pack_at<N>(x, 0);
  Pack<T, N> pack;
  MP_UNROLL
  for (int k = 0; k < N; ++k) pack.at[k] = x[static_cast<std::uint32_t>(k) * step];
  return pack;
}

/// Packs along the innermost dimension, along which the output is contiguous.
template <int operands>
struct PackedRows {
  Offsets<operands> packs;
  std::uint32_t steps[operands];  ///< of an operand in a pack; 1 where it is a pack itself

  PackedRows(const Layout& layout, int pack) : packs(in_packs(layout, pack)) {
    for (int k = 0; k < operands; ++k)
      steps[k] = static_cast<std::uint32_t>(layout.strides[k][layout.rank - 1]);
  }

 private:
  static Layout in_packs(Layout layout, int pack) {
    layout.sizes[layout.rank - 1] /= pack;
    for (int k = 0; k < operands; ++k) layout.strides[k][layout.rank - 1] *= pack;
    return layout;
  }
};

template <int N, class F, class Out, class... In, int... k>
MP_INLINE void put_pack_at(const F& f, bool accumulate, const std::uint32_t* offsets,
                           const std::uint32_t* steps, std::integer_sequence<int, k...>, Out* y,
                           const In*... x) {
  put_pack<N>(f, accumulate, pack_at<N>(y, offsets[0]), gather<N>(x + offsets[k + 1], steps[k + 1])...);
}

/// `n`: packs.
template <int N, class F, class Out, class... In>
__global__ void map_rows(F f, std::uint32_t n, bool accumulate, PackedRows<1 + sizeof...(In)> rows, Out* y,
                         const In*... x) {
  const std::uint32_t step = gridDim.x * blockDim.x;
  for (std::uint32_t i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step) {
    std::uint32_t offsets[1 + sizeof...(In)] = {};
    rows.packs.locate(i, offsets);
    put_pack_at<N>(f, accumulate, offsets, rows.steps, std::make_integer_sequence<int, sizeof...(In)>(), y,
                   x...);
  }
}

/// Operand types that get `map_rows`: those of most models. Each
/// additional kernel is instantiated for every function.
template <class Out, class... In>
inline constexpr bool kHasRows = sizeof...(In) > 0 && std::is_same_v<Out, float> &&
                                 (std::is_same_v<In, float> && ...);

// --- 16-bit types

MP_INLINE float widen(std::uint16_t bits, bool is_bfloat) {
  return is_bfloat ? to_float(BFloat16{bits}) : to_float(Half{bits});
}
MP_INLINE std::uint16_t round_to(float value, bool is_bfloat) {
  return is_bfloat ? to_bfloat16(value).bits : to_half(value).bits;
}

MP_INLINE void put_half(std::uint16_t& y, float value, bool accumulate, bool is_bfloat) {
  y = round_to(accumulate ? widen(y, is_bfloat) + value : value, is_bfloat);
}
MP_INLINE void put_half(bool& y, bool value, bool, bool) { y = value; }

template <int N, class F, class Out, class... In>
MP_INLINE void put_half_pack(const F& f, bool accumulate, bool is_bfloat, Pack<Out, N>& y, Pack<In, N>... x) {
  Pack<Out, N> result;
  if (accumulate) result = y;
  MP_UNROLL
  for (int k = 0; k < N; ++k) put_half(result.at[k], f(widen(x.at[k], is_bfloat)...), accumulate, is_bfloat);
  y = result;
}

template <class F, class Out, class... In, int... k>
MP_INLINE void put_half_at(const F& f, bool accumulate, bool is_bfloat, const std::uint32_t* offsets,
                           std::integer_sequence<int, k...>, Out* y, const In*... x) {
  put_half(y[offsets[0]], f(widen(x[offsets[k + 1]], is_bfloat)...), accumulate, is_bfloat);
}

/// Elements that are all float16 or all bfloat16, which is known at run time; `arrays`: plain ones, of which
/// 8 elements are taken at a time.
template <class F, class Out, class... In>
__global__ void map_halves(F f, std::uint32_t n, bool arrays, bool accumulate, bool is_bfloat,
                           Offsets<1 + sizeof...(In)> layout, Out* y, const In*... x) {
  constexpr int pack = 8;
  const std::uint32_t step = gridDim.x * blockDim.x, first = blockIdx.x * blockDim.x + threadIdx.x;
  const std::uint32_t packs = arrays ? n / pack : 0;
  for (std::uint32_t i = first; i < packs; i += step)
    put_half_pack<pack>(f, accumulate, is_bfloat, pack_at<pack>(y, std::int64_t{i} * pack),
                        pack_at<pack>(x, std::int64_t{i} * pack)...);
  for (std::uint32_t i = packs * pack + first; i < n; i += step) {
    std::uint32_t offsets[1 + sizeof...(In)] = {};
    layout.locate(i, offsets);
    put_half_at(f, accumulate, is_bfloat, offsets, std::make_integer_sequence<int, sizeof...(In)>(), y, x...);
  }
}

// --- launchers

template <class F, class Out, class... In, int... k>
void launch_map(const F& f, const ElementwiseArgs& args, Stream stream, std::integer_sequence<int, k...>) {
  constexpr int pack = 16 / static_cast<int>(std::max({sizeof(Out), sizeof(In)...}));
  Out* const y = static_cast<Out*>(args.operands[0]);
  const std::int64_t n = args.layout.numel();
  const bool arrays = args.layout.contiguous() && are_aligned(pack * sizeof(Out), y) &&
                      (are_aligned(pack * sizeof(In), args.operands[k + 1]) && ...);
  if (arrays)
    return launch_on(stream, map_arrays<pack, F, Out, In...>, grid_for((n + pack - 1) / pack, stream.device),
                     kBlock, f, n, args.accumulate, y, static_cast<const In*>(args.operands[k + 1])...);
  if constexpr (kHasRows<Out, In...>)
    if (has_rows_of_packs(args, pack, sizeof(Out)))
      return launch_on(stream, map_rows<pack, F, Out, In...>, grid_for(n / pack, stream.device), kBlock, f,
                       static_cast<std::uint32_t>(n / pack), args.accumulate,
                       PackedRows<1 + sizeof...(In)>(args.layout, pack), y,
                       static_cast<const In*>(args.operands[k + 1])...);
  launch_on(stream, map_strided<F, Out, In...>, grid_for(n, stream.device), kBlock, f,
            static_cast<std::uint32_t>(n), args.accumulate, Offsets<1 + sizeof...(In)>(args.layout), y,
            static_cast<const In*>(args.operands[k + 1])...);
}

/// y = f(x...), or y += f(x...), over the layout of `args`.
template <class Out, class... In, class F>
void map(const F& f, const ElementwiseArgs& args, Stream stream) {
  for_each_small_part(args, {sizeof(Out), sizeof(In)...}, [&](const ElementwiseArgs& part) {
    launch_map<F, Out, In...>(f, part, stream, std::make_integer_sequence<int, sizeof...(In)>());
  });
}

template <class F, class Out, class... In, int... k>
void launch_halves(const F& f, const ElementwiseArgs& args, Stream stream, bool is_bfloat,
                   std::integer_sequence<int, k...>) {
  constexpr int pack = 8;
  Out* const y = static_cast<Out*>(args.operands[0]);
  const std::int64_t n = args.layout.numel();
  const bool arrays = args.layout.contiguous() && are_aligned(pack * sizeof(Out), y) &&
                      (are_aligned(pack * sizeof(In), args.operands[k + 1]) && ...);
  launch_on(stream, map_halves<F, Out, In...>, grid_for(arrays ? (n + pack - 1) / pack : n, stream.device),
            kBlock, f, static_cast<std::uint32_t>(n), arrays, args.accumulate, is_bfloat,
            Offsets<1 + sizeof...(In)>(args.layout), y, static_cast<const In*>(args.operands[k + 1])...);
}

/// The same for inputs `In`, std::uint16_t each, that are float16 or bfloat16, and an output of that type or
/// bool; f is a function of floats.
template <class Out, DType dtype, class... In, class F>
void map_halves_of(const F& f, const ElementwiseArgs& args, Stream stream) {
  for_each_small_part(args, {sizeof(Out), sizeof(In)...}, [&](const ElementwiseArgs& part) {
    launch_halves<F, Out, In...>(f, part, stream, dtype == bfloat16,
                                 std::make_integer_sequence<int, sizeof...(In)>());
  });
}

}  // namespace miniparallel::kernels::cuda

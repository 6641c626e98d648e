#include "kernels/cuda/device/launch_on.cuh"
#include "kernels/cuda/device/stored.cuh"
#include "kernels/cuda/pool2d/channels_last.h"

#include <limits>
#include <type_traits>

// pool2d.cu's sums and maxima with a thread for a pack of channels of a pixel.

namespace miniparallel::kernels::cuda {
namespace {

/// A pack of a pixel.
struct PackedElement : Element {
  std::uint32_t pack;
};

MP_INLINE PackedElement packed_element_at(const PackedPooling& pooling, std::uint32_t index) {
  const std::uint32_t pack = pooling.packs.divide(index);
  return {element_at(pooling.windows, index), pack};
}

/// From one image to the next, and to a pixel.
MP_INLINE std::int64_t inputs_of(const PackedPooling& pooling, std::uint32_t image) {
  return image * pooling.windows.in_plane() * pooling.channels;
}
MP_INLINE std::int64_t outputs_of(const PackedPooling& pooling, std::uint32_t image) {
  return image * pooling.windows.out_plane() * pooling.channels;
}
MP_INLINE std::int64_t pixel(const PackedPooling& pooling, int row, int column, int width) {
  return (static_cast<std::int64_t>(row) * width + column) * pooling.channels;
}

template <class T, int N>
MP_INLINE void put_pack(T* to, Pack<Computed<T>, N> values, bool accumulate) {
  if (accumulate) {
    const Pack<Computed<T>, N> before = read_pack<N>(to, 0);
    MP_UNROLL
    for (int k = 0; k < N; ++k) values.at[k] += before.at[k];
  }
  write_pack<N>(to, 0, values);
}

template <class T>
__global__ void max_pool2d_packs(PackedPooling pooling, const T* x, T* y, std::uint8_t* index) {
  constexpr int N = kPack<T>;
  const std::uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= pooling.windows.elements) return;
  const PackedElement e = packed_element_at(pooling, i);
  const WindowAxis &down = pooling.windows.rows, &across = pooling.windows.columns;
  const int top = down.start(e.row), left = across.start(e.column);
  const Range rows = inside(down, {top, top + down.kernel}),
              columns = inside(across, {left, left + across.kernel});
  x += inputs_of(pooling, e.plane) + std::int64_t{e.pack} * N;
  Pack<Computed<T>, N> best;
  Pack<std::uint8_t, N> where;
  MP_UNROLL
  for (int k = 0; k < N; ++k) {
    best.at[k] = -std::numeric_limits<Computed<T>>::infinity();
    where.at[k] = static_cast<std::uint8_t>((rows.begin - top) * across.kernel + columns.begin - left);
  }
  for (int row = rows.begin; row < rows.end; ++row)
    for (int column = columns.begin; column < columns.end; ++column) {
      const Pack<Computed<T>, N> values = read_pack<N>(x, pixel(pooling, row, column, across.size));
      const auto here = static_cast<std::uint8_t>((row - top) * across.kernel + column - left);
      MP_UNROLL
      for (int k = 0; k < N; ++k)
        if (replaces(values.at[k], best.at[k])) best.at[k] = values.at[k], where.at[k] = here;
    }
  write_pack<N>(y, std::int64_t{i} * N, best);
  if (index != nullptr) pack_at<N>(index, std::int64_t{i} * N) = where;
}

template <class T>
__global__ void max_pool2d_scatter_packs(PackedPooling pooling, const T* g, const std::uint8_t* index, T* dx,
                                         bool accumulate) {
  constexpr int N = kPack<T>;
  const std::uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= pooling.windows.elements) return;
  const PackedElement e = packed_element_at(pooling, i);
  const WindowAxis &down = pooling.windows.rows, &across = pooling.windows.columns;
  const Range rows = kernels_over(down, e.row), columns = kernels_over(across, e.column);
  const std::int64_t image = outputs_of(pooling, e.plane) + std::int64_t{e.pack} * N;
  g += image, index += image;
  Pack<Computed<T>, N> sum = {};
  for (int row = rows.begin; row < rows.end; ++row)
    for (int column = columns.begin; column < columns.end; ++column) {
      const std::int64_t window = pixel(pooling, row, column, across.outputs);
      const int here = (e.row - down.start(row)) * across.kernel + e.column - across.start(column);
      const Pack<std::uint8_t, N> where = pack_at<N>(index, window);
      const Pack<Computed<T>, N> values = read_pack<N>(g, window);
      MP_UNROLL
      for (int k = 0; k < N; ++k)
        if (static_cast<int>(where.at[k]) == here) sum.at[k] += values.at[k];
    }
  put_pack<T, N>(dx + std::int64_t{i} * N, sum, accumulate);
}

template <class T>
__global__ void max_pool2d_gather_packs(PackedPooling pooling, const T* x, const std::uint8_t* index, T* y) {
  constexpr int N = kPack<T>;
  const std::uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= pooling.windows.elements) return;
  const PackedElement e = packed_element_at(pooling, i);
  const WindowAxis &down = pooling.windows.rows, &across = pooling.windows.columns;
  x += inputs_of(pooling, e.plane) + std::int64_t{e.pack} * N;
  const Pack<std::uint8_t, N> where = pack_at<N>(index, std::int64_t{i} * N);
  Pack<T, N> values;
  MP_UNROLL
  for (int k = 0; k < N; ++k) {
    std::uint32_t row = where.at[k];
    const std::uint32_t column = pooling.windows.kernel_width.divide(row);
    values.at[k] = x[pixel(pooling, down.start(e.row) + static_cast<int>(row),
                           across.start(e.column) + static_cast<int>(column), across.size) +
                     k];
  }
  pack_at<N>(y, std::int64_t{i} * N) = values;
}

/// Sums of large windows in float64.
template <class T, bool large>
__global__ void average_pool2d_packs(PackedPooling pooling, const T* x, T* y) {
  constexpr int N = kPack<T>;
  using Sum = std::conditional_t<large, double, Computed<T>>;
  const std::uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= pooling.windows.elements) return;
  const PackedElement e = packed_element_at(pooling, i);
  const Range down = window_at(pooling.windows.rows, e.row),
              across = window_at(pooling.windows.columns, e.column);
  const Range rows = inside(pooling.windows.rows, down), columns = inside(pooling.windows.columns, across);
  x += inputs_of(pooling, e.plane) + std::int64_t{e.pack} * N;
  Sum sum[N] = {};
  for (int row = rows.begin; row < rows.end; ++row)
    for (int column = columns.begin; column < columns.end; ++column) {
      const Pack<Computed<T>, N> values =
          read_pack<N>(x, pixel(pooling, row, column, pooling.windows.columns.size));
      MP_UNROLL
      for (int k = 0; k < N; ++k) sum[k] += values.at[k];
    }
  const Sum count = static_cast<Sum>(std::int64_t{down.count()} * across.count());
  Pack<Computed<T>, N> means;
  MP_UNROLL
  for (int k = 0; k < N; ++k) means.at[k] = static_cast<Computed<T>>(sum[k] / count);
  write_pack<N>(y, std::int64_t{i} * N, means);
}

template <class T, bool adaptive>
__global__ void average_pool2d_backward_packs(PackedPooling pooling, const T* g, T* dx, bool accumulate) {
  constexpr int N = kPack<T>;
  using C = Computed<T>;
  const std::uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= pooling.windows.elements) return;
  const PackedElement e = packed_element_at(pooling, i);
  const auto windows = [](const WindowAxis& axis, int at) {
    return adaptive ? adaptive_range(at, axis.outputs, axis.size) : kernels_over(axis, at);
  };
  const auto count = [](const WindowAxis& axis, int window) {
    return adaptive ? window_at(axis, window).count() : axis.kernel;
  };
  const WindowAxis &down = pooling.windows.rows, &across = pooling.windows.columns;
  const Range rows = windows(down, e.row), columns = windows(across, e.column);
  g += outputs_of(pooling, e.plane) + std::int64_t{e.pack} * N;
  Pack<C, N> sum = {};
  for (int row = rows.begin; row < rows.end; ++row)
    for (int column = columns.begin; column < columns.end; ++column) {
      const C elements = static_cast<C>(std::int64_t{count(down, row)} * count(across, column));
      const Pack<C, N> values = read_pack<N>(g, pixel(pooling, row, column, across.outputs));
      MP_UNROLL
      for (int k = 0; k < N; ++k) sum.at[k] += values.at[k] / elements;
    }
  put_pack<T, N>(dx + std::int64_t{i} * N, sum, accumulate);
}

// --- launchers

/// Calls f(pooling, of the part: where its inputs begin, and its outputs).
template <class T, class F>
void for_each_output(const Pool2dGeometry& g, const F& f) {
  for_each_packed_part(g, g.rows.outputs, g.columns.outputs, kPack<T>,
                       [&](const PackedPooling& pooling, std::int64_t first) {
                         const auto image = static_cast<std::uint32_t>(first);
                         f(pooling, inputs_of(pooling, image), outputs_of(pooling, image));
                       });
}
template <class T, class F>
void for_each_input(const Pool2dGeometry& g, const F& f) {
  for_each_packed_part(g, g.rows.size, g.columns.size, kPack<T>,
                       [&](const PackedPooling& pooling, std::int64_t first) {
                         const auto image = static_cast<std::uint32_t>(first);
                         f(pooling, inputs_of(pooling, image), outputs_of(pooling, image));
                       });
}

template <class... Parameters, class... Arguments>
void launch_packs(Stream stream, void (*kernel)(PackedPooling, Parameters...), const PackedPooling& pooling,
                  const Arguments&... arguments) {
  launch_on(stream, kernel, miniparallel::cuda::blocks(pooling.windows.elements, kBlock), kBlock, pooling,
            arguments...);
}

}  // namespace

template <class T>
void max_of_packs(const Pool2dGeometry& g, const void* x, void* y, void* index, Stream stream) {
  for_each_output<T>(g, [&](const PackedPooling& pooling, std::int64_t input, std::int64_t output) {
    launch_packs(stream, max_pool2d_packs<T>, pooling, static_cast<const T*>(x) + input,
                 static_cast<T*>(y) + output,
                 index == nullptr ? nullptr : static_cast<std::uint8_t*>(index) + output);
  });
}

template <class T>
void scatter_packs(const Pool2dGeometry& g, const void* dy, const void* index, const Destination& dx,
                   Stream stream) {
  for_each_input<T>(g, [&](const PackedPooling& pooling, std::int64_t input, std::int64_t output) {
    launch_packs(stream, max_pool2d_scatter_packs<T>, pooling, static_cast<const T*>(dy) + output,
                 static_cast<const std::uint8_t*>(index) + output, static_cast<T*>(dx.data) + input,
                 dx.beta != 0);
  });
}

template <class T>
void gather_packs(const Pool2dGeometry& g, const void* x, const void* index, void* y, Stream stream) {
  for_each_output<T>(g, [&](const PackedPooling& pooling, std::int64_t input, std::int64_t output) {
    launch_packs(stream, max_pool2d_gather_packs<T>, pooling, static_cast<const T*>(x) + input,
                 static_cast<const std::uint8_t*>(index) + output, static_cast<T*>(y) + output);
  });
}

template <class T>
void average_packs(const Pool2dGeometry& g, const void* x, void* y, Stream stream) {
  constexpr std::int64_t large_window = 32;
  const bool large =
      (g.rows.end(0) - g.rows.begin(0)) * (g.columns.end(0) - g.columns.begin(0)) >= large_window;
  for_each_output<T>(g, [&](const PackedPooling& pooling, std::int64_t input, std::int64_t output) {
    launch_packs(stream, large ? average_pool2d_packs<T, true> : average_pool2d_packs<T, false>, pooling,
                 static_cast<const T*>(x) + input, static_cast<T*>(y) + output);
  });
}

template <class T>
void spread_packs(const Pool2dGeometry& g, const void* dy, const Destination& dx, Stream stream) {
  const bool adaptive = g.rows.kernel == 0;
  for_each_input<T>(g, [&](const PackedPooling& pooling, std::int64_t input, std::int64_t output) {
    launch_packs(stream,
                 adaptive ? average_pool2d_backward_packs<T, true> : average_pool2d_backward_packs<T, false>,
                 pooling, static_cast<const T*>(dy) + output, static_cast<T*>(dx.data) + input, dx.beta != 0);
  });
}

#define MP_OF_TYPE(T)                                                                                 \
  template void max_of_packs<T>(const Pool2dGeometry&, const void*, void*, void*, Stream);            \
  template void scatter_packs<T>(const Pool2dGeometry&, const void*, const void*, const Destination&, \
                                 Stream);                                                             \
  template void gather_packs<T>(const Pool2dGeometry&, const void*, const void*, void*, Stream);      \
  template void average_packs<T>(const Pool2dGeometry&, const void*, void*, Stream);                  \
  template void spread_packs<T>(const Pool2dGeometry&, const void*, const Destination&, Stream);
MP_OF_TYPE(float)
MP_OF_TYPE(Half)
MP_OF_TYPE(BFloat16)

}  // namespace miniparallel::kernels::cuda

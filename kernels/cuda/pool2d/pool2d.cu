#include "kernels/cuda/backend.h"
#include "kernels/cuda/device/line.cuh"
#include "kernels/cuda/device/stored.cuh"
#include "kernels/cuda/pool2d/channels_last.h"
#include "kernels/cuda/pool2d/windows.cuh"
#include "kernels/pool2d.h"

#include <algorithm>
#include <limits>
#include <type_traits>

// One thread for each element that is written. In the backward directions it visits the windows that hold its
// element, in order, so that nothing is added by two threads.
//
// Max pooling that halves its planes has kernels of its own, with a thread for each window: they move 8 or
// 16 bytes at once and divide a single time.

namespace miniparallel::kernels::cuda {
namespace {

template <class T>
MP_INLINE void put(T& to, Computed<T> value, bool accumulate) {
  to = convert<T>(accumulate ? read(to) + value : value);
}

template <class T, class Index>
__global__ void max_pool2d(Pooling pooling, const T* x, T* y, Index* index) {
  const std::uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= pooling.elements) return;
  const Element e = element_at(pooling, i);
  const int top = pooling.rows.start(e.row), left = pooling.columns.start(e.column);
  const Range rows = inside(pooling.rows, {top, top + pooling.rows.kernel});
  const Range columns = inside(pooling.columns, {left, left + pooling.columns.kernel});
  x += e.plane * pooling.in_plane();
  Computed<T> best = -std::numeric_limits<Computed<T>>::infinity();
  int where = (rows.begin - top) * pooling.columns.kernel + columns.begin - left;
  for (int row = rows.begin; row < rows.end; ++row)
    for (int column = columns.begin; column < columns.end; ++column) {
      const Computed<T> value = read(x[row * pooling.columns.size + column]);
      if (!replaces(value, best)) continue;
      best = value;
      where = (row - top) * pooling.columns.kernel + column - left;
    }
  y[i] = convert<T>(best);
  if (index != nullptr) index[i] = static_cast<Index>(where);
}

template <class T, class Index>
__global__ void max_pool2d_scatter(Pooling pooling, const T* g, const Index* index, T* dx, bool accumulate) {
  const std::uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= pooling.elements) return;
  const Element e = element_at(pooling, i);
  const Range rows = kernels_over(pooling.rows, e.row), columns = kernels_over(pooling.columns, e.column);
  g += e.plane * pooling.out_plane();
  index += e.plane * pooling.out_plane();
  Computed<T> sum = 0;
  for (int row = rows.begin; row < rows.end; ++row)
    for (int column = columns.begin; column < columns.end; ++column) {
      const int window = row * pooling.columns.outputs + column;
      const int here = (e.row - pooling.rows.start(row)) * pooling.columns.kernel + e.column -
                       pooling.columns.start(column);
      if (static_cast<int>(index[window]) == here) sum += read(g[window]);
    }
  put(dx[i], sum, accumulate);
}

template <class T, class Index>
__global__ void max_pool2d_gather(Pooling pooling, const T* x, const Index* index, T* y) {
  const std::uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= pooling.elements) return;
  const Element e = element_at(pooling, i);
  std::uint32_t row = index[i];
  const std::uint32_t column = pooling.kernel_width.divide(row);
  y[i] = x[e.plane * pooling.in_plane() +
           (pooling.rows.start(e.row) + static_cast<int>(row)) * pooling.columns.size +
           pooling.columns.start(e.column) + static_cast<int>(column)];
}

// --- 2 x 2 windows that tile their planes, which then follow each other like rows of one plane

template <class T>
__global__ void max_pool2d_halve(Pooling pooling, const T* x, T* y, std::uint8_t* index) {
  const std::uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= pooling.elements) return;
  std::uint32_t row = i;
  pooling.width.divide(row);
  x += 2 * (i + std::int64_t{row} * pooling.columns.outputs);
  const Pack<Computed<T>, 2> upper = read_pack<2>(x, 0), lower = read_pack<2>(x, pooling.columns.size);
  const Computed<T> rest[] = {upper.at[1], lower.at[0], lower.at[1]};
  Computed<T> best = upper.at[0];
  int where = 0;
  MP_UNROLL
  for (int k = 0; k < 3; ++k)
    if (replaces(rest[k], best)) best = rest[k], where = k + 1;
  y[i] = convert<T>(best);
  if (index != nullptr) index[i] = static_cast<std::uint8_t>(where);
}

template <class T>
MP_INLINE void put_pair(T* to, Computed<T> first, Computed<T> second, bool accumulate) {
  Pack<Computed<T>, 2> pair{first, second};
  if (accumulate) {
    const Pack<Computed<T>, 2> before = read_pack<2>(to, 0);
    pair.at[0] += before.at[0], pair.at[1] += before.at[1];
  }
  write_pack<2>(to, 0, pair);
}

template <class T>
__global__ void max_pool2d_scatter_halve(Pooling pooling, const T* g, const std::uint8_t* index, T* dx,
                                         bool accumulate) {
  const std::uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= pooling.elements) return;
  std::uint32_t row = i;
  pooling.width.divide(row);
  dx += 2 * (i + std::int64_t{row} * pooling.columns.outputs);
  const Computed<T> value = read(g[i]);
  const int where = index[i];
  const auto at = [&](int k) { return where == k ? value : Computed<T>(0); };
  put_pair(dx, at(0), at(1), accumulate);
  put_pair(dx + pooling.columns.size, at(2), at(3), accumulate);
}

// --- mean

/// A warp, which sums in float64, for each mean of a large window, else a thread.
template <class T, int lanes>
__global__ void average_pool2d(Pooling pooling, const T* x, T* y) {
  const std::uint32_t i = (blockIdx.x * blockDim.x + threadIdx.x) / lanes;
  if (i >= pooling.elements) return;  // the whole warp
  const Element e = element_at(pooling, i);
  const Range down = window_at(pooling.rows, e.row), across = window_at(pooling.columns, e.column);
  const Range rows = inside(pooling.rows, down), columns = inside(pooling.columns, across);
  const int lane = static_cast<int>(threadIdx.x % lanes);
  const int stride = pooling.columns.size, width = columns.count();
  x += e.plane * pooling.in_plane() + rows.begin * stride + columns.begin;
  const int count = rows.count() * width;
  std::conditional_t<lanes == 1, Computed<T>, double> sum = 0;
  if constexpr (lanes == 1) {
    for (int row = rows.begin; row < rows.end; ++row, x += stride)
      for (int column = 0; column < width; ++column) sum += read(x[column]);
  } else if (width == stride) {  // whole rows
    MP_UNROLL_BY(8)
    for (int k = lane; k < count; k += lanes) sum += read(x[k]);
    sum = Line<lanes>::sum(sum);
  } else {
    for (int k = lane; k < count; k += lanes) sum += read(x[k / width * stride + k % width]);
    sum = Line<lanes>::sum(sum);
  }
  if (lane == 0)
    y[i] = convert<T>(static_cast<Computed<T>>(
        sum / static_cast<decltype(sum)>(std::int64_t{down.count()} * across.count())));
}

template <class T, bool adaptive>
__global__ void average_pool2d_backward(Pooling pooling, const T* g, T* dx, bool accumulate) {
  const std::uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= pooling.elements) return;
  const Element e = element_at(pooling, i);
  const auto windows = [](const WindowAxis& axis, int at) {
    return adaptive ? adaptive_range(at, axis.outputs, axis.size) : kernels_over(axis, at);
  };
  const auto count = [](const WindowAxis& axis, int window) {
    return adaptive ? window_at(axis, window).count() : axis.kernel;
  };
  const Range rows = windows(pooling.rows, e.row), columns = windows(pooling.columns, e.column);
  g += e.plane * pooling.out_plane();
  Computed<T> sum = 0;
  for (int row = rows.begin; row < rows.end; ++row)
    for (int column = columns.begin; column < columns.end; ++column)
      sum +=
          read(g[row * pooling.columns.outputs + column]) /
          static_cast<Computed<T>>(std::int64_t{count(pooling.rows, row)} * count(pooling.columns, column));
  put(dx[i], sum, accumulate);
}

// --- launchers

template <class F>
void for_each_output_part(const Pool2dGeometry& g, int lanes, const F& run) {
  for_each_part(g, g.rows.outputs, g.columns.outputs, lanes, run);
}
template <class F>
void for_each_input_part(const Pool2dGeometry& g, const F& run) {
  for_each_part(g, g.rows.size, g.columns.size, 1, run);
}

unsigned grid_of(const Pooling& pooling, int lanes = 1) {
  return miniparallel::cuda::blocks(std::size_t{pooling.elements} * static_cast<std::size_t>(lanes), kBlock);
}

bool halves(const PoolAxis& axis) {
  return axis.kernel == 2 && axis.stride == 2 && axis.padding == 0 && axis.size == 2 * axis.outputs;
}
/// Whether 2 x 2 windows tile the planes, of which the array begins at an even place.
template <class T>
bool halves(const Pool2dGeometry& g, const void* array) {
  return halves(g.rows) && halves(g.columns) && are_aligned(2 * sizeof(T), array);
}

/// The types of the elements and of the index: [&]<class T, class Index>() { ... }.
template <class F>
void with_pooled_types(DType dtype, DType index_dtype, const F& f) {
  with_stored_type(dtype, [&]<class T>() {
    index_dtype == uint8 ? f.template operator()<T, std::uint8_t>()
                         : f.template operator()<T, std::int32_t>();
  });
}

void max(DType dtype, const Pool2dGeometry& g, const void* x, void* y, const PoolIndex& index,
         Stream stream) {
  with_pooled_types(dtype, index.dtype, [&]<class T, class Index>() {
    if constexpr (sizeof(T) <= 4)
      if (g.channels != 0) return max_of_packs<T>(g, x, y, index.data, stream);
    const bool halving = halves<T>(g, x);
    for_each_output_part(g, 1, [&](const Pooling& pooling, std::int64_t first) {
      const std::int64_t y_first = first * pooling.out_plane();
      auto* kernel = max_pool2d<T, Index>;
      if constexpr (sizeof(Index) == 1)
        if (halving) kernel = max_pool2d_halve<T>;
      launch_on(stream, kernel, grid_of(pooling), kBlock, pooling, in<T>(x) + first * pooling.in_plane(),
                out<T>(y) + y_first, index.data == nullptr ? nullptr : out<Index>(index.data) + y_first);
    });
  });
}

void max_scatter(DType dtype, const Pool2dGeometry& g, const void* dy, const PoolIndex& index, Destination dx,
                 Stream stream) {
  with_pooled_types(dtype, index.dtype, [&]<class T, class Index>() {
    if constexpr (sizeof(T) <= 4)
      if (g.channels != 0) return scatter_packs<T>(g, dy, index.data, dx, stream);
    const auto launch_part = [&](auto* kernel, const Pooling& pooling, std::int64_t first) {
      const std::int64_t y_first = first * pooling.out_plane();
      launch_on(stream, kernel, grid_of(pooling), kBlock, pooling, in<T>(dy) + y_first,
                in<Index>(index.data) + y_first, out<T>(dx.data) + first * pooling.in_plane(), dx.beta != 0);
    };
    if constexpr (sizeof(Index) == 1)
      if (halves<T>(g, dx.data))
        return for_each_output_part(g, 1, [&](const Pooling& pooling, std::int64_t first) {
          launch_part(max_pool2d_scatter_halve<T>, pooling, first);
        });
    for_each_input_part(g, [&](const Pooling& pooling, std::int64_t first) {
      launch_part(max_pool2d_scatter<T, Index>, pooling, first);
    });
  });
}

void max_gather(DType dtype, const Pool2dGeometry& g, const void* x, const PoolIndex& index, void* y,
                Stream stream) {
  with_pooled_types(dtype, index.dtype, [&]<class T, class Index>() {
    if constexpr (sizeof(T) <= 4)
      if (g.channels != 0) return gather_packs<T>(g, x, index.data, y, stream);
    for_each_output_part(g, 1, [&](const Pooling& pooling, std::int64_t first) {
      const std::int64_t y_first = first * pooling.out_plane();
      launch_on(stream, max_pool2d_gather<T, Index>, grid_of(pooling), kBlock, pooling,
                in<T>(x) + first * pooling.in_plane(), in<Index>(index.data) + y_first, out<T>(y) + y_first);
    });
  });
}

constexpr std::int64_t kLargeWindow = 32;  // elements, one for each lane

template <class T>
void average_as(const Pool2dGeometry& g, const void* x, void* y, Stream stream) {
  if constexpr (sizeof(T) <= 4)
    if (g.channels != 0) return average_packs<T>(g, x, y, stream);
  const std::int64_t largest = (g.rows.end(0) - g.rows.begin(0)) * (g.columns.end(0) - g.columns.begin(0));
  const bool large = largest >= kLargeWindow;
  const int lanes = large ? 32 : 1;
  for_each_output_part(g, lanes, [&](const Pooling& pooling, std::int64_t first) {
    launch_on(stream, large ? average_pool2d<T, 32> : average_pool2d<T, 1>, grid_of(pooling, lanes), kBlock,
              pooling, in<T>(x) + first * pooling.in_plane(), out<T>(y) + first * pooling.out_plane());
  });
}
void average(DType dtype, const Pool2dGeometry& g, const void* x, void* y, Stream stream) {
  with_stored_type(dtype, [&]<class T>() { average_as<T>(g, x, y, stream); });
}

template <class T>
void average_backward_as(const Pool2dGeometry& g, const void* dy, const Destination& dx, Stream stream) {
  if constexpr (sizeof(T) <= 4)
    if (g.channels != 0) return spread_packs<T>(g, dy, dx, stream);
  const bool adaptive = g.rows.kernel == 0;
  for_each_input_part(g, [&](const Pooling& pooling, std::int64_t first) {
    launch_on(stream, adaptive ? average_pool2d_backward<T, true> : average_pool2d_backward<T, false>,
              grid_of(pooling), kBlock, pooling, in<T>(dy) + first * pooling.out_plane(),
              out<T>(dx.data) + first * pooling.in_plane(), dx.beta != 0);
  });
}
void average_backward(DType dtype, const Pool2dGeometry& g, const void* dy, Destination dx, Stream stream) {
  with_stored_type(dtype, [&]<class T>() { average_backward_as<T>(g, dy, dx, stream); });
}

}  // namespace

const Pool2d& pool2d() {
  static constexpr Pool2d launchers{MP_POOL2D(MP_LAUNCHER)};
  return launchers;
}

}  // namespace miniparallel::kernels::cuda

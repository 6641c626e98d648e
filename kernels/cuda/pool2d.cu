#include "kernels/pool2d.h"

#include <miniparallel/error.h>

#include <algorithm>
#include <limits>
#include <string>

#include "kernels/cuda/backend.h"
#include "kernels/cuda/divider.cuh"
#include "kernels/cuda/line.cuh"

// One thread for each element that is written. In the backward directions it visits the windows that hold its
// element, in order, so that nothing is added by two threads.

namespace miniparallel::kernels::cuda {
namespace {

/// A pooling as kernels see it; `height` and `width` are those of the array whose elements they write.
struct Pooling {
  PoolAxis rows, columns;
  Divider row_stride, column_stride, kernel_width, height, width;
  std::uint32_t elements;

  MP_INLINE std::int64_t in_plane() const { return rows.size * columns.size; }
  MP_INLINE std::int64_t out_plane() const { return rows.outputs * columns.outputs; }
};

struct Element {
  std::uint32_t plane;
  int row, column;
};

MP_INLINE Element element_at(const Pooling& pooling, std::uint32_t index) {
  Element e{index, 0, 0};
  e.column = static_cast<int>(pooling.width.divide(e.plane));
  e.row = static_cast<int>(pooling.height.divide(e.plane));
  return e;
}

struct Range {
  int begin, end;
};

/// The elements of window i.
MP_INLINE Range window_at(const PoolAxis& axis, int i) {
  return {static_cast<int>(axis.begin(i)), static_cast<int>(axis.end(i))};
}

/// The windows that hold element i.
MP_INLINE Range windows_over(const PoolAxis& axis, const Divider& stride, int i) {
  const int outputs = static_cast<int>(axis.outputs);
  if (axis.kernel == 0)
    return {static_cast<int>(i * axis.outputs / axis.size),
            static_cast<int>(((i + 1) * axis.outputs + axis.size - 1) / axis.size)};
  const auto from_start = static_cast<std::uint32_t>(i + axis.padding);  // the padding's start
  std::uint32_t last = from_start, before = from_start - static_cast<std::uint32_t>(axis.kernel);
  stride.divide(last);
  const bool has_before = from_start >= axis.kernel;
  stride.divide(before);
  const int end = static_cast<int>(last) + 1;
  return {has_before ? static_cast<int>(before) + 1 : 0, end < outputs ? end : outputs};
}

template <class T>
MP_INLINE void put(T& to, T value, bool accumulate) {
  to = accumulate ? to + value : value;
}

template <class T, class Index>
__global__ void max_pool2d(Pooling pooling, const T* x, T* y, Index* index) {
  const std::uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= pooling.elements) return;
  const Element e = element_at(pooling, i);
  const Range rows = window_at(pooling.rows, e.row), columns = window_at(pooling.columns, e.column);
  const int top = static_cast<int>(pooling.rows.start(e.row));
  const int left = static_cast<int>(pooling.columns.start(e.column));
  const int width = static_cast<int>(pooling.columns.kernel);
  x += e.plane * pooling.in_plane();
  T best = -std::numeric_limits<T>::infinity();
  int where = (rows.begin - top) * width + columns.begin - left;
  for (int row = rows.begin; row < rows.end; ++row)
    for (int column = columns.begin; column < columns.end; ++column) {
      const T value = x[row * pooling.columns.size + column];
      if (!(value > best) && value == value) continue;
      best = value;
      where = (row - top) * width + column - left;
    }
  y[i] = best;
  if (index != nullptr) index[i] = static_cast<Index>(where);
}

template <class T, class Index>
__global__ void max_pool2d_scatter(Pooling pooling, const T* g, const Index* index, T* dx, bool accumulate) {
  const std::uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= pooling.elements) return;
  const Element e = element_at(pooling, i);
  const Range rows = windows_over(pooling.rows, pooling.row_stride, e.row);
  const Range columns = windows_over(pooling.columns, pooling.column_stride, e.column);
  const std::int64_t plane = e.plane * pooling.out_plane();
  T sum = 0;
  for (int row = rows.begin; row < rows.end; ++row)
    for (int column = columns.begin; column < columns.end; ++column) {
      const std::int64_t window = plane + row * pooling.columns.outputs + column;
      const std::int64_t here = (e.row - pooling.rows.start(row)) * pooling.columns.kernel + e.column -
                                pooling.columns.start(column);
      if (index[window] == here) sum += g[window];
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
  y[i] = x[e.plane * pooling.in_plane() + (pooling.rows.start(e.row) + row) * pooling.columns.size +
           pooling.columns.start(e.column) + column];
}

/// A warp for each mean of a large window, else a thread.
template <class T, int lanes>
__global__ void average_pool2d(Pooling pooling, const T* x, T* y) {
  const std::uint32_t i = (blockIdx.x * blockDim.x + threadIdx.x) / lanes;
  if (i >= pooling.elements) return;  // the whole warp
  const Element e = element_at(pooling, i);
  const Range rows = window_at(pooling.rows, e.row), columns = window_at(pooling.columns, e.column);
  const int lane = static_cast<int>(threadIdx.x % lanes), width = columns.end - columns.begin;
  x += e.plane * pooling.in_plane() + columns.begin;
  T sum = 0;
  if constexpr (lanes == 1) {
    for (int row = rows.begin; row < rows.end; ++row)
      for (int column = 0; column < width; ++column) sum += x[row * pooling.columns.size + column];
  } else {
    for (int k = lane; k < (rows.end - rows.begin) * width; k += lanes)
      sum += x[(rows.begin + k / width) * pooling.columns.size + k % width];
    sum = Line<lanes>::sum(sum);
  }
  if (lane == 0) y[i] = sum / static_cast<T>(pooling.rows.counted(e.row) * pooling.columns.counted(e.column));
}

template <class T>
__global__ void average_pool2d_backward(Pooling pooling, const T* g, T* dx, bool accumulate) {
  const std::uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= pooling.elements) return;
  const Element e = element_at(pooling, i);
  const Range rows = windows_over(pooling.rows, pooling.row_stride, e.row);
  const Range columns = windows_over(pooling.columns, pooling.column_stride, e.column);
  g += e.plane * pooling.out_plane();
  T sum = 0;
  for (int row = rows.begin; row < rows.end; ++row)
    for (int column = columns.begin; column < columns.end; ++column)
      sum += g[row * pooling.columns.outputs + column] /
             static_cast<T>(pooling.rows.counted(row) * pooling.columns.counted(column));
  put(dx[i], sum, accumulate);
}

// --- launchers

Divider divider(std::int64_t divisor) {
  return Divider(static_cast<std::uint32_t>(std::max<std::int64_t>(divisor, 1)));
}

void check_size(std::int64_t size) {
  if (size >= std::int64_t{1} << 30)
    throw Error("pool2d: a plane has " + std::to_string(size) +
                " elements, the CUDA kernels take less than 2^30; split the planes");
}

/// Calls run(pooling, first plane) for parts of the planes whose threads are numbered in 31 bits. Written are
/// planes of height x width, with `lanes` threads for each element.
template <class F>
void for_each_part(const Pool2dGeometry& g, std::int64_t height, std::int64_t width, int lanes,
                   const F& run) {
  check_size(g.rows.size * g.columns.size);
  check_size(g.rows.outputs * g.columns.outputs);
  if (height * width == 0) return;
  Pooling pooling{g.rows,
                  g.columns,
                  divider(g.rows.stride),
                  divider(g.columns.stride),
                  divider(g.columns.kernel),
                  divider(height),
                  divider(width),
                  0};
  const std::int64_t most = std::max<std::int64_t>((std::int64_t{1} << 30) / (height * width * lanes), 1);
  for (std::int64_t first = 0; first < g.planes; first += most) {
    pooling.elements = static_cast<std::uint32_t>(std::min(g.planes - first, most) * height * width);
    run(pooling, first);
  }
}

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

template <class F>
void with_types(DType dtype, DType index_dtype, const F& f) {
  const auto with_index = [&](auto zero) {
    index_dtype == uint8 ? f(zero, std::uint8_t{}) : f(zero, std::int32_t{});
  };
  dtype == float32 ? with_index(float{}) : with_index(double{});
}

void max(DType dtype, const Pool2dGeometry& g, const void* x, void* y, DType index_dtype, void* index,
         Stream stream) {
  with_types(dtype, index_dtype, [&]<class T, class Index>(T, Index) {
    for_each_output_part(g, 1, [&](const Pooling& pooling, std::int64_t first) {
      const std::int64_t out = first * pooling.out_plane();
      launch_on(stream, max_pool2d<T, Index>, grid_of(pooling), kBlock, pooling,
                static_cast<const T*>(x) + first * pooling.in_plane(), static_cast<T*>(y) + out,
                index == nullptr ? nullptr : static_cast<Index*>(index) + out);
    });
  });
}

void max_scatter(DType dtype, const Pool2dGeometry& g, const void* dy, DType index_dtype, const void* index,
                 void* dx, int beta, Stream stream) {
  with_types(dtype, index_dtype, [&]<class T, class Index>(T, Index) {
    for_each_input_part(g, [&](const Pooling& pooling, std::int64_t first) {
      const std::int64_t out = first * pooling.out_plane();
      launch_on(stream, max_pool2d_scatter<T, Index>, grid_of(pooling), kBlock, pooling,
                static_cast<const T*>(dy) + out, static_cast<const Index*>(index) + out,
                static_cast<T*>(dx) + first * pooling.in_plane(), beta != 0);
    });
  });
}

void max_gather(DType dtype, const Pool2dGeometry& g, const void* x, DType index_dtype, const void* index,
                void* y, Stream stream) {
  with_types(dtype, index_dtype, [&]<class T, class Index>(T, Index) {
    for_each_output_part(g, 1, [&](const Pooling& pooling, std::int64_t first) {
      const std::int64_t out = first * pooling.out_plane();
      launch_on(stream, max_pool2d_gather<T, Index>, grid_of(pooling), kBlock, pooling,
                static_cast<const T*>(x) + first * pooling.in_plane(), static_cast<const Index*>(index) + out,
                static_cast<T*>(y) + out);
    });
  });
}

constexpr std::int64_t kLargeWindow = 32;  // elements, one for each lane

template <class T>
void average_as(const Pool2dGeometry& g, const void* x, void* y, Stream stream) {
  const std::int64_t largest = (g.rows.end(0) - g.rows.begin(0)) * (g.columns.end(0) - g.columns.begin(0));
  const bool large = largest >= kLargeWindow;
  const int lanes = large ? 32 : 1;
  for_each_output_part(g, lanes, [&](const Pooling& pooling, std::int64_t first) {
    launch_on(stream, large ? average_pool2d<T, 32> : average_pool2d<T, 1>, grid_of(pooling, lanes), kBlock,
              pooling, static_cast<const T*>(x) + first * pooling.in_plane(),
              static_cast<T*>(y) + first * pooling.out_plane());
  });
}
void average(DType dtype, const Pool2dGeometry& g, const void* x, void* y, Stream stream) {
  (dtype == float32 ? average_as<float> : average_as<double>)(g, x, y, stream);
}

template <class T>
void average_backward_as(const Pool2dGeometry& g, const void* dy, void* dx, int beta, Stream stream) {
  for_each_input_part(g, [&](const Pooling& pooling, std::int64_t first) {
    launch_on(stream, average_pool2d_backward<T>, grid_of(pooling), kBlock, pooling,
              static_cast<const T*>(dy) + first * pooling.out_plane(),
              static_cast<T*>(dx) + first * pooling.in_plane(), beta != 0);
  });
}
void average_backward(DType dtype, const Pool2dGeometry& g, const void* dy, void* dx, int beta,
                      Stream stream) {
  (dtype == float32 ? average_backward_as<float> : average_backward_as<double>)(g, dy, dx, beta, stream);
}

}  // namespace

const Pool2d& pool2d() {
  static constexpr Pool2d launchers{.max = max,
                                    .max_scatter = max_scatter,
                                    .max_gather = max_gather,
                                    .average = average,
                                    .average_backward = average_backward};
  return launchers;
}

}  // namespace miniparallel::kernels::cuda

#include "kernels/pool2d.h"

#include "kernels/by_dtype.h"
#include "kernels/cpu/backend.h"
#include "kernels/cpu/lanes.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/scratch.h"

#include <algorithm>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/pool2d.cpp"
#include "kernels/cpu/targets.h"

// One thread works on a plane from beginning to end: overlapping windows add up in a fixed order.

HWY_BEFORE_NAMESPACE();
namespace miniparallel::kernels::cpu::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

constexpr std::int64_t kGrainElements = 32768;
struct WindowRow;

/// Calls f(plane) for all planes.
template <class F>
HWY_ATTR void for_each_plane(const Pool2dGeometry& g, const F& f) {
  const std::int64_t elements = g.rows.size * g.columns.size + g.rows.outputs * g.columns.outputs;
  const std::int64_t grain = std::max<std::int64_t>(1, kGrainElements / std::max<std::int64_t>(1, elements));
  parallel_for(g.planes, grain, [&](std::int64_t begin, std::int64_t end) HWY_ATTR {
    for (std::int64_t plane = begin; plane < end; ++plane) f(plane);
  });
}

/// Windows of 2 x 2 side by side.
bool is_halving(const Pool2dGeometry& g) {
  const auto halves = [](const PoolAxis& axis) {
    return axis.kernel == 2 && axis.stride == 2 && axis.padding == 0;
  };
  return halves(g.rows) && halves(g.columns);
}

// --- maximum

template <class T, class Index>
HWY_ATTR void max_plane(const Pool2dGeometry& g, const T* x, T* y, Index* index) {
  for (std::int64_t i = 0; i < g.rows.outputs; ++i)
    for (std::int64_t j = 0; j < g.columns.outputs; ++j) {
      const std::int64_t top = g.rows.start(i), left = g.columns.start(j);
      T best = -std::numeric_limits<T>::infinity();
      std::int64_t where = (g.rows.begin(i) - top) * g.columns.kernel + g.columns.begin(j) - left;
      for (std::int64_t row = g.rows.begin(i); row < g.rows.end(i); ++row)
        for (std::int64_t column = g.columns.begin(j); column < g.columns.end(j); ++column) {
          const T value = x[row * g.columns.size + column];
          if (!replaces(value, best)) continue;
          best = value;
          where = (row - top) * g.columns.kernel + column - left;
        }
      y[i * g.columns.outputs + j] = best;
      if (index != nullptr) index[i * g.columns.outputs + j] = static_cast<Index>(where);
    }
}

template <class T>
HWY_ATTR void max_plane_halving(const Pool2dGeometry& g, const T* x, T* y, std::uint8_t* index) {
  using Bits = std::conditional_t<sizeof(T) == 4, std::int32_t, std::int64_t>;
  const std::int64_t width = g.columns.outputs;
  for (std::int64_t i = 0; i < g.rows.outputs; ++i) {
    const T *upper = x + 2 * i * g.columns.size, *lower = upper + g.columns.size;
    T* out = y + i * width;
    const auto best_of = [&](std::int64_t j, T& best, Bits& where) {
      best = upper[2 * j];
      where = 0;
      const T candidates[] = {upper[2 * j + 1], lower[2 * j], lower[2 * j + 1]};
      for (int k = 0; k < 3; ++k) {
        const bool better = replaces(candidates[k], best);
        best = better ? candidates[k] : best;
        where = better ? Bits{k + 1} : where;
      }
    };
    if (index == nullptr)
      for (std::int64_t j = 0; j < width; ++j) {
        Bits where;
        best_of(j, out[j], where);
      }
    else
      for (std::int64_t j = 0; j < width; ++j) {
        T best;
        Bits where;
        best_of(j, best, where);
        out[j] = best;
        index[i * width + j] = static_cast<std::uint8_t>(where);
      }
  }
}

template <class T, class Index>
HWY_ATTR void max_typed(const Pool2dGeometry& g, const T* x, T* y, Index* index) {
  const std::int64_t in = g.rows.size * g.columns.size, out = g.rows.outputs * g.columns.outputs;
  for_each_plane(g, [&](std::int64_t plane) HWY_ATTR {
    Index* at = index == nullptr ? nullptr : index + plane * out;
    if constexpr (sizeof(Index) == 1) {
      if (is_halving(g)) return max_plane_halving(g, x + plane * in, y + plane * out, at);
    }
    max_plane(g, x + plane * in, y + plane * out, at);
  });
}

/// Calls f(output, input) for each output of a plane and the input that `index` names.
template <class Index, class F>
HWY_ATTR void for_each_maximum(const Pool2dGeometry& g, const Index* index, const F& f) {
  for (std::int64_t i = 0; i < g.rows.outputs; ++i)
    for (std::int64_t j = 0; j < g.columns.outputs; ++j) {
      const std::int64_t out = i * g.columns.outputs + j, where = index[out];
      const std::int64_t row = g.rows.start(i) + where / g.columns.kernel;
      f(out, row * g.columns.size + g.columns.start(j) + where % g.columns.kernel);
    }
}

/// Which elements of their windows four outputs come from, as numbers of T's size.
template <class D>
HWY_ATTR auto load_index(D, const std::uint8_t* index) {
  const hn::Rebind<std::uint32_t, D> d32;
  const auto where = hn::PromoteTo(d32, hn::LoadU(hn::Rebind<std::uint8_t, D>(), index));
  if constexpr (sizeof(hn::TFromD<D>) == 4)
    return where;
  else
    return hn::PromoteTo(hn::RebindToUnsigned<D>(), where);
}

/// Every element of dx is written once. Short vectors, as rows are often short; the compiler's own would be
/// long ones, for the bytes.
template <class T>
HWY_ATTR void scatter_row_halving(std::int64_t width, const T* gradient, const std::uint8_t* index, T* upper,
                                  T* lower) {
  const hn::CappedTag<T, 4> d;
  const hn::RebindToUnsigned<decltype(d)> bits;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t j = 0;
  for (; j + lanes <= width; j += lanes) {
    const auto value = hn::LoadU(d, gradient + j);
    const auto where = load_index(d, index + j);
    const auto at = [&](unsigned k) HWY_ATTR {
      return hn::IfThenElseZero(hn::RebindMask(d, hn::Eq(where, hn::Set(bits, k))), value);
    };
    hn::StoreInterleaved2(at(0), at(1), d, upper + 2 * j);
    hn::StoreInterleaved2(at(2), at(3), d, lower + 2 * j);
  }
  for (; j < width; ++j) {
    const auto at = [&](int k) { return index[j] == k ? gradient[j] : T(0); };
    upper[2 * j] = at(0), upper[2 * j + 1] = at(1);
    lower[2 * j] = at(2), lower[2 * j + 1] = at(3);
  }
}

template <class T>
HWY_ATTR void scatter_plane_halving(const Pool2dGeometry& g, const T* dy, const std::uint8_t* index, T* dx) {
  const std::int64_t width = g.columns.outputs, size = g.columns.size;
  for (std::int64_t i = 0; i < g.rows.outputs; ++i) {
    T *upper = dx + 2 * i * size, *lower = upper + size;
    scatter_row_halving(width, dy + i * width, index + i * width, upper, lower);
    for (std::int64_t column = 2 * width; column < size; ++column) upper[column] = lower[column] = 0;
  }
  std::fill(dx + 2 * g.rows.outputs * size, dx + g.rows.size * size, T(0));
}

template <class T, class Index>
HWY_ATTR void scatter_typed(const Pool2dGeometry& g, const T* dy, const Index* index, T* dx, int beta) {
  const std::int64_t in = g.rows.size * g.columns.size, out = g.rows.outputs * g.columns.outputs;
  for_each_plane(g, [&](std::int64_t plane) HWY_ATTR {
    const T* gradient = dy + plane * out;
    T* target = dx + plane * in;
    if constexpr (sizeof(Index) == 1) {
      if (beta == 0 && is_halving(g)) return scatter_plane_halving(g, gradient, index + plane * out, target);
    }
    if (beta == 0) std::fill_n(target, in, T(0));
    for_each_maximum(g, index + plane * out,
                     [&](std::int64_t from, std::int64_t to) { target[to] += gradient[from]; });
  });
}

template <class T, class Index>
HWY_ATTR void gather_typed(const Pool2dGeometry& g, const T* x, const Index* index, T* y) {
  const std::int64_t in = g.rows.size * g.columns.size, out = g.rows.outputs * g.columns.outputs;
  for_each_plane(g, [&](std::int64_t plane) HWY_ATTR {
    for_each_maximum(g, index + plane * out,
                     [&](std::int64_t to, std::int64_t from) { y[plane * out + to] = x[plane * in + from]; });
  });
}

// --- mean: a window's rows are added into one row, then the row's columns

/// Of windows as wide as the plane, whose rows are one run of memory.
template <class T>
HWY_ATTR void average_of_rows(const Pool2dGeometry& g, const T* x, T* y) {
  const std::int64_t width = g.columns.size, in = g.rows.size * width;
  for_each_plane(g, [&](std::int64_t plane) HWY_ATTR {
    for (std::int64_t i = 0; i < g.rows.outputs; ++i) {
      const T* const window = x + plane * in + g.rows.begin(i) * width;
      const double sum = fold_row<SumOf<T>>(window, (g.rows.end(i) - g.rows.begin(i)) * width);
      y[plane * g.rows.outputs + i] =
          static_cast<T>(sum / static_cast<double>(g.rows.counted(i) * g.columns.counted(0)));
    }
  });
}

template <class T, class Sum>
HWY_ATTR void average_typed(const Pool2dGeometry& g, const T* x, T* y) {
  const std::int64_t width = g.columns.size, in = g.rows.size * width;
  for_each_plane(g, [&](std::int64_t plane) HWY_ATTR {
    Sum* sums = scratch<WindowRow, Sum>(width);
    T* out = y + plane * g.rows.outputs * g.columns.outputs;
    for (std::int64_t i = 0; i < g.rows.outputs; ++i) {
      std::fill_n(sums, width, Sum(0));
      for (std::int64_t row = g.rows.begin(i); row < g.rows.end(i); ++row) {
        const T* source = x + plane * in + row * width;
        for (std::int64_t k = 0; k < width; ++k) sums[k] += static_cast<Sum>(source[k]);
      }
      for (std::int64_t j = 0; j < g.columns.outputs; ++j) {
        Sum sum = 0;
        for (std::int64_t k = g.columns.begin(j); k < g.columns.end(j); ++k) sum += sums[k];
        *out++ = static_cast<T>(sum / static_cast<Sum>(g.rows.counted(i) * g.columns.counted(j)));
      }
    }
  });
}

template <class T>
HWY_ATTR void average_backward_typed(const Pool2dGeometry& g, const T* dy, T* dx, int beta) {
  const std::int64_t width = g.columns.size, in = g.rows.size * width;
  for_each_plane(g, [&](std::int64_t plane) HWY_ATTR {
    T* shares = scratch<WindowRow, T>(width);
    const T* gradient = dy + plane * g.rows.outputs * g.columns.outputs;
    if (beta == 0) std::fill_n(dx + plane * in, in, T(0));
    for (std::int64_t i = 0; i < g.rows.outputs; ++i) {
      std::fill_n(shares, width, T(0));
      for (std::int64_t j = 0; j < g.columns.outputs; ++j) {
        const T share = *gradient++ / static_cast<T>(g.rows.counted(i) * g.columns.counted(j));
        for (std::int64_t k = g.columns.begin(j); k < g.columns.end(j); ++k) shares[k] += share;
      }
      for (std::int64_t row = g.rows.begin(i); row < g.rows.end(i); ++row) {
        T* target = dx + plane * in + row * width;
        for (std::int64_t k = 0; k < width; ++k) target[k] += shares[k];
      }
    }
  });
}

// --- by dtype

void max(DType dtype, const Pool2dGeometry& g, const void* x, void* y, const PoolIndex& index, Stream) {
  with_types(dtype, index.dtype,
             [&]<class T, class Index>() { max_typed(g, in<T>(x), out<T>(y), out<Index>(index.data)); });
}

void max_scatter(DType dtype, const Pool2dGeometry& g, const void* dy, const PoolIndex& index, Destination dx,
                 Stream) {
  with_types(dtype, index.dtype, [&]<class T, class Index>() {
    scatter_typed(g, in<T>(dy), in<Index>(index.data), out<T>(dx.data), dx.beta);
  });
}

void max_gather(DType dtype, const Pool2dGeometry& g, const void* x, const PoolIndex& index, void* y,
                Stream) {
  with_types(dtype, index.dtype,
             [&]<class T, class Index>() { gather_typed(g, in<T>(x), in<Index>(index.data), out<T>(y)); });
}

void average(DType dtype, const Pool2dGeometry& g, const void* x, void* y, Stream) {
  constexpr std::int64_t kLargeWindow = 1024;  // elements whose sum needs float64
  if (g.rows.outputs * g.columns.outputs == 0) return;
  const bool large = g.rows.counted(0) * g.columns.counted(0) > kLargeWindow;
  const bool wide = g.columns.outputs == 1 && g.columns.end(0) - g.columns.begin(0) == g.columns.size;
  with_type(dtype, [&]<class T>() {
    wide    ? average_of_rows(g, in<T>(x), out<T>(y))
    : large ? average_typed<T, double>(g, in<T>(x), out<T>(y))
            : average_typed<T, T>(g, in<T>(x), out<T>(y));
  });
}

void average_backward(DType dtype, const Pool2dGeometry& g, const void* dy, Destination dx, Stream) {
  with_type(dtype, [&]<class T>() { average_backward_typed(g, in<T>(dy), out<T>(dx.data), dx.beta); });
}

}  // namespace

const Pool2d& pool2d() {
  static constexpr Pool2d launchers{MP_POOL2D(MP_LAUNCHER)};
  return launchers;
}

}  // namespace miniparallel::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace miniparallel::kernels::cpu {

MP_DISPATCH(Pool2d, pool2d)

}  // namespace miniparallel::kernels::cpu
#endif

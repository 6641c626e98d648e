#include "kernels/cpu/conv2d_loops.h"
#include "kernels/cpu/conv2d_plan.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/scratch.h"

#include <algorithm>
#include <numeric>
#include <type_traits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/conv2d_rows.cpp"
#include "kernels/cpu/targets.h"
// After targets.h, once per instruction set:
#include "kernels/cpu/tile.h"

HWY_BEFORE_NAMESPACE();
namespace miniparallel::kernels::cpu::HWY_NAMESPACE {
namespace {

// Convolution with vectors that run along rows, whatever the number of channels: forward and for the gradient
// of the data vectors of neighbouring pixels are multiplied by weights, for the gradient of the weight two
// planes by one another.

constexpr std::int64_t kGrainProducts = 1 << 17;
constexpr int kColumns = 3;  // destination channels of a tile at most
constexpr int kLanes = 16;
constexpr int kTaps = 3;  // neighbours in a row of the kernel whose sums are in registers together

/// Outputs [begin, end) of one dimension whose tap `tap` reads inside the image, and the input of output 0.
struct Range {
  std::int64_t begin, end, first;

  Range(std::int64_t tap, std::int64_t size, std::int64_t outputs, std::int64_t stride, std::int64_t padding,
        std::int64_t dilation) {
    first = tap * dilation - padding;
    begin = first >= 0 ? 0 : (-first + stride - 1) / stride;
    end = size - first <= 0 ? 0 : std::min(outputs, (size - first + stride - 1) / stride);
    begin = std::min(begin, end);
  }
};

/// The outputs of a row for which taps kw, kw + 1, ..., `taps` of them, all read inside the image.
template <int taps>
Range common_columns(const Conv2dGeometry& g, std::int64_t kw) {
  Range first(kw, g.in_w, g.out_w, g.stride_w, g.padding_w, g.dilation_w);
  const Range last(kw + taps - 1, g.in_w, g.out_w, g.stride_w, g.padding_w, g.dilation_w);
  first.end = std::max(first.begin, last.end);
  return first;
}

/// A vector of the elements that the mask, of integers as wide, keeps with -1; 0 for those it has 0 for.
template <class T, class Mask>
MP_INLINE void load_masked(const T* from, const Mask* mask, Vector<T>& to) {
  Vector<Mask> kept;
  load(from, to);
  load(mask, kept);
  to = reinterpret_cast<Vector<T>>(reinterpret_cast<Vector<Mask>>(to) & kept);
}

/// Adds the products of `taps` neighbours in a row of the kernel over a plane to sums (taps, kLanes).
template <int taps, class T>
HWY_ATTR void add_taps(const Conv2dGeometry& g, std::int64_t kh, std::int64_t kw, const T* gradient,
                       const T* source, T* sums) {
  using Mask = std::conditional_t<sizeof(T) == 4, std::int32_t, std::int64_t>;
  constexpr int lanes = kVectorLanes<T>, vectors = kLanes / lanes;
  const Range rows(kh, g.in_h, g.out_h, g.stride_h, g.padding_h, g.dilation_h);
  Range columns = common_columns<taps>(g, kw);
  if (columns.end - columns.begin < kLanes) columns.end = columns.begin;  // element by element
  std::int64_t begin[taps], end[taps];
  for (int t = 0; t < taps; ++t) {
    const Range own = common_columns<1>(g, kw + t);
    begin[t] = own.begin, end[t] = own.end;
  }
  Vector<T> sum[taps][vectors];
  for (int t = 0; t < taps; ++t)
    for (int v = 0; v < vectors; ++v) load(sums + t * kLanes + v * lanes, sum[t][v]);
  T left[taps] = {}, right[taps] = {};
  // The last vectors of a row end with it; what the ones before them have had is masked.
  const std::int64_t rest = (columns.end - columns.begin) % kLanes;
  Mask keep[kLanes];
  for (int k = 0; k < kLanes; ++k) keep[k] = k >= kLanes - rest ? -1 : 0;
  for (std::int64_t row = rows.begin; row < rows.end; ++row) {
    const T* to = gradient + row * g.out_w;
    const T* from = source + (rows.first + row * g.stride_h) * g.in_w + columns.first;
    for (std::int64_t i = columns.begin; i + kLanes <= columns.end; i += kLanes)
      for (int v = 0; v < vectors; ++v) {
        Vector<T> factor, input;
        load(to + i + v * lanes, factor);
        for (int t = 0; t < taps; ++t) {
          load(from + i + t * g.dilation_w + v * lanes, input);
          sum[t][v] += factor * input;
        }
      }
    if (rest > 0)
      for (int v = 0; v < vectors; ++v) {
        const std::int64_t i = columns.end - kLanes + v * lanes;
        Vector<T> factor, input;
        load_masked(to + i, keep + v * lanes, factor);
        for (int t = 0; t < taps; ++t) {
          load_masked(from + i + t * g.dilation_w, keep + v * lanes, input);
          sum[t][v] += factor * input;
        }
      }
    for (int t = 0; t < taps; ++t) {
      const T* at = from + t * g.dilation_w;
      for (std::int64_t i = begin[t]; i < std::min(columns.begin, end[t]); ++i) left[t] += to[i] * at[i];
      for (std::int64_t i = columns.end; i < end[t]; ++i) right[t] += to[i] * at[i];
    }
  }
  for (int t = 0; t < taps; ++t) {
    for (int v = 0; v < vectors; ++v) store(sum[t][v], sums + t * kLanes + v * lanes);
    sums[t * kLanes] += left[t], sums[t * kLanes + 1] += right[t];
  }
}

struct PackedTaps;

/// Weights as [phase][group][tile][tap][column]; the columns of a tile are destination channels.
template <class T>
const T* pack_weights(const ConvPlan& plan, const T* weight) {
  std::int64_t taps = 0;
  for (const ConvPhase& phase : plan.phases) taps += phase.tap_count();
  T* const packed = scratch<PackedTaps, T>(taps * plan.groups * plan.channels);
  T* to = packed;
  for (const ConvPhase& phase : plan.phases)
    for (std::int64_t group = 0; group < plan.groups; ++group)
      for_each_tile(plan.channels, kColumns, [&](std::int64_t channel, std::int64_t columns) {
        const T* const from = weight + group * plan.group_stride + channel * plan.channel_stride;
        for (const std::int64_t tap : phase.weights)
          for (std::int64_t c = 0; c < columns; ++c) *to++ = from[c * plan.channel_stride + tap];
      });
  return packed;
}

/// Vectors of pixels of a tile: enough sums in flight to hide the latency of the FMA.
constexpr int tile_rows(std::int64_t columns) { return columns == 1 ? 8 : columns == 2 ? 6 : 4; }
constexpr std::int64_t kTileSums = 12;  // at most, of one vector each

/// The sums over the taps of a tile, [vector][column][lane].
template <int columns, class T>
HWY_ATTR void sum_taps(const T* image, const std::int64_t* pixels, const std::int64_t* taps, std::int64_t k,
                       const T* weights, T* sums) {
  constexpr int rows = tile_rows(columns), lanes = kVectorLanes<T>;
  const T* row[rows];
  for (int r = 0; r < rows; ++r) row[r] = image + pixels[r];
  Vector<T> sum[rows][columns] = {}, values;
  for (std::int64_t t = 0; t < k; ++t, weights += columns) {
    MP_WRITE_OUT
    for (int r = 0; r < rows; ++r) {
      load(row[r] + taps[t], values);
      MP_WRITE_OUT
      for (int c = 0; c < columns; ++c) sum[r][c] += values * weights[c];
    }
  }
  MP_WRITE_OUT
  for (int r = 0; r < rows; ++r) MP_WRITE_OUT
  for (int c = 0; c < columns; ++c) store(sum[r][c], sums + (r * columns + c) * lanes);
}

/// y (+)= bias + the sums of the vectors from `first` on, [vector][column][lane]. y: of the first column.
template <class T>
HWY_ATTR void write_out(const ConvPhase& phase, std::int64_t first, std::int64_t vectors,
                        std::int64_t columns, const T* sums, T* y, std::int64_t plane, const T* bias,
                        int beta) {
  constexpr std::int64_t lanes = kVectorLanes<T>;
  for (std::int64_t i = first; i < first + vectors; ++i) {
    const std::int64_t count = phase.counts[static_cast<std::size_t>(i)];
    T* to = y + phase.out[static_cast<std::size_t>(i)];
    for (std::int64_t c = 0; c < columns; ++c, to += plane, sums += lanes) {
      const T start = bias == nullptr ? T(0) : bias[c];
      if (phase.step == 1 && count == lanes) {
        Vector<T> sum, before = {};
        load(sums, sum);
        if (beta != 0) load(to, before);
        store(start + sum + before, to);
        continue;
      }
      for (std::int64_t l = 0; l < count; ++l) {
        T& target = to[l * phase.step];
        target = start + sums[l] + (beta == 0 ? T(0) : target);
      }
    }
  }
}

/// Pixels [begin, end) of a phase, in tiles of which the last is filled up with its last vector.
template <class T>
HWY_ATTR void run_phase(const ConvPhase& phase, std::int64_t begin, std::int64_t end, std::int64_t columns,
                        const T* image, const T* weights, T* y, std::int64_t plane, const T* bias, int beta) {
  using Sum = void (*)(const T*, const std::int64_t*, const std::int64_t*, std::int64_t, const T*, T*);
  static constexpr Sum by_columns[kColumns] = {sum_taps<1, T>, sum_taps<2, T>, sum_taps<3, T>};
  const std::int64_t rows = tile_rows(columns);
  alignas(64) T sums[kTileSums * kVectorLanes<T>];
  for (std::int64_t first = begin; first < end; first += rows) {
    const std::int64_t vectors = std::min(rows, end - first);
    const std::int64_t* pixels = phase.pixels.data() + first;
    std::int64_t filled_up[kTileSums];
    if (vectors < rows) {
      for (std::int64_t r = 0; r < rows; ++r) filled_up[r] = pixels[std::min(r, vectors - 1)];
      pixels = filled_up;
    }
    by_columns[columns - 1](image, pixels, phase.taps.data(), phase.tap_count(), weights, sums);
    write_out(phase, first, vectors, columns, sums, y, plane, bias, beta);
  }
}

template <class T>
void run_plan(const ConvPlan& plan, const T* source, const T* weight, const T* bias, T* y, int beta) {
  const T* const packed = pack_weights(plan, weight);
  std::int64_t taps = 0;
  for (const ConvPhase& phase : plan.phases) taps = std::max(taps, phase.tap_count());
  const std::int64_t source_size = plan.source_channels * plan.source_h * plan.source_w;
  const std::int64_t parts = plan.images * plan.groups, threads = available_threads();
  // Of few parts each is divided, so that the threads have as much to do.
  const std::int64_t slices = parts < 4 * threads ? threads / std::gcd(parts, threads) : 1;
  const std::int64_t products = taps * plan.plane * plan.channels / slices;
  parallel_for(parts * slices, conv2d_grain(products, kGrainProducts),
               [&](std::int64_t begin, std::int64_t end) {
                 const T* image = nullptr;
                 for (std::int64_t unit = begin; unit < end; ++unit) {
                   const std::int64_t part = unit / slices, slice = unit % slices, group = part % plan.groups;
                   if (unit == begin || slice == 0) image = padded(plan, source + part * source_size);
                   const T* weights = packed;
                   for (const ConvPhase& phase : plan.phases) {
                     const std::int64_t k = phase.tap_count(), pixels = phase.pixel_count();
                     for_each_tile(plan.channels, kColumns, [&](std::int64_t channel, std::int64_t columns) {
                       run_phase(phase, pixels * slice / slices, pixels * (slice + 1) / slices, columns,
                                 image, weights + (group * plan.channels + channel) * k,
                                 y + (part * plan.channels + channel) * plan.plane, plan.plane,
                                 bias == nullptr ? nullptr : bias + group * plan.channels + channel, beta);
                     });
                     weights += plan.groups * plan.channels * k;
                   }
                 }
               });
}

template <class T>
void forward(const Conv2dGeometry& g, const void* x, const void* weight, const void* bias, void* y) {
  run_plan(plan_forward(g, kVectorLanes<T>), in<T>(x), in<T>(weight), in<T>(bias), out<T>(y), 0);
}

template <class T>
void data_gradient(const Conv2dGeometry& g, const void* dy, const void* weight, const Destination& dx) {
  run_plan<T>(plan_data_gradient(g, kVectorLanes<T>), in<T>(dy), in<T>(weight), nullptr, out<T>(dx.data),
              dx.beta);
}

/// Adds n elements to kLanes sums.
template <class T>
HWY_ATTR void add_plane(const T* plane, std::int64_t n, T* lanes) {
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (int k = 0; k < kLanes; ++k) lanes[k] += plane[i + k];
  for (int k = 0; i + k < n; ++k) lanes[k] += plane[i + k];
}

template <class T>
HWY_ATTR T sum_of(const T* lanes) {
  T sum = 0;
  for (int k = 0; k < kLanes; ++k) sum += lanes[k];
  return sum;
}

/// At stride 1 along rows.
template <class T>
HWY_ATTR void weight_gradient(const Conv2dGeometry& g, const void* dy_data, const void* x_data,
                              const Destination& weight, const Destination& bias) {
  const T *dy = in<T>(dy_data), *x = in<T>(x_data);
  T *const dweight = out<T>(weight.data), *const dbias = out<T>(bias.data);
  const std::int64_t in_plane = g.in_h * g.in_w, out_plane = g.out_h * g.out_w,
                     taps = g.kernel_h * g.kernel_w;
  const std::int64_t in_channels = g.in_channels / g.groups, out_channels = g.out_channels / g.groups;
  parallel_for(g.out_channels, conv2d_grain(g.n * out_plane * taps * in_channels, kGrainProducts),
               [&](std::int64_t begin, std::int64_t end) HWY_ATTR {
                 for (std::int64_t channel = begin; channel < end; ++channel) {
                   const std::int64_t first = channel / out_channels * in_channels;
                   for (std::int64_t i = 0, count; dweight != nullptr && i < in_channels * taps; i += count) {
                     const std::int64_t kh = i % taps / g.kernel_w, kw = i % g.kernel_w;
                     count = std::min<std::int64_t>(kTaps, g.kernel_w - kw);
                     T lanes[kTaps * kLanes] = {};
                     for (std::int64_t image = 0; image < g.n; ++image) {
                       const T* gradient = dy + (image * g.out_channels + channel) * out_plane;
                       const T* source = x + (image * g.in_channels + first + i / taps) * in_plane;
                       (count == 3   ? add_taps<3, T>
                        : count == 2 ? add_taps<2, T>
                                     : add_taps<1, T>)(g, kh, kw, gradient, source, lanes);
                     }
                     for (std::int64_t t = 0; t < count; ++t) {
                       T& out = dweight[channel * in_channels * taps + i + t];
                       out = sum_of(lanes + t * kLanes) + (weight.beta == 0 ? T(0) : out);
                     }
                   }
                   if (dbias == nullptr) continue;
                   T lanes[kLanes] = {};
                   for (std::int64_t image = 0; image < g.n; ++image)
                     add_plane(dy + (image * g.out_channels + channel) * out_plane, out_plane, lanes);
                   dbias[channel] = sum_of(lanes) + (bias.beta == 0 ? T(0) : dbias[channel]);
                 }
               });
}

}  // namespace

const ByDType<Conv2dLoops>& conv2d_rows() {
  static constexpr ByDType<Conv2dLoops> table{
      {forward<float>, data_gradient<float>, weight_gradient<float>},
      {forward<double>, data_gradient<double>, weight_gradient<double>}};
  return table;
}

}  // namespace miniparallel::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace miniparallel::kernels::cpu {

MP_DISPATCH(ByDType<Conv2dLoops>, conv2d_rows)

}  // namespace miniparallel::kernels::cpu
#endif

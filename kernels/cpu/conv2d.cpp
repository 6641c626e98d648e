#include "kernels/conv2d.h"

#include "kernels/cpu/backend.h"
#include "kernels/cpu/conv2d_loops.h"
#include "kernels/cpu/conv2d_plan.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/scratch.h"
#include "kernels/macros.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/conv2d.cpp"
#include "kernels/cpu/targets.h"
// After targets.h, once per instruction set:
#include "kernels/cpu/tile.h"

// Direct convolution as a matrix product whose left side is never built: a row of
// it is a pointer into the image, a column an offset added to it. The vectors run
// across output channels (forward), input channels (gradient of the data) or output
// channels (gradient of the weight), so any stride and dilation runs at the same speed.

HWY_BEFORE_NAMESPACE();
namespace miniparallel::kernels::cpu::HWY_NAMESPACE {
namespace {

constexpr std::int64_t kBand = 96;              // pixels whose results wait in the L1 cache to be transposed
constexpr std::int64_t kGradientBytes = 12288;  // of pixels' gradients, which fill much of the L1 cache

struct PackedWeights;
struct Results;
struct Partials;

/// Weights as [phase][group][block][tap][column]: a block is a tile's columns, destination channels.
template <std::int64_t width, class T>
const T* pack_weights(const ConvPlan& plan, std::int64_t blocks, const T* weight) {
  T* const packed = scratch<PackedWeights, T>(plan.tap_count() * plan.groups * blocks * width);
  for (const ConvPhase& phase : plan.phases) {
    const std::int64_t k = phase.tap_count();
    T* const target = packed + phase.first_tap * plan.groups * blocks * width;
    parallel_for(plan.groups * blocks, conv2d_grain(k * width * 4),
                 [&](std::int64_t begin, std::int64_t end) {
                   for (std::int64_t unit = begin; unit < end; ++unit) {
                     const std::int64_t group = unit / blocks, channel = unit % blocks * width;
                     const std::int64_t columns = std::min(width, plan.channels - channel);
                     const T* source = weight + group * plan.group_stride + channel * plan.channel_stride;
                     T* to = target + unit * k * width;
                     for (std::int64_t t = 0; t < k; ++t, to += width)
                       for (std::int64_t c = 0; c < width; ++c)
                         to[c] = c < columns ? source[c * plan.channel_stride + phase.weights[t]] : T(0);
                   }
                 });
  }
  return packed;
}

/// The sums of pixels [begin, end) of a phase, which are in one row of it, into out: [pixel][column], the
/// former `stride` apart.
template <int vectors, class T>
HWY_ATTR void sum_pixels(const ConvPhase& phase, std::int64_t begin, std::int64_t end, const T* image,
                         const T* weights, T* out, std::int64_t stride) {
  constexpr int width = TileShape<T, vectors>::columns;
  for (std::int64_t first = begin, last; first < end; first = last) {
    const ConvTaps run = phase.run_from(first);
    last = std::min(run.pixels.end, end);
    tiles<T, vectors>(image, phase.pixels.data() + first, last - first, phase.taps.data() + run.taps.begin,
                      run.taps.end - run.taps.begin, weights + run.taps.begin * width,
                      out + (first - begin) * stride, stride, false);
  }
}

/// Destination channels [0, columns): y is the first one's plane, weights(phase) theirs.
template <int vectors, class T, class Weights>
HWY_ATTR void run_phases(const ConvPlan& plan, const T* image, const Weights& weights, int columns, T* y,
                         const T* bias, int beta) {
  constexpr int width = TileShape<T, vectors>::columns;
  alignas(64) T band[kBand * width];
  for (std::size_t i = 0; i < plan.phases.size(); i += static_cast<std::size_t>(plan.together)) {
    const ConvPhase* const phases = plan.phases.data() + i;
    std::int64_t length = 0;
    for (std::int64_t p = 0; p < plan.together; ++p) length += phases[p].row_pixels;
    for (std::int64_t row = 0; row < phases->pixel_count() / phases->row_pixels; ++row)
      for (std::int64_t done = 0, end; done < length; done = end) {
        end = std::min(done + kBand, length);
        const auto before = [&](std::int64_t p, std::int64_t place) {  // pixels of a phase
          return (place - p + phases[p].step - 1) / phases[p].step;
        };
        for (std::int64_t p = 0; p < plan.together; ++p) {
          const ConvPhase& phase = phases[p];
          const std::int64_t first = before(p, done), last = before(p, end), start = row * phase.row_pixels;
          if (first == last) continue;  // a short band may have none of it
          sum_pixels<vectors>(phase, start + first, start + last, image, weights(phase),
                              band + (p + first * phase.step - done) * width, phase.step * width);
        }
        transpose_out<width>(band, end - done, columns, y + phases->out[row * phases->row_pixels] + done,
                             plan.plane, bias, beta);
      }
  }
}

template <int vectors, class T>
void run_tiles(const ConvPlan& plan, const T* source, const T* weight, const T* bias, T* y, int beta) {
  constexpr std::int64_t width = TileShape<T, vectors>::columns;
  const std::int64_t blocks = (plan.channels + width - 1) / width;
  const T* const packed = pack_weights<width>(plan, blocks, weight);
  std::int64_t taps = 0;
  for (const ConvPhase& phase : plan.phases) taps = std::max(taps, phase.tap_count());
  const std::int64_t source_size = plan.source_channels * plan.source_h * plan.source_w;
  parallel_for(plan.images * plan.groups * blocks, conv2d_grain(taps * plan.plane * width),
               [&](std::int64_t begin, std::int64_t end) {
                 const T* image = nullptr;
                 for (std::int64_t unit = begin; unit < end; ++unit) {
                   const std::int64_t part = unit / blocks, group = part % plan.groups;  // part: image, group
                   const std::int64_t block = unit % blocks, channel = block * width;
                   if (unit == begin || block == 0) image = padded(plan, source + part * source_size);
                   const auto weights = [&](const ConvPhase& phase) {
                     const std::int64_t before = phase.first_tap * plan.groups * blocks;
                     return packed + (before + (group * blocks + block) * phase.tap_count()) * width;
                   };
                   run_phases<vectors>(
                       plan, image, weights, static_cast<int>(std::min(width, plan.channels - channel)),
                       y + (part * plan.channels + channel) * plan.plane,
                       bias == nullptr ? nullptr : bias + group * plan.channels + channel, beta);
                 }
               });
}

/// Whether the channels fill tiles of two vectors rather than of one.
template <class T>
bool fill_two_vectors(std::int64_t channels) {
  return channels > kVectorLanes<T>;
}

template <class T>
void run_plan(const ConvPlan& plan, const T* source, const T* weight, const T* bias, T* y, int beta) {
  (fill_two_vectors<T>(plan.channels) ? run_tiles<2, T> : run_tiles<1, T>)(plan, source, weight, bias, y,
                                                                           beta);
}

/// With fewer taps in a row of the kernel tiles are better filled by all of them, though some read zeros.
constexpr std::int64_t kManyTaps = 48;

/// Adds an image's part of the gradient to the sums of a block of output channels, [tap][column], behind
/// which are those of the bias, [column]; without `accumulate` in their place.
template <int vectors, class T>
HWY_ATTR void add_weight_gradient(const ConvPlan& plan, const T* g, const T* image, int columns, T* sums,
                                  bool accumulate) {
  constexpr int width = TileShape<T, vectors>::columns;
  constexpr std::int64_t kGradientBand = kGradientBytes / (width * sizeof(T));
  const ConvPhase& phase = plan.phases.front();
  const std::int64_t taps = phase.tap_count();
  T* const bias_sums = sums + taps * width;
  alignas(64) T band[kGradientBand * width];
  if (!accumulate) std::fill_n(sums, (taps + 1) * width, T(0));
  for (std::int64_t done = 0; done < plan.plane; done += kGradientBand) {
    const std::int64_t length = std::min(kGradientBand, plan.plane - done);
    transpose_in<width>(g + done, plan.plane, columns, length, band);
    const auto add = [&](const Interval& of, const Interval& over) HWY_ATTR {
      const std::int64_t begin = std::max(over.begin, done), end = std::min(over.end, done + length);
      if (begin < end)
        tiles<T, vectors>(image, phase.taps.data() + of.begin, of.end - of.begin, phase.pixels.data() + begin,
                          end - begin, band + (begin - done) * width, sums + of.begin * width, width, true);
    };
    if (taps < kManyTaps * static_cast<std::int64_t>(phase.rows.size()))
      add({0, taps}, {0, plan.plane});
    else
      for (const ConvTaps& row : phase.rows) add(row.taps, row.pixels);
    for (int v = 0; v < vectors; ++v) {
      Vector<T> total = {}, next;
      for (std::int64_t i = 0; i < length; ++i) {
        load(band + i * width + v * kVectorLanes<T>, next);
        total += next;
      }
      load(bias_sums + v * kVectorLanes<T>, next);
      store(next + total, bias_sums + v * kVectorLanes<T>);
    }
  }
}

template <int vectors, class T>
void weight_gradient_tiles(const Conv2dGeometry& geometry, const void* g_data, const void* x_data,
                           const Destination& weight, const Destination& bias) {
  const T *g = in<T>(g_data), *x = in<T>(x_data);
  T *const dweight = out<T>(weight.data), *const dbias = out<T>(bias.data);
  constexpr std::int64_t width = TileShape<T, vectors>::columns;
  const ConvPlan plan = plan_forward(geometry);
  const ConvPhase& phase = plan.phases.front();
  const std::int64_t taps = phase.tap_count();
  const std::int64_t blocks = (plan.channels + width - 1) / width, units = plan.groups * blocks;
  const std::int64_t partial = (taps + 1) * width;  // and a row for the bias
  if (units == 0) return;
  const std::int64_t chunks = conv2d_chunks(plan.images, units * partial);
  T* const partials = scratch<Partials, T>(chunks * units * partial);
  const std::int64_t x_size = plan.source_channels * plan.source_h * plan.source_w;
  const std::int64_t products = plan.images / chunks * taps * plan.plane * width;
  parallel_for(chunks * units, conv2d_grain(products), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t next, i = begin; i < end; i = next) {  // the blocks of a group read the same images
      next = std::min(end, (i / blocks + 1) * blocks);
      const std::int64_t chunk = i / units, group = i % units / blocks;
      const std::int64_t first = plan.images * chunk / chunks, last = plan.images * (chunk + 1) / chunks;
      if (first == last) std::fill_n(partials + i * partial, (next - i) * partial, T(0));
      for (std::int64_t image = first; image < last; ++image) {
        const std::int64_t part = image * plan.groups + group;
        const T* const source = padded(plan, x + part * x_size);
        for (std::int64_t unit = i; unit < next; ++unit) {
          const std::int64_t channel = unit % blocks * width;
          add_weight_gradient<vectors>(plan, g + (part * plan.channels + channel) * plan.plane, source,
                                       static_cast<int>(std::min(width, plan.channels - channel)),
                                       partials + unit * partial, image > first);
        }
      }
    }
  });
  constexpr std::int64_t kRows = 64;  // of sums, those of a tap, that a thread adds up at least
  const std::int64_t parts = (taps + kRows) / kRows;
  parallel_for(
      units * parts, conv2d_grain(kRows * width * chunks), [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) {
          const std::int64_t unit = i / parts, channel = unit % blocks * width;
          const std::int64_t target = unit / blocks * plan.channels + channel;
          const std::int64_t columns = std::min(width, plan.channels - channel);
          for (std::int64_t tap = i % parts * kRows; tap < std::min(taps + 1, (i % parts + 1) * kRows);
               ++tap) {
            const bool is_bias = tap == taps;
            T* const to = is_bias ? dbias : dweight;
            if (to == nullptr) continue;
            const T* const sums = partials + unit * partial + tap * width;
            T total[width];
            std::copy_n(sums, width, total);
            for (std::int64_t chunk = 1; chunk < chunks; ++chunk)
              for (std::int64_t c = 0; c < width; ++c) total[c] += sums[chunk * units * partial + c];
            const int beta = (is_bias ? bias : weight).beta;
            for (std::int64_t c = 0; c < columns; ++c) {
              T& out = is_bias ? to[target + c]
                               : to[(target + c) * taps + phase.weights[static_cast<std::size_t>(tap)]];
              out = total[c] + (beta == 0 ? T(0) : out);
            }
          }
        }
      });
}

template <class T>
void weight_gradient(const Conv2dGeometry& geometry, const void* g, const void* x, const Destination& weight,
                     const Destination& bias) {
  const bool two = fill_two_vectors<T>(geometry.out_channels / geometry.groups);
  (two ? weight_gradient_tiles<2, T> : weight_gradient_tiles<1, T>)(geometry, g, x, weight, bias);
}

template <class T>
void forward(const Conv2dGeometry& geometry, const void* x, const void* weight, const void* bias, void* y) {
  run_plan(plan_forward(geometry), in<T>(x), in<T>(weight), in<T>(bias), out<T>(y), 0);
}

template <class T>
void data_gradient(const Conv2dGeometry& geometry, const void* g, const void* weight, const Destination& dx) {
  run_plan<T>(plan_data_gradient(geometry), in<T>(g), in<T>(weight), nullptr, out<T>(dx.data), dx.beta);
}

}  // namespace

const ByDType<Conv2dLoops>& conv2d_direct() {
  static constexpr ByDType<Conv2dLoops> table{
      {forward<float>, data_gradient<float>, weight_gradient<float>},
      {forward<double>, data_gradient<double>, weight_gradient<double>}};
  return table;
}

}  // namespace miniparallel::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace miniparallel::kernels::cpu {
namespace {

MP_DISPATCH(ByDType<Conv2dLoops>, conv2d_direct)

constexpr std::int64_t kFewChannels = 6;  // of a group: vectors across more of them are well filled
// The same for the gradient of the weight, and the shortest rows that are worth it.
constexpr std::int64_t kFewFilters = 2, kLongRow = 16;

/// Whether vectors are filled by the neighbours in a row rather than by the channels of a group.
bool by_rows(std::int64_t channels, std::int64_t neighbours) {
  return channels <= std::min(kFewChannels, neighbours);
}

constexpr std::int64_t kManyChannels = 16;  // of a group on both sides: they pay for transforms of tiles
constexpr std::int64_t kWholeTiles = 4;     // rows and columns of which not too much of a tile is wasted

bool by_tiles(const Conv2dGeometry& g) {
  return g.kernel_h == 3 && g.kernel_w == 3 && g.stride_h == 1 && g.stride_w == 1 && g.dilation_h == 1 &&
         g.dilation_w == 1 && g.padding_h <= 2 && g.padding_w <= 2 &&
         std::min(g.in_channels, g.out_channels) / g.groups >= kManyChannels &&
         std::min(g.out_h, g.out_w) >= kWholeTiles;
}

const Conv2dLoops& loops_for(const Conv2dGeometry& g, bool rows, DType dtype) {
  return (rows ? conv2d_rows() : by_tiles(g) ? conv2d_winograd() : conv2d_direct())[dtype];
}

void forward(DType dtype, const Conv2dGeometry& g, const void* x, const void* weight, const void* bias,
             void* y, Stream) {
  loops_for(g, by_rows(g.out_channels / g.groups, g.out_w), dtype).forward(g, x, weight, bias, y);
}
void data_gradient(DType dtype, const Conv2dGeometry& g, const void* dy, const void* weight, Destination dx,
                   Stream) {
  loops_for(g, by_rows(g.in_channels / g.groups, g.in_w / g.stride_w), dtype)
      .data_gradient(g, dy, weight, dx);
}
void weight_gradient(DType dtype, const Conv2dGeometry& g, const void* dy, const void* x, Destination dweight,
                     Destination dbias, Stream) {
  const bool depthwise = g.groups > 1 && g.in_channels == g.groups;
  const bool few = depthwise || g.out_channels / g.groups <= kFewFilters;
  loops_for(g, few && g.stride_w == 1 && g.out_w >= kLongRow, dtype)
      .weight_gradient(g, dy, x, dweight, dbias);
}

}  // namespace

const Conv2d& conv2d() {
  static constexpr Conv2d launchers{
      .forward = forward, .data_gradient = data_gradient, .weight_gradient = weight_gradient};
  return launchers;
}

}  // namespace miniparallel::kernels::cpu
#endif

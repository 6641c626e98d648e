#include "kernels/cpu/conv2d_loops.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/scratch.h"

#include <algorithm>
#include <type_traits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/conv2d_winograd.cpp"
#include "kernels/cpu/targets.h"
// After targets.h, once per instruction set:
#include "kernels/cpu/tile.h"
#include "kernels/cpu/winograd.h"

HWY_BEFORE_NAMESPACE();
namespace miniparallel::kernels::cpu::HWY_NAMESPACE {

#if HWY_TARGET == HWY_SCALAR
const ByDType<Conv2dLoops>& conv2d_direct();
const ByDType<Conv2dLoops>& conv2d_winograd() { return conv2d_direct(); }
#else

namespace {

struct Products;
struct TransformedGradients;
struct PartialSums;

/// Rows [first, last) of tiles of a group, and of its results those of the filters of a block.
template <int vectors, class T>
HWY_ATTR void convolve_rows(const Winograd& plan, const TransformedRows<T>& source, const T* kernels,
                            std::int64_t group, std::int64_t filter, std::int64_t first, std::int64_t last,
                            const T* bias, T* y, int beta) {
  constexpr int width = TileShape<T, vectors>::columns;
  constexpr std::int64_t of_tile = kProductsOfTile<width, T>;
  const std::int64_t columns = plan.tile_columns(), plane = plan.out_h * plan.out_w;
  T* const m = scratch<Products, T>(source.tiles * of_tile + 4 * columns * width);
  T* const results = m + source.tiles * of_tile;
  for (int i = 0; i < kPlaces; ++i, kernels += plan.channels * width)
    tiles<T, vectors>(source.v + i * source.place, source.of_tile, source.tiles, source.of_channel,
                      plan.channels, kernels, m + i * width, of_tile, false);
  for (std::int64_t row = first; row < last; ++row) {
    transform_results<vectors>(columns, m + (row - first) * columns * of_tile, results);
    const std::int64_t part = row / plan.tile_rows() * plan.groups + group,
                       y_row = row % plan.tile_rows() * 2;
    T* const to = y + (part * plan.filters + filter) * plane + y_row * plan.out_w;
    for (std::int64_t i = 0; i < std::min<std::int64_t>(2, plan.out_h - y_row); ++i)
      transpose_out<width>(results + i * 2 * columns * width, plan.out_w,
                           static_cast<int>(std::min<std::int64_t>(width, plan.filters - filter)),
                           to + i * plan.out_w, plane,
                           bias == nullptr ? nullptr : bias + group * plan.filters + filter, beta);
  }
}

template <int vectors, class T>
void convolve(const Winograd& plan, const T* source, const T* weight, bool turned, const T* bias, T* y,
              int beta) {
  constexpr int width = TileShape<T, vectors>::columns;
  const std::int64_t blocks = blocks_of(plan.filters, width), rows = plan.images * plan.tile_rows();
  const std::int64_t per_unit = plan.rows_per_block<T>(), units = blocks_of(rows, per_unit);  // of a group
  const std::int64_t products = plan.tile_columns() * kPlaces * plan.channels * plan.filters;
  const T* const kernels = transform_all_kernels<width>(plan, weight, turned);
  parallel_for(
      plan.groups * units, conv2d_grain(per_unit * products), [&](std::int64_t begin, std::int64_t end) {
        SourceRows<T> source_rows(plan, source);
        for (std::int64_t unit = begin; unit < end; ++unit) {
          const std::int64_t group = unit / units, first = unit % units * per_unit;
          const std::int64_t last = std::min(rows, first + per_unit);
          const TransformedRows<T> transformed = transform_rows(plan, source_rows, group, first, last);
          for (std::int64_t b = 0; b < blocks; ++b)
            convolve_rows<vectors>(plan, transformed,
                                   kernels + (group * blocks + b) * kPlaces * plan.channels * width, group,
                                   b * width, first, last, bias, y, beta);
        }
      });
}

/// Calls f<vectors>() for as many as the channels fill; of float64 one, as code has its size.
template <class T, class F>
void with_vectors(std::int64_t channels, const F& f) {
  if constexpr (std::is_same_v<T, float>)
    if (channels > kVectorLanes<T>) return f.template operator()<2>();
  f.template operator()<1>();
}

template <class T>
void run(const Winograd& plan, const T* source, const T* weight, bool turned, const T* bias, T* y, int beta) {
  with_vectors<T>(plan.filters,
                  [&]<int vectors>() { convolve<vectors>(plan, source, weight, turned, bias, y, beta); });
}

/// Where the sums of the parts of a batch are: [chunk][group][block], and there [place][channel][filter] and
/// those of the bias, [filter].
struct Partials {
  std::int64_t place, bias, block, group, chunk, chunks;

  Partials(const Winograd& plan, std::int64_t blocks, std::int64_t width)
      : place(plan.channels * width),
        bias(kPlaces * place),
        block(bias + width),
        group(blocks * block),
        chunk(plan.groups * group),
        chunks(conv2d_chunks(plan.images, chunk)) {}
};

/// The sums of a group over rows [first, last) of tiles.
template <int vectors, class T>
HWY_ATTR void sum_gradients(const Winograd& plan, const Partials& partials, SourceRows<T>& source_rows,
                            const T* g, std::int64_t group, std::int64_t first, std::int64_t last, T* sums) {
  constexpr int width = TileShape<T, vectors>::columns;
  const std::int64_t per_block = plan.rows_per_block<T>(), columns = plan.tile_columns();
  std::fill_n(sums, partials.group, T(0));
  for (std::int64_t done = first, end; done < last; done = end) {
    end = std::min(last, done + per_block);
    const TransformedRows<T> x = transform_rows(plan, source_rows, group, done, end);
    const std::int64_t place = x.tiles * width + kApart<T>;
    T* const q = scratch<TransformedGradients, T>(kPlaces * place);
    T* to = sums;
    for (std::int64_t filter = 0; filter < plan.filters; filter += width, to += partials.block) {
      for (std::int64_t row = done; row < end; ++row) {
        const std::int64_t part = row / plan.tile_rows() * plan.groups + group;
        transform_gradients<vectors>(plan, g + (part * plan.filters + filter) * plan.out_h * plan.out_w,
                                     row % plan.tile_rows(),
                                     static_cast<int>(std::min<std::int64_t>(width, plan.filters - filter)),
                                     q + (row - done) * columns * width, place, to + partials.bias);
      }
      for (int i = 0; i < kPlaces; ++i)
        tiles<T, vectors>(x.v + i * x.place, x.of_channel, plan.channels, x.of_tile, x.tiles, q + i * place,
                          to + i * partials.place, width, true);
    }
  }
}

template <int vectors, class T>
HWY_ATTR void weight_gradient_of(const Conv2dGeometry& geometry, const T* g, const T* x,
                                 const Destination& weight, const Destination& bias) {
  constexpr int width = TileShape<T, vectors>::columns;
  const Winograd plan = forward_plan(geometry);
  const std::int64_t blocks = blocks_of(plan.filters, width);
  const Partials partials(plan, blocks, width);
  const std::int64_t chunks = partials.chunks, products = kPlaces * plan.channels * plan.filters;
  T* const all_sums = scratch<PartialSums, T>(chunks * partials.chunk);
  parallel_for(chunks * plan.groups,
               conv2d_grain(plan.images / chunks * plan.tile_rows() * plan.tile_columns() * products),
               [&](std::int64_t begin, std::int64_t end) {
                 SourceRows<T> source_rows(plan, x);
                 for (std::int64_t unit = begin; unit < end; ++unit) {
                   const std::int64_t chunk = unit / plan.groups;
                   sum_gradients<vectors>(plan, partials, source_rows, g, unit % plan.groups,
                                          plan.images * chunk / chunks * plan.tile_rows(),
                                          plan.images * (chunk + 1) / chunks * plan.tile_rows(),
                                          all_sums + unit * partials.group);
                 }
               });
  T *const dweight = out<T>(weight.data), *const dbias = out<T>(bias.data);
  const auto join = [&](const T* sums, T* total) HWY_ATTR {  // `width` of all chunks
    for (std::int64_t k = 0; k < width; k += kVectorLanes<T>) {
      Vector<T> sum = {}, next;
      for (std::int64_t chunk = 0; chunk < chunks; ++chunk) {
        load(sums + chunk * partials.chunk + k, next);
        sum += next;
      }
      store(sum, total + k);
    }
  };
  parallel_for(plan.groups * blocks * plan.channels, conv2d_grain(kPlaces * width * chunks * 4),
               [&](std::int64_t begin, std::int64_t end) HWY_ATTR {
                 for (std::int64_t unit = begin; unit < end; ++unit) {
                   const std::int64_t block = unit / plan.channels, channel = unit % plan.channels;
                   const std::int64_t first = block % blocks * width,
                                      filter = block / blocks * plan.filters + first;
                   const std::int64_t filters = std::min<std::int64_t>(width, plan.filters - first);
                   const T* const sums = all_sums + block * partials.block;
                   T total[kPlaces][width], w[9][width];
                   if (channel == 0 && dbias != nullptr) {
                     join(sums + partials.bias, total[0]);
                     for (std::int64_t k = 0; k < filters; ++k)
                       dbias[filter + k] = total[0][k] + (bias.beta == 0 ? T(0) : dbias[filter + k]);
                   }
                   if (dweight == nullptr) continue;
                   for (int place = 0; place < kPlaces; ++place)
                     join(sums + place * partials.place + channel * width, total[place]);
                   transform_sums(total, w);
                   for (std::int64_t k = 0; k < filters; ++k) {
                     T* const to = dweight + ((filter + k) * plan.channels + channel) * 9;
                     for (int tap = 0; tap < 9; ++tap)
                       to[tap] = w[tap][k] + (weight.beta == 0 ? T(0) : to[tap]);
                   }
                 }
               });
}

template <class T>
void forward(const Conv2dGeometry& g, const void* x, const void* weight, const void* bias, void* y) {
  run(forward_plan(g), in<T>(x), in<T>(weight), false, in<T>(bias), out<T>(y), 0);
}

template <class T>
void data_gradient(const Conv2dGeometry& g, const void* dy, const void* weight, const Destination& dx) {
  run<T>(data_gradient_plan(g), in<T>(dy), in<T>(weight), true, nullptr, out<T>(dx.data), dx.beta);
}

template <class T>
void weight_gradient(const Conv2dGeometry& g, const void* dy, const void* x, const Destination& weight,
                     const Destination& bias) {
  with_vectors<T>(g.out_channels / g.groups,
                  [&]<int vectors>() { weight_gradient_of<vectors>(g, in<T>(dy), in<T>(x), weight, bias); });
}

}  // namespace

const ByDType<Conv2dLoops>& conv2d_winograd() {
  static constexpr ByDType<Conv2dLoops> table{
      {forward<float>, data_gradient<float>, weight_gradient<float>},
      {forward<double>, data_gradient<double>, weight_gradient<double>}};
  return table;
}
#endif

}  // namespace miniparallel::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace miniparallel::kernels::cpu {

MP_DISPATCH(ByDType<Conv2dLoops>, conv2d_winograd)

}  // namespace miniparallel::kernels::cpu
#endif

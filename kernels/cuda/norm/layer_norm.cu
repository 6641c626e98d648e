#include "kernels/add_norm.h"
#include "kernels/cuda/backend.h"
#include "kernels/cuda/device/keep.cuh"
#include "kernels/cuda/device/moments.cuh"
#include "kernels/cuda/device/stored.cuh"
#include "kernels/cuda/device/two_stage.cuh"
#include "kernels/cuda/norm/layer_norm.h"
#include "kernels/math.h"
#include "kernels/reductions.h"

// A warp works on each row, on a long one a block: blocks have (32, 8) or (256, 1) threads. If width and
// alignment allow it, the threads hold their row in registers and read it once, 16 bytes at a time; otherwise
// they read it twice. Rows that are few and too long for that are shared by blocks, in chunks.

namespace miniparallel::kernels::cuda {
namespace {

constexpr std::int64_t kLongRow = 2048;  // elements
// Packs of a row that one of its threads holds: of 16-bit elements as many numbers as of float32.
template <class T>
constexpr int kFewPacks = kIsHalf<T> ? 1 : 2;
template <class T>
constexpr int kManyPacks = kIsHalf<T> ? 4 : 8;
constexpr int kBatch = 4;  // elements of each array that a thread has in flight

/// A row of a matrix, seen from one of its threads.
struct Row {
  std::int64_t index, start;

  __device__ static Row mine(std::int64_t width) {
    const std::int64_t index = static_cast<std::int64_t>(blockIdx.x) * blockDim.y + threadIdx.y;
    return {index, index * width};
  }
};

/// Calls f(p, i) for each pack that the thread holds: its p-th begins at element i of the row, on which
/// `lanes` threads work.
template <class T, int lanes, int packs, class F>
__device__ void for_each_pack(std::int64_t width, const F& f) {
  MP_UNROLL
  for (int p = 0; p < packs; ++p) {
    const int i = (p * lanes + static_cast<int>(threadIdx.x)) * kPack<T>;
    if (i < static_cast<int>(width)) f(p, i);
  }
}

/// A pack of T to compute with.
template <class T>
using Values = Pack<Computed<T>, kPack<T>>;

/// Numbers i, i + 1, ... of an array that may be null: then ones, or what else `missing` is.
template <class T>
__device__ Values<T> values_or(const Computed<T>* array, int i, Computed<T> missing) {
  if (array != nullptr) return read_pack<kPack<T>>(array, i);
  Values<T> values;
  for (Computed<T>& value : values.at) value = missing;
  return values;
}

/// What numbers are taken as distances from for their moments: the first of them, or nothing.
template <class T>
__device__ Computed<T> origin_of(const T* in, bool centers) {
  return centers ? read(in[0]) : Computed<T>(0);
}
/// What a row is normalised with.
template <class C>
struct Statistics {
  C mean, inv_std;

  /// From the moments of the distances from `origin`.
  __device__ static Statistics of(const Moments& moments, C origin, double eps, bool centers) {
    const double variance = moments.deviations / moments.count;
    if (!centers) return {C(0), static_cast<C>(1 / math::sqrt(variance + moments.mean * moments.mean + eps))};
    return {static_cast<C>(static_cast<double>(origin) + moments.mean),
            static_cast<C>(1 / math::sqrt(variance + eps))};
  }
};

template <class T>
__global__ void layer_normalize(std::int64_t rows, std::int64_t width, const T* x, const Computed<T>* weight,
                                const Computed<T>* bias, double eps, bool centers, T* y, Computed<T>* mean,
                                Computed<T>* inv_std) {
  using C = Computed<T>;
  const Row row = Row::mine(width);
  if (row.index >= rows) return;
  const T* in = x + row.start;
  T* out = y + row.start;
  const C origin = width == 0 ? std::numeric_limits<C>::quiet_NaN() : origin_of(in, centers);
  RunningMoments<C> running;
  for (std::int64_t i = threadIdx.x; i < width; i += blockDim.x) running.add(read(in[i]) - origin);
  const Statistics<C> statistics = Statistics<C>::of(combine_over_x<Moments>(running), origin, eps, centers);
  const C center = statistics.mean, scale = statistics.inv_std;
  for (std::int64_t i = threadIdx.x; i < width; i += blockDim.x)
    out[i] = convert<T>((read(in[i]) - center) * scale * (weight == nullptr ? C(1) : weight[i]) +
                        (bias == nullptr ? C(0) : bias[i]));
  if (threadIdx.x != 0) return;
  mean[row.index] = center;
  inv_std[row.index] = scale;
}

/// What is normalised: x.
template <class T>
struct Plain {
  const T* x;
  __device__ Computed<T> first(std::int64_t i) const { return read(x[i]); }
  __device__ Values<T> load(std::int64_t i) const { return read_pack<kPack<T>>(x, i); }
};

/// N numbers of which some are left out, a block of random words at a time.
template <class C, int N>
__device__ Pack<C, N> kept(const Keep<C>& keep, const Pack<C, N>& values, std::int64_t i) {
  constexpr int part = N < kPack<C> ? N : kPack<C>;
  Pack<C, N> result;
  MP_UNROLL
  for (int k = 0; k < N; k += part) {
    Pack<C, part> some;
    MP_UNROLL
    for (int j = 0; j < part; ++j) some.at[j] = values.at[k + j];
    some = keep(some, i + k);
    MP_UNROLL
    for (int j = 0; j < part; ++j) result.at[k + j] = some.at[j];
  }
  return result;
}

/// Or residual + dropout(x), which is written on the way, and normalised as it was written.
template <class T>
struct Summed {
  const T *x, *residual;
  T* sum;
  Keep<Computed<T>> keep;

  template <int N>
  __device__ Pack<Computed<T>, N> sum_at(std::int64_t i) const {
    Pack<Computed<T>, N> total = read_pack<N>(residual, i);
    const Pack<Computed<T>, N> added = kept(keep, read_pack<N>(x, i), i);
    for (int k = 0; k < N; ++k) total.at[k] = read(convert<T>(total.at[k] + added.at[k]));
    return total;
  }
  __device__ Computed<T> first(std::int64_t i) const { return sum_at<1>(i).at[0]; }
  __device__ Values<T> load(std::int64_t i) const {
    const Values<T> total = sum_at<kPack<T>>(i);
    write_pack<kPack<T>>(sum, i, total);
    return total;
  }
};

template <class T, int lanes, int packs, class Input>
__global__ void __launch_bounds__(kBlock, packs == kFewPacks<T> ? 4 : 3)
    layer_normalize_held(std::int64_t rows, std::int64_t width, Input input, const Computed<T>* weight,
                         const Computed<T>* bias, double eps, bool centers, T* y, Computed<T>* mean,
                         Computed<T>* inv_std) {
  using C = Computed<T>;
  constexpr int pack = kPack<T>;
  const Row row = Row::mine(width);
  if (row.index >= rows) return;
  const C origin = centers ? input.first(row.start) : C(0);
  Values<T> held[packs];
  for_each_pack<T, lanes, packs>(width, [&](int p, int i) { held[p] = input.load(row.start + i); });
  C center = 0;
  if (centers) {
    C sum = 0;
    for_each_pack<T, lanes, packs>(width, [&](int p, int) {
      for (const C& value : held[p].at) sum += value - origin;
    });
    const double shift = combine_over_x<SumOf<double>>(static_cast<double>(sum)) / static_cast<double>(width);
    center = static_cast<C>(static_cast<double>(origin) + shift);
  }
  C squares = 0;
  for_each_pack<T, lanes, packs>(width, [&](int p, int) {
    for (C& value : held[p].at) value -= center, squares += value * value;
  });
  const double deviations = combine_over_x<SumOf<double>>(static_cast<double>(squares));
  const C scale = static_cast<C>(1 / math::sqrt(deviations / static_cast<double>(width) + eps));
  for_each_pack<T, lanes, packs>(width, [&](int p, int i) {
    const Values<T> factor = values_or<T>(weight, i, C(1)), offset = values_or<T>(bias, i, C(0));
    for (int k = 0; k < pack; ++k) held[p].at[k] = held[p].at[k] * scale * factor.at[k] + offset.at[k];
    write_pack<pack>(y, row.start + i, held[p]);
  });
  if (threadIdx.x != 0) return;
  mean[row.index] = center;
  inv_std[row.index] = scale;
}

template <class T>
struct LongLayerNorm {
  using Values = Moments;
  using C = Computed<T>;
  std::int64_t width;
  const T* x;
  const C *weight, *bias;
  double eps;
  bool centers;
  T* y;
  C *mean, *inv_std;

  __device__ Moments part(std::int64_t row, std::int64_t begin, std::int64_t end, std::int64_t step) const {
    const T* in = x + row * width;
    const C origin = origin_of(in, centers);
    RunningMoments<C> running;
    for_each_in_batches<kBatch>(
        begin, end, step, [&](std::int64_t i) { return in[i]; },
        [&](T value, std::int64_t) { running.add(read(value) - origin); });
    return running;
  }
  __device__ void apply(std::int64_t row, const Moments& total, std::int64_t begin, std::int64_t end,
                        std::int64_t step) const {
    struct Loaded {
      T x;
      C weight, bias;
    };
    const T* in = x + row * width;
    T* out = y + row * width;
    const Statistics<C> statistics = Statistics<C>::of(total, origin_of(in, centers), eps, centers);
    const C center = statistics.mean, scale = statistics.inv_std;
    if (begin == 0) mean[row] = center, inv_std[row] = scale;
    for_each_in_batches<kBatch>(
        begin, end, step,
        [&](std::int64_t i) {
          return Loaded{in[i], weight == nullptr ? C(1) : weight[i], bias == nullptr ? C(0) : bias[i]};
        },
        [&](const Loaded& of, std::int64_t i) {
          out[i] = convert<T>((read(of.x) - center) * scale * of.weight + of.bias);
        });
  }
};

/// dx = inv_std (g w - mean of g w - normalised x times the mean of g w times that), without centring less no
/// mean of g w.
template <class T>
__global__ void layer_gradient(std::int64_t rows, std::int64_t width, const T* g, const T* x,
                               const Computed<T>* mean, const Computed<T>* inv_std, const Computed<T>* weight,
                               bool centers, T* dx, int beta) {
  using C = Computed<T>;
  const Row row = Row::mine(width);
  if (row.index >= rows) return;
  const T *gradient = g + row.start, *in = x + row.start;
  T* out = dx + row.start;
  const C center = mean[row.index], scale = inv_std[row.index];
  const auto weighted = [&](std::int64_t i) {
    return read(gradient[i]) * (weight == nullptr ? C(1) : weight[i]);
  };
  Sums sums = Sums::initial();
  for (std::int64_t i = threadIdx.x; i < width; i += blockDim.x) {
    const C of_y = weighted(i);
    sums.add(of_y, of_y * (read(in[i]) - center));
  }
  sums = combine_over_x<Sums>(sums);
  const C shift = centers ? static_cast<C>(sums.first / static_cast<double>(width)) : C(0);
  const C slope = static_cast<C>(sums.second / static_cast<double>(width)) * scale * scale;
  for (std::int64_t i = threadIdx.x; i < width; i += blockDim.x) {
    const C value = scale * (weighted(i) - shift - (read(in[i]) - center) * slope);
    out[i] = convert<T>(beta == 0 ? value : read(out[i]) + value);
  }
}

/// What becomes of the gradient: no more.
struct NotDropped {
  template <class T>
  __device__ void operator()(const T&, std::int64_t) const {}
};

/// Or it goes on to x through the mask of a dropout.
template <class T>
struct Dropped {
  T* dropped;
  Keep<Computed<T>> keep;
  __device__ void operator()(const Values<T>& gradient, std::int64_t i) const {
    write_pack<kPack<T>>(dropped, i, kept(keep, gradient, i));
  }
};

template <class T, int lanes, int packs, class Further>
__global__ void __launch_bounds__(kBlock, packs == kFewPacks<T> ? 4 : 2)
    layer_gradient_held(std::int64_t rows, std::int64_t width, const T* g, const T* x,
                        const Computed<T>* mean, const Computed<T>* inv_std, const Computed<T>* weight,
                        bool centers, T* dx, int beta, Further further) {
  using C = Computed<T>;
  constexpr int pack = kPack<T>;
  const Row row = Row::mine(width);
  if (row.index >= rows) return;
  Values<T> gradient[packs], in[packs];
  for_each_pack<T, lanes, packs>(width, [&](int p, int i) {
    gradient[p] = read_pack<pack>(g, row.start + i);
    in[p] = read_pack<pack>(x, row.start + i);
  });
  const C center = mean[row.index], scale = inv_std[row.index];
  C of_gradient = 0, of_product = 0;
  for_each_pack<T, lanes, packs>(width, [&](int p, int i) {
    const Values<T> factor = values_or<T>(weight, i, C(1));
    for (int k = 0; k < pack; ++k) {
      C &weighted = gradient[p].at[k], &centered = in[p].at[k];
      weighted *= factor.at[k], centered -= center;
      of_gradient += weighted, of_product += weighted * centered;
    }
  });
  const Sums sums = combine_over_x<Sums>({static_cast<double>(of_gradient), static_cast<double>(of_product)});
  const C shift = centers ? static_cast<C>(sums.first / static_cast<double>(width)) : C(0);
  const C slope = static_cast<C>(sums.second / static_cast<double>(width)) * scale * scale;
  for_each_pack<T, lanes, packs>(width, [&](int p, int i) {
    Values<T> result;
    if (beta != 0) result = read_pack<pack>(dx, row.start + i);
    for (int k = 0; k < pack; ++k) {
      const C value = scale * (gradient[p].at[k] - shift - in[p].at[k] * slope);
      result.at[k] = beta == 0 ? value : result.at[k] + value;
    }
    write_pack<pack>(dx, row.start + i, result);
    further(result, row.start + i);
  });
}

template <class T>
struct LongLayerNormGradient {
  using Values = Sums;
  using C = Computed<T>;
  std::int64_t width;
  const T *g, *x;
  const C *mean, *inv_std, *weight;
  bool centers;
  T* dx;
  int beta;

  /// Calls use(g w, x - mean, dx, i); dx is 0 where it is not added to.
  template <class Use>
  __device__ void for_each(std::int64_t row, std::int64_t begin, std::int64_t end, std::int64_t step,
                           const T* before, const Use& use) const {
    struct Loaded {
      T g, x, before;
      C weight;
    };
    const T *gradient = g + row * width, *in = x + row * width;
    const C center = mean[row];
    for_each_in_batches<kBatch>(
        begin, end, step,
        [&](std::int64_t i) {
          return Loaded{gradient[i], in[i], before == nullptr ? T{} : before[i],
                        weight == nullptr ? C(1) : weight[i]};
        },
        [&](const Loaded& of, std::int64_t i) {
          use(read(of.g) * of.weight, read(of.x) - center, read(of.before), i);
        });
  }
  __device__ Sums part(std::int64_t row, std::int64_t begin, std::int64_t end, std::int64_t step) const {
    Sums sums = Sums::initial();
    for_each(row, begin, end, step, nullptr,
             [&](C weighted, C centered, C, std::int64_t) { sums.add(weighted, weighted * centered); });
    return sums;
  }
  __device__ void apply(std::int64_t row, const Sums& total, std::int64_t begin, std::int64_t end,
                        std::int64_t step) const {
    T* out = dx + row * width;
    const C scale = inv_std[row];
    const C shift = centers ? static_cast<C>(total.first / static_cast<double>(width)) : C(0);
    const C slope = static_cast<C>(total.second / static_cast<double>(width)) * scale * scale;
    for_each(row, begin, end, step, beta == 0 ? nullptr : out,
             [&](C weighted, C centered, C before, std::int64_t i) {
               out[i] = convert<T>(before + scale * (weighted - shift - centered * slope));
             });
  }
};

/// Sums over the rows, for each column: the gradients of bias and weight.
template <class T>
struct ParameterSums {
  using Values = Sums;
  using C = Computed<T>;
  std::int64_t width;
  const T *g, *x;
  const C *mean, *inv_std;
  C* dweight;
  int weight_beta;
  C* dbias;
  int bias_beta;

  __device__ Sums part(std::int64_t column, std::int64_t begin, std::int64_t end, std::int64_t step) const {
    struct Loaded {
      T g, x;
      C mean, inv_std;
    };
    Sums sums = Values::initial();
    for_each_in_batches<32 / sizeof(C)>(
        begin, end, step,
        [&](std::int64_t row) {
          const std::int64_t at = row * width + column;
          return Loaded{g[at], x[at], mean[row], inv_std[row]};
        },
        [&](const Loaded& of, std::int64_t) {
          const C gradient = read(of.g);
          sums.add(gradient, gradient * ((read(of.x) - of.mean) * of.inv_std));
        });
    return sums;
  }
  __device__ static void write(C* to, std::int64_t column, double value, int beta) {
    if (to != nullptr) to[column] = static_cast<C>(value) + (beta == 0 ? C(0) : to[column]);
  }
  __device__ void store(std::int64_t column, const Sums& total) const {
    write(dbias, column, total.first, bias_beta);
    write(dweight, column, total.second, weight_beta);
  }
};

template <class... Parameters, class... Arguments>
void launch_rows(Stream stream, void (*kernel)(std::int64_t, std::int64_t, Parameters...), unsigned lanes,
                 std::int64_t rows, std::int64_t width, const Arguments&... arguments) {
  if (rows == 0) return;
  const dim3 block(lanes, kBlock / lanes);
  launch_blocks(stream, kernel, dim3(static_cast<unsigned>((rows + block.y - 1) / block.y)), block, rows,
                width, arguments...);
}

/// Whether a row of the width is held by its threads: by a warp in few packs or in many, or by a block.
template <class T>
bool is_held(std::int64_t width) {
  return width > 0 && width % kPack<T> == 0 && width / kPack<T> <= kManyPacks<T> * kBlock;
}

/// Starts the kernel that suits a width of rows that are held.
template <class T, class... Parameters, class... Arguments>
void launch_held(Stream stream, void (*few)(std::int64_t, std::int64_t, Parameters...),
                 void (*many)(std::int64_t, std::int64_t, Parameters...),
                 void (*block)(std::int64_t, std::int64_t, Parameters...), std::int64_t rows,
                 std::int64_t width, const Arguments&... arguments) {
  const std::int64_t packs = width / kPack<T>;
  const bool by_warp = packs <= kManyPacks<T> * 32;
  launch_rows(stream,
              !by_warp                     ? block
              : packs <= kFewPacks<T> * 32 ? few
                                           : many,
              by_warp ? 32 : kBlock, rows, width, arguments...);
}

/// Starts the kernel for any rows.
template <class... Parameters, class... Arguments>
void launch_any(Stream stream, void (*kernel)(std::int64_t, std::int64_t, Parameters...), std::int64_t rows,
                std::int64_t width, const Arguments&... arguments) {
  launch_rows(stream, kernel, width < kLongRow ? 32 : kBlock, rows, width, arguments...);
}

template <class T, class Input>
void normalize_held(const LayerNormArgs& args, const Input& input, void* y, Stream stream) {
  launch_held<T>(stream, layer_normalize_held<T, 32, kFewPacks<T>, Input>,
                 layer_normalize_held<T, 32, kManyPacks<T>, Input>,
                 layer_normalize_held<T, kBlock, kManyPacks<T>, Input>, args.rows, args.width, input,
                 in<Computed<T>>(args.weight), in<Computed<T>>(args.bias), args.eps, args.centers, out<T>(y),
                 out<Computed<T>>(args.mean), out<Computed<T>>(args.inv_std));
}

template <class T, class Further>
void gradient_held(const LayerNormArgs& args, const void* g, Destination dx, const Further& further,
                   Stream stream) {
  launch_held<T>(stream, layer_gradient_held<T, 32, kFewPacks<T>, Further>,
                 layer_gradient_held<T, 32, kManyPacks<T>, Further>,
                 layer_gradient_held<T, kBlock, kManyPacks<T>, Further>, args.rows, args.width, in<T>(g),
                 in<T>(args.x), in<Computed<T>>(args.mean), in<Computed<T>>(args.inv_std),
                 in<Computed<T>>(args.weight), args.centers, out<T>(dx.data), dx.beta, further);
}

template <class T>
void forward_as(DType dtype, LayerNormArgs args, void* y, Stream stream) {
  const Computed<T>*weight = in<Computed<T>>(args.weight), *bias = in<Computed<T>>(args.bias);
  const TwoStagePlan plan = make_two_stage_plan(args.rows, args.width, false, sizeof(Moments));
  const bool held = plan.chunks == 1 && is_held<T>(args.width) &&
                    are_aligned(16, args.x, args.residual, args.sum, weight, bias, y);
  if (args.residual != nullptr) {
    if (held && Keep<Computed<T>>::fits(args.mask))
      return normalize_held<T>(
          args,
          Summed<T>{in<T>(args.x), in<T>(args.residual), out<T>(args.sum), Keep<Computed<T>>(args.mask)}, y,
          stream);
    write_sum(elementwise(), random(), dtype, args, stream);
    args.x = args.sum;
  }
  const T* x = in<T>(args.x);
  if (held) return normalize_held<T>(args, Plain<T>{x}, y, stream);
  if (plan.chunks > 1)
    return reduce_and_apply(LongLayerNorm<T>{args.width, x, weight, bias, args.eps, args.centers, out<T>(y),
                                             out<Computed<T>>(args.mean), out<Computed<T>>(args.inv_std)},
                            plan, stream);
  launch_any(stream, layer_normalize<T>, args.rows, args.width, x, weight, bias, args.eps, args.centers,
             out<T>(y), out<Computed<T>>(args.mean), out<Computed<T>>(args.inv_std));
}

template <class T>
void data_gradient_as(DType dtype, const LayerNormArgs& args, const void* g, Destination dx, void* dropped,
                      Stream stream) {
  const TwoStagePlan plan = make_two_stage_plan(args.rows, args.width, false, sizeof(Sums));
  const bool held =
      plan.chunks == 1 && is_held<T>(args.width) && are_aligned(16, g, args.x, args.weight, dx.data, dropped);
  if (held && dropped != nullptr && Keep<Computed<T>>::fits(args.mask))
    return gradient_held<T>(args, g, dx, Dropped<T>{out<T>(dropped), Keep<Computed<T>>(args.mask)}, stream);
  if (held)
    gradient_held<T>(args, g, dx, NotDropped(), stream);
  else if (plan.chunks > 1)
    reduce_and_apply(LongLayerNormGradient<T>{args.width, in<T>(g), in<T>(args.x), in<Computed<T>>(args.mean),
                                              in<Computed<T>>(args.inv_std), in<Computed<T>>(args.weight),
                                              args.centers, out<T>(dx.data), dx.beta},
                     plan, stream);
  else
    launch_any(stream, layer_gradient<T>, args.rows, args.width, in<T>(g), in<T>(args.x),
               in<Computed<T>>(args.mean), in<Computed<T>>(args.inv_std), in<Computed<T>>(args.weight),
               args.centers, out<T>(dx.data), dx.beta);
  drop_gradient(random(), dtype, args, dx.data, dropped, stream);
}

}  // namespace

void layer_forward(DType dtype, const LayerNormArgs& args, void* y, Stream stream) {
  with_stored_type(dtype, [&]<class T>() { forward_as<T>(dtype, args, y, stream); });
}

void layer_data_gradient(DType dtype, const LayerNormArgs& args, const void* g, Destination dx, void* dropped,
                         Stream stream) {
  with_stored_type(dtype, [&]<class T>() { data_gradient_as<T>(dtype, args, g, dx, dropped, stream); });
}

void layer_parameter_gradient(DType dtype, const LayerNormArgs& args, const void* g, Destination dweight,
                              Destination dbias, Stream stream) {
  with_stored_type(dtype, [&]<class T>() {
    const ParameterSums<T> sums{args.width,
                                in<T>(g),
                                in<T>(args.x),
                                in<Computed<T>>(args.mean),
                                in<Computed<T>>(args.inv_std),
                                out<Computed<T>>(dweight.data),
                                dweight.beta,
                                out<Computed<T>>(dbias.data),
                                dbias.beta};
    reduce_in_two_stages(sums, args.width, args.rows, true, stream);
  });
}

}  // namespace miniparallel::kernels::cuda

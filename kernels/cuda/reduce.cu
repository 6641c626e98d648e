#include "kernels/cuda/backend.h"
#include "kernels/cuda/device/stored.cuh"
#include "kernels/cuda/device/two_stage.cuh"
#include "kernels/reduce.h"
#include "kernels/reductions.h"

#include <array>
#include <type_traits>

namespace miniparallel::kernels::cuda {
namespace {

/// A reduction of kernels/reductions.h that does not look at where its element is, of elements stored as T.
template <class F, class T = typename F::Input>
struct Plain : F {
  using Input = T;
  using Stored = std::conditional_t<std::is_floating_point_v<Computed<T>>, T, typename F::Accumulator>;
  MP_INLINE static typename F::Accumulator load(T x, Computed<T> center, std::int64_t) {
    return F::load(read(x), center);
  }
  MP_INLINE static void store(const ReduceArgs& args, std::int64_t output, typename F::Accumulator value) {
    Stored& out = static_cast<Stored*>(args.out)[output];
    if constexpr (std::is_floating_point_v<Computed<T>>) {
      using C = Computed<T>;
      const C scaled = static_cast<C>(value * static_cast<typename F::Accumulator>(args.scale));
      if (kIsHalf<T> && args.wide)
        static_cast<C*>(args.out)[output] = scaled;
      else
        out = convert<T>(args.accumulate ? read(out) + scaled
                                         : scaled);  // LCOV_EXCL_LINE: counted with the line above
    } else {
      out = value;
    }
  }
};

/// The first element of the maximum; a NaN is larger than every number.
template <class T>
struct ArgmaxOf {
  using C = Computed<T>;
  struct Accumulator {
    C value;
    std::int64_t index;  // below 0: none yet
  };
  using Input = T;
  MP_INLINE static Accumulator none() { return {C{}, -1}; }
  MP_INLINE static bool better(C a, C b) { return a > b || (a != a && b == b); }
  MP_INLINE static Accumulator load(T x, C, std::int64_t i) { return {read(x), i}; }
  MP_INLINE static Accumulator combine(const Accumulator& a, const Accumulator& b) {
    if (a.index < 0) return b;
    if (b.index < 0 || better(a.value, b.value)) return a;
    if (better(b.value, a.value)) return b;
    return a.index < b.index ? a : b;
  }
  MP_INLINE static void store(const ReduceArgs& args, std::int64_t output, const Accumulator& value) {
    static_cast<std::int64_t*>(args.out)[output] = value.index;
  }
};

/// A call with one of the above, as the two stages see it.
template <class F>
struct Reduction {
  using Values = Reduction;
  using Accumulator = typename F::Accumulator;
  using Input = typename F::Input;
  ReduceArgs args;

  MP_INLINE static Accumulator initial() {
    if constexpr (requires { F::initial; })
      return F::initial;
    else
      return F::none();
  }
  MP_INLINE static Accumulator combine(const Accumulator& a, const Accumulator& b) {
    return F::combine(a, b);
  }
  __device__ Accumulator part(std::int64_t output, std::int64_t begin, std::int64_t end,
                              std::int64_t step) const {
    const Input* in = static_cast<const Input*>(args.in) + offset_of(args.kept, output);
    using C = Computed<Input>;
    const C center = args.center ? static_cast<const C*>(args.center)[output] : C{};
    Accumulator mine = initial();
    const auto combine_at = [&]<int batch>(std::integral_constant<int, batch>, const auto& offset) {
      for_each_in_batches<batch>(
          begin, end, step, [&](std::int64_t r) { return in[offset(r)]; },
          [&](Input x, std::int64_t r) { mine = F::combine(mine, F::load(x, center, r)); });
    };
    if (args.reduced.rank == 1)
      combine_at(std::integral_constant<int, sizeof(Input) == 8 ? 4 : 8>(),
                 [stride = args.reduced.strides[0][0]](std::int64_t r) { return r * stride; });
    else  // divisions take longer than loads
      combine_at(std::integral_constant<int, 1>(),
                 [&](std::int64_t r) { return offset_of(args.reduced, r); });
    return mine;
  }
  __device__ void store(std::int64_t output, const Accumulator& total) const {
    F::store(args, output, total);
  }
};

/// Whether neighbouring outputs, and not the elements of
/// one, are neighbours in memory, or the latter too few.
bool outputs_are_neighbours(const ReduceArgs& args) {
  const auto inner = [](const Layout& l) {
    return l.rank == 0 ? std::int64_t{1} << 62 : l.strides[0][l.rank - 1];
  };
  return args.kept.numel() >= 32 && (inner(args.kept) < inner(args.reduced) || args.reduced.numel() < 64);
}

template <class F>
void run(const ReduceArgs& args, Stream stream) {
  reduce_in_two_stages(Reduction<F>{args}, args.kept.numel(), args.reduced.numel(),
                       outputs_are_neighbours(args), stream);
}

using Row = std::array<void (*)(const ReduceArgs&, Stream), 8>;

template <template <class> class F>
constexpr Row every_dtype{run<Plain<F<float>>>,        run<Plain<F<double>>>,
                          run<Plain<F<std::int64_t>>>, run<Plain<F<std::int32_t>>>,
                          run<Plain<F<std::uint8_t>>>, run<Plain<F<bool>>>,
                          run<Plain<F<float>, Half>>,  run<Plain<F<float>, BFloat16>>};
constexpr Row sum_row = every_dtype<SumOf>, amax_row = every_dtype<MaxOf>, amin_row = every_dtype<MinOf>;
constexpr Row sum_squares_row{run<Plain<SumOfSquares<float>>>,
                              run<Plain<SumOfSquares<double>>>,
                              nullptr,
                              nullptr,
                              nullptr,
                              nullptr,
                              run<Plain<SumOfSquares<float>, Half>>,
                              run<Plain<SumOfSquares<float>, BFloat16>>};
constexpr Row product_row{run<Plain<ProductOf<float>>>, run<Plain<ProductOf<double>>>,
                          run<Plain<ProductOf<std::int64_t>>>};
constexpr Row argmax_row{run<ArgmaxOf<float>>,        run<ArgmaxOf<double>>,
                         run<ArgmaxOf<std::int64_t>>, run<ArgmaxOf<std::int32_t>>,
                         run<ArgmaxOf<std::uint8_t>>, run<ArgmaxOf<bool>>,
                         run<ArgmaxOf<Half>>,         run<ArgmaxOf<BFloat16>>};

template <const Row& row>
void dispatch(DType dtype, const ReduceArgs& args, Stream stream) {
  row[static_cast<std::size_t>(dtype)](args, stream);
}

}  // namespace

const Reduce& reduce() {
  static constexpr Reduce launchers{.sum = dispatch<sum_row>,
                                    .sum_squares = dispatch<sum_squares_row>,
                                    .product = dispatch<product_row>,
                                    .amax = dispatch<amax_row>,
                                    .amin = dispatch<amin_row>,
                                    .argmax = dispatch<argmax_row>};
  return launchers;
}

}  // namespace miniparallel::kernels::cuda

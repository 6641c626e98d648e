#include "kernels/reduce.h"

#include "kernels/cuda/backend.h"
#include "kernels/cuda/block_reduce.cuh"
#include "kernels/cuda/workspace.h"
#include "kernels/reductions.h"

#include <algorithm>
#include <array>

// Two stages, whose shape depends on the sizes alone: blocks combine chunks of what is reduced into partial
// results, then those are combined. Results are the same on every device.

namespace miniparallel::kernels::cuda {
namespace {

/// A reduction of kernels/reductions.h that does not look at where its element is.
template <class F>
struct Plain : F {
  using Stored = std::conditional_t<std::is_floating_point_v<typename F::Input>, typename F::Input,
                                    typename F::Accumulator>;
  MP_INLINE static typename F::Accumulator load(typename F::Input x, typename F::Input center, std::int64_t) {
    return F::load(x, center);
  }
  MP_INLINE static void store(Stored& out, typename F::Accumulator value, double scale, bool accumulate) {
    if constexpr (std::is_floating_point_v<Stored>) {
      const Stored scaled = static_cast<Stored>(value * static_cast<typename F::Accumulator>(scale));
      out = accumulate ? out + scaled : scaled;
    } else {
      out = value;
    }
  }
};

/// The first element of the maximum; a NaN is larger than every number.
template <class T>
struct ArgmaxOf {
  struct Accumulator {
    T value;
    std::int64_t index;  // below 0: none yet
  };
  using Input = T;
  using Stored = std::int64_t;
  MP_INLINE static Accumulator none() { return {T{}, -1}; }
  MP_INLINE static bool better(T a, T b) { return a > b || (a != a && b == b); }
  MP_INLINE static Accumulator load(T x, T, std::int64_t i) { return {x, i}; }
  MP_INLINE static Accumulator combine(const Accumulator& a, const Accumulator& b) {
    if (a.index < 0) return b;
    if (b.index < 0 || better(a.value, b.value)) return a;
    if (better(b.value, a.value)) return b;
    return a.index < b.index ? a : b;
  }
  MP_INLINE static void store(std::int64_t& out, const Accumulator& value, double, bool) {
    out = value.index;
  }
};

template <class F>
MP_INLINE typename F::Accumulator initial_of() {
  if constexpr (requires { F::initial; })
    return F::initial;
  else
    return F::none();
}

/// How a call is cut: blocks of (x, y) threads, x over outputs, y over what is reduced, in `chunks` parts.
struct Plan {
  std::int64_t outputs, count, chunk;
  unsigned x, y, grid_x, chunks;
};

/// Stage 1: block (i, j) combines chunk j for outputs [i x, (i + 1) x). With one chunk the result is final,
/// else it goes to partials (chunks, outputs).
template <class F>
__global__ void reduce_chunks(ReduceArgs args, Plan plan, typename F::Accumulator* partials) {
  using T = typename F::Input;
  const std::int64_t output = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  auto mine = initial_of<F>();
  if (output < plan.outputs) {
    const T* in = static_cast<const T*>(args.in) + offset_of(args.kept, output);
    const T center = args.center ? static_cast<const T*>(args.center)[output] : T{};
    const std::int64_t begin = blockIdx.y * plan.chunk;
    const std::int64_t end = begin + plan.chunk < plan.count ? begin + plan.chunk : plan.count;
    for (std::int64_t r = begin + threadIdx.y; r < end; r += blockDim.y)
      mine = F::combine(mine, F::load(in[offset_of(args.reduced, r)], center, r));
  }
  const auto total = combine_over_y<F>(mine);
  if (threadIdx.y != 0 || output >= plan.outputs) return;
  if (partials != nullptr)
    partials[blockIdx.y * plan.outputs + output] = total;
  else
    F::store(static_cast<typename F::Stored*>(args.out)[output], total, args.scale, args.accumulate);
}

/// Stage 2: the chunks of each output, in order.
template <class F>
__global__ void reduce_partials(ReduceArgs args, Plan plan, const typename F::Accumulator* partials) {
  const std::int64_t output = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  auto mine = initial_of<F>();
  if (output < plan.outputs)
    for (unsigned c = threadIdx.y; c < plan.chunks; c += blockDim.y)
      mine = F::combine(mine, partials[c * plan.outputs + output]);
  const auto total = combine_over_y<F>(mine);
  if (threadIdx.y == 0 && output < plan.outputs)
    F::store(static_cast<typename F::Stored*>(args.out)[output], total, args.scale, args.accumulate);
}

constexpr std::int64_t kChunk = 8192;        // elements that one block reduces at least
constexpr std::int64_t kEnoughBlocks = 512;  // with so many outputs' blocks, chunks gain nothing

Plan make_plan(const ReduceArgs& args, std::size_t accumulator_bytes) {
  Plan plan{};
  plan.outputs = args.kept.numel(), plan.count = args.reduced.numel();
  // Threads with neighbouring x read neighbours in memory: outputs, unless what is reduced is packed or
  // outputs are few.
  const auto inner = [](const Layout& l) {
    return l.rank == 0 ? std::int64_t{1} << 62 : l.strides[0][l.rank - 1];
  };
  const bool columns = plan.outputs >= 32 && (inner(args.kept) < inner(args.reduced) || plan.count < 64);
  plan.x = columns ? 32 : 1;
  plan.y = kBlock / plan.x;
  plan.grid_x = static_cast<unsigned>((plan.outputs + plan.x - 1) / plan.x);
  const std::int64_t room = static_cast<std::int64_t>(kWorkspaceBytes / accumulator_bytes) /
                            std::max<std::int64_t>(plan.outputs, 1);
  const std::int64_t useful =
      std::min(kEnoughBlocks / std::max<std::int64_t>(plan.grid_x, 1), plan.count * plan.x / kChunk);
  plan.chunks = static_cast<unsigned>(std::clamp<std::int64_t>(std::min(room, useful), 1, 256));
  plan.chunk = (plan.count + plan.chunks - 1) / plan.chunks;
  return plan;
}

template <class F>
void run(const ReduceArgs& args, Stream stream) {
  using Accumulator = typename F::Accumulator;
  const Plan plan = make_plan(args, sizeof(Accumulator));
  if (plan.outputs == 0) return;
  auto* const partials = plan.chunks == 1 ? nullptr : static_cast<Accumulator*>(workspace(stream));
  launch_blocks(stream, reduce_chunks<F>, dim3(plan.grid_x, plan.chunks), dim3(plan.x, plan.y), args, plan,
                partials);
  if (partials != nullptr)
    launch_blocks(stream, reduce_partials<F>, dim3(plan.grid_x), dim3(plan.x, plan.y), args, plan, partials);
}

using Row = std::array<void (*)(const ReduceArgs&, Stream), 8>;

template <template <class> class F>
constexpr Row every_dtype{run<Plain<F<float>>>,        run<Plain<F<double>>>,
                          run<Plain<F<std::int64_t>>>, run<Plain<F<std::int32_t>>>,
                          run<Plain<F<std::uint8_t>>>, run<Plain<F<bool>>>};
constexpr Row sum_row = every_dtype<SumOf>, amax_row = every_dtype<MaxOf>, amin_row = every_dtype<MinOf>;
constexpr Row sum_squares_row{run<Plain<SumOfSquares<float>>>, run<Plain<SumOfSquares<double>>>};
constexpr Row argmax_row{run<ArgmaxOf<float>>,        run<ArgmaxOf<double>>,
                         run<ArgmaxOf<std::int64_t>>, run<ArgmaxOf<std::int32_t>>,
                         run<ArgmaxOf<std::uint8_t>>, run<ArgmaxOf<bool>>};

template <const Row& row>
void dispatch(DType dtype, const ReduceArgs& args, Stream stream) {
  row[static_cast<std::size_t>(dtype)](args, stream);
}

}  // namespace

const Reduce& reduce() {
  static constexpr Reduce launchers{.sum = dispatch<sum_row>,
                                    .sum_squares = dispatch<sum_squares_row>,
                                    .amax = dispatch<amax_row>,
                                    .amin = dispatch<amin_row>,
                                    .argmax = dispatch<argmax_row>};
  return launchers;
}

}  // namespace miniparallel::kernels::cuda

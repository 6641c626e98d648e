#include "kernels/random.h"

#include "kernels/by_dtype.h"
#include "kernels/cpu/backend.h"
#include "kernels/cpu/parallel.h"
#include "kernels/math.h"
#include "kernels/permutation.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/random.cpp"
#include "kernels/cpu/targets.h"

// A tile of words is generated block-parallel into the cache, then turned into elements by plain loops.

HWY_BEFORE_NAMESPACE();
namespace miniparallel::kernels::cpu::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

constexpr std::int64_t kTileWords = 1024;
constexpr std::int64_t kGrain = 8192;  // elements
constexpr int kLanes = 8;              // blocks at once, at most

#if HWY_TARGET == HWY_SCALAR

/// Words 4 * block .. 4 * (block + blocks) - 1 of the stream.
void generate(const RandomKey& key, std::uint64_t block, std::int64_t blocks, std::uint32_t* words) {
  for (std::int64_t i = 0; i < blocks; ++i) {
    const PhiloxBlock four = random_words(key, block + static_cast<std::uint64_t>(i));
    for (int k = 0; k < 4; ++k) words[4 * i + k] = four.word[k];
  }
}

#else

/// The same, vectorised; blocks is a multiple of kLanes. Philox's words
/// sit in lanes of 64 bits, whose high halves hold leavings that the 32-bit product does not read.
HWY_ATTR void generate(const RandomKey& key, std::uint64_t block, std::int64_t blocks, std::uint32_t* words) {
  const hn::CappedTag<std::uint64_t, kLanes> d;
  const hn::Repartition<std::uint32_t, decltype(d)> d32;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::uint64_t numbers[kLanes];  // such that interleaving pairs of words, as it is done below, gives order
  for (std::int64_t i = 0; i < lanes; ++i)
    numbers[i] = static_cast<std::uint64_t>(i % 2 == 0 ? i / 2 : lanes / 2 + i / 2);
  const auto low_half = hn::Set(d, 0xffffffffu);
  for (std::int64_t done = 0; done < blocks; done += lanes) {
    auto c0 = hn::Add(hn::LoadU(d, numbers), hn::Set(d, block + static_cast<std::uint64_t>(done)));
    auto c1 = hn::ShiftRight<32>(c0), c2 = hn::Set(d, key.ordinal), c3 = hn::Set(d, key.ordinal >> 32);
    std::uint32_t key0 = static_cast<std::uint32_t>(key.seed);
    std::uint32_t key1 = static_cast<std::uint32_t>(key.seed >> 32);
    for (int round = 0; round < kPhiloxRounds; ++round) {
      const auto p0 = hn::MulEven(hn::BitCast(d32, c0), hn::Set(d32, kPhiloxMultiplier0));
      const auto p1 = hn::MulEven(hn::BitCast(d32, c2), hn::Set(d32, kPhiloxMultiplier1));
      c0 = hn::Xor(hn::Xor(hn::ShiftRight<32>(p1), c1), hn::Set(d, std::uint64_t{key0}));
      c2 = hn::Xor(hn::Xor(hn::ShiftRight<32>(p0), c3), hn::Set(d, std::uint64_t{key1}));
      c1 = p1;
      c3 = p0;
      key0 += kPhiloxWeyl0;
      key1 += kPhiloxWeyl1;
    }
    const auto w01 = hn::Or(hn::And(c0, low_half), hn::ShiftLeft<32>(c1));
    const auto w23 = hn::Or(hn::And(c2, low_half), hn::ShiftLeft<32>(c3));
    std::uint32_t* out = words + 4 * done;
    hn::StoreU(hn::BitCast(d32, hn::InterleaveLower(d, w01, w23)), d32, out);
    hn::StoreU(hn::BitCast(d32, hn::InterleaveUpper(d, w01, w23)), d32, out + 2 * lanes);
  }
}

#endif

/// Calls f(words, skip, begin, length) for runs of elements [begin, begin + length) of a call: `words` starts
/// at a block of the stream, after `skip` words come `per_element` words for each element.
template <int per_element, class F>
HWY_ATTR void for_each_tile(std::int64_t n, const RandomKey& key, const F& f) {
  parallel_for(n, kGrain, [&](std::int64_t begin, std::int64_t end) HWY_ATTR {
    alignas(64) std::uint32_t words[kTileWords];
    while (begin < end) {
      const std::uint64_t first_word = static_cast<std::uint64_t>(key.first + begin) * per_element;
      const std::int64_t skip = static_cast<std::int64_t>(first_word % 4);
      const std::int64_t length = std::min(end - begin, (kTileWords - skip) / per_element);
      const std::int64_t blocks = (skip + length * per_element + 3) / 4;
      generate(key, first_word / 4, (blocks + kLanes - 1) / kLanes * kLanes, words);
      f(words, skip, begin, length);
      begin += length;
    }
  });
}

HWY_ATTR void uniform_float(float* y, std::int64_t n, const HalfOpenInterval& interval,
                            const RandomKey& key) {
  const float offset = static_cast<float>(interval.low), last = static_cast<float>(interval.last);
  const float step = static_cast<float>((interval.high - interval.low) * 0x1p-24);
  for_each_tile<1>(
      n, key,
      [=](const std::uint32_t* words, std::int64_t skip, std::int64_t begin, std::int64_t length) HWY_ATTR {
        for (std::int64_t i = 0; i < length; ++i) {
          const float k = static_cast<float>(static_cast<std::int32_t>(words[skip + i] >> 8));
          const float value = offset + step * k;
          y[begin + i] = value < last ? value : last;
        }
      });
}

HWY_ATTR void uniform_double(double* y, std::int64_t n, const HalfOpenInterval& interval,
                             const RandomKey& key) {
  const double low = interval.low, last = interval.last, step = (interval.high - low) * 0x1p-53;
  for_each_tile<2>(
      n, key,
      [=](const std::uint32_t* words, std::int64_t skip, std::int64_t begin, std::int64_t length) HWY_ATTR {
        const std::uint32_t* w = words + skip;
        for (std::int64_t i = 0; i < length; ++i) {
          const std::uint64_t bits = (static_cast<std::uint64_t>(w[2 * i]) << 32 | w[2 * i + 1]) >> 11;
          const double value = low + step * static_cast<double>(bits);
          y[begin + i] = value < last ? value : last;
        }
      });
}

HWY_ATTR void normal_float(float* y, std::int64_t n, double mean, double stddev, const RandomKey& key) {
  const float m = static_cast<float>(mean), s = static_cast<float>(stddev);
  for_each_tile<1>(n, key,
                   [=](const std::uint32_t* words, std::int64_t skip, std::int64_t begin, std::int64_t length)
                       HWY_ATTR {
                         alignas(64) float z[kTileWords];
                         const std::int64_t pairs = (skip + length + 1) / 2;
                         for (std::int64_t j = 0; j < pairs; ++j)
                           box_muller(words[2 * j], words[2 * j + 1], z[2 * j], z[2 * j + 1]);
                         for (std::int64_t i = 0; i < length; ++i) y[begin + i] = m + s * z[skip + i];
                       });
}

HWY_ATTR void normal_double(double* y, std::int64_t n, double mean, double stddev, const RandomKey& key) {
  parallel_for(n, kGrain / 4, [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::uint64_t element = static_cast<std::uint64_t>(key.first + i);
      double pair[2];
      const std::uint64_t even = element & ~std::uint64_t{1};
      box_muller(random_bits(key, even), random_bits(key, even + 1), pair[0], pair[1]);
      y[i] = mean + stddev * pair[element & 1];
    }
  });
}

HWY_ATTR void integers(std::int64_t* y, std::int64_t n, std::int64_t low, std::uint64_t range,
                       const RandomKey& key, Stream) {
  for_each_tile<2>(
      n, key,
      [=](const std::uint32_t* words, std::int64_t skip, std::int64_t begin, std::int64_t length) HWY_ATTR {
        const std::uint32_t* w = words + skip;
        for (std::int64_t i = 0; i < length; ++i) {
          const std::uint64_t bits = static_cast<std::uint64_t>(w[2 * i]) << 32 | w[2 * i + 1];
          const std::uint64_t offset = scale_to_range(bits, range);
          y[begin + i] = static_cast<std::int64_t>(static_cast<std::uint64_t>(low) + offset);
        }
      });
}

HWY_ATTR void permutation(std::int64_t* y, std::int64_t n, const RandomKey& key, Stream) {
  const Permutation numbers(n, key);
  parallel_for(n, kGrain / 4, [=](std::int64_t begin, std::int64_t end) HWY_ATTR {
    for (std::int64_t i = begin; i < end; ++i) y[i] = numbers(i);
  });
}

template <class T, int beta>
HWY_ATTR void dropout_typed(const DropoutArgs& args) {
  using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
  const T* const x = in<T>(args.x);
  T* const y = out<T>(args.y.data);
  const std::uint32_t threshold = static_cast<std::uint32_t>(args.mask.p * 0x1p32);
  const T scale = static_cast<T>(1 / (1 - args.mask.p));
  for_each_tile<1>(
      args.n, args.mask.key,
      [=](const std::uint32_t* words, std::int64_t skip, std::int64_t begin, std::int64_t length) HWY_ATTR {
        const std::uint32_t* w = words + skip;
        T* out = y + begin;
        const T* in = x + begin;
        MP_IVDEP
        for (std::int64_t i = 0; i < length; ++i) {
          const Bits keep = Bits{0} - Bits{w[i] >= threshold};  // a mask: a branch would be guessed
          const T kept = std::bit_cast<T>(std::bit_cast<Bits>(in[i] * scale) & keep);
          out[i] = beta == 0 ? kept : out[i] + kept;
        }
      });
}

}  // namespace

void uniform(DType dtype, void* y, std::int64_t n, const HalfOpenInterval& interval, const RandomKey& key,
             Stream) {
  if (dtype == float32)
    uniform_float(static_cast<float*>(y), n, interval, key);
  else
    uniform_double(static_cast<double*>(y), n, interval, key);
}

void normal(DType dtype, void* y, std::int64_t n, double mean, double stddev, const RandomKey& key, Stream) {
  if (dtype == float32)
    normal_float(static_cast<float*>(y), n, mean, stddev, key);
  else
    normal_double(static_cast<double*>(y), n, mean, stddev, key);
}

void dropout(DType dtype, const DropoutArgs& args, Stream) {
  with_type(dtype, [&]<class T>() { (args.y.beta == 0 ? dropout_typed<T, 0> : dropout_typed<T, 1>)(args); });
}

const Random& random() {
  static constexpr Random launchers{MP_RANDOM(MP_LAUNCHER)};
  return launchers;
}

}  // namespace miniparallel::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace miniparallel::kernels::cpu {

MP_DISPATCH(Random, random)

}  // namespace miniparallel::kernels::cpu
#endif

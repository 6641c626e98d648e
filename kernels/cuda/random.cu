#include "kernels/cuda/backend.h"
#include "kernels/cuda/device/generate.cuh"
#include "kernels/cuda/device/launch_on.cuh"
#include "kernels/cuda/device/stored.cuh"
#include "kernels/permutation.h"
#include "kernels/random.h"

#include <algorithm>

// One thread per Philox block of four words: four elements of 32 bits, or two of 64; per two blocks for eight
// elements of 16 bits. Element i of a call
// stands at position key.first + i of the stream, so that the first block may begin before the array and the
// last end after it.

namespace miniparallel::kernels::cuda {
namespace {

struct TwoBlocks {
  std::uint32_t word[8];
};
/// The words of `count` elements, the `index`-th of such parts of the stream.
template <int count>
MP_INLINE auto words_of(const RandomKey& key, std::uint64_t index) {
  if constexpr (count == 8) {
    const PhiloxBlock low = random_words(key, 2 * index), high = random_words(key, 2 * index + 1);
    return TwoBlocks{{low.word[0], low.word[1], low.word[2], low.word[3], high.word[0], high.word[1],
                      high.word[2], high.word[3]}};
  } else {
    return random_words(key, index);
  }
}

/// Writes elements of the call, which are `per_block` to a block: all of a block 16 bytes at once where
/// aligned, otherwise one by one.
template <int per_block, class F>
__global__ void for_each_block(F f, std::int64_t n, RandomKey given) {
  const RandomKey key = given.resolved();
  constexpr int pack = kPack<typename F::Element>;
  const std::int64_t first_block = key.first / per_block;
  const std::int64_t blocks = (key.first + n + per_block - 1) / per_block - first_block;
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  const bool aligned = f.is_aligned(key.first % pack);
  for (std::int64_t b = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; b < blocks;
       b += step) {
    const auto words = words_of<per_block>(key, static_cast<std::uint64_t>(first_block + b));
    const std::int64_t begin = (first_block + b) * per_block - key.first;
    f.prepare(words);
    if (aligned && begin >= 0 && begin + per_block <= n) {
      MP_UNROLL
      for (int k = 0; k < per_block; k += pack) f.template put<pack>(begin + k, words, k);
    } else {
      MP_UNROLL
      for (int k = 0; k < per_block; ++k)
        if (begin + k >= 0 && begin + k < n) f.template put<1>(begin + k, words, k);
    }
  }
}

MP_INLINE std::uint64_t bits_of(const PhiloxBlock& block, int k) {
  return static_cast<std::uint64_t>(block.word[2 * k]) << 32 | block.word[2 * k + 1];
}

/// Fills y with numbers(block, k) for element k of a block.
template <class T, class Numbers>
struct Fill {
  using Element = T;
  T* y;
  Numbers numbers;
  MP_INLINE bool is_aligned(std::int64_t shift) const { return are_aligned(16, y - shift); }
  MP_INLINE void prepare(const PhiloxBlock& block) { numbers.prepare(block); }
  template <int N>
  MP_INLINE void put(std::int64_t i, const PhiloxBlock& block, int k) const {
    Pack<T, N> values;
    MP_UNROLL
    for (int j = 0; j < N; ++j) values.at[j] = numbers(block, k + j);
    pack_at<N>(y, i) = values;
  }
};

struct NothingToPrepare {
  MP_INLINE void prepare(const PhiloxBlock&) {}
};

template <class T>
struct Uniform;
template <>
struct Uniform<float> : NothingToPrepare {
  float low, step, last;
  MP_INLINE float operator()(const PhiloxBlock& block, int k) const {
    const float value = low + step * static_cast<float>(static_cast<std::int32_t>(block.word[k] >> 8));
    return value < last ? value : last;
  }
};
template <>
struct Uniform<double> : NothingToPrepare {
  double low, step, last;
  MP_INLINE double operator()(const PhiloxBlock& block, int k) const {
    const double value = low + step * static_cast<double>(bits_of(block, k) >> 11);
    return value < last ? value : last;
  }
};

template <class T>
struct Normal {
  T mean, stddev;
  T z[sizeof(T) == 4 ? 4 : 2];
  MP_INLINE void prepare(const PhiloxBlock& block) {
    if constexpr (sizeof(T) == 4) {
      box_muller(block.word[0], block.word[1], z[0], z[1]);
      box_muller(block.word[2], block.word[3], z[2], z[3]);
    } else {
      box_muller(bits_of(block, 0), bits_of(block, 1), z[0], z[1]);
    }
  }
  MP_INLINE T operator()(const PhiloxBlock&, int k) const { return mean + stddev * z[k]; }
};

struct Integers : NothingToPrepare {
  std::int64_t low;
  std::uint64_t range;
  MP_INLINE std::int64_t operator()(const PhiloxBlock& block, int k) const {
    return static_cast<std::int64_t>(static_cast<std::uint64_t>(low) +
                                     scale_to_range(bits_of(block, k), range));
  }
};

template <class T>
struct Dropout {
  using Element = T;
  using C = Computed<T>;
  T* y;
  const T* x;
  std::uint32_t threshold;
  C scale;
  bool accumulate;
  MP_INLINE bool is_aligned(std::int64_t shift) const { return are_aligned(16, y - shift, x - shift); }
  template <class Words>
  MP_INLINE void prepare(const Words&) {}
  template <int N, class Words>
  MP_INLINE void put(std::int64_t i, const Words& block, int k) const {
    put_those<N>(i, [&](int j) { return keeps(block.word[k + j]); });
  }
  MP_INLINE bool keeps(std::uint32_t word) const { return word >= threshold; }
  /// Elements i to i + N, whose j-th stays if stays(j).
  template <int N, class F>
  MP_INLINE void put_those(std::int64_t i, const F& stays) const {
    const Pack<C, N> values = read_pack<N>(x, i);
    Pack<C, N> result;
    if (accumulate) result = read_pack<N>(y, i);
    MP_UNROLL
    for (int j = 0; j < N; ++j) {
      const C kept = stays(j) ? values.at[j] * scale : C(0);
      result.at[j] = accumulate ? result.at[j] + kept : kept;
    }
    write_pack<N>(y, i, result);
  }
};

/// Of channels-last arrays. A thread has four pixels, as many as a block has words, of a pack of channels:
/// the words of a channel's pixels are neighbours, in one block or in two.
template <class T>
__global__ void dropout_channel_packs(Dropout<T> f, std::int64_t images, std::int64_t channels,
                                      std::int64_t pixels, RandomKey given) {
  constexpr int N = kPack<T>, kPixels = 4;
  const RandomKey key = given.resolved();
  const std::int64_t packs = channels / N, parts = (pixels + kPixels - 1) / kPixels;
  std::int64_t image = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  const std::int64_t channel = image % packs * N;
  image /= packs;
  const std::int64_t pixel = image % parts * kPixels;
  image /= parts;
  if (image >= images) return;
  std::uint32_t stay = 0;  // four bits for each channel
  MP_UNROLL
  for (int k = 0; k < N; ++k) {
    const auto at = static_cast<std::uint64_t>(key.first + (image * channels + channel + k) * pixels + pixel);
    const auto bits_of_block = [&](std::uint64_t index) {
      const PhiloxBlock block = random_words(key, index);
      std::uint32_t bits = 0;
      MP_UNROLL
      for (int j = 0; j < kPixels; ++j) bits |= static_cast<std::uint32_t>(f.keeps(block.word[j])) << j;
      return bits;
    };
    std::uint32_t bits = bits_of_block(at / kPixels);
    if (at % kPixels != 0) bits |= bits_of_block(at / kPixels + 1) << kPixels;
    stay |= (bits >> at % kPixels & 15) << k * kPixels;
  }
  const std::int64_t first = (image * pixels + pixel) * channels + channel;
  MP_UNROLL
  for (int j = 0; j < kPixels; ++j)
    if (pixel + j < pixels)
      f.template put_those<N>(first + j * channels,
                              [&](int k) { return (stay >> (k * kPixels + j) & 1) != 0; });
}

template <int per_block, class F>
void run(const F& f, std::int64_t n, const RandomKey& key, Stream stream) {
  if (n == 0) return;
  launch_on(stream, for_each_block<per_block, F>, grid_for(n / per_block + 2, stream.device), kBlock, f, n,
            key);
}

template <int per_block, class T, class Numbers>
void fill(T* y, const Numbers& numbers, std::int64_t n, const RandomKey& key, Stream stream) {
  run<per_block>(Fill<T, Numbers>{y, numbers}, n, key, stream);
}

template <class T>
void uniform_as(void* y, std::int64_t n, const HalfOpenInterval& interval, const RandomKey& key,
                Stream stream) {
  const double step = (interval.high - interval.low) * (sizeof(T) == 4 ? 0x1p-24 : 0x1p-53);
  fill<sizeof(T) == 4 ? 4 : 2>(
      static_cast<T*>(y),
      Uniform<T>{{}, static_cast<T>(interval.low), static_cast<T>(step), static_cast<T>(interval.last)}, n,
      key, stream);
}
void uniform(DType dtype, void* y, std::int64_t n, const HalfOpenInterval& interval, const RandomKey& key,
             Stream stream) {
  (dtype == float32 ? uniform_as<float> : uniform_as<double>)(y, n, interval, key, stream);
}

template <class T>
void normal_as(void* y, std::int64_t n, double mean, double stddev, const RandomKey& key, Stream stream) {
  fill<sizeof(T) == 4 ? 4 : 2>(static_cast<T*>(y),
                               Normal<T>{static_cast<T>(mean), static_cast<T>(stddev), {}}, n, key, stream);
}
void normal(DType dtype, void* y, std::int64_t n, double mean, double stddev, const RandomKey& key,
            Stream stream) {
  with_type(dtype, [&]<class T>() { normal_as<T>(y, n, mean, stddev, key, stream); });
}

void integers(std::int64_t* y, std::int64_t n, std::int64_t low, std::uint64_t range, const RandomKey& key,
              Stream stream) {
  fill<2>(y, Integers{{}, low, range}, n, key, stream);
}

void permutation(std::int64_t* y, std::int64_t n, const RandomKey& key, Stream stream) {
  launch_generate(Permutation(n, key), y, n, stream);
}

template <class T>
void dropout_as(const DropoutArgs& args, Stream stream) {
  const Dropout<T> f{out<T>(args.y.data), in<T>(args.x), static_cast<std::uint32_t>(args.mask.p * 0x1p32),
                     static_cast<Computed<T>>(1 / (1 - args.mask.p)), args.y.beta == 1};
  if constexpr (sizeof(T) < 8)
    if (args.channels != 0) {
      const std::int64_t images = args.n / (args.channels * args.pixels);
      const std::int64_t threads = images * (args.channels / kPack<T>)*((args.pixels + 3) / 4);
      return launch_on(stream, dropout_channel_packs<T>,
                       miniparallel::cuda::blocks(static_cast<std::size_t>(threads), kBlock), kBlock, f,
                       images, args.channels, args.pixels, args.mask.key);
    }
  run<kIsHalf<T> ? 8 : 4>(f, args.n, args.mask.key, stream);
}
void dropout(DType dtype, const DropoutArgs& args, Stream stream) {
  with_stored_type(dtype, [&]<class T>() { dropout_as<T>(args, stream); });
}

}  // namespace

const Random& random() {
  static constexpr Random launchers{MP_RANDOM(MP_LAUNCHER)};
  return launchers;
}

}  // namespace miniparallel::kernels::cuda

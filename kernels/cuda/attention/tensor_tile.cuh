#pragma once

#include "kernels/cuda/attention/tiles.cuh"
#include "kernels/cuda/device/tensor_cores.cuh"

/// tiles.cuh's products on tensor cores. Each of four warps has 16 rows of a tile. What a lane holds of a
/// fragment is not told: so scores and results go by way of a slab of the warp's, 16 rows of float in shared
/// memory, from which a thread gets its rows y + 2 i and columns x + 16 j. Weights are rounded to the type of
/// the matrices and are products' left operands in the same memory.

namespace miniparallel::kernels::cuda {

/// A slice of operands, as they are stored.
template <class Number, int lines, int packs, int threads>
struct TensorSlice {
  using Packed = Pack<Number, kPack<Number>>;
  static constexpr int kPitch = (packs + 1) * kPack<Number>;
  static constexpr int kLoads = lines * packs / threads, kStep = threads / packs;
  static_assert(lines * packs % threads == 0 && threads % packs == 0);
  Packed loaded[kLoads];

  template <class Rows>
  __device__ void fetch(const Rows& rows, int thread, int column) {
    rows.load(thread / packs, kStep, column + thread % packs * kPack<Number>, loaded);
  }
  __device__ void store(Number* shared, int thread) const {
    MP_UNROLL
    for (int i = 0; i < kLoads; ++i)
      pack_at<kPack<Number>>(shared, (thread / packs + i * kStep) * kPitch + thread % packs * kPack<Number>) =
          rounded<Number>(loaded[i]);
  }
};

/// `width`: columns of a sum. All matrices consist of whole packs of 16 bytes.
template <class Stored, int width>
struct AttentionTensorTile {
  using Number = Stored;
  using T = float;
  static constexpr int kThreads = 128;
  static constexpr bool kPacked = true;
  static constexpr int kRows = 64, kColumns = sizeof(Number) == 2 ? 64 : 32;  // as registers allow
  static constexpr int kWidth = width;
  static constexpr int kThreadsX = 16, kThreadsY = 2, kThreadRows = 8, kVector = kColumns / 16;  // of a warp
  static constexpr int kDepth = 8 * kPack<Number>;                                               // at once
  using Left = TensorSlice<Number, kRows, kDepth / kPack<Number>, kThreads>;
  using Right = TensorSlice<Number, kColumns, kDepth / kPack<Number>, kThreads>;
  using Summed = TensorSlice<Number, kDepth, kWidth / kPack<Number>, kThreads>;
  static constexpr int kSlabPitch = kColumns + 8;                // of floats
  static constexpr int kWeightPitch = kColumns + kPack<Number>;  // in a slab

  struct Values {
    Pack<float, kVector> row[kThreadRows];
  };
  struct Sums {
    typename Fragments<Number>::Sum at[kWidth / 16];
    __device__ Sums() {
      MP_UNROLL
      for (auto& fragment : at) nvcuda::wmma::fill_fragment(fragment, 0.0f);
    }
  };
  struct Shared {
    alignas(32) Number left[kRows * Left::kPitch];
    alignas(32) Number right[std::max(kColumns * Right::kPitch, kDepth* Summed::kPitch)];  // or the summands
    alignas(32) float slabs[kRows * kSlabPitch];
  };
};

template <class Number, int width>
struct Products<AttentionTensorTile<Number, width>> {
  using Tile = AttentionTensorTile<Number, width>;
  using Values = typename Tile::Values;
  using Sums = typename Tile::Sums;
  using Core = TensorCore<Number>;
  using Of = Fragments<Number>;

  const int thread = static_cast<int>(threadIdx.x);
  const int x = thread % 32 / 2, y = thread % 2, warp_row = thread / 32 * 16;
  typename Tile::Shared& shared = miniparallel::cuda::shared_array<typename Tile::Shared, 1>()[0];
  float* const slab = shared.slabs + warp_row * Tile::kSlabPitch;
  typename Tile::Left left;
  typename Tile::Right right;
  typename Tile::Summed summed;
  Values weights;

  __device__ int row(int i) const { return warp_row + y + Tile::kThreadsY * i; }
  __device__ int column(int j) const { return x + Tile::kThreadsX * j; }
  __device__ float& weight(int i, int j) { return weights.row[i].at[j]; }

  __device__ void begin_scores(const Rows<Tile>& a, const Rows<Tile>& b, int at = 0) {
    left.fetch(a, thread, at);
    right.fetch(b, thread, at);
  }
  template <class Next>
  __device__ Values scores(const Rows<Tile>& a, const Rows<Tile>& b, const Next& next) {
    typename Of::Sum sums[Tile::kColumns / 16];
    MP_UNROLL
    for (auto& fragment : sums) nvcuda::wmma::fill_fragment(fragment, 0.0f);
    int at = 0;
    do {
      __syncthreads();  // the previous content has been read
      left.store(shared.left, thread);
      right.store(shared.right, thread);
      __syncthreads();
      const int depth = a.width - at;
      at += Tile::kDepth;
      at < a.width ? begin_scores(a, b, at) : next();
      multiply_rows(depth, sums);
    } while (at < a.width);
    to_slab(sums);
    Values scores;
    for_each_value<Tile>([&](int i, int j) { scores.row[i].at[j] = slab[in_slab(i) + column(j)]; });
    return scores;
  }

  __device__ void begin_sums(const Rows<Tile>& b, int at) { summed.fetch(b, thread, at); }
  template <class Next>
  __device__ void add(const Rows<Tile>& b, int at, Sums& sums, const Next& next) {
    Number* const rounded_weights = reinterpret_cast<Number*>(slab);
    __syncwarp();  // the scores have been read
    for_each_value<Tile>([&](int i, int j) {
      rounded_weights[(y + Tile::kThreadsY * i) * Tile::kWeightPitch + column(j)] =
          Core::rounded(convert<Number>(weights.row[i].at[j]));
    });
    MP_UNROLL_BY(1)
    for (int first = 0; first < Tile::kColumns; first += Tile::kDepth) {
      __syncthreads();
      summed.store(shared.right, thread);
      __syncthreads();
      first + Tile::kDepth < Tile::kColumns ? begin_sums(b.from(first + Tile::kDepth), at) : next();
      multiply_weights(rounded_weights + first, b.width - at, sums);
    }
  }

  /// Multiplies the thread's rows; all threads of a row have its factor.
  __device__ void scale(const float (&factors)[Tile::kThreadRows], Sums& sums) const {
    __syncwarp();
    MP_UNROLL
    for (int i = 0; i < Tile::kThreadRows; ++i) slab[in_slab(i) + x] = factors[i];
    __syncwarp();
    typename Of::Sum of_elements;
    nvcuda::wmma::load_matrix_sync(of_elements, slab, Tile::kSlabPitch, nvcuda::wmma::mem_row_major);
    MP_UNROLL
    for (auto& fragment : sums.at) MP_UNROLL
    for (int t = 0; t < of_elements.num_elements; ++t) fragment.x[t] *= of_elements.x[t];
  }

  /// Calls use(i, column, pack) for the thread's parts of the sums.
  template <class Use>
  __device__ void for_each_pack(const Sums& sums, const Use& use) const {
    MP_UNROLL
    for (int part = 0; part < Tile::kWidth; part += Tile::kColumns) {
      to_slab(sums.at + part / 16);
      MP_UNROLL
      for (int i = 0; i < Tile::kThreadRows; ++i)
        use(i, part + x * Tile::kVector, pack_at<Tile::kVector>(slab, in_slab(i) + x * Tile::kVector));
    }
  }

 private:
  __device__ int in_slab(int i) const { return (y + Tile::kThreadsY * i) * Tile::kSlabPitch; }

  /// What was in the slab has been read by others, and what is written can be.
  __device__ void to_slab(const typename Of::Sum* sums) const {
    __syncwarp();
    MP_UNROLL
    for (int j = 0; j < Tile::kColumns / 16; ++j)
      nvcuda::wmma::store_matrix_sync(slab + 16 * j, sums[j], Tile::kSlabPitch, nvcuda::wmma::mem_row_major);
    __syncwarp();
  }

  __device__ void multiply_rows(int depth, typename Of::Sum (&sums)[Tile::kColumns / 16]) const {
    MP_UNROLL_BY(2)
    for (int d = 0; d < Tile::kDepth && d < depth; d += Core::kDepth) {
      typename Of::A a;
      load(a, shared.left + warp_row * Tile::Left::kPitch + d, Tile::Left::kPitch);
      MP_UNROLL
      for (int j = 0; j < Tile::kColumns / 16; ++j) {
        typename Of::B b;
        load(b, shared.right + 16 * j * Tile::Right::kPitch + d, Tile::Right::kPitch);
        nvcuda::wmma::mma_sync(sums[j], a, b, sums[j]);
      }
    }
  }

  __device__ void multiply_weights(const Number* of_columns, int columns, Sums& sums) const {
    MP_UNROLL_BY(2)
    for (int d = 0; d < Tile::kDepth; d += Core::kDepth) {
      typename Of::A a;
      load(a, of_columns + d, Tile::kWeightPitch);
      MP_UNROLL
      for (int j = 0; j < Tile::kWidth / 16; ++j) {
        if (16 * j >= columns) continue;
        typename Of::BByRows b;
        load(b, shared.right + d * Tile::Summed::kPitch + 16 * j, Tile::Summed::kPitch);
        nvcuda::wmma::mma_sync(sums.at[j], a, b, sums.at[j]);
      }
    }
  }

  template <class Fragment>
  __device__ static void load(Fragment& fragment, const Number* at, int pitch) {
    nvcuda::wmma::load_matrix_sync(fragment, Core::memory(at), static_cast<unsigned>(pitch));
  }
};

}  // namespace miniparallel::kernels::cuda

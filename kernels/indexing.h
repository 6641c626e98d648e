#pragma once

#include <miniparallel/dtype.h>

#include "kernels/layout.h"
#include "kernels/macros.h"
#include "kernels/sizes.h"
#include "kernels/stream.h"

#include <cstdint>

namespace miniparallel::kernels {

/// `whole` is row-major (outer, rows, inner), `picked` (outer, count, inner); row i of `picked` belongs to
/// row index[i] of `whole`.
struct IndexArgs {
  const char* op = "index_select";  ///< for the error message
  std::int64_t outer = 1, rows = 0, inner = 1, count = 0;
  const void* index = nullptr;
  DType index_dtype = DType::int64;  ///< int64 or int32
  std::int64_t skip = -1;  ///< rows with this index are zero in `gather` and dropped in `scatter_add`
  bool checked = false;    ///< the indices are known to be in range
  /// Of `outer` = 1: both rows and indices fall into so many equal parts, in their order, and each index
  /// counts from the first of its part's rows.
  std::int64_t parts = 1;
  /// Of `scatter_add`: so many indices in a row have one row of `picked`, (outer, count / uses, inner); what
  /// these are multiplied by, (count) of their dtype, or null.
  std::int64_t uses = 1;
  const void* factors = nullptr;

  MP_INLINE std::int64_t part_rows() const { return rows / parts; }
  /// The row that index i, which has this value, names.
  MP_INLINE std::int64_t row_of(std::int64_t i, std::int64_t value) const {
    return parts == 1 ? value : i / (count / parts) * (rows / parts) + value;
  }
  /// Where the row of `picked` for an index begins, one of `outer` = 1.
  MP_INLINE std::int64_t picked_row(std::int64_t i) const { return (uses == 1 ? i : i / uses) * inner; }
};
inline Sizes sizes(const IndexArgs& args) {
  return {"outer rows inner count", {args.outer, args.rows, args.inner, args.count}};
}

/// An index of one dimension for each element of a result.
struct PositionArgs {
  const char* op = "gather";  ///< for the error message
  Layout layout;  ///< the shape of the index, and where in `whole` each of its elements would be for index 0
  std::int64_t stride = 1, bound = 0;  ///< of the indexed dimension of `whole`
  const void* index = nullptr;         ///< row-major
  DType index_dtype = DType::int64;    ///< int64 or int32
};
inline Sizes sizes(const PositionArgs& args) { return {"indices bound", {args.layout.numel(), args.bound}}; }

/// Indices of one call up to which sums of rows can be made at once in their accumulators. More of float32
/// are added to a float64 `whole`: a sum that is rounded now and then stops growing once it is large.
inline constexpr std::int64_t kMaxScatter = std::int64_t{1} << 20;

/// An index out of range is an `Error`: thrown on the CPU, set as the device's error elsewhere.
struct Indexing {
  /// Copies rows of `whole` to `picked`; any dtype.
  void (*gather)(DType dtype, const IndexArgs& args, const void* whole, void* picked, Stream stream);
  /// Adds rows of `picked` to `whole`, equal indices in their order, in float64, which is
  /// rounded once. dtype: of `picked`, float32 or float64. `whole` has the same or float64,
  /// beyond kMaxScatter indices float64. Up to those, on GPUs, both may be float16 or bfloat16.
  void (*scatter_add)(DType dtype, const IndexArgs& args, const void* picked, DType whole_dtype, void* whole,
                      Stream stream);
  /// Copies rows of `picked` to `whole`, of equal indices the last; any dtype. Nothing is skipped.
  void (*scatter)(DType dtype, const IndexArgs& args, const void* picked, void* whole, Stream stream);
  /// Which element of `whole`, in memory, each index names. One out of range names the first until its
  /// `Error`.
  void (*positions)(const PositionArgs& args, std::int64_t* positions, Stream stream);
  /// The places of `n` where the mask is true, in their order; `ends` has the number of them up to each
  /// place.
  void (*places)(const bool* mask, const std::int64_t* ends, std::int64_t n, std::int64_t* places,
                 Stream stream);
};

}  // namespace miniparallel::kernels

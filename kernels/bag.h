#pragma once

#include <miniparallel/dtype.h>

#include "kernels/index_at.h"
#include "kernels/sizes.h"
#include "kernels/stream.h"

#include <cstdint>

namespace miniparallel::kernels {

/// Rows of a table (rows, width), brought together by bag: of `count` indices the first ones name those of
/// the first bag, and so on.
struct BagArgs {
  const char* op = "embedding_bag";  ///< for the error message
  std::int64_t rows = 0, width = 0, bags = 0, count = 0;
  const void* index = nullptr;
  DType index_dtype = DType::int64;  ///< int64 or int32
  const std::int64_t* ends =
      nullptr;             ///< how many indices there are up to the end of each bag; null: as many in each
  std::int64_t skip = -1;  ///< rows with this index are taken as zero

  MP_INLINE std::int64_t begin(std::int64_t bag) const {
    if (ends == nullptr) return count / bags * bag;
    return bag == 0 ? 0 : ends[bag - 1];
  }
  MP_INLINE std::int64_t end(std::int64_t bag) const {
    return ends == nullptr ? count / bags * (bag + 1) : ends[bag];
  }
};
inline Sizes sizes(const BagArgs& args) {
  return {"rows width bags count", {args.rows, args.width, args.bags, args.count}};
}

/// float32 and float64. An index out of range is an `Error`: thrown on the CPU, set as the device's error
/// elsewhere. Sums are made in float64, on the CPU of up to four rows at once in the table's type.
struct Bag {
  /// y (bags, width): the sum of each bag's rows, each times its factor (count), which are 1 where null.
  void (*sums)(DType dtype, const BagArgs& args, const void* table, const void* factors, void* y,
               Stream stream);
  /// products (count): each index's row by that of its bag in g (bags, width).
  void (*dots)(DType dtype, const BagArgs& args, const void* table, const void* g, void* products,
               Stream stream);
};

}  // namespace miniparallel::kernels

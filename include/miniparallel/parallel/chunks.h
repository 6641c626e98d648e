#pragma once

#include <miniparallel/require_cxx20.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace miniparallel {

/// How the rows of a batch are divided among replicas.
class Split {
 public:
  /// As evenly as possible, the first replicas get one row more: 10 rows on 4 replicas are 3, 3, 2, 2. The
  /// default: no replica gets a lone row that batch normalisation cannot use, and none is left to wait for.
  static const Split balanced;
  /// As `torch.chunk` and PyTorch's DataParallel divide: parts of ceil(rows / replicas) rows until the batch
  /// is used up, so that 10 rows on 4 replicas are 3, 3, 3, 1, and 5 rows use three replicas only.
  static const Split torch_chunk;
  /// In proportion to the speed of each replica's device, which `DataParallel` measures in the first steps in
  /// which all of them run; evenly until then. The division, and so every bit, then depends on time.
  static const Split by_speed;
  /// In proportion to these numbers, one for each replica: `shares({1, 2, 2})` spares the first one.
  static Split shares(std::vector<double> shares) { return Split(Kind::shares, {}, std::move(shares)); }
  /// These rows for each replica, 0 for one that should not run; their sum must be that of the batch.
  static Split sizes(std::vector<std::int64_t> rows) { return Split(Kind::sizes, std::move(rows)); }

  enum class Kind { balanced, torch_chunk, by_speed, shares, sizes };
  Kind kind() const { return kind_; }
  /// "balanced", "sizes {2, 0, 8}".
  std::string to_string() const;

 private:
  explicit Split(Kind kind, std::vector<std::int64_t> rows = {}, std::vector<double> shares = {})
      : kind_(kind), rows_(std::move(rows)), shares_(std::move(shares)) {}
  friend std::vector<std::int64_t> chunk_sizes(std::int64_t, int, const Split&, std::int64_t);

  Kind kind_;
  std::vector<std::int64_t> rows_;
  std::vector<double> shares_;
};

/// @cond  Doxygen does not find their declarations.
inline const Split Split::balanced{Split::Kind::balanced};
inline const Split Split::torch_chunk{Split::Kind::torch_chunk};
inline const Split Split::by_speed{Split::Kind::by_speed};
/// @endcond

/// The rows of each replica; 0 for one that does not run, and fewer entries than replicas where the last ones
/// get none. Where a chunk would have fewer than `min_rows` rows, fewer replicas share the batch. A batch
/// without rows goes to replica 0 alone. Throws `Error` where the rows of `Split::sizes` or the numbers of
/// `Split::shares` do not fit.
std::vector<std::int64_t> chunk_sizes(std::int64_t rows, int replicas, const Split& split = Split::balanced,
                                      std::int64_t min_rows = 1);

}  // namespace miniparallel

#pragma once

#include <miniparallel/parallel/chunks.h>
#include <miniparallel/parallel/replicated.h>
#include <miniparallel/tensor.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace miniparallel::parallel {

/// Which replicas run for a batch, in order, and the rows of each; no rows where no argument has any.
struct Division {
  std::vector<std::size_t> replicas;
  std::vector<std::int64_t> rows;
};
Division divide(std::optional<std::int64_t> rows, int replicas, const Split& split, std::int64_t min_rows);

/// The number of rows of a batch, of which every tensor must have the same.
class RowCount {
 public:
  /// `op` is named in errors; `dim` is the dimension of the rows, negative from the end.
  RowCount(const char* op, int dim) : op_(op), dim_(dim) {}
  /// Throws `Error` for a tensor without that dimension, and for one that disagrees; `name` tells which.
  void see(const Tensor& tensor, const std::string& name);
  std::optional<std::int64_t> rows() const { return rows_; }

 private:
  const char* op_;
  int dim_;
  std::optional<std::int64_t> rows_;
  std::string first_;  // which tensor told them
};

/// The number of rows of a tensor.
std::int64_t rows_of(const Tensor& tensor, int dim);

/// The rows of each replica that runs, as views of `tensor`: one node of the graph for all of them.
std::vector<Tensor> split_rows(const Tensor& tensor, const Division& division, int dim);

}  // namespace miniparallel::parallel

#include <miniparallel/parallel/scatter.h>

#include "engine/error.h"
#include "engine/ops/common.h"
#include "engine/ops/split.h"
#include "parallel/recorders.h"

namespace miniparallel::parallel {

void RowCount::see(const Tensor& tensor, const std::string& name) {
  if (!tensor.defined()) return;
  const int rank = tensor.dim(), axis = dim_ < 0 ? dim_ + rank : dim_;
  check(rank > 0, op_, ": ", name,
        " is a tensor without dimensions, which has no rows; wrap it in replicated(t) to send it whole");
  check(axis >= 0 && axis < rank, op_, ": ", name, " has shape ", tensor.shape(), ", without the dimension ",
        dim_, " along which batches are divided; wrap it in replicated(t) to send it whole");
  const std::int64_t rows = tensor.shape()[axis];
  if (!rows_) {
    rows_ = rows;
    device_ = tensor.device();
    first_ = name;
  }
  if (device_ != tensor.device() || tensor.requires_grad()) device_.reset();
  check(rows == *rows_, op_, ": ", name, " has ", rows, " rows in dim ", dim_, ", ", first_, " has ", *rows_,
        "; give all the same number, or wrap it in replicated(t) to send it whole");
}

Division divide(std::optional<std::int64_t> rows, std::size_t replicas, const Split& split,
                std::int64_t min_rows) {
  Division made;
  if (!rows) {  // nothing to divide
    for (std::size_t i = 0; i < replicas; ++i) made.replicas.push_back(i);
    return made;
  }
  const std::vector<std::int64_t> sizes = chunk_sizes(*rows, static_cast<int>(replicas), split, min_rows);
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    if (sizes[i] == 0 && *rows > 0) continue;
    made.replicas.push_back(i);
    made.rows.push_back(sizes[i]);
  }
  return made;
}

std::int64_t rows_of(const Tensor& tensor, int dim) {
  RowCount count("loss", dim);
  count.see(tensor, "the target");
  return count.rows().value_or(0);
}

std::vector<Tensor> split_rows(const Tensor& tensor, const Division& division, int dim) {
  const std::size_t parts = division.replicas.size();
  if (!tensor.defined() || parts == 1) return std::vector<Tensor>(parts, tensor);
  return split_whole(tensor, division.rows, dim < 0 ? dim + tensor.dim() : dim);
}

void send_each(const Division& division, const std::vector<Device>& devices,
               const std::function<void(std::size_t)>& send) {
  send_each(recorders_of(division, devices), send);
}

}  // namespace miniparallel::parallel

#pragma once

#include <miniparallel/nested.h>
#include <miniparallel/tensor.h>

#include <string>
#include <utility>
#include <vector>

namespace miniparallel::parallel {

/// The rows of all tensors, in order, as one tensor on `device`: they are joined along `dim` and copied
/// straight into their places. Tensors without dimensions become a vector with an entry for each. Gradients
/// go back to the device that each part came from. Throws `Error` where shapes differ in another dimension,
/// or dtypes; `path` names the tensors' place in the results of the replicas.
Tensor gather_rows(const std::vector<Tensor>& tensors, Device device, int dim = 0,
                   const std::string& path = {});

/// What the replicas returned as one value of the same type on `device`: tensors, also in containers and
/// plain structs, are joined by `gather_rows`, what is no tensor is replica 0's. Differentiable. Throws
/// `Error`, naming the replicas, where results do not fit together.
template <class Result>
Result gather(std::vector<Result> results, Device device, int dim = 0) {
  return nested::join(std::move(results),
                      [&](const std::vector<Tensor>& tensors, const nested::Path& path) {
                        return gather_rows(tensors, device, dim, path.text());
                      },
                      {.op = "gather", .values = "replicas"});
}

}  // namespace miniparallel::parallel

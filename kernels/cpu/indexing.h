#pragma once

#include "kernels/cpu/check_indices.h"
#include "kernels/indexing.h"

namespace miniparallel::kernels::cpu {

/// Throws `Error` where an index names no row of its part, unless all are known to.
inline void check_rows(const IndexArgs& args) {
  if (!args.checked)
    check_indices(args.op, "index", args.index, args.index_dtype, args.count, args.part_rows());
}

/// Indexing::scatter_add.
void scatter_add(DType dtype, const IndexArgs& args, const void* picked, DType whole_dtype, void* whole,
                 Stream stream);

}  // namespace miniparallel::kernels::cpu

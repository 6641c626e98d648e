#pragma once
// The element types and reductions of NCCL, on memory that the host can reach.
#include <nccl.h>

#include <cstddef>
#include <span>

namespace miniparallel::simulator {

/// Bytes per element; 0 for a value that is no data type.
std::size_t size_of(ncclDataType_t type);

/// target[i] = inputs[0][i] op inputs[1][i] op ..., in the order of the ranks; target may be one of the
/// inputs. Half and 8-bit floats are reduced in float and rounded once. Integer sums wrap; integer averages
/// round towards zero.
void reduce(ncclDataType_t type, ncclRedOp_t op, std::span<const void* const> inputs, void* target,
            std::size_t count);

}  // namespace miniparallel::simulator

#pragma once
// The functions behind the CUDA language's built-ins, as the simulator's library defines them.

#include <cstddef>
#include <cstdint>
#include <source_location>

namespace miniparallel::simulator {

enum class BarrierVote { none, count, all, any };
enum class WarpOperation : std::uint8_t { sync, shuffle, ballot, meet, multiply };

/// __syncthreads and its voting forms.
int block_barrier(bool predicate, BarrierVote vote, const std::source_location& where);

/// All lanes of `mask` meet; shuffle returns the value of `source_lane`, ballot the lanes whose value is not
/// 0. meet and multiply are for whole warps at one line, and order no memory; the value of multiply is the
/// address of the lane's MatrixShare.
std::uint64_t warp_operation(WarpOperation operation, unsigned mask, std::uint64_t value, int source_lane,
                             const std::source_location& where);
unsigned active_lanes();

enum class MatrixElement : std::uint8_t { float16, bfloat16, tf32 };

/// A lane's part of c += a b: a is 16 x depth, b depth x 16. Lane i has the i-th of 32 equal parts
/// of each matrix, stored by rows or by columns; c by rows.
struct MatrixShare {
  MatrixElement element;
  int depth;
  bool a_by_columns, b_by_columns;
  const void *a, *b;
  float* c;
};

/// __threadfence: what was written before may be published by an atomic after it.
void memory_fence();

/// The block's shared array that is identified by `key`, poisoned at the block's start.
void* shared_slot(const void* key, std::size_t bytes, std::size_t alignment);
void* dynamic_shared_memory();

/// Ends the kernel with cudaErrorAssert, as a failed assert in device code does.
[[noreturn]] void trap(const char* what, const std::source_location& where);

}  // namespace miniparallel::simulator

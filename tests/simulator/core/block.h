#pragma once
// Runs the blocks of one kernel on the calling thread: CUDA
// threads as fibers, barriers, warp operations, shared memory.

#include "core/fiber.h"
#include "core/random.h"
#include "core/shared_memory.h"
#include "miniparallel/simulator/kernel_runtime.h"
#include "miniparallel/simulator/launch.h"
#include "runtime.h"

#include <vector_types.h>

#include <cstdint>
#include <optional>
#include <source_location>
#include <vector>

namespace miniparallel::simulator {

class Checker;
struct Operation;

/// One CUDA thread of the block that is running.
struct CudaThread {
  enum class State : std::uint8_t { waiting_to_start, running, ready, at_barrier, at_warp_operation, done };

  Fiber* fiber = nullptr;
  uint3 index{};
  State state = State::waiting_to_start;
  WarpOperation operation{};  ///< valid at_warp_operation
  unsigned mask = 0;
  std::uint64_t value = 0;  ///< published to the warp; afterwards the result
  int source_lane = 0;
  bool predicate = false;  ///< at a barrier that votes
  std::source_location where;
};

/// One kernel on its way. A kernel that breaks a rule is reported and stopped where it stands.
class Block {
 public:
  static constexpr unsigned warp_size = 32;

  Block(const KernelLaunch& launch, const Operation& operation, Checker* checker);
  ~Block();

  /// Runs the whole grid; false if the kernel was stopped.
  bool run_grid();

  /// The one that the calling thread is running; nullptr in host code.
  static Block* current();

  // Called from inside a CUDA thread.
  int barrier(bool predicate, BarrierVote vote, const std::source_location& where);
  std::uint64_t warp_operation(WarpOperation operation, unsigned mask, std::uint64_t value, int source_lane,
                               const std::source_location& where);
  unsigned active_lanes() const;
  [[noreturn]] void stop(cudaError_t error = cudaErrorLaunchFailure);

  /// The simulator at work on behalf of a CUDA thread: its own accesses are not the kernel's.
  class InRuntime {
   public:
    explicit InRuntime(Block& block) : block_(block) { block_.in_kernel_ = false; }
    ~InRuntime() { block_.in_kernel_ = true; }
    InRuntime(const InRuntime&) = delete;
    InRuntime& operator=(const InRuntime&) = delete;

   private:
    Block& block_;
  };

  bool in_kernel() const { return in_kernel_; }
  SharedMemory& shared() { return shared_; }
  Checker* checker() const { return checker_; }
  const KernelLaunch& launch() const { return launch_; }
  unsigned thread() const { return static_cast<unsigned>(running_ - threads_.data()); }
  const Fiber& fiber() const { return *running_->fiber; }
  uint3 index() const { return block_index_; }
  cudaError_t error() const { return error_; }
  /// "kernel scale, block (1,0,0), thread (3,0,0) on device 0"
  std::string place() const;
  std::string place(const CudaThread& thread) const;
  std::string kernel() const;

 private:
  void run_threads(Fiber& fiber);
  void run_block();
  void abandon_fibers();
  void park(CudaThread::State state);
  void release_barrier();
  bool complete_warps();
  bool complete_warp(unsigned warp, unsigned mask);
  void exchange(unsigned warp, unsigned lanes, WarpOperation operation);
  bool is_whole(unsigned warp, unsigned lanes);
  bool start_next_first();
  void take_next_ready();
  void report_stuck();

  const Machine& settings_;
  const KernelLaunch& launch_;
  const Operation& operation_;
  Checker* checker_;
  Random random_;
  unsigned thread_count_;
  std::vector<CudaThread> threads_;
  std::optional<Permutation> starting_;
  unsigned started_ = 0, finished_ = 0, at_barrier_ = 0;
  int vote_count_ = 0;
  std::vector<unsigned> ready_;  ///< a stack: the next one last
  std::vector<unsigned> warp_waiting_;
  CudaThread* running_ = nullptr;
  uint3 block_index_{};
  SharedMemory shared_;
  bool in_kernel_ = false;
  bool stopped_ = false;
  cudaError_t error_ = cudaErrorLaunchFailure;
};

}  // namespace miniparallel::simulator

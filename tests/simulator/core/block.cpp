#include "core/block.h"

#include "core/checker.h"
#include "core/matrix_multiply.h"
#include "core/operation.h"
#include "core/report.h"
#include "core/symbol.h"
#include "miniparallel/simulator/warp.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstring>
#include <new>

namespace miniparallel::simulator {
namespace {

thread_local Block* running_block = nullptr;

/// Fibers of this OS thread that run no CUDA thread now; stacks are expensive, so they are kept.
std::vector<std::unique_ptr<Fiber>>& all_fibers() {
  thread_local std::vector<std::unique_ptr<Fiber>> fibers;
  return fibers;
}

std::vector<Fiber*>& idle_fibers() {
  thread_local std::vector<Fiber*> fibers;
  return fibers;
}

std::string text(const uint3& index) {
  return "(" + std::to_string(index.x) + "," + std::to_string(index.y) + "," + std::to_string(index.z) + ")";
}

uint3 unflatten(std::uint64_t linear, const dim3& extent) {
  return {static_cast<unsigned>(linear % extent.x), static_cast<unsigned>(linear / extent.x % extent.y),
          static_cast<unsigned>(linear / extent.x / extent.y)};
}

std::string line_of(const std::source_location& where) {
  return std::string(where.file_name()) + ":" + std::to_string(where.line());
}

bool same_line(const std::source_location& a, const std::source_location& b) {
  return a.line() == b.line() && std::strcmp(a.file_name(), b.file_name()) == 0;
}

}  // namespace

char* SharedMemory::memory() {
  struct alignas(gap) Buffer {
    char bytes[capacity];
  };
  thread_local const std::unique_ptr<Buffer> buffer(new Buffer);
  return buffer->bytes;
}

Block* Block::current() { return running_block; }

Block::Block(const KernelLaunch& launch, const Operation& operation, Checker* checker)
    : settings_(machine()),
      launch_(launch),
      operation_(operation),
      checker_(checker),
      random_(settings_.seed + 0x5eed * operation.number),
      thread_count_(launch.block.x * launch.block.y * launch.block.z),
      threads_(thread_count_),
      warp_waiting_((thread_count_ + warp_size - 1) / warp_size),
      shared_(launch.shared_bytes) {
  for (unsigned i = 0; i < thread_count_; ++i) threads_[i].index = unflatten(i, launch.block);
  running_block = this;
}

Block::~Block() { running_block = nullptr; }

bool Block::run_grid() {
  const dim3& grid = launch_.grid;
  const std::uint64_t count = std::uint64_t{grid.x} * grid.y * grid.z;
  blockDim = launch_.block;
  gridDim = grid;
  Permutation blocks(count, settings_.order, random_);
  for (std::uint64_t i = 0; i < count && !stopped_; ++i) {
    const std::uint64_t block = blocks.next();
    block_index_ = unflatten(block, grid);
    blockIdx = block_index_;
    if (checker_ != nullptr) checker_->begin_block(static_cast<std::uint32_t>(block));
    run_block();
  }
  return !stopped_;
}

void Block::run_block() {
  for (CudaThread& thread : threads_) {
    thread.state = CudaThread::State::waiting_to_start;
    thread.fiber = nullptr;
  }
  starting_.emplace(thread_count_, settings_.order, random_);
  started_ = finished_ = at_barrier_ = 0;
  ready_.clear();
  shared_.poison();
  while (finished_ < thread_count_ && !stopped_) {
    if (started_ < thread_count_ && (ready_.empty() || start_next_first())) {
      if (idle_fibers().empty()) {
        all_fibers().push_back(std::make_unique<Fiber>([](Fiber& fiber) {
          for (;;) running_block->run_threads(fiber);
        }));
        idle_fibers().push_back(all_fibers().back().get());
      }
      Fiber* const fiber = idle_fibers().back();
      idle_fibers().pop_back();
      fiber->resume();
    } else if (!ready_.empty()) {
      take_next_ready();
      running_->fiber->resume();
    } else if (!complete_warps()) {
      report_stuck();
    }
  }
  if (stopped_) abandon_fibers();
}

bool Block::start_next_first() {
  if (settings_.order == Order::shuffled) return (random_.next() & 1) != 0;
  return settings_.order == Order::reverse;
}

/// What the fibers of a stopped kernel were doing is forgotten.
void Block::abandon_fibers() {
  idle_fibers().clear();
  for (const auto& fiber : all_fibers()) {
    fiber->restart();
    idle_fibers().push_back(fiber.get());
  }
}

/// Runs threads one after another as long as none blocks; then the fiber is idle.
void Block::run_threads(Fiber& fiber) {
  while (started_ < thread_count_) {
    CudaThread& thread = threads_[starting_->next()];
    ++started_;
    running_ = &thread;
    thread.fiber = &fiber;
    thread.state = CudaThread::State::running;
    threadIdx = thread.index;
    in_kernel_ = true;
    launch_.invoke(launch_.arguments.get());
    in_kernel_ = false;
    thread.state = CudaThread::State::done;
    ++finished_;
  }
  idle_fibers().push_back(&fiber);
  fiber.suspend();
}

void Block::take_next_ready() {
  running_ = &threads_[ready_.back()];
  ready_.pop_back();
  running_->state = CudaThread::State::running;
  threadIdx = running_->index;
}

/// Once all threads have started, the next one that is ready runs on without the scheduler.
void Block::park(CudaThread::State state) {
  CudaThread& self = *running_;
  self.state = state;
  if (started_ < thread_count_ || ready_.empty() || stopped_) return self.fiber->suspend();
  take_next_ready();
  if (running_ != &self) self.fiber->hand_over(*running_->fiber);
}

void Block::stop(cudaError_t error) {
  error_ = error;
  stopped_ = true;
  running_->fiber->suspend();
  __builtin_unreachable();
}

int Block::barrier(bool predicate, BarrierVote vote, const std::source_location& where) {
  CudaThread& self = *running_;
  self.where = where;
  self.predicate = predicate;
  if (++at_barrier_ == thread_count_) {
    self.state = CudaThread::State::at_barrier;
    release_barrier();
  }
  park(at_barrier_ == 0 ? CudaThread::State::ready : CudaThread::State::at_barrier);
  const auto all = static_cast<int>(thread_count_);
  if (vote == BarrierVote::all) return vote_count_ == all ? 1 : 0;
  return vote == BarrierVote::any ? (vote_count_ > 0 ? 1 : 0) : vote_count_;
}

void Block::release_barrier() {
  vote_count_ = 0;
  for (const CudaThread& thread : threads_) {
    if (!same_line(thread.where, threads_.front().where)) {
      report(Finding::barrier, place(thread) + ": waits at the barrier in " + line_of(thread.where) +
                                   " while " + place(threads_.front()) + " waits at the one in " +
                                   line_of(threads_.front().where));
      stop();
    }
    vote_count_ += thread.predicate ? 1 : 0;
  }
  at_barrier_ = 0;
  Permutation order(thread_count_, settings_.order, random_);
  for (unsigned i = 0; i < thread_count_; ++i) {
    const auto thread = static_cast<unsigned>(order.next());
    threads_[thread].state = CudaThread::State::ready;
    ready_.push_back(thread);
  }
  if (settings_.order != Order::shuffled) std::reverse(ready_.begin(), ready_.end());
  if (checker_ != nullptr) checker_->pass_barrier();
}

unsigned Block::active_lanes() const {
  const unsigned first = thread() / warp_size * warp_size;
  unsigned lanes = 0;
  for (unsigned lane = 0; lane < warp_size && first + lane < thread_count_; ++lane) {
    if (threads_[first + lane].state != CudaThread::State::done) lanes |= 1u << lane;
  }
  return lanes;
}

std::uint64_t Block::warp_operation(WarpOperation operation, unsigned mask, std::uint64_t value,
                                    int source_lane, const std::source_location& where) {
  CudaThread& self = *running_;
  const unsigned warp = thread() / warp_size, lane = thread() % warp_size;
  self.operation = operation;
  self.mask = mask;
  self.value = value;
  self.source_lane = source_lane;
  self.where = where;
  if ((mask >> lane & 1) == 0) {
    report(Finding::absent_lane, place() + ": calls a warp operation in " + line_of(where) +
                                     " with a mask that does not name its own lane " + std::to_string(lane));
    stop();
  }
  self.state = CudaThread::State::at_warp_operation;
  warp_waiting_[warp] |= 1u << lane;
  if ((mask & ~warp_waiting_[warp]) == 0) complete_warp(warp, mask);
  park(self.state);
  return self.value;
}

/// Releases the lanes of `mask` if all of them that live wait for each other; true if so.
bool Block::complete_warp(unsigned warp, unsigned mask) {
  const unsigned first = warp * warp_size;
  const CudaThread* leader = nullptr;
  unsigned waiting = 0;
  for (unsigned lane = 0; lane < warp_size && first + lane < thread_count_; ++lane) {
    if ((mask >> lane & 1) == 0) continue;
    const CudaThread& thread = threads_[first + lane];
    if (thread.state == CudaThread::State::done) continue;
    if (thread.state != CudaThread::State::at_warp_operation || thread.mask != mask) return false;
    if (leader != nullptr && thread.operation != leader->operation) return false;
    leader = &thread;
    waiting |= 1u << lane;
  }
  exchange(warp, waiting, leader->operation);
  Permutation order(warp_size, settings_.order, random_);
  const auto mark = static_cast<std::ptrdiff_t>(ready_.size());
  for (unsigned i = 0; i < warp_size; ++i) {
    const auto lane = static_cast<unsigned>(order.next());
    if ((waiting >> lane & 1) == 0) continue;
    threads_[first + lane].state = CudaThread::State::ready;
    ready_.push_back(first + lane);
  }
  if (settings_.order != Order::shuffled) std::reverse(ready_.begin() + mark, ready_.end());
  warp_waiting_[warp] &= ~waiting;
  return true;
}

/// Gives each waiting lane its result. All values are read before any lane runs on.
void Block::exchange(unsigned warp, unsigned lanes, WarpOperation operation) {
  const unsigned first = warp * warp_size;
  if (operation == WarpOperation::sync) {
    if (checker_ != nullptr) checker_->pass_warp_sync(warp, lanes);
    return;
  }
  if (operation == WarpOperation::meet || operation == WarpOperation::multiply) {
    if (is_whole(warp, lanes) && operation == WarpOperation::multiply) {
      const MatrixShare* shares[warp_size];
      for (unsigned lane = 0; lane < warp_size; ++lane)
        shares[lane] = from_bits<const MatrixShare*>(threads_[first + lane].value);
      multiply_matrices(shares);
    }
    return;
  }
  std::uint64_t published[warp_size];
  unsigned ballot = 0;
  for (unsigned lane = 0; lane < warp_size; ++lane) {
    published[lane] = (lanes >> lane & 1) != 0 ? threads_[first + lane].value : 0;
    if (published[lane] != 0) ballot |= 1u << lane;
  }
  for (unsigned lane = 0; lane < warp_size; ++lane) {
    if ((lanes >> lane & 1) == 0) continue;
    CudaThread& thread = threads_[first + lane];
    if (operation == WarpOperation::ballot) {
      thread.value = ballot;
      continue;
    }
    const auto source = static_cast<unsigned>(thread.source_lane);
    if ((lanes >> source & 1) == 0) {
      const bool left =
          first + source >= thread_count_ || threads_[first + source].state == CudaThread::State::done;
      report(Finding::absent_lane,
             place(thread) + ": the shuffle in " + line_of(thread.where) + " reads lane " +
                 std::to_string(source) +
                 (left ? ", which does not run any more" : ", which is not in the mask"));
      stopped_ = true;
      return;
    }
    thread.value = published[source];
  }
}

/// Whether all lanes are at one line, as a matrix operation needs them; if not, it was reported.
bool Block::is_whole(unsigned warp, unsigned lanes) {
  const unsigned first = warp * warp_size;
  const CudaThread& one = threads_[first + static_cast<unsigned>(std::countr_zero(lanes))];
  std::string problem;
  if (lanes != ~0u)
    problem = ": not all lanes of the warp come to the matrix operation in " + line_of(one.where);
  for (unsigned lane = 0; lane < warp_size && problem.empty(); ++lane) {
    const CudaThread& thread = threads_[first + lane];
    if (!same_line(thread.where, one.where))
      problem = ": is at the matrix operation in " + line_of(one.where) + " while " + place(thread) +
                " is at the one in " + line_of(thread.where);
  }
  if (problem.empty()) return true;
  report(Finding::absent_lane, place(one) + problem);
  stopped_ = true;
  return false;
}

/// Lanes that left excuse themselves from what the rest of their warp waits for.
bool Block::complete_warps() {
  bool any = false;
  for (unsigned warp = 0; warp < warp_waiting_.size(); ++warp) {
    for (unsigned lane = 0; lane < warp_size; ++lane) {
      if ((warp_waiting_[warp] >> lane & 1) != 0)
        any |= complete_warp(warp, threads_[warp * warp_size + lane].mask);
    }
  }
  return any;
}

void Block::report_stuck() {
  const CudaThread* waiting = nullptr;
  const CudaThread* other = nullptr;
  for (const CudaThread& thread : threads_) {
    if (thread.state == CudaThread::State::at_barrier && waiting == nullptr) waiting = &thread;
    if (thread.state == CudaThread::State::at_warp_operation && other == nullptr) other = &thread;
  }
  if (waiting == nullptr) std::swap(waiting, other);
  std::string text = place(*waiting) + ": waits in " + line_of(waiting->where);
  if (other != nullptr) {
    text += " while " + place(*other) + " waits in " + line_of(other->where);
  } else {
    const auto left = std::find_if(threads_.begin(), threads_.end(), [](const CudaThread& each) {
      return each.state == CudaThread::State::done;
    });
    text += left == threads_.end() ? " for lanes that wait elsewhere"
                                   : " while " + place(*left) + " has left the kernel";
  }
  report(Finding::barrier, text + "; all threads must reach the same barrier");
  stopped_ = true;
}

std::string Block::kernel() const { return symbol_name(launch_.function); }

std::string Block::place(const CudaThread& thread) const {
  return "kernel " + kernel() + ", block " + text(block_index_) + ", thread " + text(thread.index) +
         " on device " + std::to_string(operation_.device);
}

std::string Block::place() const { return place(*running_); }

// ---- the functions of kernel_runtime.h

int block_barrier(bool predicate, BarrierVote vote, const std::source_location& where) {
  Block& block = *running_block;
  const Block::InRuntime in_runtime(block);
  return block.barrier(predicate, vote, where);
}

std::uint64_t warp_operation(WarpOperation operation, unsigned mask, std::uint64_t value, int source_lane,
                             const std::source_location& where) {
  Block& block = *running_block;
  const Block::InRuntime in_runtime(block);
  return block.warp_operation(operation, mask, value, source_lane, where);
}

unsigned active_lanes() { return running_block->active_lanes(); }

void memory_fence() {
  const Block::InRuntime in_runtime(*running_block);
  if (Checker* const checker = running_block->checker()) checker->fence();
  std::atomic_thread_fence(std::memory_order_seq_cst);
}

void* shared_slot(const void* key, std::size_t bytes, std::size_t alignment) {
  Block& block = *running_block;
  const Block::InRuntime in_runtime(block);
  void* const slot = alignment <= SharedMemory::gap ? block.shared().slot(key, bytes) : nullptr;
  if (slot == nullptr) {
    report(Finding::shared_memory, block.place() + ": " + std::to_string(block.shared().bytes() + bytes) +
                                       " bytes of shared memory are more than a block has");
    block.stop();
  }
  return slot;
}

void* dynamic_shared_memory() { return running_block->shared().dynamic(); }

void trap(const char* what, const std::source_location& where) {
  Block& block = *running_block;
  const Block::InRuntime in_runtime(block);
  report(Finding::trap, block.place() + ": " + what + " in " + line_of(where));
  block.stop();
}

}  // namespace miniparallel::simulator

#include "engine/random/generator.h"

#include "engine/capturing.h"
#include "engine/fork.h"

#include <mutex>

namespace miniparallel {
namespace {

RandomState process_state;
thread_local RowRandomScope* scope = nullptr;

/// Guards every state.
std::mutex& mutex() { return fork_safe_mutex(LockOrder::random); }

/// Past the end of any tensor: element numbers of row ranges that cannot be placed in one common tensor.
constexpr int kDisjointShift = 44;

}  // namespace

void manual_seed(std::uint64_t seed) { set_random_state({.seed = seed, .ordinal = 0}); }

RandomState random_state() {
  const std::lock_guard lock(mutex());
  return scope != nullptr ? scope->state_ : process_state;
}

RandomPosition random_position() {
  const RandomState state = random_state();
  return scope != nullptr ? RandomPosition{state, scope->first_row_, scope->rows_} : RandomPosition{state};
}

void set_random_state(const RandomState& state) {
  if (const RandomState now = random_state(); state.seed != now.seed || state.ordinal < now.ordinal)
    stop_capture("sets the state of the random numbers", "call manual_seed before the step");
  const std::lock_guard lock(mutex());
  (scope != nullptr ? scope->state_ : process_state) = state;
}

kernels::RandomKey next_key(std::int64_t numel) {
  const std::lock_guard lock(mutex());
  if (scope == nullptr) return {.seed = process_state.seed, .ordinal = process_state.ordinal++};
  const std::int64_t rows = scope->rows_, row = scope->first_row_;
  const bool batch_is_outermost = rows > 0 && numel % rows == 0;
  return {.seed = scope->state_.seed,
          .ordinal = scope->state_.ordinal++,
          .first = batch_is_outermost ? row * (numel / rows) : (row + 1) << kDisjointShift};
}

kernels::RandomKey next_random_key(std::int64_t numel, Device device) {
  kernels::RandomKey key = next_key(numel);
  if (capturing != nullptr && device.is_cuda()) [[unlikely]] {
    const Capture::RandomOrigin origin = capturing->random_origin(device);
    key.seed -= origin.now.seed;
    key.ordinal -= origin.now.ordinal;
    key.start = origin.on_device;
  }
  return key;
}

RowRandomScope::RowRandomScope(const RandomState& start, std::int64_t first_row, std::int64_t rows)
    : state_(start), first_row_(first_row), rows_(rows), previous_(scope) {
  scope = this;
}

RowRandomScope::~RowRandomScope() { scope = previous_; }

RowRandomScope* RowRandomScope::current() { return scope; }
void RowRandomScope::set_current(RowRandomScope* other) { scope = other; }

}  // namespace miniparallel

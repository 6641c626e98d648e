#include "engine/optim/attempts.h"

#include <miniparallel/cuda.h>
#include <miniparallel/ops.h>

#include "engine/device/accelerator.h"
#include "engine/error.h"
#include "engine/optim/slot.h"
#include "engine/tensor/tensor_impl.h"

#include <algorithm>
#include <atomic>
#include <bit>

namespace miniparallel::optim {
namespace {

Tensor pinned_word() {
  struct Pinned {
    bool before = set_pins_memory(true);
    ~Pinned() { set_pins_memory(before); }
  } pinned;
  Tensor word = zeros({1}, {.dtype = int64});
  check(word.impl()->storage->is_pinned(),
        "GradScaler: the system pins no more memory, in which a GPU tells which steps it has skipped; raise "
        "`ulimit -l`");
  return word;
}

}  // namespace

Optimizer::Attempts::Attempts(Device home) : history_(zeros({1}, {.dtype = int64, .device = home})) {
  if (home.is_cuda()) seen_ = pinned_word();
}

Optimizer::Attempts::~Attempts() {
  try {  // a GPU may still write to it
    if (seen_.defined()) seen_.impl()->storage->record_use(stream(home()));
  } catch (const Error&) {  // of a GPU that is lost
  }
}

kernels::Attempts* Optimizer::Attempts::seen() const {
  return seen_.defined() ? reinterpret_cast<kernels::Attempts*>(seen_.impl()->data()) : nullptr;
}

kernels::Attempts Optimizer::Attempts::known() const {
  const Tensor& word = seen_.defined() ? seen_ : history_;
  return std::atomic_ref(*reinterpret_cast<kernels::Attempts*>(word.impl()->data()))
      .load(std::memory_order_acquire);
}

void Optimizer::settle(bool waits) {
  if (std::ranges::all_of(slots_, [](const Slot& slot) { return slot.pending == 0; })) return;
  if (waits && attempts_->home().is_cuda()) synchronize(attempts_->home());
  const kernels::Attempts known = attempts_->known();
  const std::uint32_t unknown = attempts_->made - kernels::count_of(known);
  check(
      !waits || unknown == 0, name_,
      ": used between step and update of a GradScaler, before it is known whether the step was skipped; call "
      "update first");
  if (unknown >= kernels::kKnownAttempts) return;
  for (Slot& slot : slots_) {
    slot.step -= std::popcount((slot.pending >> unknown) & kernels::skipped_of(known));
    slot.pending &= (1u << unknown) - 1;
  }
}

void Optimizer::make_room_for_attempt() {
  settle(false);
  const auto is_full = [](const Slot& slot) { return slot.pending >> (kernels::kKnownAttempts - 1) != 0; };
  if (std::ranges::any_of(slots_, is_full)) settle(true);
}

void Optimizer::begin_attempt() {
  ++attempts_->made;
  for (Slot& slot : slots_) slot.pending <<= 1;
}

}  // namespace miniparallel::optim

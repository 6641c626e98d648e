#include "engine/ops/autocast.h"

#include "engine/autograd/walks.h"

#include <mutex>
#include <unordered_map>
#include <utility>

namespace miniparallel {

/// Leaves as the guard's dtype. Threads that work for the guard's share it.
class CastCache {
 public:
  Tensor cast(const Tensor& leaf, DType dtype) {
    const std::scoped_lock lock(mutex_);
    Entry& entry = entries_[leaf.impl().get()];
    const Entry now{leaf, {}, dtype, leaf.version(), autograd::finished_walks()};
    if (!entry.is_like(now)) {
      entry = now;
      entry.cast = leaf.to(dtype);
    }
    return entry.cast;
  }

 private:
  struct Entry {
    Tensor leaf;  // so that no other takes its place
    Tensor cast;
    DType dtype = float32;
    std::uint32_t version = 0;
    std::uint64_t walks = 0;  // a walk has dropped what the graph of the cast needs

    bool is_like(const Entry& other) const {
      return cast.defined() && dtype == other.dtype && version == other.version && walks == other.walks &&
             leaf.device() == cast.device() && leaf.requires_grad();
    }
  };

  std::mutex mutex_;
  std::unordered_map<const TensorImpl*, Entry> entries_;
};

Tensor autocast_to(DType dtype, const AutocastMode& mode, const Tensor& x) {
  if (!x.defined() || !x.is_floating() || x.dtype() == float64 || x.dtype() == dtype) return x;
  if (dtype == float32) return widened(x);
  const bool is_kept = x.dtype() == float32 && x.requires_grad() && x.is_leaf() && grad_enabled();
  return is_kept ? mode.casts->cast(x, dtype) : x.to(dtype);
}

std::shared_ptr<const AutocastMode> with_own_casts(const std::shared_ptr<const AutocastMode>& mode) {
  if (!mode) return nullptr;
  return std::make_shared<const AutocastMode>(AutocastMode{mode->dtype, std::make_shared<CastCache>()});
}

Autocast::Autocast(const AutocastOptions& options) : previous_(autocast_mode()) {
  check(is_half(options.dtype), "Autocast: got ", options.dtype, "; it must be float16 or bfloat16");
  std::shared_ptr<const AutocastMode> mode;
  if (options.enabled)
    mode = std::make_shared<const AutocastMode>(
        AutocastMode{options.dtype, previous_ ? previous_->casts : std::make_shared<CastCache>()});
  set_autocast_mode(std::move(mode));
}
Autocast::~Autocast() { set_autocast_mode(std::move(previous_)); }

bool autocast_enabled() { return in_autocast; }

DType autocast_dtype() {
  check(in_autocast, "autocast_dtype: no Autocast guard is enabled in this thread; make one");
  return autocast_mode()->dtype;
}

}  // namespace miniparallel

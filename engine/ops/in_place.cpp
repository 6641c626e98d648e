#include "engine/ops/in_place.h"

#include "engine/ops/common.h"
#include "engine/tensor/views.h"

namespace miniparallel {

InPlace::InPlace(const char* op, const Tensor& target, std::initializer_list<Tensor> sources)
    : op_(op), target_(target) {
  check_defined(op, target);
  for (int d = 0; d < target.dim(); ++d)
    check(target.strides()[d] != 0 || target.size(d) <= 1, op, ": the tensor of shape ", target.shape(),
          " repeats its elements along dimension ", d, "; write to a clone() of it");
  if (!grad_enabled()) return;
  recorded_ = autograd::is_tracked(target);
  for (const Tensor& source : sources) recorded_ = recorded_ || autograd::is_tracked(source);
  check(!recorded_ || !target.impl()->untracked_view, op,
        ": a view made while grad mode was off cannot be written where gradients flow; make the view again");
  const Tensor& owner = target.impl()->base ? *target.impl()->base : target;
  check(!owner.is_leaf() || !owner.requires_grad(), op, ": ",
        target.impl()->base ? "a view of a leaf" : "a leaf",
        " that requires grad cannot be written in place while grad mode is on; use NoGradGuard");
}

void InPlace::count_write() const {
  Version& version = *target_.impl()->version;
  const std::uint32_t writes = version.writes.fetch_add(1, std::memory_order_relaxed) + 1;
  if (recorded_) version.last_recorded.store(writes, std::memory_order_relaxed);
}

void InPlace::write_through(const Tensor& piece) const {
  const Tensor base = *target_.impl()->base;
  const ViewGeometry where = geometry_of(target_);
  autograd::record("write_to_view", base, {base, piece}, [where](Backward& b) {
    const Tensor& g = b.grad();
    if (b.needs(0)) b.set(0, g - paste(where.of(g), g.shape(), where));
    if (b.needs(1)) b.set(1, where.of(g));
  });
  refresh_view(target_);
}

}  // namespace miniparallel

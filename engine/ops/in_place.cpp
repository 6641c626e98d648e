#include "engine/ops/in_place.h"

#include "engine/autograd/view_history.h"
#include "engine/ops/common.h"

namespace miniparallel {

InPlace::InPlace(const char* op, const Tensor& target, std::initializer_list<Tensor> sources)
    : op_(op), target_(target) {
  check_defined(op, target);
  target.impl()->storage->wait_for_copies();
  for (int d = 0; d < target.dim(); ++d)
    check(target.strides()[d] != 0 || target.size(d) <= 1 || target.numel() == 0, op,
          ": the tensor of shape ", target.shape(), " repeats its elements along dimension ", d,
          "; write to a clone() of it");
  if (!grad_enabled() || !target.is_floating()) return;
  recorded_ = autograd::is_tracked(target);
  for (const Tensor& source : sources) recorded_ = recorded_ || autograd::is_tracked(source);
  const Tensor& owner = target.impl()->base ? *target.impl()->base : target;
  check(!recorded_ || !owner.impl()->untracked_view, op,
        ": a view made while grad mode was off cannot be written where gradients flow; make the view again");
  if (recorded_) {  // everything that can throw runs before anything is written
    if (target.impl()->base) autograd::geometry_of(target);
    for (const Tensor& source : sources) autograd::follow_base(source);
  }
  check(!owner.is_leaf() || !owner.requires_grad(), op, ": ",
        target.impl()->base ? "a view of a leaf" : "a leaf",
        " that requires grad cannot be written in place while grad mode is on; use NoGradGuard");
}

Tensor unaliased(const Tensor& source, const Tensor& target) {
  const TensorImpl &from = *source.impl(), &to = *target.impl();
  if (from.storage != to.storage || source.numel() == 0 || target.numel() == 0) return source;
  if (from.offset == to.offset && from.shape == to.shape && from.strides == to.strides) return source;
  const auto last = [](const TensorImpl& x) {
    std::int64_t at = x.offset;
    for (int d = 0; d < x.shape.rank(); ++d) at += (x.shape[d] - 1) * x.strides[d];
    return at;
  };
  return from.offset > last(to) || to.offset > last(from) ? source : source.clone();
}

std::uint32_t InPlace::count_write() const {
  if (capturing != nullptr) [[unlikely]]
    capturing->writes(target_);
  return target_.impl()->version->writes.fetch_add(1, std::memory_order_relaxed) + 1;
}

void InPlace::write_through(const Tensor& piece) const {
  const Tensor base = *target_.impl()->base;
  const autograd::ViewGeometry where = autograd::geometry_of(target_);
  autograd::record("write_to_view", base, {base, piece}, [where](Backward& b) {
    const Tensor& g = b.grad();
    if (b.needs(0)) b.set(0, g - autograd::paste(where.of(g), g.shape(), where));
    if (b.needs(1)) b.set(1, where.of(g));
  });
}

void InPlace::let_views_follow(std::uint32_t write) const {
  target_.impl()->version->last_recorded.store(write, std::memory_order_relaxed);
  autograd::follow_base(target_);
}

}  // namespace miniparallel

#include "engine/optim/shards.h"

#include "engine/tensor/autograd_meta.h"
#include "engine/tensor/tensor_impl.h"

namespace miniparallel::optim {

Shards* ShardsFinder::operator()(const Tensor& parameter) {
  const autograd::Meta* const meta = parameter.impl()->meta.get();
  autograd::GradientSink* const sink = meta == nullptr ? nullptr : meta->sink.get();
  if (sink != sink_) {
    sink_ = sink;
    shards_ = dynamic_cast<Shards*>(sink);
  }
  return shards_ != nullptr && shards_->has_copies_of(parameter) ? shards_ : nullptr;
}

}  // namespace miniparallel::optim

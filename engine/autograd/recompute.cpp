#include "engine/autograd/recompute.h"

#include "engine/error.h"
#include "engine/profiler/span.h"
#include "engine/tensor/tensor_impl.h"

#include <utility>

namespace miniparallel::autograd {

thread_local constinit Recomputation::Run* Recomputation::run_ = nullptr;

Recomputation::Run::Run(Recomputation& of, std::vector<Tensor>* found)
    : of_(of), found_(found), outer_(std::exchange(run_, this)) {
  of.running_ = std::this_thread::get_id();
}

Recomputation::Run::~Run() {
  of_.running_ = std::thread::id();
  run_ = outer_;
}

std::shared_ptr<Recomputed> Recomputation::save(const Tensor& tensor) {
  if (run_ == nullptr) return nullptr;
  Run& run = *run_;
  Recomputation& of = run.of_;
  if (run.found_ == nullptr) {
    auto made = std::make_shared<Recomputed>(of.shared_from_this(), tensor);
    of.saved_.push_back(made);
    return made;
  }
  const std::size_t number = run.saved_++;
  if (number < of.saved_.size()) {
    const std::shared_ptr<Recomputed> place = of.saved_[number].lock();
    if (place != nullptr) of.check_found(*place, tensor);
    run.found_->push_back(place != nullptr ? tensor : Tensor());
  }
  return nullptr;
}

/// A leaf, or a tensor that was there before the function ran: what is written to it until the function runs
/// again would change what that computes.
void Recomputation::add_use(const Tensor& tensor, std::int64_t maker) {
  for (Run* run = run_; run != nullptr; run = run->outer_)
    if (run->found_ == nullptr && maker < run->of_.begin_)
      run->of_.uses_.push_back({tensor.impl()->version, tensor.version(), tensor.shape()});
}

void Recomputation::check_found(const Recomputed& place, const Tensor& tensor) const {
  check(tensor.shape() == place.shape_ && tensor.dtype() == place.dtype_ && tensor.device() == place.device_,
        "checkpoint: where its function saved a ", place.dtype_, " ", place.shape_, " on ", place.device_,
        " for backward, it came to a ", tensor.dtype(), " ", tensor.shape(), " on ", tensor.device(),
        " when it ran again; it must do the same each time");
  check(place.alias_group_.lock() != tensor.impl()->version || tensor.version() == place.writes_,
        "checkpoint: a tensor of shape ", tensor.shape(),
        " that its function saved for backward was written in place since (version ", tensor.version(),
        ", saved at ", place.writes_, "); write to a clone instead");
}

void Recomputation::run_again() {
  const profiler::Span span(profiler::Kind::user, "checkpoint");
  for (const Use& use : uses_) {
    const std::shared_ptr<Version> version = use.version.lock();
    check(version == nullptr || version->writes == use.writes, "checkpoint: a tensor of shape ", use.shape,
          " that its function reads was written in place since; backward must come first, as the function "
          "runs again there");
  }
  std::vector<Tensor> found;
  try {
    Run run(*this, &found);
    again_();
    check(run.saved_ == saved_.size(), "checkpoint: its function saved ", saved_.size(),
          " tensors for backward, and ", run.saved_,
          " when it ran again; it must do the same each time, whatever numbers of the host it depends on");
  } catch (Error& error) {
    error.add_note("while checkpoint ran its function again for backward");
    throw;
  }
  for (std::size_t i = 0; i < saved_.size(); ++i)
    if (const std::shared_ptr<Recomputed> place = saved_[i].lock(); place != nullptr && found[i].defined())
      place->found_ = {found[i].detach(), found[i].version()};
}

Recomputed::Recomputed(std::shared_ptr<Recomputation> by, const Tensor& tensor)
    : by_(std::move(by)),
      shape_(tensor.shape()),
      dtype_(tensor.dtype()),
      device_(tensor.device()),
      alias_group_(tensor.impl()->version),
      writes_(tensor.version()) {}

Recomputed::Found Recomputed::get() {
  check(by_->running_.load() != std::this_thread::get_id(),
        "checkpoint: a backward through what its function has computed, before that has ended; call backward "
        "outside of it");
  const std::scoped_lock lock(by_->mutex_);
  if (!found_.tensor.defined()) by_->run_again();
  return found_;
}

}  // namespace miniparallel::autograd

#include <miniparallel/parallel/undo.h>

#include "engine/autograd/gradient_sink.h"
#include "engine/tensor/autograd_meta.h"
#include "engine/tensor/tensor_impl.h"

#include <cstddef>
#include <utility>
#include <vector>

namespace miniparallel::parallel {

class Undo::Before {
 public:
  explicit Before(const reflect::Inventory& model) {
    for (const reflect::Inventory::Item& item : model.items) {
      if (!item.handle->defined()) continue;
      const Tensor& tensor = *item.handle;
      Member member{item.handle, tensor,
                    make_alias(tensor, tensor.shape(), tensor.strides(), tensor.impl()->offset)};
      if (const auto& meta = tensor.impl()->meta) {
        member.grad = meta->grad;
        member.sink = meta->sink;
        member.sink_end = meta->sink_end;
      }
      members_.push_back(std::move(member));
    }
  }
  /// Only hands memory back, so nothing can fail.
  ~Before() {
    for (Member& member : members_) {
      *member.handle = member.tensor;
      const auto& meta = member.tensor.impl()->meta;
      if (meta) meta->grad = Tensor();  // set_data would convert it
      set_data(member.tensor, member.elements);
      if (!meta) continue;
      meta->grad = std::move(member.grad);
      meta->sink = std::move(member.sink);
      meta->sink_end = member.sink_end;
    }
  }
  Before(const Before&) = delete;
  Before& operator=(const Before&) = delete;

  void forget() { members_.clear(); }

 private:
  struct Member {
    Tensor* handle;
    Tensor tensor, elements;
    Tensor grad = {};
    std::shared_ptr<autograd::GradientSink> sink = nullptr;
    std::size_t sink_end = 0;
  };
  std::vector<Member> members_;
};

Undo::Undo(const reflect::Inventory& model) : before_(std::make_shared<Before>(model)) {}

void Undo::keep() { before_->forget(); }

}  // namespace miniparallel::parallel

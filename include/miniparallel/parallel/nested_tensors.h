#pragma once

#include <miniparallel/model/reflect.h>
#include <miniparallel/tensor.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace miniparallel::parallel::detail {

/// Calls f(tensor, path) for each tensor in a value: a tensor, a container or a plain struct of these.
template <class F>
class TensorVisitor {
 public:
  explicit TensorVisitor(F& f) : f_(f) {}
  void leaf(Tensor& tensor) { f_(tensor, path_); }
  void enter(std::string_view name) {
    lengths_.push_back(path_.size());
    (path_ += '.') += name;
  }
  void leave() {
    path_.resize(lengths_.back());
    lengths_.pop_back();
  }
  template <class T>
  void begin(T&) {}
  void end() {}

 private:
  F& f_;
  std::string path_;
  std::vector<std::size_t> lengths_;
};

template <class T, class F>
void each_tensor(T& value, F&& f) {
  if constexpr (!is_plain<T>) {
    TensorVisitor<std::remove_reference_t<F>> visitor(f);
    reflect::visit(value, visitor);
  }
}

}  // namespace miniparallel::parallel::detail

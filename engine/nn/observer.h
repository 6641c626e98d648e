#pragma once

#include <miniparallel/model/field_names.h>
#include <miniparallel/tensor.h>

#include <functional>
#include <string_view>

/// How `summary` learns what layers put out: while an OutputObserver lives, layers called in its thread
/// report to it.
namespace miniparallel::nn {

class OutputObserver {
 public:
  using Report = std::function<void(const void* layer, std::string_view type, const Tensor& output)>;
  explicit OutputObserver(Report report);
  ~OutputObserver();
  OutputObserver(const OutputObserver&) = delete;
  OutputObserver& operator=(const OutputObserver&) = delete;

  /// The one of this thread, or null.
  static const OutputObserver* current();
  void report(const void* layer, std::string_view type, const Tensor& output) const {
    report_(layer, type, output);
  }

 private:
  Report report_;
  const OutputObserver* previous_;
};

/// `output`, which `layer` made; a layer's forward returns through this.
template <class Layer>
Tensor observed(const Layer& layer, Tensor output) {
  if (const OutputObserver* observer = OutputObserver::current()) {
    observer->report(&layer, reflect::type_name<Layer>, output);
  }
  return output;
}

}  // namespace miniparallel::nn

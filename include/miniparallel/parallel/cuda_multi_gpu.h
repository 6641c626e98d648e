#pragma once

#include <miniparallel/parallel/data_parallel.h>

#include <utility>

namespace miniparallel {

/// The one line that puts a model on every GPU: finds them, wraps the model in DataParallel, and runs on the
/// CPU without one, with a line in the log that says why.
///
///   CudaMultiGPU model{Net{}};
template <class Model>
class CudaMultiGPU : public DataParallel<Model> {
 public:
  explicit CudaMultiGPU(Model model, const DataParallelOptions& options = {})
      : DataParallel<Model>(std::move(model), options) {}
};

template <class Model>
inline constexpr bool parallel::is_wrapper<CudaMultiGPU<Model>> = true;

}  // namespace miniparallel

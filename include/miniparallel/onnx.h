#pragma once

#include <miniparallel/model.h>
#include <miniparallel/nested.h>
#include <miniparallel/tensor.h>

#include <functional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

/// Models for other runtimes, in the format of https://onnx.ai: opset 20, weights included.
namespace miniparallel::onnx {

struct ExportOptions {
  std::vector<std::string> input_names = {};   ///< "input", or "input.0", ... where not given
  std::vector<std::string> output_names = {};  ///< likewise
  bool dynamic_batch = true;                   ///< the first size of the inputs may be another one
};

namespace detail {
using Call = std::function<std::vector<Tensor>(const std::vector<Tensor>& inputs)>;
void export_calls(const NamedTensors& named, const Call& model, const std::vector<Tensor>& inputs,
                  const std::string& path, const ExportOptions& options);
}  // namespace detail

/// Writes what `model(inputs...)` computes, in evaluation mode, to a file. The model runs twice, with the
/// inputs and with others of their shapes and dtypes, made of their elements in another order: branches are
/// taken as they come, and what is not recorded for gradients (comparisons, whole numbers) is written down as
/// it is, so it must not depend on the inputs; that an index of an embedding does is fine. Throws `Error`,
/// writing nothing, where it does, and naming an op that has no form there or a dtype that has none.
template <class Model, class... Inputs>
void export_model(Model& model, const std::tuple<Inputs...>& inputs, const std::string& path,
                  const ExportOptions& options = {}) {
  eval(model);
  const detail::Call call = [&](const std::vector<Tensor>& given) {
    const auto result = [&]<std::size_t... i>(std::index_sequence<i...>) {
      return model(given[i]...);
    }(std::index_sequence_for<Inputs...>());
    std::vector<Tensor> outputs;
    nested::for_each(result, [&](const Tensor& output) { outputs.push_back(output); });
    return outputs;
  };
  detail::export_calls(
      [&] {
        NamedTensors named = named_parameters(model);
        for (auto& buffer : named_buffers(model)) named.push_back(std::move(buffer));
        return named;
      }(),
      call, std::apply([](const auto&... x) { return std::vector<Tensor>{x...}; }, inputs), path, options);
}
/// The same of one input.
template <class Model>
void export_model(Model& model, const Tensor& input, const std::string& path,
                  const ExportOptions& options = {}) {
  export_model(model, std::tuple(input), path, options);
}

}  // namespace miniparallel::onnx

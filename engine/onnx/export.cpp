#include <miniparallel/grad_mode.h>
#include <miniparallel/onnx.h>
#include <miniparallel/ops.h>

#include "engine/error.h"
#include "engine/files/file.h"
#include "engine/onnx/graph.h"
#include "engine/tensor/tensor_impl.h"

#include <algorithm>
#include <span>

namespace miniparallel::onnx::detail {
namespace {

constexpr std::size_t kMost = (std::size_t{1} << 31) - 1;  // bytes of a message of Protocol Buffers

/// While it lives, every parameter is recorded, frozen or not.
class Recorded {
 public:
  explicit Recorded(const NamedTensors& named) : was_enabled_(grad_enabled()) {
    for (const auto& [name, tensor] : named)
      if (tensor.is_floating() && !tensor.requires_grad()) frozen_.push_back(tensor);
    for (Tensor& tensor : frozen_) tensor.requires_grad_();
    set_grad_enabled(true);
  }
  ~Recorded() {
    for (Tensor& tensor : frozen_) tensor.requires_grad_(false);
    set_grad_enabled(was_enabled_);
  }
  Recorded(const Recorded&) = delete;
  Recorded& operator=(const Recorded&) = delete;

 private:
  bool was_enabled_;
  std::vector<Tensor> frozen_;
};

std::string name_of(const std::vector<std::string>& names, const char* word, std::size_t i,
                    std::size_t count) {
  if (i < names.size()) return names[i];
  return count == 1 ? word : word + ("." + std::to_string(i));
}

Graph graph_of(const NamedTensors& named, const Call& model, const std::vector<Tensor>& inputs,
               const ExportOptions& options) {
  autograd::Trace trace;
  std::vector<Tensor> given, outputs;
  for (const Tensor& input : inputs) {
    given.push_back(input.detach().clone());
    if (input.is_floating()) given.back().requires_grad_();
  }
  {
    const Recorded recorded(named);
    const autograd::TraceScope scope(trace);
    outputs = model(given);
  }
  const bool batched = options.dynamic_batch && !inputs.empty() && inputs[0].dim() > 0;
  Graph graph(batched ? inputs[0].size(0) : -1);
  for (std::size_t i = 0; i < given.size(); ++i)
    graph.input(given[i], name_of(options.input_names, "input", i, given.size()));
  for (const auto& [name, tensor] : named) graph.set_weight_name(tensor, name);
  for (const Op& op : trace.ops) write_op(graph, op);
  for (std::size_t i = 0; i < outputs.size(); ++i)
    graph.output(outputs[i], name_of(options.output_names, "output", i, outputs.size()));
  return graph;
}

/// The elements of a tensor in another order.
Tensor reordered(const Tensor& x) {
  const Tensor flat = x.detach().flatten();
  return flip(x.is_floating() ? flat * -1.5 : flat, {0}).view(x.shape());
}

/// Also where there are NaN, which equal nothing.
bool same_bits(const Tensor& a, const Tensor& b) {
  if (a.shape() != b.shape() || a.dtype() != b.dtype()) return false;
  const std::byte* const bytes = raw(a);
  return std::equal(bytes, bytes + a.numel() * static_cast<std::int64_t>(size_of(a.dtype())), raw(b));
}

}  // namespace

void export_calls(const NamedTensors& named, const Call& model, const std::vector<Tensor>& inputs,
                  const std::string& path, const ExportOptions& options) {
  check(!inputs.empty(), "onnx: there is no input; pass an example of each");
  const Graph graph = graph_of(named, model, inputs, options);
  std::vector<Tensor> others;
  for (const Tensor& input : inputs) others.push_back(reordered(input));
  const Graph again = graph_of(named, model, others, options);
  const std::vector<Tensor>&a = graph.constants(), &b = again.constants();
  check(a.size() == b.size(),
        "onnx: with other inputs the model takes another way; a file has one way alone");
  for (std::size_t i = 0; i < a.size(); ++i)
    check(same_bits(a[i], b[i]), "onnx: a ", a[i].dtype(), " tensor of shape ", a[i].shape(),
          " in the model depends on the inputs by ops that are not recorded, such as comparisons");
  const std::string bytes = graph.model();
  check(bytes.size() <= kMost, "onnx: the model takes ", bytes.size(), " bytes; a file has at most ", kMost);
  io::AtomicFile file(path);
  file.write(std::as_bytes(std::span(bytes)));
  file.commit();
}

}  // namespace miniparallel::onnx::detail

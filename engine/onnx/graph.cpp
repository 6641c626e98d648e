#include "engine/onnx/graph.h"

#include <miniparallel/ops.h>
#include <miniparallel/version.h>

#include "engine/error.h"
#include "engine/tensor/tensor_impl.h"

#include <algorithm>

// The messages of https://github.com/onnx/onnx/blob/main/onnx/onnx.proto, whose numbers of fields stand here.

namespace miniparallel::onnx {
namespace {

constexpr int kOpset = 20, kVersion = 9;

Message attribute(const std::string& name, const Attribute& value) {
  Message message;
  message.text(1, name);
  if (const auto* whole = std::get_if<std::int64_t>(&value)) {
    message.number(3, *whole).number(20, 2);
  } else if (const auto* real = std::get_if<double>(&value)) {
    message.real(2, static_cast<float>(*real)).number(20, 1);
  } else if (const auto* list = std::get_if<std::vector<std::int64_t>>(&value)) {
    for (const std::int64_t item : *list) message.number(8, item);
    message.number(20, 7);
  } else {
    message.text(4, std::get<std::string>(value)).number(20, 3);
  }
  return message;
}

/// Whether it may be one number for each row of a batch.
bool is_batch_of_one_number(const Tensor& x, std::int64_t batch) {
  if (x.dim() < 2 || x.size(0) != batch || x.numel() == 0) return false;
  const Tensor elements = x.detach().cpu().flatten();
  return equal(elements, elements[0].expand(elements.shape()));
}

}  // namespace

int element_type(DType dtype) {
  switch (dtype) {
    case float32:
      return 1;
    case uint8:
      return 2;
    case int32:
      return 6;
    case int64:
      return 7;
    case boolean:
      return 9;
    case float16:
      return 10;
    case float64:
      return 11;
    case bfloat16:
      return 16;
  }
  fail("onnx: dtype ", dtype, " has no form there; convert the model");
}

std::string Graph::name(const Tensor& tensor) {
  if (!tensor.defined()) return "";
  const auto found = names_.find(tensor.impl().get());
  if (found != names_.end()) return found->second;
  const auto weight = weight_names_.find(tensor.impl().get());
  std::string name = weight != weight_names_.end()            ? constant(tensor, weight->second)
                     : is_batch_of_one_number(tensor, batch_) ? batch_of(tensor)
                                                              : constant(tensor);
  set_name(tensor, name);
  return name;
}

void Graph::set_name(const Tensor& tensor, const std::string& name) {
  names_[tensor.impl().get()] = name;
  kept_.push_back(tensor);
}

void Graph::set_weight_name(const Tensor& tensor, const std::string& name) {
  weight_names_[tensor.impl().get()] = name;
}

std::string Graph::constant(const Tensor& elements, std::string name) {
  const Tensor plain = elements.detach().cpu().contiguous();
  constants_.push_back(plain);
  if (name.empty()) name = "constant." + std::to_string(constants_.size());
  Message message;
  for (const std::int64_t size : plain.shape()) message.number(1, size);
  message.number(2, element_type(plain.dtype())).text(8, name);
  const auto bytes = static_cast<std::size_t>(plain.numel()) * size_of(plain.dtype());
  message.text(9, {reinterpret_cast<const char*>(raw(plain)), bytes});
  graph_.message(5, message);
  return name;
}

std::string Graph::batch_of(const Tensor& elements) {
  const Shape& shape = elements.shape();
  const std::string sizes =
      node("Shape", {first_input_}, {{"start", std::int64_t{0}}, {"end", std::int64_t{1}}});
  const std::string others = constant(tensor(std::vector<std::int64_t>(shape.begin() + 1, shape.end())));
  const std::string all = node("Concat", {sizes, others}, {{"axis", std::int64_t{0}}});
  return node("Expand", {constant(elements.flatten()[0]), all});
}

std::string Graph::shape(const Shape& shape, const Shape& from, std::int64_t of_input) {
  Shape sizes = shape;
  const auto batch = std::find(sizes.begin(), sizes.end(), batch_);
  if (batch_ >= 0 && !shape.empty() && !from.empty() && shape[0] == batch_ && from[0] == batch_)
    sizes[0] = of_input;
  else if (of_input == 0 && std::count(shape.begin(), shape.end(), batch_) == 1 &&
           std::count(from.begin(), from.end(), batch_) == 1)
    *batch = -1;
  return constant(tensor(std::vector<std::int64_t>(sizes.begin(), sizes.end())));
}

std::string Graph::node(const char* type, const std::vector<std::string>& inputs,
                        const Attributes& attributes) {
  const std::string number = std::to_string(++nodes_);
  std::string output = "value." + number;
  Message node;
  for (const std::string& input : inputs) node.text(1, input);
  node.text(2, output).text(3, std::string(type) + "." + number).text(4, type);
  for (const auto& [key, value] : attributes) node.message(5, attribute(key, value));
  graph_.message(1, node);
  return output;
}

Message Graph::described(const Tensor& tensor, const std::string& name) const {
  Message sizes;
  for (int d = 0; d < tensor.dim(); ++d) {
    Message size;
    if (d == 0 && tensor.size(0) == batch_)
      size.text(2, "batch");
    else
      size.number(1, tensor.size(d));
    sizes.message(1, size);
  }
  Message elements, type, value;
  elements.number(1, element_type(tensor.dtype())).message(2, sizes);
  type.message(1, elements);
  value.text(1, name).message(2, type);
  return value;
}

void Graph::input(const Tensor& tensor, const std::string& name) {
  set_name(tensor, name);
  if (first_input_.empty()) first_input_ = name;
  graph_.message(11, described(tensor, name));
}

void Graph::output(const Tensor& tensor, const std::string& name) {
  Message identity;  // gives the value its name
  identity.text(1, this->name(tensor)).text(2, name).text(3, "output." + name).text(4, "Identity");
  graph_.message(1, identity).message(12, described(tensor, name));
}

std::string Graph::model() const {
  Message opset, graph = graph_, model;
  opset.text(1, "").number(2, kOpset);
  graph.text(2, "graph");
  model.number(1, kVersion).text(2, "miniparallel").text(3, version()).message(7, graph).message(8, opset);
  return model.bytes();
}

}  // namespace miniparallel::onnx

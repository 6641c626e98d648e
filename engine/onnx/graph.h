#pragma once

#include <miniparallel/tensor.h>

#include "engine/autograd/trace.h"
#include "engine/onnx/protobuf.h"

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace miniparallel::onnx {

using Op = autograd::Trace::Op;
using Attribute = std::variant<std::int64_t, double, std::vector<std::int64_t>, std::string>;
using Attributes = std::vector<std::pair<std::string, Attribute>>;

/// The graph that is being written: nodes in order, and the names of the tensors that they make and read.
class Graph {
 public:
  /// `batch`: the first size of the inputs, where it may be another one; else -1.
  explicit Graph(std::int64_t batch) : batch_(batch) {}

  /// The name by which nodes read the tensor; "" of an undefined one. What no node has made is a constant.
  std::string name(const Tensor& tensor);
  void set_name(const Tensor& tensor, const std::string& name);
  /// The name of a tensor of the model's, should a node read it.
  void set_weight_name(const Tensor& tensor, const std::string& name);

  /// Writes the elements down, under a name of its own where none is given.
  std::string constant(const Tensor& elements, std::string name = {});
  /// One number for every element of a batch, such as a first state: as many as the input has rows.
  std::string batch_of(const Tensor& elements);
  /// A shape, for Reshape (0) and Expand (1): a first size that is the batch's, also in `from`, is that of
  /// the input, and where it stands elsewhere, once in both, what Reshape makes of the others.
  std::string shape(const Shape& shape, const Shape& from, std::int64_t of_input);

  /// Adds a node; returns the name of its output, which is new.
  std::string node(const char* type, const std::vector<std::string>& inputs,
                   const Attributes& attributes = {});

  void input(const Tensor& tensor, const std::string& name);
  void output(const Tensor& tensor, const std::string& name);

  /// The elements that were written down, in order.
  const std::vector<Tensor>& constants() const { return constants_; }
  /// The file's bytes.
  std::string model() const;

 private:
  Message described(const Tensor& tensor, const std::string& name) const;

  std::int64_t batch_;
  int nodes_ = 0;
  std::string first_input_;
  std::map<const TensorImpl*, std::string> names_, weight_names_;
  std::vector<Tensor> constants_, kept_;  // kept: so that no other tensor takes the place of a named one
  Message graph_;
};

/// ONNX's number of the dtype. Throws where it has none.
int element_type(DType dtype);

/// Adds the nodes of one op and names its outputs. Throws, naming it, where it has no form in ONNX.
void write_op(Graph& graph, const Op& op);

}  // namespace miniparallel::onnx

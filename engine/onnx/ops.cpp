#include <miniparallel/ops.h>

#include "engine/error.h"
#include "engine/onnx/graph.h"
#include "kernels/elementwise.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>

// The form that each recorded op has in ONNX: https://onnx.ai/onnx/operators.

namespace miniparallel::onnx {
namespace {

using kernels::Binary;
using kernels::Unary;
using List = std::vector<std::int64_t>;

const autograd::Trace::Value& noted(const Op& op, const char* note) {
  const auto found = op.notes.find(note);
  check(found != op.notes.end(), "onnx: ", op.name, " has no form in ONNX as it is used here");
  return found->second;
}
std::int64_t whole(const Op& op, const char* note) { return std::get<std::int64_t>(noted(op, note)); }
double real(const Op& op, const char* note) { return std::get<double>(noted(op, note)); }
const List& list(const Op& op, const char* note) { return std::get<List>(noted(op, note)); }
const Tensor& noted_tensor(const Op& op, const char* note) { return std::get<Tensor>(noted(op, note)); }

const Shape& shape_of(const Op& op, std::size_t input = 0) { return op.inputs[input].shape(); }

/// What writes an op's nodes, and returns the name of its output, or those of its first outputs.
class Writer {
 public:
  Writer(Graph& graph, const Op& op) : graph_(graph), op_(op) {}

  std::string in(std::size_t i) const { return i < op_.inputs.size() ? graph_.name(op_.inputs[i]) : ""; }
  /// A number of the first input's dtype.
  std::string number(double value) const {
    return graph_.constant(full({}, value, {.dtype = op_.outputs[0].dtype()}));
  }
  std::string node(const char* type, const std::vector<std::string>& inputs,
                   const Attributes& attributes = {}) const {
    return graph_.node(type, inputs, attributes);
  }

  std::string unary() const {
    const double p = real(op_, "p"), q = real(op_, "q");
    const std::string x = in(0);
    switch (static_cast<Unary>(whole(op_, "function"))) {
      case Unary::neg:
        return node("Neg", {x});
      case Unary::abs:
        return node("Abs", {x});
      case Unary::square:
        return node("Mul", {x, x});
      case Unary::relu:
        return node("Relu", {x});
      case Unary::sign:
        return node("Sign", {x});
      case Unary::floor:
        return node("Floor", {x});
      case Unary::ceil:
        return node("Ceil", {x});
      case Unary::round:
        return node("Round", {x});
      case Unary::exp:
        return node("Exp", {x});
      case Unary::log:
        return node("Log", {x});
      case Unary::sqrt:
        return node("Sqrt", {x});
      case Unary::rsqrt:
        return node("Reciprocal", {node("Sqrt", {x})});
      case Unary::sin:
        return node("Sin", {x});
      case Unary::cos:
        return node("Cos", {x});
      case Unary::tan:
        return node("Tan", {x});
      case Unary::asin:
        return node("Asin", {x});
      case Unary::acos:
        return node("Acos", {x});
      case Unary::atan:
        return node("Atan", {x});
      case Unary::sinh:
        return node("Sinh", {x});
      case Unary::cosh:
        return node("Cosh", {x});
      case Unary::tanh:
        return node("Tanh", {x});
      case Unary::erf:
        return node("Erf", {x});
      case Unary::sigmoid:
        return node("Sigmoid", {x});
      case Unary::logsigmoid:
        return node("Neg", {node("Softplus", {node("Neg", {x})})});
      case Unary::silu:
        return node("Mul", {x, node("Sigmoid", {x})});
      case Unary::mish:
        return node("Mish", {x});
      case Unary::softsign:
        return node("Softsign", {x});
      case Unary::hardsigmoid:
        return node("HardSigmoid", {x}, {{"alpha", 1. / 6}, {"beta", 0.5}});
      case Unary::hardswish:
        return node("HardSwish", {x});
      case Unary::gelu_erf:
        return node("Gelu", {x}, {{"approximate", "none"}});
      case Unary::gelu_tanh:
        return node("Gelu", {x}, {{"approximate", "tanh"}});
      case Unary::add_scalar:
        return node("Add", {x, number(p)});
      case Unary::scalar_minus:
        return node("Sub", {number(p), x});
      case Unary::mul_scalar:
        return node("Mul", {x, number(p)});
      case Unary::div_scalar:
        return node("Div", {x, number(p)});
      case Unary::scalar_over:
        return node("Div", {number(p), x});
      case Unary::pow_scalar:
        return node("Pow", {x, number(p)});
      case Unary::clamp_between:
        return node("Clip", {x, std::isinf(p) ? "" : number(p), std::isinf(q) ? "" : number(q)});
      case Unary::leaky_relu_by:
        return node("LeakyRelu", {x}, {{"alpha", p}});
      case Unary::elu_by:
        return node("Elu", {x}, {{"alpha", p}});
      case Unary::celu_by:
        return node("Celu", {x}, {{"alpha", p}});
      default:
        unknown();
    }
  }

  std::string binary() const {
    const char* type = nullptr;
    switch (static_cast<Binary>(whole(op_, "function"))) {
      case Binary::add:
        type = "Add";
        break;
      case Binary::sub:
        type = "Sub";
        break;
      case Binary::mul:
        type = "Mul";
        break;
      case Binary::div:
        type = "Div";
        break;
      case Binary::pow:
        type = "Pow";
        break;
      case Binary::maximum:
        type = "Max";
        break;
      case Binary::minimum:
        type = "Min";
        break;
      case Binary::prelu_broadcast:
        type = "PRelu";
        break;
      default:
        unknown();
    }
    return node(type, {in(0), in(1)});
  }

  std::string activated(const std::string& x) const {
    switch (static_cast<Activation>(whole(op_, "activation"))) {
      case Activation::none:
        return x;
      case Activation::relu:
        return node("Relu", {x});
      case Activation::gelu_tanh:
        return node("Gelu", {x}, {{"approximate", "tanh"}});
      default:
        unknown();
    }
  }

  std::string linear() const {
    const std::string turned = node("Transpose", {in(1)}, {{"perm", List{1, 0}}});
    const std::string product = node("MatMul", {in(0), turned});
    return activated(op_.inputs.size() > 2 ? node("Add", {product, in(2)}) : product);
  }

  std::string convolution() const {
    const List& g = list(op_, "geometry");  // strides, padding, dilation, groups
    std::vector<std::string> inputs{in(0), in(1)};
    if (op_.inputs[2].defined()) inputs.push_back(in(2));
    return node("Conv", inputs,
                {{"strides", List{g[0], g[1]}},
                 {"pads", List{g[2], g[3], g[2], g[3]}},
                 {"dilations", List{g[4], g[5]}},
                 {"group", g[6]}});
  }

  /// Windows of which all have one size; adaptive ones only where they tile the image.
  std::string pool(const char* type) const {
    const List& w = list(op_, "windows");  // kernel, stride, padding, outputs, size; of rows, of columns
    List kernel, stride, padding;
    for (const std::size_t axis : {0U, 5U}) {
      const bool adaptive = w[axis] == 0;
      if (adaptive && w[axis + 4] % w[axis + 3] != 0) unknown();
      const std::int64_t whole = adaptive ? w[axis + 4] / w[axis + 3] : 0;
      kernel.push_back(adaptive ? whole : w[axis]);
      stride.push_back(adaptive ? whole : w[axis + 1]);
      padding.push_back(adaptive ? 0 : w[axis + 2]);
      const std::int64_t outputs = (w[axis + 4] + 2 * padding.back() - kernel.back()) / stride.back() + 1;
      if (outputs != w[axis + 3]) unknown();  // rounded up
    }
    Attributes attributes{{"kernel_shape", kernel},
                          {"strides", stride},
                          {"pads", List{padding[0], padding[1], padding[0], padding[1]}}};
    if (std::string_view(type) == "AveragePool") attributes.push_back({"count_include_pad", std::int64_t{1}});
    return node(type, {in(0)}, attributes);
  }

  std::string batch_norm() const {
    const Tensor inverse = noted_tensor(op_, "inv_std"), mean = noted_tensor(op_, "mean");
    const auto or_fill = [&](std::size_t i, double value) {
      return op_.inputs[i].defined() ? in(i) : graph_.constant(full_like(mean, value));
    };
    const std::string variance = graph_.constant(1 / square(inverse.to(float64)).to(inverse.dtype()));
    std::string y =
        node("BatchNormalization", {in(0), or_fill(1, 1), or_fill(2, 0), graph_.constant(mean), variance},
             {{"epsilon", 0.}});
    if (op_.inputs.size() > 3) y = node("Add", {y, in(3)});
    return whole(op_, "relu") != 0 ? node("Relu", {y}) : y;
  }

  std::string layer_norm() const {
    const std::int64_t dims = whole(op_, "dims");
    const Shape& shape = shape_of(op_);
    const Shape normalized(shape.end() - dims, shape.end());
    const std::string scale =
        op_.inputs[1].defined() ? in(1) : graph_.constant(ones(normalized, {.dtype = op_.inputs[0].dtype()}));
    return node("LayerNormalization", {in(0), scale, in(2)},
                {{"axis", -dims}, {"epsilon", real(op_, "eps")}});
  }

  std::string rms_norm() const {
    List axes;
    for (std::int64_t d = -whole(op_, "dims"); d < 0; ++d) axes.push_back(d);
    const std::string squares =
        node("ReduceMean", {node("Pow", {in(0), number(2)}), graph_.constant(tensor(axes))});
    const std::string length = node("Sqrt", {node("Add", {squares, number(real(op_, "eps"))})});
    const std::string y = node("Div", {in(0), length});
    return op_.inputs[1].defined() ? node("Mul", {y, in(1)}) : y;
  }

  std::string reduced(const char* type) const {
    const List& ones = list(op_, "ones");
    const Shape& shape = shape_of(op_);
    List axes;
    for (int d = 0; d < shape.rank(); ++d)
      if (ones[static_cast<std::size_t>(d)] == 1 && shape[d] != 1) axes.push_back(d);
    std::string y = axes.empty() ? in(0) : node(type, {in(0), graph_.constant(tensor(axes))});
    const Shape kept(ones.begin(), ones.end()), result = op_.outputs[0].shape();
    return kept == result ? y : node("Reshape", {y, graph_.shape(result, kept, 0)});
  }

  std::string attention() const {
    const Shape& keys = shape_of(op_, 1);
    List turned;
    for (int d = 0; d < keys.rank(); ++d) turned.push_back(d);
    std::swap(turned[turned.size() - 1], turned[turned.size() - 2]);
    const std::string q = node("Mul", {in(0), number(real(op_, "scale"))});
    std::string scores = node("MatMul", {q, node("Transpose", {in(1)}, {{"perm", turned}})});
    const auto hide = [&](const Tensor& seen) {
      scores = node("Where", {graph_.name(seen), scores, number(-1e30)});
    };
    const Tensor& mask = noted_tensor(op_, "mask");
    if (mask.defined() && mask.dtype() == boolean) hide(mask);
    if (mask.defined() && mask.dtype() != boolean) scores = node("Add", {scores, graph_.name(mask)});
    if (whole(op_, "causal") != 0)
      hide(tril(full({shape_of(op_)[shape_of(op_).rank() - 2], keys[keys.rank() - 2]}, 1)) > 0);
    return node("MatMul", {node("Softmax", {scores}, {{"axis", std::int64_t{-1}}}), in(2)});
  }

  /// The rows of dimension `rows` that an index names; the shape of the index may be another one than that of
  /// the result, which has its sizes.
  std::string gathered() const {
    const Tensor& index = noted_tensor(op_, "index");
    const std::string flat = node("Gather", {in(0), graph_.name(index)}, {{"axis", whole(op_, "rows")}});
    const Shape& result = op_.outputs[0].shape();
    Shape made = index.shape();
    const Shape& from = shape_of(op_);
    for (int d = static_cast<int>(whole(op_, "rows")) + 1; d < from.rank(); ++d) made.push_back(from[d]);
    for (int d = static_cast<int>(whole(op_, "rows")) - 1; d >= 0; --d) made.insert(0, from[d]);
    return made == result ? flat : node("Reshape", {flat, graph_.shape(result, made, 0)});
  }

  std::string joined() const {
    const std::int64_t axis = whole(op_, "axis");
    std::vector<std::string> parts;
    for (std::size_t i = 0; i < op_.inputs.size(); ++i) {
      const std::string part = in(i);
      parts.push_back(whole(op_, "is_new") == 0 ? part
                                                : node("Unsqueeze", {part, graph_.constant(tensor({axis}))}));
    }
    return node("Concat", parts, {{"axis", axis}});
  }

  std::string sliced() const {
    const List& range = list(op_, "range");  // dimension, first, last, step
    return slice(in(0), range[0], range[1], range[2], range[3]);
  }
  std::string slice(const std::string& x, std::int64_t dim, std::int64_t first, std::int64_t last,
                    std::int64_t step) const {
    const auto one = [&](std::int64_t value) { return graph_.constant(tensor({value})); };
    return node("Slice", {x, one(first), one(last), one(dim), one(step)});
  }
  std::vector<std::string> split() const {
    std::vector<std::string> parts;
    std::int64_t first = 0;
    const std::int64_t axis = whole(op_, "axis");
    for (const Tensor& part : op_.outputs) {
      const std::int64_t last = first + part.size(static_cast<int>(axis));
      parts.push_back(slice(in(0), axis, first, last, 1));
      first = last;
    }
    return parts;
  }

  /// Sums only of what is added, neither of products nor backwards.
  std::string cumulated() const {
    if (!op_.inputs[0].defined() || op_.inputs[1].defined()) unknown();
    return node("CumSum", {in(0), graph_.constant(full({}, whole(op_, "axis"), {.dtype = int64}))},
                {{"reverse", whole(op_, "reverse")}});
  }

  /// The part of (n, gates * hidden) that belongs to a gate.
  std::string gate(const std::string& sums, std::int64_t i) const {
    const std::int64_t hidden = op_.outputs[0].size(1);
    return slice(sums, 1, i * hidden, (i + 1) * hidden, 1);
  }
  /// h and c, of the sums of inputs, those of h, and c; the gates are i, f, g and o.
  std::vector<std::string> lstm_cell() const {
    const std::string sums = node("Add", {in(0), in(1)});
    const auto open = [&](std::int64_t i) { return node("Sigmoid", {gate(sums, i)}); };
    const std::string input = node("Mul", {open(0), node("Tanh", {gate(sums, 2)})});
    const std::string c = node("Add", {node("Mul", {open(1), in(2)}), input});
    return {node("Mul", {open(3), node("Tanh", {c})}), c};
  }
  /// h, of the same three; the gates are r, z and n.
  std::string gru_cell() const {
    const auto open = [&](std::int64_t i) {
      return node("Sigmoid", {node("Add", {gate(in(0), i), gate(in(1), i)})});
    };
    const std::string reset = node("Mul", {open(0), gate(in(1), 2)});
    const std::string n = node("Tanh", {node("Add", {gate(in(0), 2), reset})});
    return node("Add", {n, node("Mul", {open(1), node("Sub", {in(2), n})})});
  }

  std::string permuted() const {
    const List& inverse = list(op_, "dims");
    List order(inverse.size());
    for (std::size_t d = 0; d < inverse.size(); ++d)
      order[static_cast<std::size_t>(inverse[d])] = static_cast<std::int64_t>(d);
    return node("Transpose", {in(0)}, {{"perm", order}});
  }

  std::string transposed() const {
    const List& pair = list(op_, "pair");
    List order;
    for (int d = 0; d < shape_of(op_).rank(); ++d) order.push_back(d);
    std::swap(order[static_cast<std::size_t>(pair[0])], order[static_cast<std::size_t>(pair[1])]);
    return node("Transpose", {in(0)}, {{"perm", order}});
  }

  std::string reshaped() const {
    return node("Reshape", {in(0), graph_.shape(op_.outputs[0].shape(), shape_of(op_), 0)});
  }
  std::string expanded() const {
    return node("Expand", {in(0), graph_.shape(op_.outputs[0].shape(), shape_of(op_), 1)});
  }
  std::string chosen() const {
    return node("Where", {graph_.name(noted_tensor(op_, "condition")), in(0), in(1)});
  }
  std::string along_axis(const char* type) const {
    return node(type, {in(0)}, {{"axis", whole(op_, "axis")}});
  }

  [[noreturn]] void unknown() const {
    fail("onnx: ", op_.name, " has no form in ONNX as it is used here; leave it out of the model");
  }

 private:
  Graph& graph_;
  const Op& op_;
};

using Form = std::string (*)(const Writer& w);
const std::map<std::string_view, Form>& forms() {
  static const std::map<std::string_view, Form> all{
      {"linear", [](const Writer& w) { return w.linear(); }},
      {"matmul", [](const Writer& w) { return w.node("MatMul", {w.in(0), w.in(1)}); }},
      {"conv2d", [](const Writer& w) { return w.convolution(); }},
      {"max_pool2d", [](const Writer& w) { return w.pool("MaxPool"); }},
      {"avg_pool2d", [](const Writer& w) { return w.pool("AveragePool"); }},
      {"adaptive_avg_pool2d", [](const Writer& w) { return w.pool("AveragePool"); }},
      {"batch_norm", [](const Writer& w) { return w.batch_norm(); }},
      {"layer_norm", [](const Writer& w) { return w.layer_norm(); }},
      {"rms_norm", [](const Writer& w) { return w.rms_norm(); }},
      {"softmax", [](const Writer& w) { return w.along_axis("Softmax"); }},
      {"log_softmax", [](const Writer& w) { return w.along_axis("LogSoftmax"); }},
      {"scaled_dot_product_attention", [](const Writer& w) { return w.attention(); }},
      {"sum", [](const Writer& w) { return w.reduced("ReduceSum"); }},
      {"mean", [](const Writer& w) { return w.reduced("ReduceMean"); }},
      {"amax", [](const Writer& w) { return w.reduced("ReduceMax"); }},
      {"amin", [](const Writer& w) { return w.reduced("ReduceMin"); }},
      {"embedding", [](const Writer& w) { return w.gathered(); }},
      {"index_select", [](const Writer& w) { return w.gathered(); }},
      {"index", [](const Writer& w) { return w.gathered(); }},
      {"cat", [](const Writer& w) { return w.joined(); }},
      {"stack", [](const Writer& w) { return w.joined(); }},
      {"where", [](const Writer& w) { return w.chosen(); }},
      {"masked_fill", [](const Writer& w) { return w.chosen(); }},
      {"view", [](const Writer& w) { return w.reshaped(); }},
      {"squeeze", [](const Writer& w) { return w.reshaped(); }},
      {"unsqueeze", [](const Writer& w) { return w.reshaped(); }},
      {"expand", [](const Writer& w) { return w.expanded(); }},
      {"permute", [](const Writer& w) { return w.permuted(); }},
      {"transpose", [](const Writer& w) { return w.transposed(); }},
      {"slice", [](const Writer& w) { return w.sliced(); }},
      {"cumsum", [](const Writer& w) { return w.cumulated(); }},
      {"gru_cell", [](const Writer& w) { return w.gru_cell(); }},
      {"clone", [](const Writer& w) { return w.in(0); }},
      {"contiguous", [](const Writer& w) { return w.in(0); }},
  };
  return all;
}

}  // namespace

void write_op(Graph& graph, const Op& op) {
  const Writer writer(graph, op);
  if (op.name == "split" || op.name == "lstm_cell") {
    const std::vector<std::string> names = op.name == "split" ? writer.split() : writer.lstm_cell();
    for (std::size_t i = 0; i < names.size(); ++i) graph.set_name(op.outputs[i], names[i]);
    return;
  }
  const auto form = forms().find(op.name);
  std::string name;
  if (form != forms().end())
    name = form->second(writer);
  else if (op.notes.contains("function"))
    name = op.inputs.size() == 1 ? writer.unary() : writer.binary();
  else if (op.name == "to" && op.outputs.size() == 1)
    name = writer.node("Cast", {writer.in(0)}, {{"to", std::int64_t{element_type(op.outputs[0].dtype())}}});
  else
    writer.unknown();
  graph.set_name(op.outputs[0], name);
}

}  // namespace miniparallel::onnx

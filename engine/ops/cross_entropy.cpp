#include "engine/ops/loss.h"
#include "engine/ops/native_half.h"

// cross_entropy and nll_loss of class indices: one op, whose input is either logits or their log_softmax.

namespace miniparallel {
namespace {

struct Options {
  Reduction reduction;
  std::int64_t ignore_index;
  double smoothing;
  bool log_probabilities;
};

void check_arguments(const char* op, const Tensor& x, const Tensor& target, const Options& options) {
  check_defined(op, x);
  check_defined(op, target);
  check_same_device(op, {x, target});
  check_floating(op, x);
  check(target.dtype() == int64 || target.dtype() == int32 || target.dtype() == uint8, op,
        ": target has dtype ", target.dtype(), "; class indices are int64, int32 or uint8");
  check_smoothing(op, options.smoothing);
  check(x.dim() >= 2, op, ": the input has shape ", x.shape(),
        "; it must be (n, classes) or (n, classes, ...)");
  Shape expected = x.shape();
  expected.erase(1);
  check(target.shape() == expected, op, ": target of shape ", target.shape(),
        " does not fit an input of shape ", x.shape(), "; it must be ", expected);
}

kernels::CrossEntropyArgs make_args(const char* op, const Tensor& x, const Tensor& target,
                                    const Options& options) {
  kernels::CrossEntropyArgs args;
  args.op = op;
  args.outer = x.size(0);
  args.classes = x.size(1);
  args.inner = Shape(x.shape().begin() + 2, x.shape().end()).numel();
  args.x = raw(x);
  args.log_probabilities = options.log_probabilities;
  args.target = raw(target);
  args.target_dtype = target.dtype();
  args.ignore_index = options.ignore_index;
  args.smoothing = options.smoothing;
  args.reduce = options.reduction != Reduction::none;
  args.mean = options.reduction == Reduction::mean;
  return args;
}

/// d loss / dx of differentiable ops: (softmax(x) - wanted) * valid * g.
Tensor composed_backward(const Tensor& x, const Tensor& target, const Options& options, const Tensor& g) {
  Shape classes = Shape::filled(x.dim(), 1);
  classes[1] = x.size(1);
  const Tensor label = target.to(int64).unsqueeze(1);
  const Tensor range = arange(x.size(1), {.device = x.device()}).view(classes);
  const Tensor valid = (label != options.ignore_index).to(x.dtype());
  const Tensor wanted = (label == range).to(x.dtype()) * (1 - options.smoothing) +
                        options.smoothing / static_cast<double>(x.size(1));
  const Tensor slope = options.log_probabilities ? -wanted : softmax(x, 1) - wanted;
  return slope * (valid * g);
}

Tensor loss(const char* op, const Tensor& input, const Tensor& labels, const Options& options) {
  check_arguments(op, input, labels, options);
  const Tensor x = input.contiguous(), target = labels.contiguous();
  const kernels::CrossEntropyArgs args = make_args(op, x, target, options);
  const auto make = [&](const Shape& shape) { return make_tensor(shape, computed_dtype(x), x.device()); };
  const Tensor losses =
      args.reduce ? make(target.shape()) : make_tensor(target.shape(), x.dtype(), x.device());
  const Tensor statistics = options.log_probabilities ? Tensor() : make({2, target.numel()});
  const Tensor normalizer = args.reduce ? make({}) : Tensor();
  Tensor y = args.reduce ? make_tensor({}, x.dtype(), x.device()) : losses;
  const bool differentiated = recording(x);
  const Tensor gradient =
      differentiated && kernels::writes_gradient_with_loss(args) ? result_like(x) : Tensor();
  backend(x).cross_entropy.forward(x.dtype(), args, raw(losses), raw_or_null(statistics), raw(y),
                                   raw_or_null(normalizer), raw_or_null(gradient), stream(x));
  if (!differentiated) return y;
  record(op, y, {x}, [=, x = save(x), target = save(target)](Backward& b) {
    const Tensor input_x = x.get(b), label = target.get(b);
    if (b.create_graph()) {
      const Tensor of_y = widened(b.grad()), g = normalizer.defined() ? of_y * normalizer : of_y.unsqueeze(1);
      return b.set(0, composed_backward(widened(input_x), label, options, g).to(input_x.dtype()));
    }
    // Of 16 bits the gradient was rounded: it would be again, or what vanished would stay away.
    if (gradient.defined() && (b.is_unit() || !is_half(gradient)))
      return b.set(0, b.is_unit() ? gradient : gradient * b.grad());
    const bool unit = b.is_unit() && normalizer.defined();
    const Tensor g = unit ? Tensor() : b.grad().contiguous(), dx = result_like(input_x);
    backend(dx).cross_entropy.backward(dx.dtype(), make_args(op, input_x, label, options), raw_or_null(g),
                                       raw_or_null(statistics), raw_or_null(normalizer), raw(dx), stream(dx));
    b.set(0, dx);
  });
  return y;
}

}  // namespace

void check_smoothing(const char* op, double label_smoothing) {
  check(label_smoothing >= 0 && label_smoothing <= 1, op, ": label_smoothing is ", label_smoothing,
        "; it must be in [0, 1]");
}

Tensor fused_cross_entropy(const Tensor& logits, const Tensor& target, const CrossEntropyOptions& options) {
  return loss("cross_entropy", logits, target,
              {options.reduction, options.ignore_index, options.label_smoothing, false});
}

Tensor fused_nll_loss(const Tensor& log_probabilities, const Tensor& target, const NllLossOptions& options) {
  return loss("nll_loss", log_probabilities, target, {options.reduction, options.ignore_index, 0, true});
}

}  // namespace miniparallel

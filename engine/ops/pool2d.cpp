#include "engine/autograd/trace.h"
#include "engine/ops/common.h"
#include "engine/ops/native_half.h"

// Pooling is a choice or a mean: the backward of each is linear, and the backward of that is the forward with
// the choice held fixed.

namespace miniparallel {
namespace {

using kernels::Pool2dGeometry;
using kernels::PoolAxis;
using kernels::PoolIndex;

std::string text(Size2 size) { return message(size.height, " x ", size.width); }

void check_input(const char* op, const Tensor& x) {
  check_defined(op, x);
  check_floating(op, x);
  check(x.dim() == 4, op, ": input has shape ", x.shape(), "; it must be (n, channels, height, width)");
}

PoolAxis window_axis(std::int64_t size, std::int64_t kernel, std::int64_t stride, std::int64_t padding) {
  const std::int64_t room = size - (kernel - 2 * padding);  // the padding is at most half of the kernel
  return {size, room < 0 ? 0 : room / stride + 1, kernel, stride, padding};
}

Pool2dGeometry window_geometry(const char* op, const Tensor& x, Size2 kernel, const Pool2dOptions& options) {
  check_input(op, x);
  const Size2 stride = options.stride.value_or(kernel), padding = options.padding;
  check(kernel.height > 0 && kernel.width > 0, op, ": got kernel ", text(kernel), "; it must be at least 1");
  check(stride.height > 0 && stride.width > 0, op, ": got stride ", text(stride), "; it must be at least 1");
  check(padding.height >= 0 && padding.width >= 0 && padding.height <= kernel.height / 2 &&
            padding.width <= kernel.width / 2,
        op, ": got padding ", text(padding), " for kernel ", text(kernel),
        "; it must be from 0 to half of the kernel");
  const Pool2dGeometry g{.planes = x.size(0) * x.size(1),
                         .rows = window_axis(x.size(2), kernel.height, stride.height, padding.height),
                         .columns = window_axis(x.size(3), kernel.width, stride.width, padding.width),
                         .channels = x.impl()->channels_last ? x.size(1) : 0};
  check(g.rows.outputs > 0 && g.columns.outputs > 0, op, ": kernel ", text(kernel),
        " does not fit an input of shape ", x.shape(), " with padding ", text(padding),
        "; use a larger input or padding, or a smaller kernel");
  return g;
}

/// The layout of a pooling is that of its first input.
bool is_channels_last(const Pool2dGeometry& g) { return g.channels != 0; }

/// x as the geometry has it.
Tensor laid_out_for(const Pool2dGeometry& g, const Tensor& x) {
  return is_channels_last(g) ? in_channels_last(x) : x.contiguous();
}

Tensor result_of(const Tensor& x, const Pool2dGeometry& g) {
  return make_laid_out(is_channels_last(g), {x.size(0), x.size(1), g.rows.outputs, g.columns.outputs},
                       x.dtype(), x.device());
}
Tensor gradient_of(const Tensor& g, const Pool2dGeometry& geometry, const Shape& x_shape) {
  return make_laid_out(is_channels_last(geometry), x_shape, g.dtype(), g.device());
}

/// What max_pool2d chose: the windows and which element of each.
struct Choice {
  Pool2dGeometry geometry;
  Shape x_shape;
  Tensor elements;

  PoolIndex index() const { return {raw(elements), elements.dtype()}; }
};

Tensor gather(const Tensor& x, const Choice& choice);

void write_scatter(const Tensor& g, const Choice& choice, const Tensor& dx, int beta) {
  backend(g).pool2d.max_scatter(g.dtype(), choice.geometry, raw(g), choice.index(), {raw(dx), beta},
                                stream(g));
}

Tensor scatter(const Tensor& gradient, const Choice& choice) {
  const Tensor g = laid_out_for(choice.geometry, gradient);
  Tensor dx = gradient_of(g, choice.geometry, choice.x_shape);
  write_scatter(g, choice, dx, 0);
  if (recording(g))
    record("max_pool2d_scatter", dx, {g}, [choice](Backward& b) { b.set(0, gather(b.grad(), choice)); });
  return dx;
}

Tensor gather(const Tensor& input, const Choice& choice) {
  const Tensor x = laid_out_for(choice.geometry, input);
  Tensor y = result_of(x, choice.geometry);
  backend(x).pool2d.max_gather(x.dtype(), choice.geometry, raw(x), choice.index(), raw(y), stream(x));
  if (recording(x))
    record("max_pool2d_gather", y, {x}, [choice](Backward& b) { b.set(0, scatter(b.grad(), choice)); });
  return y;
}

Tensor average(const char* op, const Tensor& x, const Pool2dGeometry& geometry);

void write_spread(const Tensor& g, const Pool2dGeometry& geometry, const Tensor& dx, int beta) {
  backend(g).pool2d.average_backward(g.dtype(), geometry, raw(g), {raw(dx), beta}, stream(g));
}

/// Each gradient in equal shares over its window.
Tensor spread(const char* op, const Tensor& gradient, const Pool2dGeometry& geometry, const Shape& x_shape) {
  const Tensor g = laid_out_for(geometry, gradient);
  Tensor dx = gradient_of(g, geometry, x_shape);
  write_spread(g, geometry, dx, 0);
  if (recording(g))
    record(op, dx, {g}, [op, geometry](Backward& b) { b.set(0, average(op, b.grad(), geometry)); });
  return dx;
}

void note_windows(const Pool2dGeometry& geometry) {
  if (autograd::tracing == nullptr) return;
  std::vector<std::int64_t> windows;
  for (const kernels::PoolAxis& axis : {geometry.rows, geometry.columns})
    windows.insert(windows.end(), {axis.kernel, axis.stride, axis.padding, axis.outputs, axis.size});
  autograd::tracing->note("windows", std::move(windows));
}

/// Of channels-last planes whose elements are one window: a sum of rows.
void write_means(const Tensor& x, const Tensor& y) {
  const std::int64_t channels = x.size(1), pixels = x.size(2) * x.size(3);
  kernels::ReduceArgs args;
  args.kept = kernels::make_layout({x.size(0), channels}, {{pixels * channels, 1}});
  args.reduced = kernels::make_layout({pixels}, {{channels}});
  args.in = raw(x);
  args.out = raw(y);
  args.scale = 1.0 / static_cast<double>(pixels);
  backend(x).reduce.sum(x.dtype(), args, stream(x));
}

bool is_one_window(const PoolAxis& axis) {
  return axis.outputs == 1 && axis.begin(0) == 0 && axis.end(0) == axis.size && axis.counted(0) == axis.size;
}

Tensor average(const char* op, const Tensor& input, const Pool2dGeometry& geometry) {
  if (is_half_on_cpu(input)) return in_float32(average, op, input, geometry);
  const Tensor x = laid_out_for(geometry, input);
  Tensor y = result_of(x, geometry);
  if (is_channels_last(geometry) && is_one_window(geometry.rows) && is_one_window(geometry.columns))
    write_means(x, y);
  else
    backend(x).pool2d.average(x.dtype(), geometry, raw(x), raw(y), stream(x));
  if (recording(x)) {
    note_windows(geometry);
    record(op, y, {x}, [op, geometry, shape = x.shape()](Backward& b) {
      if (b.create_graph()) return b.set(0, spread(op, b.grad(), geometry, shape));
      const Tensor g = laid_out_for(geometry, b.grad());
      b.write(
          0, shape, g.dtype(), g.device(),
          [&](const Tensor& dx, int beta) { write_spread(g, geometry, dx, beta); },
          is_channels_last(geometry));
    });
  }
  return y;
}

}  // namespace

Tensor max_pool2d(const Tensor& input, Size2 kernel, const Pool2dOptions& options) {
  Pool2dGeometry geometry = window_geometry("max_pool2d", input, kernel, options);
  if (is_half_on_cpu(input)) return in_float32(MP_OP(max_pool2d), input, kernel, options);
  const DType index_dtype = kernel.height * kernel.width <= 256 ? uint8 : int32;
  if (index_dtype != uint8) geometry.channels = 0;
  const Tensor x = laid_out_for(geometry, input);
  Tensor y = result_of(x, geometry);
  const bool recorded = recording(x);
  const Tensor elements = recorded ? make_tensor(y.shape(), index_dtype, x.device()) : Tensor{};
  const PoolIndex index{recorded ? raw(elements) : nullptr, index_dtype};
  backend(x).pool2d.max(x.dtype(), geometry, raw(x), raw(y), index, stream(x));
  if (recorded) {
    note_windows(geometry);
    record("max_pool2d", y, {x}, [choice = Choice{geometry, x.shape(), elements}](Backward& b) {
      if (b.create_graph()) return b.set(0, scatter(b.grad(), choice));
      const Tensor g = laid_out_for(choice.geometry, b.grad());
      b.write(
          0, choice.x_shape, g.dtype(), g.device(),
          [&](const Tensor& dx, int beta) { write_scatter(g, choice, dx, beta); },
          is_channels_last(choice.geometry));
    });
  }
  return y;
}

Tensor avg_pool2d(const Tensor& x, Size2 kernel, const Pool2dOptions& options) {
  return average("avg_pool2d", x, window_geometry("avg_pool2d", x, kernel, options));
}

Tensor adaptive_avg_pool2d(const Tensor& x, Size2 output) {
  const char* op = "adaptive_avg_pool2d";
  check_input(op, x);
  check(output.height > 0 && output.width > 0, op, ": got output ", text(output), "; it must be at least 1");
  check(x.size(2) > 0 && x.size(3) > 0, op, ": input of shape ", x.shape(),
        " has no pixels; height and width must be at least 1");
  return average(op, x,
                 {.planes = x.size(0) * x.size(1),
                  .rows = {x.size(2), output.height, 0, 0, 0},
                  .columns = {x.size(3), output.width, 0, 0, 0},
                  .channels = x.impl()->channels_last ? x.size(1) : 0});
}

}  // namespace miniparallel

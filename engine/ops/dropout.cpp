#include "engine/ops/dropout.h"

#include "engine/ops/native_half.h"
#include "engine/random/generator.h"

namespace miniparallel {

void check_probability(const char* op, double p) {
  check(p >= 0 && p <= 1, op, ": got the probability ", p, "; it must be in [0, 1]");
}

namespace {

/// x and y lie alike, in either layout.
void write_masked(const Tensor& x, const kernels::DropoutMask& mask, const kernels::Destination& y) {
  kernels::DropoutArgs args{raw(x), y, x.numel(), mask};
  if (x.impl()->channels_last) args.channels = x.size(1), args.pixels = x.size(2) * x.size(3);
  backend(x).random.dropout(x.dtype(), args, stream(x));
}

}  // namespace

/// Linear and its own backward: nothing is saved, the mask is drawn again.
Tensor masked_scale(const Tensor& x, const kernels::DropoutMask& mask) {
  if (is_half_on_cpu(x)) return in_float32(masked_scale, x, mask);
  const Tensor input = x.impl()->channels_last ? x : x.contiguous();
  Tensor y = result_laid_as(input);
  write_masked(input, mask, {raw(y)});
  if (recording(x))
    record("dropout", y, {x}, [mask, channels_last = input.impl()->channels_last](Backward& b) {
      if (b.create_graph()) return b.set(0, masked_scale(b.grad(), mask));
      const Tensor g = laid_out(channels_last, b.take_grad());
      b.write_over(0, g, [&](const Tensor& dx, int beta) { write_masked(g, mask, {raw(dx), beta}); });
    });
  return y;
}

Tensor dropout(const Tensor& x, double p, bool training) {
  check_defined("dropout", x);
  check_floating("dropout", x);
  check_probability("dropout", p);
  if (!training || p == 0) return x;
  if (p == 1) return masked_fill(x, full({}, true, {.device = x.device()}), 0);
  return masked_scale(x, {p, next_random_key(x.numel(), x.device())});
}

namespace {

/// One number for each channel.
Tensor channel_dropout(const char* op, const Tensor& x, double p, bool training) {
  check_floating(op, x);
  check_probability(op, p);
  if (is_half(x)) return in_float32(channel_dropout, op, x, p, training);
  if (!training || p == 0) return x;
  Shape channels = Shape::filled(x.dim(), 1);
  channels[0] = x.size(0);
  channels[1] = x.size(1);
  return x * dropout(ones(channels, {.dtype = x.dtype(), .device = x.device()}), p);
}

}  // namespace

Tensor dropout2d(const Tensor& x, double p, bool training) {
  check_defined("dropout2d", x);
  check(x.dim() == 3 || x.dim() == 4, "dropout2d: got shape ", x.shape(),
        "; it must be (n, channels, height, width) or (n, channels, length)");
  return channel_dropout("dropout2d", x, p, training);
}

Tensor dropout3d(const Tensor& x, double p, bool training) {
  check_defined("dropout3d", x);
  check(x.dim() == 5, "dropout3d: got shape ", x.shape(), "; it must be (n, channels, depth, height, width)");
  return channel_dropout("dropout3d", x, p, training);
}

}  // namespace miniparallel

#include <miniparallel/cuda.h>

#include "engine/ops/autocast.h"
#include "engine/ops/matrix.h"
#include "kernels/tf32.h"

#include <algorithm>

namespace miniparallel {
namespace {

/// The two matrix dimensions swapped.
Tensor swapped(const Tensor& x) { return x.transpose(-2, -1); }

Shape leading(const Shape& shape) { return {shape.begin(), shape.end() - 2}; }

Shape with_matrix(Shape shape, std::int64_t rows, std::int64_t columns) {
  shape.push_back(rows);
  shape.push_back(columns);
  return shape;
}

/// Strides of the leading dimensions of `x`, seen with those of a result: 0 where it repeats.
Shape batch_strides(const Tensor& x, const Shape& batch) {
  const Shape all = broadcast_strides(x, with_matrix(batch, x.size(-2), x.size(-1)));
  return leading(all);
}

void check_operands(const char* op, const Tensor& a, const Tensor& b) {
  check_defined(op, a);
  check_defined(op, b);
  check_same_device(op, {a, b});
  check_floating(op, a);
  check_floating(op, b);
  check_same_dtype(op, {a, b});
}

/// Gradient of one operand, `a` times `b`, where the operand has the batch dimensions of the product.
void write_product(Backward& b, int input, const Tensor& like, const Tensor& left, const Tensor& right) {
  b.write(input, like.shape(), like.dtype(), like.device(),
          [&](const Tensor& destination, int beta) { multiply_into(destination, left, right, beta); });
}

void set_product(Backward& b, int input, const Tensor& like, const Tensor& left, const Tensor& right) {
  if (!b.needs(input)) return;
  const bool same_batch = leading(like.shape()) == leading(b.grad().shape());
  if (!same_batch)
    b.set(input, sum_to(matmul(widened(left), widened(right)), like.shape()).to(like.dtype()));
  else if (b.create_graph())
    b.set(input, matmul(left, right));
  else
    write_product(b, input, like, left, right);
}

/// Both have at least two dimensions.
Tensor matrix_product(const Tensor& a, const Tensor& b) {
  const std::optional<Shape> batch = broadcast_sizes(leading(a.shape()), leading(b.shape()));
  check(batch.has_value(), "matmul: the leading dimensions of ", a.shape(), " and ", b.shape(),
        " do not broadcast; their sizes must be equal or one of them 1");
  Tensor c = make_tensor(with_matrix(*batch, a.size(-2), b.size(-1)), a.dtype(), a.device());
  multiply_into(c, a, b, 0);
  if (recording(a, b))
    record("matmul", c, {a, b}, [a = save(a), b = save(b)](Backward& backward) {
      const Tensor left = a.get(backward), right = b.get(backward), g = backward.grad();
      set_product(backward, 0, left, g, swapped(right));
      set_product(backward, 1, right, swapped(left), g);
    });
  return c;
}

}  // namespace

void set_allow_tf32(bool allow) { kernels::tf32_is_allowed.store(allow, std::memory_order_relaxed); }
bool allow_tf32() { return kernels::tf32_is_allowed.load(std::memory_order_relaxed); }

MatrixOperand matrix_operand(const Tensor& x) {
  const std::int64_t rows = x.size(-2), columns = x.size(-1);
  if (x.numel() == 0)  // no stride matters, and no copy would change it
    return {x, {raw(x), std::max<std::int64_t>(columns, 1), false}};
  const std::int64_t row_stride = x.strides()[x.dim() - 2], column_stride = x.strides()[x.dim() - 1];
  if ((column_stride == 1 || columns <= 1) && (row_stride >= columns || rows <= 1))
    return {x, {raw(x), std::max<std::int64_t>(rows <= 1 ? columns : row_stride, 1), false}};
  if ((row_stride == 1 || rows <= 1) && (column_stride >= rows || columns <= 1))
    return {x, {raw(x), std::max<std::int64_t>(columns <= 1 ? rows : column_stride, 1), true}};
  return matrix_operand(x.contiguous());
}

void multiply_into(const Tensor& c, const Tensor& a, const Tensor& b, int beta, const Epilogue& epilogue) {
  const MatrixOperand left = matrix_operand(a), right = matrix_operand(b);
  const Tensor bias = epilogue.bias.defined() ? epilogue.bias.contiguous() : Tensor();
  const Shape batch = leading(c.shape());
  kernels::MatmulArgs args;
  args.rows = c.size(-2);
  args.columns = c.size(-1);
  args.inner = a.size(-1);
  args.a = left.matrix;
  args.b = right.matrix;
  args.c = raw(c);
  args.c_stride = args.columns;
  args.beta = beta;
  args.bias = bias.defined() ? raw(bias) : nullptr;
  args.activation = epilogue.activation;
  args.pre_activation = epilogue.pre_activation.defined() ? raw(epilogue.pre_activation) : nullptr;
  args.allow_tf32 = allow_tf32();
  args.batch =
      kernels::make_layout(batch, {leading(c.shape().row_major_strides()), batch_strides(left.tensor, batch),
                                   batch_strides(right.tensor, batch)});
  backend(c).matmul.multiply(c.dtype(), args, stream(c));
}

Tensor matmul(const Tensor& a, const Tensor& b) {
  MP_AUTOCAST(matmul, a, b);
  check_operands("matmul", a, b);
  if (is_half(a) && !multiplies_halves(a)) return in_float32(MP_OP(matmul), a, b);
  check(a.dim() > 0 && b.dim() > 0, "matmul: got shapes ", a.shape(), " and ", b.shape(),
        "; both need at least one dimension, use * for a scalar");
  const std::int64_t inner = b.size(b.dim() == 1 ? 0 : -2);
  check(a.size(-1) == inner, "matmul: the inner sizes of ", a.shape(), " and ", b.shape(), " differ, ",
        a.size(-1), " and ", inner, "; transpose or reshape one of them");
  if (a.dim() == 1) return matmul(a.unsqueeze(0), b).squeeze(b.dim() == 1 ? 0 : -2);
  if (b.dim() == 1) return matmul(a, b.unsqueeze(1)).squeeze(-1);
  if (a.dim() > 2 && b.dim() == 2) {  // one large product instead of many small ones
    Shape shape = a.shape();
    shape[a.dim() - 1] = b.size(1);
    return matrix_product(a.reshape({leading(a.shape()).numel() * a.size(-2), inner}), b).view(shape);
  }
  return matrix_product(a, b);
}

}  // namespace miniparallel

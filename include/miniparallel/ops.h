#pragma once

#include <miniparallel/activation.h>
#include <miniparallel/convolution.h>
#include <miniparallel/elementwise.h>
#include <miniparallel/index.h>
#include <miniparallel/losses.h>
#include <miniparallel/tensor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

/// Differentiable functions of tensors. Shapes broadcast and dtypes promote
/// as in NumPy and PyTorch; the result lives on the device of the arguments,
/// which must agree (a CPU tensor with no dimensions goes with any device).
///
/// A function throws `Error`, which names it and what it got, where an argument is undefined, shapes do not
/// fit, devices differ, a dtype is not taken or an option is out of its range. Computing ops take floating
/// dtypes; arithmetic, comparison and reductions take integers and bool too. Of float16 and bfloat16 all is
/// computed in float32, sums included, and each result is rounded once.

namespace miniparallel {

// --- the operators of the functions in elementwise.h

inline Tensor operator+(const Tensor& a, const Tensor& b) { return add(a, b); }
inline Tensor operator-(const Tensor& a, const Tensor& b) { return sub(a, b); }
inline Tensor operator*(const Tensor& a, const Tensor& b) { return mul(a, b); }
inline Tensor operator/(const Tensor& a, const Tensor& b) { return div(a, b); }
inline Tensor operator+(const Tensor& a, Scalar b) { return add(a, b); }
inline Tensor operator-(const Tensor& a, Scalar b) { return sub(a, b); }
inline Tensor operator*(const Tensor& a, Scalar b) { return mul(a, b); }
inline Tensor operator/(const Tensor& a, Scalar b) { return div(a, b); }
inline Tensor operator+(Scalar a, const Tensor& b) { return add(b, a); }
inline Tensor operator*(Scalar a, const Tensor& b) { return mul(b, a); }
Tensor operator-(Scalar a, const Tensor& b);
Tensor operator/(Scalar a, const Tensor& b);
Tensor operator-(const Tensor& x);

#define MINIPARALLEL_DEFINE(name, op)                                                \
  inline Tensor operator op(const Tensor& a, const Tensor& b) { return name(a, b); } \
  inline Tensor operator op(const Tensor& a, Scalar b) { return name(a, b); }
MINIPARALLEL_COMPARE(MINIPARALLEL_DEFINE)
#undef MINIPARALLEL_DEFINE
inline Tensor operator==(Scalar a, const Tensor& b) { return eq(b, a); }
inline Tensor operator!=(Scalar a, const Tensor& b) { return ne(b, a); }
inline Tensor operator<(Scalar a, const Tensor& b) { return gt(b, a); }
inline Tensor operator<=(Scalar a, const Tensor& b) { return ge(b, a); }
inline Tensor operator>(Scalar a, const Tensor& b) { return lt(b, a); }
inline Tensor operator>=(Scalar a, const Tensor& b) { return le(b, a); }

// --- masks: bool tensors. `logical_and` and its like take any dtype and give bool; the operators are those
// of bits, `bitwise_and` and its like, of integers too.

Tensor logical_and(const Tensor& a, const Tensor& b);
Tensor logical_or(const Tensor& a, const Tensor& b);
Tensor logical_xor(const Tensor& a, const Tensor& b);
Tensor logical_not(const Tensor& x);
Tensor operator&(const Tensor& a, const Tensor& b);
Tensor operator|(const Tensor& a, const Tensor& b);
Tensor operator^(const Tensor& a, const Tensor& b);
Tensor operator&(const Tensor& a, Scalar b);
Tensor operator|(const Tensor& a, Scalar b);
Tensor operator^(const Tensor& a, Scalar b);
Tensor operator~(const Tensor& x);
inline Tensor operator!(const Tensor& mask) { return logical_not(mask); }

/// |a - b| <= atol + rtol * |b|, broadcast, NaN unequal, an infinity close to itself alone: bool.
Tensor isclose(const Tensor& a, const Tensor& b, double rtol = 1e-5, double atol = 1e-8);
/// Whether `isclose` holds for every element. Waits for a GPU.
bool allclose(const Tensor& a, const Tensor& b, double rtol = 1e-5, double atol = 1e-8);
/// Same shape, dtype and elements, NaN unequal. Waits for a GPU.
bool equal(const Tensor& a, const Tensor& b);

// --- bounds and choice

/// Dtypes promote; NaN everywhere where a bound is NaN. The gradient passes between the bounds; at them, as
/// in PyTorch since 2.15, and at NaN it is 0.
Tensor clamp(const Tensor& x, Scalar low, Scalar high);
Tensor clamp_min(const Tensor& x, Scalar low);
Tensor clamp_max(const Tensor& x, Scalar high);
/// Bounds that broadcast; an undefined one is none. minimum(maximum(x, low), high), with their gradients.
Tensor clamp(const Tensor& x, const Tensor& low, const Tensor& high);
/// Elements of `a` where `condition`, which is bool, else of `b`; all three broadcast.
Tensor where(const Tensor& condition, const Tensor& a, const Tensor& b);
Tensor where(const Tensor& condition, const Tensor& a, Scalar b);
Tensor where(const Tensor& condition, Scalar a, const Tensor& b);
Tensor where(const Tensor& condition, Scalar a, Scalar b);
/// `value` where `mask`, which is bool, else elements of `x`; both broadcast.
Tensor masked_fill(const Tensor& x, const Tensor& mask, Scalar value);

// --- made of the functions in elementwise.h: some passes over memory each. Floating where nothing else is
// said.

Tensor asinh(const Tensor& x);       ///< integers give `default_dtype`, as in the next two
Tensor acosh(const Tensor& x);       ///< NaN below 1
Tensor atanh(const Tensor& x);       ///< infinite at 1 and -1, NaN beyond
Tensor tanhshrink(const Tensor& x);  ///< x - tanh(x)
/// x, or 0 from -lambda to lambda; lambda at least 0.
Tensor hardshrink(const Tensor& x, double lambda = 0.5);
/// x nearer to 0 by lambda, at least 0, and 0 from -lambda to lambda.
Tensor softshrink(const Tensor& x, double lambda = 0.5);
Tensor threshold(const Tensor& x, double limit, double value);  ///< x where above `limit`, else `value`
Tensor frac(const Tensor& x);                                   ///< x - trunc(x)
/// log(x / (1 - x)), the inverse of `sigmoid`; with an eps above 0 of x between eps and 1 - eps.
Tensor logit(const Tensor& x, double eps = 0);
Tensor sinc(const Tensor& x);     ///< sin(pi x) / (pi x); 1 at 0, both derivatives of which are given as 0
Tensor deg2rad(const Tensor& x);  ///< integers give `default_dtype`, as in `rad2deg`
Tensor rad2deg(const Tensor& x);
Tensor signbit(const Tensor& x);   ///< bool: below 0, or the zero that is written -0; any dtype
Tensor isposinf(const Tensor& x);  ///< bool; false for integers
Tensor isneginf(const Tensor& x);  ///< likewise
/// NaN and the infinities as numbers; the latter, where not given, as the largest of the dtype.
Tensor nan_to_num(const Tensor& x, double nan = 0, std::optional<double> posinf = {},
                  std::optional<double> neginf = {});
Tensor logaddexp2(const Tensor& a, const Tensor& b);  ///< log2(2^a + 2^b) without overflow
Tensor copysign(const Tensor& a, const Tensor& b);    ///< |a| with the sign of b, of -0 too
Tensor fmax(const Tensor& a, const Tensor& b);        ///< `maximum`, but a number where one side is NaN
Tensor fmin(const Tensor& a, const Tensor& b);        ///< likewise; `a` has the gradient where equal
/// 0 below 0, 1 above, `values` at 0; one dtype, any that computes. No gradient.
Tensor heaviside(const Tensor& x, const Tensor& values);

// --- reductions: over `dims`, which count from the end where negative, each named once; over all of them
// when empty. They are dropped from the shape or, with `keepdim`, have size 1. amax, amin and argmax throw
// `Error` over no elements at all.

Tensor sum(const Tensor& x, const Shape& dims = {},
           bool keepdim = false);  ///< integers and bool sum in int64
/// Integers and bool give `default_dtype`; NaN over no elements.
Tensor mean(const Tensor& x, const Shape& dims = {}, bool keepdim = false);
/// Mean squared deviation from the mean, with n - 1 in place of n where `unbiased`; floating only.
Tensor var(const Tensor& x, const Shape& dims = {}, bool unbiased = true, bool keepdim = false);
/// The square root of `var`; gradient 0 where it is 0.
Tensor std(const Tensor& x, const Shape& dims = {}, bool unbiased = true, bool keepdim = false);
Tensor amax(const Tensor& x, const Shape& dims = {},
            bool keepdim = false);  ///< equal maxima share the gradient evenly; NaN to all where one is NaN
Tensor amin(const Tensor& x, const Shape& dims = {}, bool keepdim = false);
/// Where the first maximum is: int64, along `dim`, or in row-major order of the whole tensor. No gradient.
Tensor argmax(const Tensor& x, std::optional<int> dim = {}, bool keepdim = false);
Tensor argmin(const Tensor& x, std::optional<int> dim = {}, bool keepdim = false);  ///< likewise
Tensor max(const Tensor& x);  ///< `amax` of all elements
Tensor min(const Tensor& x);  ///< `amin` of all elements
/// The maximum along `dim` and where it first is; it gets the whole gradient.
ValuesAndIndices max(const Tensor& x, int dim, bool keepdim = false);
ValuesAndIndices min(const Tensor& x, int dim, bool keepdim = false);  ///< likewise
/// Whether an element is not 0; NaN is not. bool; false of nothing.
Tensor any(const Tensor& x, const Shape& dims = {}, bool keepdim = false);
/// Whether no element is 0. bool; true of nothing.
Tensor all(const Tensor& x, const Shape& dims = {}, bool keepdim = false);
Tensor count_nonzero(const Tensor& x, const Shape& dims = {});                  ///< int64
Tensor nansum(const Tensor& x, const Shape& dims = {}, bool keepdim = false);   ///< `sum` without NaN
Tensor nanmean(const Tensor& x, const Shape& dims = {}, bool keepdim = false);  ///< `mean` without NaN
/// (sum |a - b|^p)^(1 / p) of all elements.
Tensor dist(const Tensor& a, const Tensor& b, double p = 2);
/// The product; integers and bool multiply in int64. Its gradient is right for zeros too.
Tensor prod(const Tensor& x, const Shape& dims = {}, bool keepdim = false);
/// (sum |x|^p)^(1 / p); for p infinite or minus infinite the largest or smallest |x|, for 0 the number of
/// elements that are not 0. Gradient 0 where the norm is 0, and of elements that are 0; floating only.
Tensor norm(const Tensor& x, double p = 2, const Shape& dims = {}, bool keepdim = false);
/// log(sum(exp(x))), of x less its maximum, so that exp cannot overflow; of nothing minus infinity.
Tensor logsumexp(const Tensor& x, const Shape& dims, bool keepdim = false);
/// `var` and `mean`.
std::pair<Tensor, Tensor> var_mean(const Tensor& x, const Shape& dims = {}, bool unbiased = true,
                                   bool keepdim = false);

// --- along a dimension: results have the shape of x; integers and bool add and multiply in int64

Tensor cumsum(const Tensor& x, int dim);   ///< of the elements up to each
Tensor cumprod(const Tensor& x, int dim);  ///< likewise; its gradient is right for zeros too
/// In ascending order, or descending, equal elements in the order they had; NaN is greater than every number.
ValuesAndIndices sort(const Tensor& x, int dim = -1, bool descending = false);
Tensor argsort(const Tensor& x, int dim = -1, bool descending = false);  ///< the indices of `sort`
/// The first k of `sort`, largest first, or smallest.
ValuesAndIndices topk(const Tensor& x, std::int64_t k, int dim = -1, bool largest = true);

/// The middle one in order, of an even number the lower of the two; NaN where there is one. As in `sort` the
/// first of equal ones, which gets the gradient.
Tensor median(const Tensor& x);
ValuesAndIndices median(const Tensor& x, int dim, bool keepdim = false);
/// The k-th smallest, counted from 1.
ValuesAndIndices kthvalue(const Tensor& x, std::int64_t k, int dim = -1, bool keepdim = false);
/// The value below which a share q of the elements lies, between two of them by linear interpolation; q in
/// [0, 1]. Along `dim` or of all; NaN where one is NaN. Floating only.
Tensor quantile(const Tensor& x, double q, std::optional<int> dim = {}, bool keepdim = false);
Tensor msort(const Tensor& x);  ///< the values of `sort` along dimension 0
/// Differences of neighbours along `dim`, n times.
Tensor diff(const Tensor& x, std::int64_t n = 1, int dim = -1);
/// The integral of y along `dim` by trapezoids, dx apart.
Tensor trapezoid(const Tensor& y, double dx = 1, int dim = -1);
Tensor cumulative_trapezoid(const Tensor& y, double dx = 1, int dim = -1);  ///< up to each but the first

/// How many of the elements of `sorted`, a vector in ascending order, are below each value (`right`: not
/// above it): int64, of the shape of `values`. Made of comparisons of all with all.
Tensor searchsorted(const Tensor& sorted, const Tensor& values, bool right = false);
Tensor bucketize(const Tensor& values, const Tensor& boundaries, bool right = false);  ///< the same
/// Whether each element is one of `values`: bool. Made of comparisons of all with all.
Tensor isin(const Tensor& x, const Tensor& values);

// --- views and parts, as the members that tensor.h describes

inline Tensor reshape(const Tensor& x, const Shape& shape) { return x.reshape(shape); }
inline Tensor flatten(const Tensor& x, int start_dim = 0, int end_dim = -1) {
  return x.flatten(start_dim, end_dim);
}
inline Tensor transpose(const Tensor& x, int dim0, int dim1) { return x.transpose(dim0, dim1); }
inline Tensor t(const Tensor& x) { return x.t(); }
inline Tensor permute(const Tensor& x, const Shape& dims) { return x.permute(dims); }
inline Tensor narrow(const Tensor& x, int dim, std::int64_t start, std::int64_t length) {
  return x.narrow(dim, start, length);
}
inline Tensor select(const Tensor& x, int dim, std::int64_t index) { return x.select(dim, index); }
inline Tensor squeeze(const Tensor& x) { return x.squeeze(); }
inline Tensor squeeze(const Tensor& x, int dim) { return x.squeeze(dim); }
inline Tensor unsqueeze(const Tensor& x, int dim) { return x.unsqueeze(dim); }
inline std::vector<Tensor> chunk(const Tensor& x, std::int64_t chunks, int dim = 0) {
  return x.chunk(chunks, dim);
}
inline std::vector<Tensor> split(const Tensor& x, std::int64_t size, int dim = 0) {
  return x.split(size, dim);
}
inline std::vector<Tensor> split(const Tensor& x, const Shape& sizes, int dim = 0) {
  return x.split(sizes, dim);
}

inline Tensor broadcast_to(const Tensor& x, const Shape& shape) { return x.broadcast_to(shape); }
inline Tensor movedim(const Tensor& x, const Shape& source, const Shape& destination) {
  return x.movedim(source, destination);
}
inline Tensor diagonal(const Tensor& x, std::int64_t offset = 0, int dim1 = 0, int dim2 = 1) {
  return x.diagonal(offset, dim1, dim2);
}
inline std::vector<Tensor> unbind(const Tensor& x, int dim = 0) { return x.unbind(dim); }

inline Tensor unflatten(const Tensor& x, int dim, const Shape& sizes) { return x.unflatten(dim, sizes); }
inline std::vector<Tensor> tensor_split(const Tensor& x, std::int64_t sections, int dim = 0) {
  return x.tensor_split(sections, dim);
}
inline Tensor ravel(const Tensor& x) { return x.ravel(); }
Tensor atleast_1d(const Tensor& x);  ///< with dimensions of size 1 before its own, up to so many
Tensor atleast_2d(const Tensor& x);
Tensor atleast_3d(const Tensor& x);  ///< of a vector (1, n, 1), of a matrix (n, m, 1)
/// `tensor_split` along dimension 1 (of a vector 0), 0 and 2, into equal parts.
std::vector<Tensor> hsplit(const Tensor& x, std::int64_t sections);
std::vector<Tensor> vsplit(const Tensor& x, std::int64_t sections);
std::vector<Tensor> dsplit(const Tensor& x, std::int64_t sections);
/// All of the shape to which they broadcast, as views.
std::vector<Tensor> broadcast_tensors(const std::vector<Tensor>& tensors);

/// The vectors, as views of one shape with a dimension for each, along which it varies.
std::vector<Tensor> meshgrid(const std::vector<Tensor>& vectors);

// --- rearranged copies

/// (..., n, m) with 0 above the diagonal that begins `diagonal` to the right of the first element.
Tensor tril(const Tensor& x, std::int64_t diagonal = 0);
Tensor triu(const Tensor& x, std::int64_t diagonal = 0);  ///< with 0 below it
/// The diagonal of a matrix; of a vector, the matrix that has it there, and 0 elsewhere.
Tensor diag(const Tensor& x, std::int64_t diagonal = 0);
Tensor tile(const Tensor& x, const Shape& repeats);  ///< `repeat` where further numbers are 1
/// Each index of `dim` (of the flattened tensor, when not given) `repeats` times in a row.
Tensor repeat_interleave(const Tensor& x, std::int64_t repeats, std::optional<int> dim = {});
Tensor flip(const Tensor& x, const Shape& dims);  ///< these dimensions backwards
/// Each element `shifts[i]` further along dims[i], from the end to the beginning; of the flattened tensor
/// without dims.
Tensor roll(const Tensor& x, const Shape& shifts, const Shape& dims = {});

Tensor fliplr(const Tensor& x);  ///< dimension 1 backwards
Tensor flipud(const Tensor& x);  ///< dimension 0 backwards
/// Turned k times by a right angle, from the first of two dimensions to the second.
Tensor rot90(const Tensor& x, std::int64_t k = 1, const Shape& dims = {0, 1});
/// The last dimension as a diagonal of two, dim1 and dim2 of the result, and 0 elsewhere.
Tensor diag_embed(const Tensor& x, std::int64_t offset = 0, int dim1 = -2, int dim2 = -1);
Tensor diagflat(const Tensor& x, std::int64_t offset = 0);  ///< `diag` of the flattened tensor
/// The rows and columns of the elements that `tril` and `triu` keep of (rows, columns): int64, (2, how many).
Tensor tril_indices(std::int64_t rows, std::int64_t columns, std::int64_t offset = 0,
                    const TensorOptions& options = {});
Tensor triu_indices(std::int64_t rows, std::int64_t columns, std::int64_t offset = 0,
                    const TensorOptions& options = {});
/// Windows of `size` elements of dimension `dim`, `step` apart, as a last dimension. A copy.
Tensor unfold(const Tensor& x, int dim, std::int64_t size, std::int64_t step);
/// r groups of the channels, dimension 1, as r neighbours each: (n, groups, c, ...) as (n, c, groups, ...).
/// (Zhang et al.: "ShuffleNet", 2018.)
Tensor channel_shuffle(const Tensor& x, std::int64_t groups);

enum class PadMode {
  constant,   ///< the value
  reflect,    ///< ... 2 1 | 0 1 2: less than the size
  replicate,  ///< the nearest element
  circular,   ///< from the other end; at most the size
};
/// Elements added before and after the last dimension, the one before it, ...: {left, right, top, bottom}.
/// Negative numbers take elements away.
Tensor pad(const Tensor& x, const std::vector<std::int64_t>& padding, PadMode mode = PadMode::constant,
           Scalar value = 0);

// --- joining and picking

/// Joins tensors whose shapes differ at most in dimension `dim`, which is the sum of theirs; dtypes promote.
Tensor cat(const std::vector<Tensor>& tensors, int dim = 0);
/// Joins tensors of one shape along a new dimension, `dim` of the result; dtypes promote.
Tensor stack(const std::vector<Tensor>& tensors, int dim = 0);
Tensor hstack(const std::vector<Tensor>& tensors);        ///< `cat` along dimension 1, of vectors along 0
Tensor vstack(const std::vector<Tensor>& tensors);        ///< `cat` along dimension 0, vectors as rows
Tensor dstack(const std::vector<Tensor>& tensors);        ///< `cat` along dimension 2, of `atleast_3d`
Tensor column_stack(const std::vector<Tensor>& tensors);  ///< `cat` along dimension 1, vectors as columns
Tensor block_diag(const std::vector<Tensor>& matrices);   ///< along the diagonal, 0 elsewhere
/// Every choice of one element of each vector: (how many, number of vectors).
Tensor cartesian_prod(const std::vector<Tensor>& vectors);
/// Rows `index` (int64 or int32, one dimension) of dimension `dim`, which has the size of the index in the
/// result. An index out of range is an `Error`, on a GPU at the next `synchronize` or `step`.
Tensor index_select(const Tensor& x, int dim, const Tensor& index);
/// weight (count, width), indices of any shape (int64 or int32) -> indices.shape + (width). Row
/// `padding_idx`, if not negative, gets no gradient. An index out of range: as in `index_select`.
Tensor embedding(const Tensor& weight, const Tensor& indices, std::int64_t padding_idx = -1);
enum class BagMode { mean, sum, max };
struct EmbeddingBagOptions {
  BagMode mode = BagMode::mean;
  std::int64_t padding_idx = -1;   ///< this row counts in no bag, if not negative
  Tensor per_sample_weights = {};  ///< of the indices' shape: factors; mode `sum` only
};
/// Rows of weight (count, width) brought together by bag: indices (bags, length), or (n) with the first of
/// each bag in `offsets` (bags), all int64 or int32 -> (bags, width). An empty bag gives 0. The `offsets` are
/// read by the host, which waits for a GPU.
Tensor embedding_bag(const Tensor& weight, const Tensor& indices, const Tensor& offsets = {},
                     const EmbeddingBagOptions& options = {});
/// y[i][j] = x[index[i][j]][j] for dim 0, and so on: the shape of `index` (int64 or int32), whose sizes
/// outside `dim` are at most x's. An index out of range: as in `index_select`, here and in what follows.
Tensor gather(const Tensor& x, int dim, const Tensor& index);
/// The same with shapes that broadcast outside `dim`.
Tensor take_along_dim(const Tensor& x, const Tensor& index, int dim);
/// x with y[index[i][j]][j] = source[i][j] for dim 0, and so on; of equal indices the last counts, and
/// has the gradient. Sizes of `index` are at most those of `source`, which has the dtype of x, and outside
/// `dim` those of x.
Tensor scatter(const Tensor& x, int dim, const Tensor& index, const Tensor& source);
Tensor scatter(const Tensor& x, int dim, const Tensor& index, Scalar value);
/// The same with +=: of equal indices all count, in their order; floating only.
Tensor scatter_add(const Tensor& x, int dim, const Tensor& index, const Tensor& source);
/// x with alpha times row i of `source` added to row index[i] of dimension `dim`; floating only.
Tensor index_add(const Tensor& x, int dim, const Tensor& index, const Tensor& source, Scalar alpha = 1);

/// NumPy's x[...], one `Index` after the other for x's dimensions; what they leave stays whole. A view where
/// there are numbers and ranges alone. Indices and masks give a copy: they broadcast to one shape, which
/// takes the place of their dimensions where these are neighbours, else comes first. Indices below 0 count
/// from the end. A mask waits for a GPU, as `nonzero` does.
///
///   index(x, {0, Ellipsis{}, Range{1, 3}});  // x[0, ..., 1:3]
///   x[{Range{}, tensor({2, 0})}];          // x[:, [2, 0]]
///   x[x < 0];
Tensor index(const Tensor& x, const std::vector<Index>& indices);
/// x with `values` at these places: see `Tensor::index_put_`.
Tensor index_put(const Tensor& x, const std::vector<Index>& indices, const Tensor& values,
                 bool accumulate = false);
/// x with `value` at the places `index` of dimension `dim`.
Tensor index_fill(const Tensor& x, int dim, const Tensor& index, Scalar value);
/// x with row i of `source` at place index[i] of dimension `dim`; of equal ones the last counts.
Tensor index_copy(const Tensor& x, int dim, const Tensor& index, const Tensor& source);
/// Elements of the flattened tensor: the shape of `index`.
Tensor take(const Tensor& x, const Tensor& index);
/// x with `source` in place of `x.select(dim, index)`, of `x.slice(...)`, of `x.diagonal(...)`.
Tensor select_scatter(const Tensor& x, const Tensor& source, int dim, std::int64_t index);
Tensor slice_scatter(const Tensor& x, const Tensor& source, int dim, std::int64_t start, std::int64_t stop,
                     std::int64_t step = 1);
Tensor diagonal_scatter(const Tensor& x, const Tensor& source, std::int64_t offset = 0, int dim1 = 0,
                        int dim2 = 1);
/// x with the elements of `source`, in row-major order, where `mask`, which is bool and broadcasts to x, is
/// true; there must be as many, `Error` on the CPU, on a GPU an index out of range.
Tensor masked_scatter(const Tensor& x, const Tensor& mask, const Tensor& source);

// --- results whose size depends on the elements: they wait for a GPU

/// The elements where `mask`, which is bool and broadcasts with x, in row-major order; one dimension.
Tensor masked_select(const Tensor& x, const Tensor& mask);
/// The indices of the elements that are not 0: int64, (how many, x.dim()).
Tensor nonzero(const Tensor& x);
Tensor argwhere(const Tensor& x);  ///< the same
/// The different elements in ascending order, where each element of x stands among them, of x's shape, and
/// how often it occurs: both int64. No gradient; of floating dtypes each NaN by itself.
struct UniqueElements {
  Tensor values, inverse, counts;
};
UniqueElements unique(const Tensor& x);
UniqueElements unique_consecutive(const Tensor& x);  ///< runs of equal elements of the flattened tensor
/// How often 0, 1, ... are in x, integers at least 0 in one dimension, or the sum of their weights: int64, or
/// the dtype of the weights, float64 where that is not floating. At least `minlength` numbers.
Tensor bincount(const Tensor& x, const Tensor& weights = {}, std::int64_t minlength = 0);
/// 1 at [..., x[...]] of a new last dimension, 0 elsewhere: int64. Its size is `num_classes`, with which
/// nothing waits, or one more than the greatest index.
Tensor one_hot(const Tensor& x, std::int64_t num_classes = -1);

// --- linear algebra

/// (..., n, k) x (..., k, m) -> (..., n, m); leading dimensions broadcast; a vector (k) on either side is a
/// row or a column, which the result drops. One floating dtype.
Tensor matmul(const Tensor& a, const Tensor& b);
// The same for operands of certain dimensions; others are an `Error`.
Tensor mm(const Tensor& a, const Tensor& b);            ///< two matrices
Tensor bmm(const Tensor& a, const Tensor& b);           ///< (count, n, k) x (count, k, m)
Tensor mv(const Tensor& matrix, const Tensor& vector);  ///< matrix and vector
Tensor dot(const Tensor& a, const Tensor& b);           ///< two vectors
Tensor outer(const Tensor& a, const Tensor& b);         ///< (n), (m) -> a[i] b[j], any dtype that computes
/// beta x + alpha a b, `mm` of the latter; x broadcasts, and does not count for a beta of 0.
Tensor addmm(const Tensor& x, const Tensor& a, const Tensor& b, Scalar beta = 1, Scalar alpha = 1);
Tensor baddbmm(const Tensor& x, const Tensor& a, const Tensor& b, Scalar beta = 1,
               Scalar alpha = 1);  ///< `bmm` likewise
Tensor addmv(const Tensor& x, const Tensor& matrix, const Tensor& vector, Scalar beta = 1,
             Scalar alpha = 1);  ///< `mv` likewise
Tensor addr(const Tensor& x, const Tensor& a, const Tensor& b, Scalar beta = 1,
            Scalar alpha = 1);  ///< `outer` likewise
/// The same with the sum of `bmm` over its stack.
Tensor addbmm(const Tensor& x, const Tensor& a, const Tensor& b, Scalar beta = 1, Scalar alpha = 1);
Tensor inner(const Tensor& a, const Tensor& b);  ///< sums over the last dimensions; of a number a product
Tensor trace(const Tensor& x);                   ///< the sum of a matrix's diagonal
/// (a.size(0) b.size(0), ...): every product of an element of a with all of b.
Tensor kron(const Tensor& a, const Tensor& b);
/// a x b along `dim`, of size 3; broadcast.
Tensor cross(const Tensor& a, const Tensor& b, int dim = -1);
/// x^i for i from 0 on along a new last dimension, x a vector: (n, count), `count` n when not given.
Tensor vander(const Tensor& x, std::optional<std::int64_t> count = {});
/// The product of several matrices, the first or last of which may be a vector, in the order that takes the
/// fewest multiplications.
Tensor multi_dot(const std::vector<Tensor>& matrices);
/// Sums over the last `dims` dimensions of a with the first of b, or over dims_a[i] with dims_b[i].
Tensor tensordot(const Tensor& a, const Tensor& b, int dims = 2);
Tensor tensordot(const Tensor& a, const Tensor& b, const Shape& dims_a, const Shape& dims_b);
/// Products summed over the letters that the result lacks: "bij,bjk->bik". A letter for each dimension, ...
/// for any number that broadcast, the same letter twice for a diagonal; without -> the letters that occur
/// once, in alphabetical order. Operands are contracted from left to right; one floating dtype.
Tensor einsum(const std::string& equation, const std::vector<Tensor>& operands);
/// x (..., in), weight (out, in), bias (out) or undefined -> activation(x weight^T + bias), (..., out).
Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias = {},
              Activation activation = Activation::none);

// --- softmax; losses.h has the losses

/// exp(x) over its sum along `dim`, of the shape of x,
/// the maximum is subtracted first, so exp cannot overflow.
Tensor softmax(const Tensor& x, int dim);
Tensor softmin(const Tensor& x, int dim);  ///< softmax(-x)
/// The logarithm of `softmax`, more exact than taking it afterwards.
Tensor log_softmax(const Tensor& x, int dim);

// --- normalisation

struct BatchNormOptions {
  bool training = false;
  double momentum = 0.1;                     ///< in [0, 1]: running = (1 - momentum) running + momentum batch
  double eps = 1e-5;                         ///< above 0 in training
  Activation activation = Activation::none;  ///< none or relu: the last step of the op
  Tensor residual = {};                      ///< like x: added before the activation
};
/// x (n, channels, ...): per channel (x - mean) / sqrt(var + eps) * weight + bias. In training mean and
/// biased variance come from the batch and the running statistics are updated in place (variance unbiased);
/// else the running ones are used. weight, bias (channels) and the running pair (channels) may be undefined,
/// the latter while training. Training with one value per channel is an `Error`. A residual and an activation
/// cost no passes over memory of their own, unless gradients flow through the running statistics or GPUs
/// share those of the batch.
Tensor batch_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& running_mean,
                  const Tensor& running_var, const BatchNormOptions& options = {});
/// Normalises over the last `normalized_shape.rank()`
/// dimensions; weight and bias have that shape or are undefined.
Tensor layer_norm(const Tensor& x, const Shape& normalized_shape, const Tensor& weight = {},
                  const Tensor& bias = {}, double eps = 1e-5);
struct AddNormOptions {
  double dropout = 0;  ///< in [0, 1]: the probability with which an element of x is left out; 0 in evaluation
  double eps = 1e-5;
};
/// What a residual connection and the normalisation after it make.
struct AddNorm {
  Tensor y, sum;
};
/// sum = residual + dropout(x), y = layer_norm(sum), for x and a residual of one shape: in one pass over
/// memory on a GPU, and in one back.
AddNorm add_layer_norm(const Tensor& x, const Tensor& residual, const Shape& normalized_shape,
                       const Tensor& weight = {}, const Tensor& bias = {},
                       const AddNormOptions& options = {});
/// x (n, channels, ...): normalised over each of `groups` parts of the channels of an example; weight, bias
/// (channels) or undefined. Made of `layer_norm`, and a pass over memory for each of weight and bias. (Wu,
/// He: "Group normalization", 2018.)
Tensor group_norm(const Tensor& x, std::int64_t groups, const Tensor& weight = {}, const Tensor& bias = {},
                  double eps = 1e-5);
/// The same with a group for each channel, of x (n, channels, ...) with at least three dimensions. (Ulyanov,
/// Vedaldi, Lempitsky: "Instance normalization", 2016.)
Tensor instance_norm(const Tensor& x, const Tensor& weight = {}, const Tensor& bias = {}, double eps = 1e-5);
/// x / sqrt(mean(x^2) + eps) over the last `normalized_shape.rank()` dimensions, times the weight, which has
/// that shape or is undefined; eps: that of the dtype when not given. Made of other ops: some four passes
/// over memory. (Zhang, Sennrich: "Root mean square layer normalization", 2019.)
Tensor rms_norm(const Tensor& x, const Shape& normalized_shape, const Tensor& weight = {},
                std::optional<double> eps = {});

/// x divided by its `norm` along `dim`, at least eps.
Tensor normalize(const Tensor& x, double p = 2, int dim = 1, double eps = 1e-12);
/// x (n, channels, ...) over (k + alpha mean)^beta, the mean of the squares of `size` channels around each,
/// zeros beyond. (Krizhevsky et al.: "ImageNet classification", 2012.)
Tensor local_response_norm(const Tensor& x, std::int64_t size, double alpha = 1e-4, double beta = 0.75,
                           double k = 1);
/// x1 W x2 for each W of the weight (out, in1, in2), plus bias (out) or none: (..., out).
Tensor bilinear(const Tensor& x1, const Tensor& x2, const Tensor& weight, const Tensor& bias = {});

// --- randomness and attention

/// Zeroes elements with probability p and scales the others by 1 / (1 - p); `x` itself when not training.
Tensor dropout(const Tensor& x, double p = 0.5, bool training = true);
/// The same with whole channels of x, (n, channels, h, w) or (n, channels, length).
Tensor dropout2d(const Tensor& x, double p = 0.5, bool training = true);
Tensor dropout3d(const Tensor& x, double p = 0.5, bool training = true);  ///< of (n, channels, d, h, w)
/// Elements become with probability p the value that SELU tends to, and all are so scaled and shifted that
/// mean and variance stay. (Klambauer et al.: "Self-normalizing neural networks", 2017.)
Tensor alpha_dropout(const Tensor& x, double p = 0.5, bool training = true);
/// x, or below 0 x times a slope: random between `lower` and `upper` for each element when training, else
/// their mean. (Xu et al.: "Empirical evaluation of rectified activations", 2015.)
Tensor rrelu(const Tensor& x, double lower = 1.0 / 8, double upper = 1.0 / 3, bool training = false);
/// 1 with the probability that stands there, else 0: of p's shape, dtype and device. `Error` for one outside
/// [0, 1] on the CPU; on a GPU that would wait for the elements.
Tensor bernoulli(const Tensor& p);
Tensor bernoulli(const Tensor& x, double p);  ///< 1 with probability p: of x's shape, dtype and device
/// `num_samples` indices of weights x, (classes) or (rows, classes), floating and at least 0, each drawn with
/// the share that its weight has in its row: int64, (num_samples) or (rows, num_samples). Without
/// `replacement` an index is drawn once; there must be as many weights above 0. Other weights are an `Error`
/// on the CPU alone, as in `bernoulli`.
Tensor multinomial(const Tensor& x, std::int64_t num_samples, bool replacement = false);

struct AttentionOptions {
  bool causal = false;  ///< query i sees keys up to i (rows aligned at the top left, as in PyTorch)
  double dropout = 0;
  std::optional<double> scale = {};  ///< 1 / sqrt(width) when not given
  /// q (..., heads, n, e) may have several times the heads of k and v, each used by as many neighbours in q.
  /// (Ainslie et al.: "GQA", 2023.)
  bool enable_gqa = false;
};
/// softmax(q k^T scale + mask) v for q (..., n, e), k (..., m, e), v (..., m, ev). `mask` broadcasts to (...,
/// n, m): bool (true takes part) or floating (added), or undefined.
Tensor scaled_dot_product_attention(const Tensor& q, const Tensor& k, const Tensor& v,
                                    const Tensor& mask = {}, const AttentionOptions& options = {});

struct RopeOptions {
  double base = 10000;
  std::int64_t offset = 0;   ///< the position of the first row
  bool interleaved = false;  ///< pairs are neighbours, not the same place of both halves
};
/// Rotary position embedding of queries or keys x (..., n, width), width even: pair i of the row at position
/// p is turned by the angle p base^(-2 i / width). (Su et al.: "RoFormer", 2021.)
Tensor rope(const Tensor& x, const RopeOptions& options = {});

}  // namespace miniparallel

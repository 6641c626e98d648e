#pragma once

#include <miniparallel/device.h>
#include <miniparallel/dtype.h>
#include <miniparallel/elementwise.h>
#include <miniparallel/scalar.h>
#include <miniparallel/shape.h>

#include <concepts>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <iosfwd>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace miniparallel {

class Index;
struct TensorImpl;
struct ValuesAndIndices;

namespace detail {
/// Throws `Error` unless the number, truncated, is in the range.
void check_item(Scalar value, std::int64_t lowest, std::uint64_t greatest);
/// Throws `Error` if the options name another dtype than the pointer.
void check_blob_dtype(DType of_pointer, const std::optional<DType>& of_options);
}  // namespace detail

/// dtype and device of a new tensor; the defaults are `default_dtype()` and the CPU.
struct TensorOptions {
  std::optional<DType> dtype = {};
  Device device = {};
  bool requires_grad = false;
};

/// A handle to an n-dimensional array: storage, offset, sizes, strides, dtype, device and its place in the
/// autograd graph. Copying a Tensor copies the handle: both see the same elements. Views (`view`,
/// `transpose`, `slice`, ...) share storage with their base; `clone` copies the elements.
///
/// Negative dimensions count from the end. Functions throw `Error` on bad arguments - an undefined tensor, a
/// dimension or index out of range, shapes that do not fit - and leave the tensor as it was. A
/// Tensor may be read by several threads; writing needs the caller's own synchronisation.
class Tensor {
 public:
  Tensor() = default;  ///< undefined: holds nothing
  explicit Tensor(std::shared_ptr<TensorImpl> impl) : impl_(std::move(impl)) {}
  Tensor(const Tensor&);
  Tensor(Tensor&&) = default;
  ~Tensor();
  // Of variables alone: what `x[0] = y` would assign to is gone at once. See `copy_`, `fill_`, `index_put_`.
  Tensor& operator=(const Tensor&) & = default;
  Tensor& operator=(Tensor&&) & = default;

  // --- what it is
  bool defined() const { return impl_ != nullptr; }
  const Shape& shape() const;  ///< the sizes; [] for one element without dimensions
  const Shape& sizes() const { return shape(); }
  const Shape& size() const { return shape(); }
  const Shape& strides() const;      ///< in elements
  std::int64_t size(int dim) const;  ///< of one dimension
  int dim() const;                   ///< number of dimensions
  std::int64_t numel() const;        ///< number of elements
  DType dtype() const;
  std::size_t element_size() const { return size_of(dtype()); }  ///< bytes
  Device device() const;
  bool is_cpu() const { return device().is_cpu(); }
  bool is_cuda() const { return device().is_cuda(); }
  bool is_contiguous() const;  ///< row-major without gaps
  bool is_floating() const;    ///< float32, float64, float16 or bfloat16

  // --- elements
  /// Pointer to the first element of a CPU tensor of exactly this type; `Error` for another. The others
  /// follow at `strides()`.
  template <class T>
  T* data() const {
    return static_cast<T*>(checked_data(dtype_of<T>));
  }
  /// The only element, converted to T. Throws `Error` unless numel() == 1, and where T is an integer type
  /// that does not have it.
  template <class T = double>
  T item() const {
    const Scalar value = scalar();
    if constexpr (std::is_floating_point_v<T>) {
      return static_cast<T>(value.as_double());
    } else if constexpr (std::is_same_v<T, bool>) {
      return value.as_double() != 0;
    } else {
      detail::check_item(value, std::numeric_limits<T>::lowest(), std::numeric_limits<T>::max());
      return static_cast<T>(value.as_int64());
    }
  }
  Scalar scalar() const;  ///< the same, of the tensor's kind
  /// All elements in row-major order, converted to T as `to` converts them.
  template <class T>
  std::vector<T> to_vector() const {
    std::vector<T> values(static_cast<std::size_t>(numel()));
    copy_to_host(values.data(), dtype_of<T>);
    return values;
  }
  /// Converts to `dtype` and writes numel() elements in row-major order to host memory. Waits for a GPU, as
  /// do `item`, `scalar` and `to_vector`.
  void copy_to_host(void* destination, DType dtype) const;
  /// NumPy's layout, with dtype, device and grad_fn where they are not the usual ones.
  std::string to_string() const;

  // --- views: share storage
  Tensor view(const Shape& shape) const;     ///< one size may be -1; throws where the strides need a copy
  Tensor reshape(const Shape& shape) const;  ///< `view` where possible, else a copy
  /// Dimensions start_dim to end_dim as one; a view where possible, else a copy.
  Tensor flatten(int start_dim = 0, int end_dim = -1) const;
  Tensor transpose(int dim0, int dim1) const;  ///< exchanges two dimensions
  Tensor t() const;                            ///< transpose of a matrix; fewer dimensions as they are
  Tensor permute(const Shape& dims) const;     ///< dimension i is dims[i] of this one; each named once
  Tensor slice(int dim, std::int64_t start, std::int64_t stop,
               std::int64_t step = 1) const;  ///< Python's x[start:stop:step], step >= 1, bounds clipped
  Tensor narrow(int dim, std::int64_t start, std::int64_t length) const;  ///< `slice` that must stay within
  Tensor select(int dim, std::int64_t index) const;                       ///< drops the dimension
  Tensor operator[](std::int64_t index) const { return select(0, index); }
  /// `index`: x[mask], x[{0, Range{1, 3}}].
  Tensor operator[](const Index& index) const;
  Tensor operator[](std::initializer_list<Index> indices) const;
  Tensor expand(const Shape& shape) const;  ///< repeats size-1 dimensions without a copy; -1 keeps a size
  Tensor expand_as(const Tensor& other) const;
  Tensor broadcast_to(const Shape& shape) const;
  Tensor view_as(const Tensor& other) const;
  Tensor reshape_as(const Tensor& other) const;
  /// Dimension `dim` as several, whose sizes multiply to its own; one may be -1. `reshape` of the rest.
  Tensor unflatten(int dim, const Shape& sizes) const;
  Tensor T() const { return t(); }
  /// Dimension source[i] of this one is dimension destination[i] of the result; the others keep their order.
  Tensor movedim(const Shape& source, const Shape& destination) const;
  /// The elements whose index in `dim2` is that in `dim1` plus `offset`, as the last dimension.
  Tensor diagonal(std::int64_t offset = 0, int dim1 = 0, int dim2 = 1) const;
  std::vector<Tensor> unbind(int dim = 0) const;  ///< `select` for each index of the dimension
  Tensor squeeze() const;                         ///< drops every dimension of size 1
  Tensor squeeze(int dim) const;                  ///< drops the dimension if its size is 1
  Tensor unsqueeze(int dim) const;                ///< a new dimension of size 1, `dim` of the result
  /// At most `chunks` equal parts; the last may be smaller.
  std::vector<Tensor> chunk(std::int64_t chunks, int dim = 0) const;  ///< of nothing, `chunks` empty parts
  /// Parts of `size`, the last one smaller where it does not divide.
  std::vector<Tensor> split(std::int64_t size, int dim = 0) const;
  /// Parts of these sizes, which must add up to that of the dimension.
  std::vector<Tensor> split(const Shape& sizes, int dim = 0) const;
  /// `sections` parts, of which the first have one more where the size does not divide.
  std::vector<Tensor> tensor_split(std::int64_t sections, int dim = 0) const;

  // --- copies
  Tensor contiguous() const;  ///< itself when it is contiguous
  Tensor clone() const;       ///< contiguous; gradients flow through it
  /// As often as `repeats` says along each dimension, the last one by the last number; a dimension for each
  /// further number is added in front.
  Tensor repeat(const Shape& repeats) const;
  Tensor to(DType dtype) const;    ///< itself when nothing changes
  Tensor to(Device device) const;  ///< itself when nothing changes
  Tensor to(Device device, DType dtype) const;
  Tensor cpu() const { return to(Device::cpu()); }
  Tensor cuda(int index = 0) const { return to(Device::cuda(index)); }

  // --- in place: change the elements and the version. The other operand broadcasts to this tensor;
  // a result is converted to this dtype, but a floating one does not go into integers, nor an integer one
  // into bool. A tensor that autograd needs unchanged reports it in `backward`. `Error` for a leaf that
  // requires grad, or a view of one, except under `NoGradGuard`, and for elements that `expand` repeats.
  Tensor& copy_(const Tensor& source);  ///< broadcasts and converts
  Tensor& fill_(Scalar value);
  Tensor& zero_();
  Tensor& add_(const Tensor& other, Scalar alpha = 1);  ///< += alpha * other
  Tensor& add_(Scalar value);
  Tensor& sub_(const Tensor& other);
  Tensor& sub_(Scalar value);
  Tensor& mul_(const Tensor& other);
  Tensor& mul_(Scalar value);
  Tensor& div_(const Tensor& other);
  Tensor& div_(Scalar value);
  Tensor& clamp_(Scalar low, Scalar high);
  Tensor& masked_fill_(const Tensor& mask, Scalar value);
  Tensor& addcmul_(const Tensor& a, const Tensor& b, Scalar value = 1);  ///< += value a b
  Tensor& addcdiv_(const Tensor& a, const Tensor& b, Scalar value = 1);  ///< += value a / b
#define MINIPARALLEL_IN_PLACE(name, functor) Tensor& name##_();
  MINIPARALLEL_UNARY_ARITHMETIC(MINIPARALLEL_IN_PLACE)  // neg_, relu_, ...
  MINIPARALLEL_UNARY_FLOATING(MINIPARALLEL_IN_PLACE)    // exp_, sqrt_, ...: floating only
#undef MINIPARALLEL_IN_PLACE
  Tensor& scatter_(int dim, const Tensor& index, const Tensor& source);
  Tensor& scatter_(int dim, const Tensor& index, Scalar value);
  Tensor& scatter_add_(int dim, const Tensor& index, const Tensor& source);
  /// Writes to the elements that `index` names. Values convert and broadcast as in `copy_`; of equal places
  /// the last counts, or with `accumulate` all add up, floating only. With one mask and value nothing waits.
  Tensor& index_put_(const std::vector<Index>& indices, const Tensor& values, bool accumulate = false);
  Tensor& index_put_(const std::vector<Index>& indices, Scalar value, bool accumulate = false);
  Tensor& index_add_(int dim, const Tensor& index, const Tensor& source, Scalar alpha = 1);
  Tensor& uniform_(double low = 0, double high = 1);    ///< random in [low, high); floating only
  Tensor& normal_(double mean = 0, double stddev = 1);  ///< random; floating only
  Tensor& exponential_(double lambda = 1);              ///< random, of density lambda exp(-lambda x)
  Tensor& bernoulli_(double p = 0.5);                   ///< random: 1 with probability p, else 0; any dtype
  Tensor& bernoulli_(const Tensor& p);                  ///< with these probabilities, which broadcast
  Tensor& operator+=(const Tensor& other) { return add_(other); }
  Tensor& operator-=(const Tensor& other) { return sub_(other); }
  Tensor& operator*=(const Tensor& other) { return mul_(other); }
  Tensor& operator/=(const Tensor& other) { return div_(other); }
  Tensor& operator+=(Scalar value) { return add_(value); }
  Tensor& operator-=(Scalar value) { return sub_(value); }
  Tensor& operator*=(Scalar value) { return mul_(value); }
  Tensor& operator/=(Scalar value) { return div_(value); }

  // --- autograd
  bool requires_grad() const;
  /// Leaves only, floating only, else `Error`. Returns this tensor.
  Tensor& requires_grad_(bool requires_grad = true);
  bool is_leaf() const;  ///< no recorded op made it
  /// The op that made it, "" for a leaf.
  std::string grad_fn_name() const;
  /// The gradient; undefined before the first `backward` and after `zero_grad`.
  Tensor grad() const;
  /// Replaces the gradient, which must have this tensor's shape, dtype and device; an
  /// undefined tensor drops it.
  void set_grad(const Tensor& grad) const;
  /// Also keep the gradient of this tensor, which is not a leaf; those of several backwards add up. `Error`
  /// unless it requires grad.
  void retain_grad() const;
  /// The same elements outside the graph: shares storage and version, requires no grad.
  Tensor detach() const;
  /// Fills `grad` of every leaf below. `gradient` may be left out for a scalar. See `autograd::backward`.
  void backward(const Tensor& gradient = {}, bool retain_graph = false, bool create_graph = false) const;
  using Hook = std::function<Tensor(const Tensor& grad)>;
  /// Called with this tensor's gradient once it is complete; a defined return value, of its kind, replaces
  /// it. Returns a number for `remove_hook`. `Error` unless the tensor requires grad.
  int register_hook(Hook hook) const;
  void remove_hook(int id) const;
  /// How often the elements were written; shared by a base and its views.
  std::uint32_t version() const;

  // --- ops, as the functions of elementwise.h and ops.h, which tell shapes and errors
#define MINIPARALLEL_UNARY(name, functor) Tensor name() const;
#define MINIPARALLEL_BINARY(name, functor) Tensor name(const Tensor& other) const;
#define MINIPARALLEL_BOTH(name, op)       \
  Tensor name(const Tensor& other) const; \
  Tensor name(Scalar other) const;
  MINIPARALLEL_UNARY_ARITHMETIC(MINIPARALLEL_UNARY)
  MINIPARALLEL_UNARY_FLOATING(MINIPARALLEL_UNARY)
  MINIPARALLEL_BINARY_ARITHMETIC(MINIPARALLEL_BINARY)
  MINIPARALLEL_BINARY_FLOATING(MINIPARALLEL_BINARY)
  MINIPARALLEL_BINARY_INTEGER(MINIPARALLEL_BOTH)
  MINIPARALLEL_COMPARE(MINIPARALLEL_BOTH)
#undef MINIPARALLEL_UNARY
#undef MINIPARALLEL_BINARY
#undef MINIPARALLEL_BOTH
  Tensor add(Scalar other) const;
  Tensor sub(Scalar other) const;
  Tensor mul(Scalar other) const;
  Tensor div(Scalar other) const;
  Tensor pow(Scalar exponent) const;
  Tensor floor_divide(Scalar other) const;
  Tensor remainder(Scalar other) const;
  Tensor fmod(Scalar other) const;
  Tensor prelu(const Tensor& weight) const;
  Tensor reciprocal() const;
  Tensor isnan() const;
  Tensor isinf() const;
  Tensor isfinite() const;
  Tensor addcmul(const Tensor& a, const Tensor& b, Scalar value = 1) const;
  Tensor addcdiv(const Tensor& a, const Tensor& b, Scalar value = 1) const;
  Tensor lerp(const Tensor& end, const Tensor& weight) const;
  Tensor lerp(const Tensor& end, Scalar weight) const;
  Tensor gelu(Gelu approximate = Gelu::erf) const;
  Tensor logical_and(const Tensor& other) const;
  Tensor logical_or(const Tensor& other) const;
  Tensor logical_xor(const Tensor& other) const;
  Tensor logical_not() const;
  Tensor bitwise_not() const;
  Tensor sum() const;
  Tensor sum(const Shape& dims, bool keepdim = false) const;
  Tensor mean() const;
  Tensor mean(const Shape& dims, bool keepdim = false) const;
  Tensor var(const Shape& dims = {}, bool unbiased = true, bool keepdim = false) const;
  Tensor std(const Shape& dims = {}, bool unbiased = true, bool keepdim = false) const;
  Tensor amax(const Shape& dims = {}, bool keepdim = false) const;
  Tensor amin(const Shape& dims = {}, bool keepdim = false) const;
  Tensor max() const;
  ValuesAndIndices max(int dim, bool keepdim = false) const;
  Tensor min() const;
  ValuesAndIndices min(int dim, bool keepdim = false) const;
  Tensor argmax() const;
  Tensor argmax(int dim, bool keepdim = false) const;
  Tensor argmin() const;
  Tensor argmin(int dim, bool keepdim = false) const;
  Tensor any(const Shape& dims = {}, bool keepdim = false) const;
  Tensor all(const Shape& dims = {}, bool keepdim = false) const;
  Tensor count_nonzero(const Shape& dims = {}) const;
  Tensor norm(double p = 2, const Shape& dims = {}, bool keepdim = false) const;
  Tensor logsumexp(const Shape& dims, bool keepdim = false) const;
  Tensor prod(const Shape& dims = {}, bool keepdim = false) const;
  Tensor cumsum(int dim) const;
  Tensor cumprod(int dim) const;
  ValuesAndIndices sort(int dim = -1, bool descending = false) const;
  Tensor argsort(int dim = -1, bool descending = false) const;
  ValuesAndIndices topk(std::int64_t k, int dim = -1, bool largest = true) const;
  bool equal(const Tensor& other) const;
  Tensor isclose(const Tensor& other, double rtol = 1e-5, double atol = 1e-8) const;
  bool allclose(const Tensor& other, double rtol = 1e-5, double atol = 1e-8) const;
  Tensor matmul(const Tensor& other) const;
  Tensor mm(const Tensor& other) const;
  Tensor bmm(const Tensor& other) const;
  Tensor mv(const Tensor& vector) const;
  Tensor dot(const Tensor& other) const;
  Tensor outer(const Tensor& other) const;
  Tensor addmm(const Tensor& a, const Tensor& b, Scalar beta = 1, Scalar alpha = 1) const;
  Tensor baddbmm(const Tensor& a, const Tensor& b, Scalar beta = 1, Scalar alpha = 1) const;
  Tensor softmax(int dim) const;
  Tensor log_softmax(int dim) const;
  Tensor masked_fill(const Tensor& mask, Scalar value) const;
  Tensor clamp(Scalar low, Scalar high) const;
  Tensor clamp(const Tensor& low, const Tensor& high) const;
  Tensor clamp_min(Scalar low) const;
  Tensor clamp_max(Scalar high) const;
  Tensor where(const Tensor& condition, const Tensor& other) const;
  Tensor where(const Tensor& condition, Scalar other) const;
  Tensor index_select(int dim, const Tensor& index) const;
  Tensor gather(int dim, const Tensor& index) const;
  Tensor scatter(int dim, const Tensor& index, const Tensor& source) const;
  Tensor scatter(int dim, const Tensor& index, Scalar value) const;
  Tensor scatter_add(int dim, const Tensor& index, const Tensor& source) const;
  Tensor index_add(int dim, const Tensor& index, const Tensor& source, Scalar alpha = 1) const;
  Tensor index(const std::vector<Index>& indices) const;
  Tensor index_put(const std::vector<Index>& indices, const Tensor& values, bool accumulate = false) const;
  Tensor take_along_dim(const Tensor& index, int dim) const;
  Tensor multinomial(std::int64_t num_samples, bool replacement = false) const;
  Tensor masked_select(const Tensor& mask) const;
  Tensor nonzero() const;
  Tensor bincount(const Tensor& weights = {}, std::int64_t minlength = 0) const;
  Tensor tril(std::int64_t diagonal = 0) const;
  Tensor triu(std::int64_t diagonal = 0) const;
  Tensor diag(std::int64_t diagonal = 0) const;
  Tensor tile(const Shape& repeats) const;
  Tensor repeat_interleave(std::int64_t repeats, std::optional<int> dim = {}) const;
  Tensor flip(const Shape& dims) const;
  Tensor roll(const Shape& shifts, const Shape& dims = {}) const;
  Tensor frac() const;
  Tensor logit(double eps = 0) const;
  Tensor sinc() const;
  Tensor signbit() const;
  Tensor nan_to_num(double nan = 0, std::optional<double> posinf = {},
                    std::optional<double> neginf = {}) const;
  Tensor copysign(const Tensor& other) const;
  Tensor fmax(const Tensor& other) const;
  Tensor fmin(const Tensor& other) const;
  Tensor nansum(const Shape& dims = {}, bool keepdim = false) const;
  Tensor nanmean(const Shape& dims = {}, bool keepdim = false) const;
  Tensor median() const;
  ValuesAndIndices median(int dim, bool keepdim = false) const;
  ValuesAndIndices kthvalue(std::int64_t k, int dim = -1, bool keepdim = false) const;
  Tensor quantile(double q, std::optional<int> dim = {}, bool keepdim = false) const;
  Tensor diff(std::int64_t n = 1, int dim = -1) const;
  Tensor trace() const;
  Tensor inner(const Tensor& other) const;
  Tensor kron(const Tensor& other) const;
  Tensor cross(const Tensor& other, int dim = -1) const;
  Tensor asinh() const;
  Tensor acosh() const;
  Tensor atanh() const;
  Tensor ravel() const;
  Tensor fliplr() const;
  Tensor flipud() const;
  Tensor rot90(std::int64_t k = 1, const Shape& dims = {0, 1}) const;
  Tensor diag_embed(std::int64_t offset = 0, int dim1 = -2, int dim2 = -1) const;
  Tensor unfold(int dim, std::int64_t size, std::int64_t step) const;
  Tensor index_fill(int dim, const Tensor& index, Scalar value) const;
  Tensor index_copy(int dim, const Tensor& index, const Tensor& source) const;
  Tensor masked_scatter(const Tensor& mask, const Tensor& source) const;
  Tensor take(const Tensor& index) const;
  Tensor argwhere() const;

  const std::shared_ptr<TensorImpl>& impl() const { return impl_; }
  /// Same handle, not same values.
  bool is_same(const Tensor& other) const { return impl_ == other.impl_; }

 private:
  void* checked_data(DType dtype) const;

  std::shared_ptr<TensorImpl> impl_;
};

/// Elements, and where each stands along the dimension: int64, of the same shape.
struct ValuesAndIndices {
  Tensor values, indices;
};

std::ostream& operator<<(std::ostream& stream, const Tensor& tensor);

// --- creation: of this shape. `Error` for negative sizes, a device that does not exist, or gradients asked
// for integers; `OutOfMemoryError` where memory is used up.

Tensor empty(const Shape& shape, const TensorOptions& options = {});  ///< elements are not initialised
Tensor zeros(const Shape& shape, const TensorOptions& options = {});
Tensor ones(const Shape& shape, const TensorOptions& options = {});
/// dtype when not given: bool, int64 or `default_dtype`, by the kind of `value`. `Error` for a value
/// out of the dtype's range, here and wherever elements are set to numbers; bool takes every number
/// as true or false.
Tensor full(const Shape& shape, Scalar value, const TensorOptions& options = {});
/// start, start + step, ... below `stop` (above, for a negative step), one dimension. int64 for integer
/// arguments. `Error` for a step of 0 or one that leads away from `stop`.
Tensor arange(Scalar start, Scalar stop, Scalar step = 1, const TensorOptions& options = {});
Tensor arange(Scalar stop, const TensorOptions& options = {});  ///< 0, 1, ... below `stop`
/// `steps` numbers evenly from `start` to `end`, which both are among them; one dimension. `Error` unless the
/// dtype has both; likewise in `logspace`.
Tensor linspace(double start, double end, std::int64_t steps, const TensorOptions& options = {});
/// `base` to the power of each number of `linspace`.
Tensor logspace(double start, double end, std::int64_t steps, double base = 10,
                const TensorOptions& options = {});
Tensor eye(std::int64_t n, const TensorOptions& options = {});        ///< (n, n): ones on the diagonal
Tensor rand(const Shape& shape, const TensorOptions& options = {});   ///< uniform in [0, 1)
Tensor randn(const Shape& shape, const TensorOptions& options = {});  ///< normal with mean 0 and variance 1
/// Integers in [low, high), which must not be empty; int64 when no dtype is given. A floating dtype that does
/// not have all of them gives those that it has.
Tensor randint(std::int64_t low, std::int64_t high, const Shape& shape, const TensorOptions& options = {});
/// 0 .. n-1 in random order, int64 when no dtype is given: the same order on every device. Each number is as
/// likely in each place; a seed and the calls before decide which of the orders it is.
Tensor randperm(std::int64_t n, const TensorOptions& options = {});

/// With the shape, dtype and device of `other`.
Tensor empty_like(const Tensor& other);
Tensor zeros_like(const Tensor& other);
Tensor ones_like(const Tensor& other);
Tensor full_like(const Tensor& other, Scalar value);
Tensor rand_like(const Tensor& other);
Tensor randn_like(const Tensor& other);

/// In place of options a dtype or a device alone: `zeros({3}, float64)`, `randn({2, 3}, device)`. A template,
/// so that `{}` are options.
template <class T>
concept OptionAlone = std::same_as<T, DType> || std::same_as<T, Device>;
constexpr TensorOptions options_of(DType dtype) { return {.dtype = dtype}; }
constexpr TensorOptions options_of(Device device) { return {.device = device}; }

template <OptionAlone Option>
Tensor empty(const Shape& shape, Option option) {
  return empty(shape, options_of(option));
}
template <OptionAlone Option>
Tensor zeros(const Shape& shape, Option option) {
  return zeros(shape, options_of(option));
}
template <OptionAlone Option>
Tensor ones(const Shape& shape, Option option) {
  return ones(shape, options_of(option));
}
template <OptionAlone Option>
Tensor full(const Shape& shape, Scalar value, Option option) {
  return full(shape, value, options_of(option));
}
template <OptionAlone Option>
Tensor arange(Scalar start, Scalar stop, Scalar step, Option option) {
  return arange(start, stop, step, options_of(option));
}
template <OptionAlone Option>
Tensor arange(Scalar start, Scalar stop, Option option) {
  return arange(start, stop, 1, options_of(option));
}
template <OptionAlone Option>
Tensor arange(Scalar stop, Option option) {
  return arange(stop, options_of(option));
}
template <OptionAlone Option>
Tensor linspace(double start, double end, std::int64_t steps, Option option) {
  return linspace(start, end, steps, options_of(option));
}
template <OptionAlone Option>
Tensor eye(std::int64_t n, Option option) {
  return eye(n, options_of(option));
}
template <OptionAlone Option>
Tensor rand(const Shape& shape, Option option) {
  return rand(shape, options_of(option));
}
template <OptionAlone Option>
Tensor randn(const Shape& shape, Option option) {
  return randn(shape, options_of(option));
}
template <OptionAlone Option>
Tensor randint(std::int64_t low, std::int64_t high, const Shape& shape, Option option) {
  return randint(low, high, shape, options_of(option));
}
template <OptionAlone Option>
Tensor randperm(std::int64_t n, Option option) {
  return randperm(n, options_of(option));
}

/// A copy of `shape.numel()` elements at `source`, which is host memory of type `dtype`.
Tensor from_data(const void* source, const Shape& shape, DType dtype, Device device = {});

struct BlobOptions {
  std::optional<DType> dtype = {};                 ///< that of the pointer; needed for a void*
  Device device = {};                              ///< where the memory is
  std::optional<Shape> strides = {};               ///< in elements, at least 0; row-major without
  std::function<void(void* memory)> deleter = {};  ///< called once, when the last tensor that uses it is gone
};
/// A tensor of the elements at `memory`, without a copy: both see what the other writes. The memory must last
/// as long as the tensor and its views do; `deleter` tells when they are gone, after the work that a GPU
/// still has with it. Throws `Error` - and calls no deleter - for a null pointer or one that is not aligned
/// to its elements, negative strides, and without a dtype.
Tensor from_blob(void* memory, const Shape& shape, const BlobOptions& options = {});
/// The same for elements of a type that says the dtype; `Error` if the options say another.
template <class T>
  requires requires { DTypeOf<T>::value; }
Tensor from_blob(T* memory, const Shape& shape, BlobOptions options = {}) {
  detail::check_blob_dtype(dtype_of<T>, options.dtype);
  options.dtype = dtype_of<T>;
  return from_blob(static_cast<void*>(memory), shape, options);
}

template <class T>
concept Arithmetic = std::is_arithmetic_v<T>;

/// What `tensor` takes: a number, a vector or span of numbers, or braces of numbers, nested up to three deep
/// with rows of one length. bool gives bool, std::uint8_t uint8, other integers int64 and floating ones
/// `default_dtype`; braces that mix kinds give the highest. Throws `Error` for an integer above those of
/// int64.
class TensorData {
 public:
  TensorData();  ///< no elements
  template <Arithmetic T>
  TensorData(T value) {  // NOLINT: implicit, as all of them
    take(std::initializer_list<T>{value}, {});
  }
  template <Arithmetic T>
  TensorData(std::span<const T> values) {  // NOLINT
    take(values, {static_cast<std::int64_t>(values.size())});
  }
  template <Arithmetic T>
  TensorData(const std::vector<T>& values) {  // NOLINT
    take(values, {static_cast<std::int64_t>(values.size())});
  }
  template <Arithmetic T>
  TensorData(std::initializer_list<T> values) {  // NOLINT
    take(values, {static_cast<std::int64_t>(values.size())});
  }
  TensorData(std::initializer_list<Scalar> values);  // NOLINT
  template <Arithmetic T>
  TensorData(std::initializer_list<std::initializer_list<T>> rows) {  // NOLINT
    take_nested<T>(rows);
  }
  TensorData(std::initializer_list<std::initializer_list<Scalar>> rows);  // NOLINT
  template <Arithmetic T>
  TensorData(std::initializer_list<std::initializer_list<std::initializer_list<T>>> blocks) {  // NOLINT
    take_nested<T>(blocks);
  }

  // Not copyable: a tensor takes the elements over.
  TensorData(TensorData&&) = default;
  TensorData& operator=(TensorData&&) = default;

  const Tensor& elements() const { return elements_; }  ///< on the CPU, as they were given
  DType dtype() const { return dtype_; }                ///< that of the tensor, if nothing else is asked for

 private:
  template <class T>
  static constexpr DType kept_as = std::is_same_v<T, bool>           ? boolean
                                   : std::is_same_v<T, std::uint8_t> ? uint8
                                   : std::is_same_v<T, float>        ? float32
                                   : std::is_floating_point_v<T>     ? float64
                                                                     : int64;
  template <class T>
  using Kept = std::conditional_t<
      std::is_floating_point_v<T>, std::conditional_t<std::is_same_v<T, float>, float, double>,
      std::conditional_t<std::is_same_v<T, bool>, std::uint8_t,
                         std::conditional_t<std::is_same_v<T, std::uint8_t>, T, std::int64_t>>>;

  template <class Values>
  void take(const Values& values, const Shape& shape) {
    using T = std::remove_cvref_t<decltype(*values.begin())>;
    if constexpr (std::is_same_v<T, Kept<T>>) {
      keep(std::data(values), shape, kept_as<T>);
    } else {
      take_converted<typename Values::value_type>(values, shape);
    }
  }
  template <class T, class Values>
  void take_converted(const Values& values, const Shape& shape) {
    std::vector<Kept<T>> kept;
    kept.reserve(values.size());
    for (const T value : values) {
      if constexpr (std::is_unsigned_v<T> && sizeof(T) == sizeof(std::int64_t)) check_fits(value);
      kept.push_back(static_cast<Kept<T>>(value));
    }
    keep(kept.data(), shape, kept_as<T>);
  }

  template <class T, class List>
  void take_nested(const List& list) {
    Shape shape;
    std::vector<T> flat;
    append(list, 0, shape, flat);
    if constexpr (std::is_same_v<T, Scalar>) {
      take_scalars(flat, shape);
    } else {
      take(flat, shape);
    }
  }
  template <class List, class T>
  static void append(const List& list, int depth, Shape& shape, std::vector<T>& flat) {
    const auto size = static_cast<std::int64_t>(list.size());
    if (depth == shape.rank()) shape.push_back(size);
    check_row(size, shape[depth]);
    if constexpr (std::is_same_v<typename List::value_type, T>) {
      flat.insert(flat.end(), list.begin(), list.end());
    } else {
      for (const auto& row : list) append(row, depth + 1, shape, flat);
    }
  }

  void keep(const void* values, const Shape& shape, DType dtype);
  void take_scalars(std::span<const Scalar> values, const Shape& shape);
  static void check_fits(std::uint64_t value);
  static void check_row(std::int64_t size, std::int64_t expected);

  Tensor elements_;
  DType dtype_ = float32;
};

/// A tensor with these elements: `tensor(3.0)`, `tensor({1, 2.5})`, `tensor({{1, 2}, {3, 4}})`,
/// `tensor(values)`; see `TensorData` for what it takes and the dtype. With a shape it has that one, for the
/// elements in row-major order: `tensor({1, 2, 3, 4}, {2, 2})`. Throws `Error` unless there is one value for
/// each element.
Tensor tensor(TensorData data, const TensorOptions& options = {});
Tensor tensor(TensorData data, const Shape& shape, const TensorOptions& options = {});
inline Tensor tensor(TensorData data, std::initializer_list<std::int64_t> shape,
                     const TensorOptions& options = {}) {  // so that {} is a shape
  return tensor(std::move(data), Shape(shape), options);
}
template <OptionAlone Option>
Tensor tensor(TensorData data, Option option) {
  return tensor(std::move(data), options_of(option));
}
template <OptionAlone Option>
Tensor tensor(TensorData data, const Shape& shape, Option option) {
  return tensor(std::move(data), shape, options_of(option));
}
/// `tensor<std::int64_t>({...})`: the numbers as T, whatever they are written as.
template <Arithmetic T>
Tensor tensor(std::type_identity_t<std::initializer_list<T>> values) {
  return tensor(TensorData(values));
}
template <Arithmetic T>
Tensor tensor(std::type_identity_t<std::initializer_list<T>> values, const Shape& shape,
              const TensorOptions& options = {}) {
  return tensor(TensorData(values), shape, options);
}
/// A tensor with no dimensions, of the kind of `value`.
Tensor scalar_tensor(Scalar value, const TensorOptions& options = {});
template <OptionAlone Option>
Tensor scalar_tensor(Scalar value, Option option) {
  return scalar_tensor(value, options_of(option));
}

/// Waits until everything enqueued for `device` is done and throws what went wrong there (an index out of
/// range, a failed kernel). Returns at once for the CPU.
void synchronize(Device device);

}  // namespace miniparallel

/// @cond  Doxygen does not find its declaration.
extern template std::vector<miniparallel::Tensor>::vector::~vector();  // compiled once, in the library
/// @endcond

#pragma once

#include <miniparallel/device.h>
#include <miniparallel/dtype.h>
#include <miniparallel/scalar.h>
#include <miniparallel/shape.h>

#include <functional>
#include <iosfwd>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace miniparallel {

struct TensorImpl;
class Tensor;

namespace detail {
/// Throws `Error` unless the number, truncated, is in the range.
void check_item(Scalar value, std::int64_t lowest, std::uint64_t greatest);
/// Throws `Error` unless `dtype` has every element.
void check_values(const Tensor& made, DType dtype);
}  // namespace detail

/// dtype and device of a new tensor; what is not given is `default_dtype()` and the CPU.
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
/// dimension or index that there is none of, shapes that do not fit - and leave the tensor as it was. A
/// Tensor may be read by several threads; writing needs the caller's own synchronisation.
class Tensor {
 public:
  Tensor() = default;  ///< undefined: holds nothing
  explicit Tensor(std::shared_ptr<TensorImpl> impl) : impl_(std::move(impl)) {}

  // --- what it is
  bool defined() const { return impl_ != nullptr; }
  const Shape& shape() const;        ///< the sizes; [] for one element without dimensions
  const Shape& strides() const;      ///< in elements
  std::int64_t size(int dim) const;  ///< of one dimension
  int dim() const;                   ///< number of dimensions
  std::int64_t numel() const;        ///< number of elements
  DType dtype() const;
  Device device() const;
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
  /// All elements in row-major order, converted to T.
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
  Tensor narrow(int dim, std::int64_t start, std::int64_t length) const;  ///< `slice` that must lie within
  Tensor select(int dim, std::int64_t index) const;                       ///< drops the dimension
  Tensor operator[](std::int64_t index) const { return select(0, index); }
  Tensor expand(const Shape& shape) const;  ///< repeats size-1 dimensions without a copy; -1 keeps a size
  Tensor squeeze() const;                   ///< drops every dimension of size 1
  Tensor squeeze(int dim) const;            ///< drops the dimension if its size is 1
  Tensor unsqueeze(int dim) const;          ///< a new dimension of size 1, `dim` of the result
  /// At most `chunks` parts of equal size, but for the last.
  std::vector<Tensor> chunk(std::int64_t chunks, int dim = 0) const;  ///< of nothing, `chunks` empty parts
  /// Parts of `size`, the last one smaller where it does not divide.
  std::vector<Tensor> split(std::int64_t size, int dim = 0) const;
  /// Parts of these sizes, which must add up to that of the dimension.
  std::vector<Tensor> split(const Shape& sizes, int dim = 0) const;

  // --- copies
  Tensor contiguous() const;       ///< itself when it is contiguous
  Tensor clone() const;            ///< contiguous; gradients flow through it
  Tensor to(DType dtype) const;    ///< itself when nothing changes
  Tensor to(Device device) const;  ///< itself when nothing changes
  Tensor to(Device device, DType dtype) const;
  Tensor cpu() const { return to(Device::cpu()); }

  // --- in place: change the elements and the version. The other operand broadcasts to this tensor;
  // a result is converted to this dtype, but a floating one does not go into integers, nor an integer one into
  // bool. A tensor that autograd needs unchanged
  // reports it in `backward`. `Error` for a leaf that requires grad, or a view of one, except under
  // `NoGradGuard`, and for elements that `expand` repeats.
  Tensor& copy_(const Tensor& source);  ///< broadcasts and converts
  Tensor& fill_(Scalar value);
  Tensor& zero_() { return fill_(0); }
  Tensor& add_(const Tensor& other, Scalar alpha = 1);  ///< += alpha * other
  Tensor& add_(Scalar value);
  Tensor& sub_(const Tensor& other);
  Tensor& mul_(const Tensor& other);
  Tensor& mul_(Scalar value);
  Tensor& div_(const Tensor& other);
  Tensor& div_(Scalar value);
  Tensor& clamp_(Scalar low, Scalar high);
  Tensor& masked_fill_(const Tensor& mask, Scalar value);
  Tensor& uniform_(double low = 0, double high = 1);    ///< random in [low, high); floating only
  Tensor& normal_(double mean = 0, double stddev = 1);  ///< random; floating only
  Tensor& operator+=(const Tensor& other) { return add_(other); }
  Tensor& operator-=(const Tensor& other) { return sub_(other); }
  Tensor& operator*=(const Tensor& other) { return mul_(other); }
  Tensor& operator/=(const Tensor& other) { return div_(other); }
  Tensor& operator+=(Scalar value) { return add_(value); }
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
  /// Replaces the gradient, which must have this tensor's
  /// shape, dtype and device; an undefined tensor drops it.
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

  // --- ops, as the functions of ops.h, which tell shapes and errors
  Tensor neg() const;
  Tensor exp() const;
  Tensor log() const;
  Tensor sqrt() const;
  Tensor abs() const;
  Tensor pow(Scalar exponent) const;
  Tensor tanh() const;
  Tensor sigmoid() const;
  Tensor relu() const;
  Tensor sum() const;
  Tensor sum(const Shape& dims, bool keepdim = false) const;
  Tensor mean() const;
  Tensor mean(const Shape& dims, bool keepdim = false) const;
  Tensor amax(const Shape& dims = {}, bool keepdim = false) const;
  Tensor amin(const Shape& dims = {}, bool keepdim = false) const;
  Tensor argmax() const;
  Tensor argmax(int dim, bool keepdim = false) const;
  Tensor matmul(const Tensor& other) const;
  Tensor softmax(int dim) const;
  Tensor log_softmax(int dim) const;
  Tensor masked_fill(const Tensor& mask, Scalar value) const;
  Tensor clamp(Scalar low, Scalar high) const;
  Tensor index_select(int dim, const Tensor& index) const;

  const std::shared_ptr<TensorImpl>& impl() const { return impl_; }
  /// Same handle, not same values.
  bool is_same(const Tensor& other) const { return impl_ == other.impl_; }

 private:
  void* checked_data(DType dtype) const;

  std::shared_ptr<TensorImpl> impl_;
};

std::ostream& operator<<(std::ostream& stream, const Tensor& tensor);

// --- creation: of this shape. `Error` for negative sizes, a device that there is none of, or gradients asked
// for integers; `OutOfMemoryError` where memory is used up.

Tensor empty(const Shape& shape, const TensorOptions& options = {});  ///< elements are not initialised
Tensor zeros(const Shape& shape, const TensorOptions& options = {});
Tensor ones(const Shape& shape, const TensorOptions& options = {});
/// dtype when not given: bool, int64 or `default_dtype`, by the kind of `value`. `Error` for a value out of the
/// dtype's range, here and wherever elements are set to numbers; bool takes every number as true or false.
Tensor full(const Shape& shape, Scalar value, const TensorOptions& options = {});
/// start, start + step, ... below `stop` (above, for a negative step), one dimension. int64 for integer
/// arguments. `Error` for a step of 0 or one that leads away from `stop`.
Tensor arange(Scalar start, Scalar stop, Scalar step = 1, const TensorOptions& options = {});
Tensor arange(Scalar stop, const TensorOptions& options = {});        ///< 0, 1, ... below `stop`
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

/// A copy of `shape.numel()` elements at `source`, which is host memory of type `dtype`.
Tensor from_data(const void* source, const Shape& shape, DType dtype, Device device = {});

namespace detail {
/// As `from_data`; throws `Error` unless the shape has `count` elements.
Tensor from_values(const void* source, std::size_t count, const Shape& shape, DType dtype);
}  // namespace detail

/// A tensor with these elements: `tensor({1.0f, 2.0f})`, `tensor({1, 2, 3, 4}, {2, 2})`. double and float
/// literals give `default_dtype`; pass `options.dtype` for another. int gives int64, bool gives bool. Throws
/// `Error` unless there is one value for each element of `shape`.
template <class T>
  requires std::is_arithmetic_v<T>
Tensor tensor(std::span<const T> values, const Shape& shape, const TensorOptions& options = {}) {
  using Stored = std::conditional_t<std::is_same_v<T, int>, std::int32_t, T>;
  Tensor made = detail::from_values(values.data(), values.size(), shape, dtype_of<Stored>);
  const DType natural = std::is_floating_point_v<T> ? default_dtype()
                        : std::is_same_v<T, int>    ? int64
                                                    : dtype_of<Stored>;
  const DType dtype = options.dtype.value_or(natural);
  detail::check_values(made, dtype);
  made = made.to(options.device, dtype);
  return options.requires_grad ? made.requires_grad_() : made;
}
template <class T>
Tensor tensor(const std::vector<T>& values, const Shape& shape, const TensorOptions& options = {}) {
  return tensor(std::span<const T>(values), shape, options);
}
template <class T>
Tensor tensor(const std::vector<T>& values) {
  return tensor(std::span<const T>(values), {static_cast<std::int64_t>(values.size())});
}
template <class T>
  requires std::is_arithmetic_v<T>
Tensor tensor(std::initializer_list<T> values) {
  return tensor(std::span<const T>(values.begin(), values.size()),
                {static_cast<std::int64_t>(values.size())});
}
template <class T>
  requires std::is_arithmetic_v<T>
Tensor tensor(std::initializer_list<T> values, const Shape& shape, const TensorOptions& options = {}) {
  return tensor(std::span<const T>(values.begin(), values.size()), shape, options);
}
/// A tensor with no dimensions.
Tensor scalar_tensor(Scalar value, const TensorOptions& options = {});

/// Waits until everything enqueued for `device` is done and throws what went wrong there (an index out of
/// range, a failed kernel). Returns at once for the CPU.
void synchronize(Device device);

}  // namespace miniparallel

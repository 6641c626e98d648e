#include <miniparallel/linalg.h>

#include "engine/ops/half.h"
#include "engine/profiler/span.h"
#include "kernels/cpu/lapack.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

// Decompositions by LAPACK, each with its gradient made of products and of solutions, so that it can be
// differentiated again. LAPACK's matrices are column-major: a transposed copy.

namespace miniparallel {
namespace {

using kernels::cpu::Lapack;

Tensor transposed(const Tensor& x) { return x.transpose(-1, -2); }
/// A copy that LAPACK may overwrite, of a row-major x^T.
Tensor columns_of(const Tensor& x) { return transposed(x.detach()).clone(); }
std::int64_t order_of(const Tensor& x) { return x.size(-1); }

void check_matrix(const char* op, const Tensor& x) {
  check_full_precision(op, x);
  check(x.dim() >= 2, op, ": got shape ", x.shape(), "; it must be (..., n, m)");
}
void check_square(const char* op, const Tensor& x) {
  check_matrix(op, x);
  check(x.size(-1) == x.size(-2), op, ": got shape ", x.shape(), "; it must be (..., n, n)");
}

/// How many matrices.
std::int64_t stack_size(const Tensor& x) { return Shape(x.shape().begin(), x.shape().end() - 2).numel(); }
/// The leading dimensions, then these.
Shape with_sizes(const Tensor& x, std::initializer_list<std::int64_t> sizes) {
  Shape shape(x.shape().begin(), x.shape().end() - 2);
  for (const std::int64_t size : sizes) shape.push_back(size);
  return shape;
}

template <class T>
T* matrix(const Tensor& x, std::int64_t i) {
  return reinterpret_cast<T*>(raw(x)) + i * x.size(-1) * x.size(-2);
}
template <class T>
T* row(const Tensor& x, std::int64_t i) {
  return reinterpret_cast<T*>(raw(x)) + i * x.size(-1);
}

/// Calls `f(T{}, i)` for each matrix of the stack, T by the dtype, unless the matrices are empty.
template <class F>
void for_each_matrix(const Tensor& x, F f) {
  profiler::Span span(profiler::Kind::kernel, "lapack");
  if (span.active()) span.set_sizes(nullptr, std::span(x.shape().begin(), x.shape().end()));
  if (x.numel() == 0) return;
  for (std::int64_t i = 0; i < stack_size(x); ++i) {
    if (x.dtype() == float32)
      f(float{}, i);
    else
      f(double{}, i);
  }
}

void check_finite(const char* op, const Tensor& x) {
  check(all(isfinite(x.detach())).item<bool>(), op, ": got an infinite element or NaN; they must be numbers");
}

/// `op` of tensors that may be on a GPU: on the host, and back. The copies are differentiable.
template <class F>
auto on_host(const Tensor& x, F f) {
  return f(x.cpu()).to(x.device());
}

}  // namespace

// --- systems of equations

namespace {

/// P L U, in place of the transposed copies; where a U has a zero on its diagonal, its number is in `zeros`.
struct Factors {
  Tensor lu, pivots;
  std::vector<int> zeros;

  explicit Factors(const Tensor& x)
      : lu(columns_of(x)), pivots(make_tensor(with_sizes(x, {order_of(x)}), int32, x.device())) {
    zeros.resize(static_cast<std::size_t>(stack_size(x)), 0);
    for_each_matrix(lu, [&]<class T>(T, std::int64_t i) {
      zeros[static_cast<std::size_t>(i)] = Lapack<T>::lu(order_of(lu), matrix<T>(lu, i), row<int>(pivots, i));
    });
  }

  void check_regular(const char* op) const {
    for (std::size_t i = 0; i < zeros.size(); ++i)
      check(zeros[i] == 0, op, ": matrix ", i, " is singular: element ", zeros[i] - 1,
            " of the diagonal of its U is 0");
  }
};

/// a (..., n, n) and b (..., n, k) on the host.
Tensor solved(const char* op, const Tensor& a, const Tensor& b) {
  Factors factors(a);
  factors.check_regular(op);
  Tensor columns = columns_of(b);
  for_each_matrix(columns, [&]<class T>(T, std::int64_t i) {
    Lapack<T>::solve_lu(order_of(a), b.size(-1), matrix<T>(factors.lu, i), row<int>(factors.pivots, i),
                        matrix<T>(columns, i));
  });
  Tensor x = transposed(columns).contiguous();
  if (recording(a, b))
    record(op, x, {a, b}, [op, a = save(a), x = save_output(x)](Backward& backward) {
      const Tensor of_b = solved(op, transposed(a.get(backward)), backward.grad());
      if (backward.needs(0)) backward.set(0, -matmul(of_b, transposed(x.get(backward))));
      if (backward.needs(1)) backward.set(1, of_b);
    });
  return x;
}

Tensor triangle(const Tensor& x, bool upper, bool without_diagonal) {
  const int off = without_diagonal ? 1 : 0;
  return upper ? triu(x, off) : tril(x, -off);
}

Tensor solved_triangular(const char* op, const Tensor& a, const Tensor& b, bool upper, bool unit) {
  const Tensor triangles = columns_of(a);
  Tensor columns = columns_of(b);
  for_each_matrix(columns, [&]<class T>(T, std::int64_t i) {
    Lapack<T>::solve_triangle(upper, unit, order_of(a), b.size(-1), matrix<T>(triangles, i),
                              matrix<T>(columns, i));
  });
  Tensor x = transposed(columns).contiguous();
  if (recording(a, b))
    record(op, x, {a, b}, [op, upper, unit, a = save(a), x = save_output(x)](Backward& backward) {
      const Tensor of_b = solved_triangular(op, transposed(a.get(backward)), backward.grad(), !upper, unit);
      if (backward.needs(0))
        backward.set(0, triangle(-matmul(of_b, transposed(x.get(backward))), upper, unit));
      if (backward.needs(1)) backward.set(1, of_b);
    });
  return x;
}

/// Throws unless the matrices of b are right-hand sides for those of a.
void check_system(const char* op, const Tensor& a, const Tensor& b) {
  check_square(op, a);
  check_matrix(op, b);
  check_same_dtype(op, {a, b});
  check_same_device(op, {a, b});
  check(with_sizes(a, {}) == with_sizes(b, {}) && a.size(-1) == b.size(-2), op, ": got shapes ", a.shape(),
        " and ", b.shape(), "; they must be (..., n, n) and (..., n, k), with leading dimensions that agree");
}

}  // namespace

Tensor solve(const Tensor& a, const Tensor& b) try {
  check_square("solve", a);
  check_full_precision("solve", b);
  if (b.dim() + 1 == a.dim()) return solve(a, b.unsqueeze(-1)).squeeze(-1);
  check_system("solve", a, b);
  return on_host(a, [&](const Tensor& host) { return solved("solve", host, b.cpu()); });
} catch (const Error& error) {
  rethrow_as("solve", error);
}

Tensor solve_triangular(const Tensor& a, const Tensor& b, bool upper, bool unitriangular) try {
  check_system("solve_triangular", a, b);
  return on_host(a, [&](const Tensor& host) {
    return solved_triangular("solve_triangular", host, b.cpu(), upper, unitriangular);
  });
} catch (const Error& error) {
  rethrow_as("solve_triangular", error);
}

namespace {

Tensor identity_like(const Tensor& x) {
  return eye(order_of(x), {.dtype = x.dtype(), .device = x.device()}).expand(x.shape());
}

}  // namespace

Tensor inverse(const Tensor& x) try {
  check_square("inverse", x);
  return on_host(x, [](const Tensor& host) { return solved("inverse", host, identity_like(host)); });
} catch (const Error& error) {
  rethrow_as("inverse", error);
}

Tensor linalg::inv(const Tensor& x) try { return inverse(x); } catch (const Error& error) {
  rethrow_as("inv", error);
}

// --- determinants

namespace {

/// Sign and logarithm of the product of U's diagonals, with the sign of the permutations.
template <class T>
std::pair<T, T> sign_and_log(const Factors& factors, std::int64_t i) {
  const std::int64_t n = order_of(factors.lu);
  const T* const lu = matrix<T>(factors.lu, i);
  const int* const pivots = row<int>(factors.pivots, i);
  T sign = 1, log = 0;
  for (std::int64_t d = 0; d < n; ++d) {
    const T element = lu[d * n + d];
    if (pivots[d] != d + 1) sign = -sign;
    if (element < 0) sign = -sign;
    if (element == 0) sign = 0;
    log += std::log(std::abs(element));
  }
  return {sign, log};
}

/// The product itself: the logarithm would lose digits.
template <class T>
T product(const Factors& factors, std::int64_t i) {
  const std::int64_t n = order_of(factors.lu);
  T value = 1;
  for (std::int64_t d = 0; d < n; ++d) {
    value *= matrix<T>(factors.lu, i)[d * n + d];
    if (row<int>(factors.pivots, i)[d] != d + 1) value = -value;
  }
  return value;
}

template <class F>
Tensor of_each(const Tensor& x, F f) {
  const Factors factors(x);
  Tensor y = ones(with_sizes(x, {}), {.dtype = x.dtype()});  // of a matrix without elements
  for_each_matrix(factors.lu,
                  [&]<class T>(T, std::int64_t i) { reinterpret_cast<T*>(raw(y))[i] = f(T{}, factors, i); });
  return y;
}

Tensor determinant(const Tensor& x) {
  Tensor y =
      of_each(x, []<class T>(T, const Factors& factors, std::int64_t i) { return product<T>(factors, i); });
  if (recording(x))
    record("det", y, {x}, [x = save(x), y = save_output(y)](Backward& b) {
      const Tensor scale = (b.grad() * y.get(b)).unsqueeze(-1).unsqueeze(-1), input = x.get(b);
      b.set(0, scale * transposed(solved("det", input, identity_like(input))));
    });
  return y;
}

Tensor log_determinant(const Tensor& x) {
  Tensor y = of_each(x, []<class T>(T, const Factors& factors, std::int64_t i) {
    return sign_and_log<T>(factors, i).second;
  });
  if (x.numel() == 0) y = zeros_like(y);
  if (recording(x))
    record("slogdet", y, {x}, [x = save(x)](Backward& b) {
      const Tensor input = x.get(b);
      b.set(0, b.grad().unsqueeze(-1).unsqueeze(-1) *
                   transposed(solved("slogdet", input, identity_like(input))));
    });
  return y;
}

}  // namespace

Tensor det(const Tensor& x) try {
  check_square("det", x);
  return on_host(x, determinant);
} catch (const Error& error) {
  rethrow_as("det", error);
}

SignAndLog slogdet(const Tensor& x) try {
  check_square("slogdet", x);
  const Tensor sign = on_host(x.detach(), [](const Tensor& host) {
    return of_each(host, []<class T>(T, const Factors& factors, std::int64_t i) {
      return sign_and_log<T>(factors, i).first;
    });
  });
  return {sign, on_host(x, log_determinant)};
} catch (const Error& error) {
  rethrow_as("slogdet", error);
}

Tensor logdet(const Tensor& x) try {
  const auto [sign, log] = slogdet(x);
  return where(sign < 0, std::numeric_limits<double>::quiet_NaN(), log);
} catch (const Error& error) {
  rethrow_as("logdet", error);
}

// --- Cholesky's factor

namespace {

/// The lower triangle, of the diagonal the half.
Tensor half_lower(const Tensor& x) { return tril(x) * (1 - 0.5 * identity_like(x)); }

/// The lower factor. Its gradient is that of a symmetric matrix. (Murray: "Differentiation of the Cholesky
/// decomposition", 2016.)
Tensor factor_of(const Tensor& x) {
  Tensor columns = columns_of(x);
  for_each_matrix(columns, [&]<class T>(T, std::int64_t i) {
    const int minor = Lapack<T>::cholesky(order_of(x), matrix<T>(columns, i));
    check(minor == 0, "cholesky: matrix ", i, " is not positive definite: its leading minor of order ", minor,
          " is not");
  });
  Tensor y = tril(transposed(columns)).contiguous();
  if (recording(x))
    record("cholesky", y, {x}, [y = save_output(y)](Backward& b) {
      const Tensor l = y.get(b), lt = transposed(l);
      const auto times_inverse = [&](const Tensor& m) {  // L^-T m
        return solved_triangular("cholesky", lt, m, true, false);
      };
      const Tensor inner = half_lower(matmul(lt, tril(b.grad())));
      const Tensor outer = transposed(times_inverse(transposed(times_inverse(inner))));  // L^-T inner L^-1
      b.set(0, 0.5 * (outer + transposed(outer)));
    });
  return y;
}

}  // namespace

Tensor cholesky(const Tensor& x, bool upper) try {
  check_square("cholesky", x);
  const Tensor lower = on_host(x, factor_of);
  return upper ? transposed(lower).contiguous() : lower;
} catch (const Error& error) {
  rethrow_as("cholesky", error);
}

Tensor cholesky_solve(const Tensor& b, const Tensor& factor, bool upper) try {
  check_system("cholesky_solve", factor, b);
  const Tensor other = transposed(factor);
  return upper ? solve_triangular(factor, solve_triangular(other, b, false), true)
               : solve_triangular(other, solve_triangular(factor, b, false), true);
} catch (const Error& error) {
  rethrow_as("cholesky_solve", error);
}

// --- orthogonal decompositions

namespace {

Tensor zeros_for(const Tensor& like) { return zeros_like(like.detach()); }
Tensor gradient(Backward& b, int output, const Tensor& like) {
  return b.grad(output).defined() ? b.grad(output) : zeros_for(like);
}

/// On the host.
QR qr_of(const Tensor& x) {
  const std::int64_t n = x.size(-2), m = x.size(-1), k = std::min(n, m);
  const Tensor columns = columns_of(x), r = zeros(with_sizes(x, {m, k}), {.dtype = x.dtype()});
  for_each_matrix(columns, [&]<class T>(T, std::int64_t i) {
    Lapack<T>::qr(n, m, matrix<T>(columns, i), matrix<T>(r, i));
  });
  std::vector<Tensor> parts{transposed(columns.narrow(-2, 0, k)).contiguous(), transposed(r).contiguous()};
  if (recording(x))
    record("qr", parts, {x},
           [q = save_output(parts[0], 0), r = save_output(parts[1], 1), wide = n < m](Backward& b) {
             check(!wide, "qr: the gradient needs at least as many rows as columns");
             const Tensor Q = q.get(b), R = r.get(b);
             const Tensor of_q = gradient(b, 0, Q), of_r = gradient(b, 1, R);
             const Tensor both = matmul(R, transposed(of_r)) - matmul(transposed(of_q), Q);
             const Tensor symmetric = tril(both) + transposed(tril(both, -1));
             const Tensor right = of_q + matmul(Q, symmetric);
             b.set(0, transposed(solved_triangular("qr", R, transposed(right), true, false)));
           });
  return {parts[0], parts[1]};
}

/// 1 / (values[j] - values[i]) at [i][j], 0 on the diagonal.
Tensor inverse_differences(const Tensor& values) {
  const Tensor apart = values.unsqueeze(-2) - values.unsqueeze(-1);
  const Tensor one = eye(values.size(-1), {.dtype = values.dtype()});
  return (1 - one) / (apart + one);
}
Tensor diagonal_of(const Tensor& values) { return diag_embed(values); }

Eigh eigh_of(const Tensor& x) {
  check_finite("eigh", tril(x.detach()));
  const Tensor columns = columns_of(x),
               values = make_tensor(with_sizes(x, {order_of(x)}), x.dtype(), x.device());
  for_each_matrix(columns, [&]<class T>(T, std::int64_t i) {
    check(Lapack<T>::eigenvectors(order_of(x), matrix<T>(columns, i), row<T>(values, i)) == 0,
          "eigh: LAPACK did not converge for matrix ", i);
  });
  std::vector<Tensor> parts{values, transposed(columns).contiguous()};
  if (recording(x))
    record("eigh", parts, {x},
           [values = save_output(parts[0], 0), vectors = save_output(parts[1], 1)](Backward& b) {
             const Tensor l = values.get(b), v = vectors.get(b), vt = transposed(v);
             Tensor inner = diagonal_of(gradient(b, 0, l));
             if (b.grad(1).defined()) inner = inner + matmul(vt, b.grad(1)) * inverse_differences(l);
             const Tensor dx = matmul(v, matmul(inner, vt));
             b.set(0, 0.5 * (dx + transposed(dx)));  // one element of a pair is read, both are meant
           });
  return {parts[0], parts[1]};
}

Tensor skew(const Tensor& x) { return x - transposed(x); }

/// The gradient of x by those of u, s and vh. (Giles: "Collected matrix derivative results", 2008.)
Tensor svd_backward(Backward& b, const Tensor& u, const Tensor& s, const Tensor& vh) {
  const Tensor ut = transposed(u), v = transposed(vh), gaps = inverse_differences(square(s));
  Tensor inner = diagonal_of(gradient(b, 1, s)), rest;
  const Tensor row_scale = s.unsqueeze(-2), column_scale = s.unsqueeze(-1);
  if (b.grad(0).defined()) {
    const Tensor of_u = b.grad(0), within = matmul(ut, of_u);
    inner = inner + skew(within) * gaps * row_scale;
    if (u.size(-2) > s.size(-1)) rest = matmul((of_u - matmul(u, within)) / row_scale, vh);
  }
  if (b.grad(2).defined()) {
    const Tensor of_v = transposed(b.grad(2)), within = matmul(vh, of_v);
    inner = inner + column_scale * (skew(within) * gaps);
    if (v.size(-2) > s.size(-1)) {
      const Tensor part = matmul(u / row_scale, transposed(of_v - matmul(v, within)));
      rest = rest.defined() ? rest + part : part;
    }
  }
  const Tensor dx = matmul(u, matmul(inner, vh));
  return rest.defined() ? dx + rest : dx;
}

SVD svd_of(const Tensor& x) {
  check_finite("svd", x);
  const std::int64_t n = x.size(-2), m = x.size(-1), k = std::min(n, m);
  const auto made = [&](std::initializer_list<std::int64_t> sizes) {
    return make_tensor(with_sizes(x, sizes), x.dtype(), x.device());
  };
  const Tensor columns = columns_of(x), u = made({k, n}), s = made({k}), vh = made({m, k});
  for_each_matrix(columns, [&]<class T>(T, std::int64_t i) {
    check(Lapack<T>::svd(n, m, matrix<T>(columns, i), matrix<T>(u, i), row<T>(s, i), matrix<T>(vh, i)) == 0,
          "svd: LAPACK did not converge for matrix ", i);
  });
  std::vector<Tensor> parts{transposed(u).contiguous(), s, transposed(vh).contiguous()};
  if (recording(x))
    record("svd", parts, {x},
           [u = save_output(parts[0], 0), s = save_output(parts[1], 1), vh = save_output(parts[2], 2)](
               Backward& b) { b.set(0, svd_backward(b, u.get(b), s.get(b), vh.get(b))); });
  return {parts[0], parts[1], parts[2]};
}

}  // namespace

QR qr(const Tensor& x) try {
  check_matrix("qr", x);
  const QR host = qr_of(x.cpu());
  return {host.q.to(x.device()), host.r.to(x.device())};
} catch (const Error& error) {
  rethrow_as("qr", error);
}

Eigh eigh(const Tensor& x) try {
  check_square("eigh", x);
  const Eigh host = eigh_of(x.cpu());
  return {host.values.to(x.device()), host.vectors.to(x.device())};
} catch (const Error& error) {
  rethrow_as("eigh", error);
}

Tensor eigvalsh(const Tensor& x) try { return eigh(x).values; } catch (const Error& error) {
  rethrow_as("eigvalsh", error);
}

SVD svd(const Tensor& x) try {
  check_matrix("svd", x);
  const SVD host = svd_of(x.cpu());
  return {host.u.to(x.device()), host.s.to(x.device()), host.vh.to(x.device())};
} catch (const Error& error) {
  rethrow_as("svd", error);
}

Tensor svdvals(const Tensor& x) try { return svd(x).s; } catch (const Error& error) {
  rethrow_as("svdvals", error);
}

// --- made of them

namespace {

/// Which singular values count.
Tensor counted(const Tensor& x, const Tensor& s, std::optional<double> rtol) {
  const double epsilon = x.dtype() == float32 ? double{std::numeric_limits<float>::epsilon()}
                                              : std::numeric_limits<double>::epsilon();
  const double factor = rtol.value_or(epsilon * static_cast<double>(std::max(x.size(-1), x.size(-2))));
  const Tensor values = s.detach();
  return s.size(-1) == 0 ? values > 0 : values > amax(values, {-1}, true) * factor;
}

}  // namespace

Tensor pinv(const Tensor& x, std::optional<double> rtol) try {
  check(!rtol || *rtol >= 0, "pinv: rtol is ", rtol.value_or(0), "; it must be at least 0");
  const auto [u, s, vh] = svd(x);
  const Tensor counts = counted(x, s, rtol);
  const Tensor reciprocal = where(counts, 1 / where(counts, s, 1), 0);
  return matmul(transposed(vh) * reciprocal.unsqueeze(-2), transposed(u));
} catch (const Error& error) {
  rethrow_as("pinv", error);
}

Tensor matrix_rank(const Tensor& x, std::optional<double> rtol) try {
  check(!rtol || *rtol >= 0, "matrix_rank: rtol is ", rtol.value_or(0), "; it must be at least 0");
  return sum(counted(x, svdvals(x.detach()), rtol), {-1});
} catch (const Error& error) {
  rethrow_as("matrix_rank", error);
}

Tensor cond(const Tensor& x) try {
  const Tensor s = svdvals(x);
  check(s.size(-1) > 0, "cond: got shape ", x.shape(), "; the matrices must not be empty");
  return s.select(-1, 0) / s.select(-1, s.size(-1) - 1);
} catch (const Error& error) {
  rethrow_as("cond", error);
}

Tensor matrix_power(const Tensor& x, std::int64_t n) try {
  if (is_half(x) && n >= 0) return in_float32(MP_OP(matrix_power), x, n);
  check_square("matrix_power", x);
  if (n < 0) {
    check(n > std::numeric_limits<std::int64_t>::min(), "matrix_power: n is ", n, "; it is too small");
    return matrix_power(inverse(x), -n);
  }
  Tensor power, factor = x;
  for (std::int64_t rest = n; rest > 0; rest /= 2) {
    if (rest % 2 == 1) power = power.defined() ? matmul(power, factor) : factor;
    if (rest > 1) factor = matmul(factor, factor);
  }
  return n == 0 ? identity_like(x).clone() + 0 * x : n == 1 ? x.clone() : power;
} catch (const Error& error) {
  rethrow_as("matrix_power", error);
}

}  // namespace miniparallel

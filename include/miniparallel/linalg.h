#pragma once

#include <miniparallel/tensor.h>

#include <cstdint>
#include <optional>

/// Linear algebra of matrices (..., n, m), leading dimensions are a stack: by LAPACK, in float32 and float64,
/// one matrix after the other in the calling thread. Also in namespace `linalg`, where PyTorch has it.
///
/// Tensors on a GPU are copied to the host, computed there and copied back: a call waits for the GPU, and so
/// does its backward. The profiler shows the copies and a span `lapack`.
///
/// Gradients are those of PyTorch. They are infinite or NaN where eigenvalues or singular values coincide,
/// and only of use for functions that do not depend on the signs of vectors, which are free.

namespace miniparallel {

/// The solution x of a x = b: a (..., n, n), b (..., n, k) or, for one dimension less than a, (..., n) ->
/// b's shape; leading dimensions must agree. `Error` for a singular matrix, on every device; likewise below.
Tensor solve(const Tensor& a, const Tensor& b);
/// The same for a of which only one triangle is looked at, with ones on the diagonal if `unitriangular`. A
/// zero on the diagonal gives infinite or NaN elements.
Tensor solve_triangular(const Tensor& a, const Tensor& b, bool upper, bool unitriangular = false);
Tensor inverse(const Tensor& x);
/// (...). The gradient of a singular matrix's is an `Error`.
Tensor det(const Tensor& x);
struct SignAndLog {
  Tensor sign, logabsdet;
};
/// The sign, which has no gradient, and the logarithm of |det(x)|: 0 and minus infinity of a singular matrix.
SignAndLog slogdet(const Tensor& x);
Tensor logdet(const Tensor& x);  ///< log(det(x)); NaN where det is below 0
/// L of x = L L^T for a symmetric positive definite x, of which the lower triangle is read; or its transpose.
/// `Error` for a matrix that is not positive definite.
Tensor cholesky(const Tensor& x, bool upper = false);
/// The solution of a x = b for the `cholesky` factor of a: b (..., n, k).
Tensor cholesky_solve(const Tensor& b, const Tensor& factor, bool upper = false);
struct QR {
  Tensor q, r;
};
/// x (..., n, m) = q r, with k the smaller size: q (..., n, k) with orthonormal columns, r (..., k, m) upper
/// triangular. Gradient for n at least m.
QR qr(const Tensor& x);
struct Eigh {
  Tensor values, vectors;
};
/// Eigenvalues of a symmetric x in ascending order (..., n), vectors as columns (..., n, n). The lower
/// triangle is read.
Eigh eigh(const Tensor& x);
Tensor eigvalsh(const Tensor& x);
struct SVD {
  Tensor u, s, vh;
};
/// x = u diag(s) vh, with k the smaller size: u (..., n, k), s (..., k) in descending order, vh (..., k, m).
/// (PyTorch's `full_matrices=False`.)
SVD svd(const Tensor& x);
Tensor svdvals(const Tensor& x);  ///< s alone
/// (..., m, n): the pseudo-inverse, without singular values up to `rtol` times the largest; the dtype's
/// epsilon times the larger size when not given. (Moore 1920, Penrose 1955.)
Tensor pinv(const Tensor& x, std::optional<double> rtol = {});
/// How many singular values are above that: int64, (...).
Tensor matrix_rank(const Tensor& x, std::optional<double> rtol = {});
Tensor cond(const Tensor& x);                          ///< the largest singular value over the smallest
Tensor matrix_power(const Tensor& x, std::int64_t n);  ///< of the inverse for a negative n

namespace linalg {
using miniparallel::cholesky;
using miniparallel::cond;
using miniparallel::det;
using miniparallel::eigh;
using miniparallel::eigvalsh;
using miniparallel::matrix_power;
using miniparallel::matrix_rank;
using miniparallel::pinv;
using miniparallel::qr;
using miniparallel::slogdet;
using miniparallel::solve;
using miniparallel::solve_triangular;
using miniparallel::svd;
using miniparallel::svdvals;
Tensor inv(const Tensor& x);  ///< `inverse`
}  // namespace linalg

}  // namespace miniparallel

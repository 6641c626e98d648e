#pragma once

#include <cstdint>

namespace miniparallel::kernels::cpu {

/// Decompositions of one matrix by the LAPACK that OpenBLAS brings, in the calling thread. Matrices are
/// column-major without gaps and are overwritten; T is float or double. Functions that return an int return
/// LAPACK's `info`: 0, or what is said there. Sizes are at least 1; `Error` for one above 2^31 - 1.
template <class T>
struct Lapack {
  /// a (n, n) as P L U; `pivots` (n), counted from 1. The first zero on U's diagonal, counted from 1.
  static int lu(std::int64_t n, T* a, int* pivots);
  /// b (n, columns) as the solution of what `lu` has made of a.
  static void solve_lu(std::int64_t n, std::int64_t columns, const T* a, const int* pivots, T* b);
  /// The lower triangle of a (n, n) as L of a = L L^T; above it nothing is read or written. The order of the
  /// leading minor that is not positive.
  static int cholesky(std::int64_t n, T* a);
  /// b (n, columns) as the solution x of a x = b, of a triangle of a.
  static void solve_triangle(bool upper, bool unit_diagonal, std::int64_t n, std::int64_t columns, const T* a,
                             T* b);
  /// a (rows, columns), with k the smaller: Q (rows, k) in a's first k columns, R (k, columns) in `r`, whose
  /// elements below the diagonal are not written.
  static void qr(std::int64_t rows, std::int64_t columns, T* a, T* r);
  /// Symmetric a (n, n), of which the lower triangle is read, as its eigenvectors; their values in ascending
  /// order. Above 0 where it does not converge.
  static int eigenvectors(std::int64_t n, T* a, T* values);
  /// a (rows, columns), with k the smaller, as u (rows, k), s (k) in descending order and vt (k, columns).
  /// Above 0 where it does not converge.
  static int svd(std::int64_t rows, std::int64_t columns, T* a, T* u, T* s, T* vt);
};

}  // namespace miniparallel::kernels::cpu

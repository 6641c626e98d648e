#include "kernels/cpu/lapack.h"

#include <miniparallel/error.h>

#include "kernels/cpu/blas_alone.h"

#include <algorithm>
#include <cstddef>
#include <limits>
#include <string>
#include <vector>

// LAPACK's functions as its Fortran has them: by address, lengths of the letters last. Debian's OpenBLAS
// declares them in no header that comes with its CBLAS.
#define MP_DECLARE(p, T)                                                                                     \
  void p##getrf_(const int*, const int*, T*, const int*, int*, int*);                                        \
  void p##getrs_(const char*, const int*, const int*, const T*, const int*, const int*, T*, const int*,      \
                 int*, std::size_t);                                                                         \
  void p##potrf_(const char*, const int*, T*, const int*, int*, std::size_t);                                \
  void p##trtrs_(const char*, const char*, const char*, const int*, const int*, const T*, const int*, T*,    \
                 const int*, int*, std::size_t, std::size_t, std::size_t);                                   \
  void p##geqrf_(const int*, const int*, T*, const int*, T*, T*, const int*, int*);                          \
  void p##orgqr_(const int*, const int*, const int*, T*, const int*, const T*, T*, const int*, int*);        \
  void p##syevd_(const char*, const char*, const int*, T*, const int*, T*, T*, const int*, int*, const int*, \
                 int*, std::size_t, std::size_t);                                                            \
  void p##gesdd_(const char*, const int*, const int*, T*, const int*, T*, T*, const int*, T*, const int*,    \
                 T*, const int*, int*, int*, std::size_t);
extern "C" {
MP_DECLARE(s, float)
MP_DECLARE(d, double)
}
#undef MP_DECLARE

namespace miniparallel::kernels::cpu {
namespace {

int to_int(std::int64_t size) {
  if (size > std::numeric_limits<int>::max())
    throw Error("linalg: a size of " + std::to_string(size) + " is more than LAPACK takes (2^31 - 1)");
  return static_cast<int>(size);
}

/// Calls `f(workspace, size)` first with size -1, by which LAPACK writes the size it wants.
template <class T, class F>
void with_workspace(F f) {
  T wanted = 0;
  f(&wanted, -1);
  std::vector<T> room(static_cast<std::size_t>(std::max<T>(wanted, 1)) + 1);  // +1: a float is rounded
  f(room.data(), to_int(static_cast<std::int64_t>(room.size())));
}

}  // namespace

#define MP_DEFINE(p, T)                                                                                      \
  template <>                                                                                                \
  int Lapack<T>::lu(std::int64_t size, T* a, int* pivots) {                                                  \
    const SingleThread alone;                                                                                \
    const int n = to_int(size);                                                                              \
    int info = 0;                                                                                            \
    p##getrf_(&n, &n, a, &n, pivots, &info);                                                                 \
    return info;                                                                                             \
  }                                                                                                          \
  template <>                                                                                                \
  void Lapack<T>::solve_lu(std::int64_t size, std::int64_t columns, const T* a, const int* pivots, T* b) {   \
    const SingleThread alone;                                                                                \
    const int n = to_int(size), m = to_int(columns);                                                         \
    int info = 0;                                                                                            \
    p##getrs_("N", &n, &m, a, &n, pivots, b, &n, &info, 1);                                                  \
  }                                                                                                          \
  template <>                                                                                                \
  int Lapack<T>::cholesky(std::int64_t size, T* a) {                                                         \
    const SingleThread alone;                                                                                \
    const int n = to_int(size);                                                                              \
    int info = 0;                                                                                            \
    p##potrf_("L", &n, a, &n, &info, 1);                                                                     \
    return info;                                                                                             \
  }                                                                                                          \
  template <>                                                                                                \
  void Lapack<T>::solve_triangle(bool upper, bool unit, std::int64_t size, std::int64_t columns, const T* a, \
                                 T* b) {                                                                     \
    const SingleThread alone;                                                                                \
    const int n = to_int(size), m = to_int(columns);                                                         \
    int info = 0;                                                                                            \
    p##trtrs_(upper ? "U" : "L", "N", unit ? "U" : "N", &n, &m, a, &n, b, &n, &info, 1, 1, 1);               \
  }                                                                                                          \
  template <>                                                                                                \
  void Lapack<T>::qr(std::int64_t rows, std::int64_t columns, T* a, T* r) {                                  \
    const SingleThread alone;                                                                                \
    const int m = to_int(rows), n = to_int(columns), k = std::min(m, n);                                     \
    int info = 0;                                                                                            \
    std::vector<T> scales(static_cast<std::size_t>(k));                                                      \
    with_workspace<T>(                                                                                       \
        [&](T* work, int size) { p##geqrf_(&m, &n, a, &m, scales.data(), work, &size, &info); });            \
    for (std::int64_t j = 0; j < n; ++j)                                                                     \
      std::copy_n(a + j * m, std::min<std::int64_t>(j + 1, k), r + j * k);                                   \
    with_workspace<T>(                                                                                       \
        [&](T* work, int size) { p##orgqr_(&m, &k, &k, a, &m, scales.data(), work, &size, &info); });        \
  }                                                                                                          \
  template <>                                                                                                \
  int Lapack<T>::eigenvectors(std::int64_t size, T* a, T* values) {                                          \
    const SingleThread alone;                                                                                \
    const int n = to_int(size);                                                                              \
    int info = 0, integers = 0;                                                                              \
    const int ask = -1;                                                                                      \
    T wanted = 0;                                                                                            \
    p##syevd_("V", "L", &n, a, &n, values, &wanted, &ask, &integers, &ask, &info, 1, 1);                     \
    std::vector<int> indices(static_cast<std::size_t>(integers));                                            \
    with_workspace<T>([&](T* work, int room) {                                                               \
      const int few = room < 0 ? -1 : integers;                                                              \
      p##syevd_("V", "L", &n, a, &n, values, work, &room, indices.data(), &few, &info, 1, 1);                \
    });                                                                                                      \
    return info;                                                                                             \
  }                                                                                                          \
  template <>                                                                                                \
  int Lapack<T>::svd(std::int64_t rows, std::int64_t columns, T* a, T* u, T* s, T* vt) {                     \
    const SingleThread alone;                                                                                \
    const int m = to_int(rows), n = to_int(columns), k = std::min(m, n);                                     \
    int info = 0;                                                                                            \
    std::vector<int> indices(static_cast<std::size_t>(8) * static_cast<std::size_t>(k));                     \
    with_workspace<T>([&](T* work, int size) {                                                               \
      p##gesdd_("S", &m, &n, a, &m, s, u, &m, vt, &k, work, &size, indices.data(), &info, 1);                \
    });                                                                                                      \
    return info;                                                                                             \
  }
MP_DEFINE(s, float)
MP_DEFINE(d, double)
#undef MP_DEFINE

}  // namespace miniparallel::kernels::cpu

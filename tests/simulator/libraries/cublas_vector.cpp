// cuBLAS's functions of vectors, and of a matrix and a vector. A negative increment walks a vector from its
// end, as in BLAS.
#include "cublas_context.h"
#include "device_matrix.h"

#include <cblas.h>

#include <climits>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <type_traits>
#include <vector>

using namespace miniparallel::simulator;

namespace {

/// cblas for float and double under one name.
template <class T>
struct Blas {
  static constexpr auto axpy = cblas_saxpy;
  static constexpr auto scal = cblas_sscal;
  static constexpr auto dot = cblas_sdot;
  static constexpr auto nrm2 = cblas_snrm2;
  static constexpr auto gemv = cblas_sgemv;
  static constexpr auto type = CUDA_R_32F;
};

template <>
struct Blas<double> {
  static constexpr auto axpy = cblas_daxpy;
  static constexpr auto scal = cblas_dscal;
  static constexpr auto dot = cblas_ddot;
  static constexpr auto nrm2 = cblas_dnrm2;
  static constexpr auto gemv = cblas_dgemv;
  static constexpr auto type = CUDA_R_64F;
};

template <class T>
struct Vector {
  T* data;
  std::int64_t size, increment;

  int inc() const { return static_cast<int>(increment); }
  bool too_long() const { return size > INT_MAX || std::abs(increment) > INT_MAX; }
  Access access(Use use) const {
    return {use, data, sizeof(T), static_cast<std::size_t>(std::abs(increment)) * sizeof(T),
            static_cast<std::size_t>(size)};
  }
};

template <class T>
Vector<T> vector_at(const T* data, std::int64_t size, std::int64_t increment) {
  return {const_cast<T*>(data), size, increment};
}

/// y += alpha * x.
template <class T>
cublasStatus_t axpy(const char* name, cublasHandle_t handle, const T* alpha, Vector<T> x, Vector<T> y) {
  if (const auto status = begin(handle, name); status != CUBLAS_STATUS_SUCCESS) return status;
  if (x.too_long() || y.too_long()) return CUBLAS_STATUS_NOT_SUPPORTED;
  if (x.size <= 0) return CUBLAS_STATUS_SUCCESS;
  if (alpha == nullptr || x.data == nullptr || y.data == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  const Scalar factor(alpha, Blas<T>::type, handle->scalars_on_device());
  std::vector<Access> parameters;
  factor.add_to(parameters);
  return queue(
      handle->stream, name, std::move(parameters),
      [=]() -> std::vector<Access> {
        if (factor.value() == 0) return {};
        return {x.access(Use::read), y.access(Use::update)};
      },
      [=] {
        Blas<T>::axpy(static_cast<int>(x.size), static_cast<T>(factor.value()), x.data, x.inc(), y.data,
                      y.inc());
      });
}

/// x *= alpha; nothing for an increment below 1.
template <class T>
cublasStatus_t scal(const char* name, cublasHandle_t handle, const T* alpha, Vector<T> x) {
  if (const auto status = begin(handle, name); status != CUBLAS_STATUS_SUCCESS) return status;
  if (x.too_long()) return CUBLAS_STATUS_NOT_SUPPORTED;
  if (x.size <= 0 || x.increment <= 0) return CUBLAS_STATUS_SUCCESS;
  if (alpha == nullptr || x.data == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  const Scalar factor(alpha, Blas<T>::type, handle->scalars_on_device());
  std::vector<Access> parameters{x.access(Use::update)};
  factor.add_to(parameters);
  return queue(handle->stream, name, std::move(parameters), {}, [=] {
    Blas<T>::scal(static_cast<int>(x.size), static_cast<T>(factor.value()), x.data, x.inc());
  });
}

/// *result = calculate(). With the result in host memory the call waits for it, as documented.
template <class T>
cublasStatus_t to_result(const char* name, cublasHandle_t handle, std::vector<Access> accesses, T* result,
                         std::function<T()> calculate) {
  if (result == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  if (handle->scalars_on_device()) accesses.push_back({Use::write, result, sizeof(T)});
  const auto status = queue(handle->stream, name, std::move(accesses), {}, [=] { *result = calculate(); });
  if (status != CUBLAS_STATUS_SUCCESS || handle->scalars_on_device()) return status;
  return status_of(cudaStreamSynchronize(handle->stream));
}

/// The sum of x[i] * y[i]; 0 for no elements.
template <class T>
cublasStatus_t dot(const char* name, cublasHandle_t handle, Vector<T> x, Vector<T> y, T* result) {
  if (const auto status = begin(handle, name); status != CUBLAS_STATUS_SUCCESS) return status;
  if (x.too_long() || y.too_long()) return CUBLAS_STATUS_NOT_SUPPORTED;
  if (x.size <= 0) return to_result<T>(name, handle, {}, result, [] { return T(0); });
  if (x.data == nullptr || y.data == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  return to_result<T>(name, handle, {x.access(Use::read), y.access(Use::read)}, result, [=] {
    return Blas<T>::dot(static_cast<int>(x.size), x.data, x.inc(), y.data, y.inc());
  });
}

/// The Euclidean norm; 0 for no elements or an increment below 1.
template <class T>
cublasStatus_t nrm2(const char* name, cublasHandle_t handle, Vector<T> x, T* result) {
  if (const auto status = begin(handle, name); status != CUBLAS_STATUS_SUCCESS) return status;
  if (x.too_long()) return CUBLAS_STATUS_NOT_SUPPORTED;
  if (x.size <= 0 || x.increment <= 0) return to_result<T>(name, handle, {}, result, [] { return T(0); });
  if (x.data == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  return to_result<T>(name, handle, {x.access(Use::read)}, result,
                      [=] { return Blas<T>::nrm2(static_cast<int>(x.size), x.data, x.inc()); });
}

/// y = alpha * op(A) * x + beta * y; y is not read if beta is 0.
template <class T>
cublasStatus_t gemv(const char* name, cublasHandle_t handle, cublasOperation_t op, std::int64_t m,
                    std::int64_t n, const T* alpha, const T* a, std::int64_t lda, Vector<T> x, const T* beta,
                    Vector<T> y) {
  if (const auto status = begin(handle, name); status != CUBLAS_STATUS_SUCCESS) return status;
  const bool known = op == CUBLAS_OP_N || op == CUBLAS_OP_T || op == CUBLAS_OP_C;
  if (!known || m < 0 || n < 0 || lda < std::max<std::int64_t>(1, m) || x.increment == 0 ||
      y.increment == 0 || alpha == nullptr || beta == nullptr) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  if (m == 0 || n == 0) return CUBLAS_STATUS_SUCCESS;
  if (x.too_long() || y.too_long() || lda > INT_MAX) return CUBLAS_STATUS_NOT_SUPPORTED;
  if (a == nullptr || x.data == nullptr || y.data == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  x.size = op == CUBLAS_OP_N ? n : m;
  y.size = op == CUBLAS_OP_N ? m : n;
  const Scalar by(alpha, Blas<T>::type, handle->scalars_on_device()),
      keep(beta, Blas<T>::type, handle->scalars_on_device());
  const Matrix matrix{const_cast<T*>(a), Blas<T>::type, m, n, 1, lda};
  std::vector<Access> parameters;
  by.add_to(parameters);
  keep.add_to(parameters);
  const auto accesses = [=] {
    std::vector<Access> list{y.access(keep.value() == 0 ? Use::write : Use::update)};
    if (by.value() != 0) list.insert(list.end(), {access(Use::read, matrix), x.access(Use::read)});
    return list;
  };
  return queue(handle->stream, name, std::move(parameters), accesses, [=] {
    if (keep.value() == 0) {
      for (std::int64_t i = 0; i < y.size; ++i) y.data[i * std::abs(y.increment)] = 0;
    }
    Blas<T>::gemv(CblasColMajor, op == CUBLAS_OP_N ? CblasNoTrans : CblasTrans, static_cast<int>(m),
                  static_cast<int>(n), static_cast<T>(by.value()), a, static_cast<int>(lda), x.data, x.inc(),
                  static_cast<T>(keep.value()), y.data, y.inc());
  });
}

}  // namespace

extern "C" {

#define VECTOR_FUNCTIONS(S, suffix, T, Int)                                                                  \
  cublasStatus_t cublas##S##axpy_v2##suffix(cublasHandle_t handle, Int n, const T* alpha, const T* x,        \
                                            Int incx, T* y, Int incy) {                                      \
    return axpy("cublas" #S "axpy", handle, alpha, vector_at(x, n, incx), vector_at<T>(y, n, incy));         \
  }                                                                                                          \
  cublasStatus_t cublas##S##scal_v2##suffix(cublasHandle_t handle, Int n, const T* alpha, T* x, Int incx) {  \
    return scal("cublas" #S "scal", handle, alpha, vector_at<T>(x, n, incx));                                \
  }                                                                                                          \
  cublasStatus_t cublas##S##dot_v2##suffix(cublasHandle_t handle, Int n, const T* x, Int incx, const T* y,   \
                                           Int incy, T* result) {                                            \
    return dot("cublas" #S "dot", handle, vector_at(x, n, incx), vector_at(y, n, incy), result);             \
  }                                                                                                          \
  cublasStatus_t cublas##S##nrm2_v2##suffix(cublasHandle_t handle, Int n, const T* x, Int incx, T* result) { \
    return nrm2("cublas" #S "nrm2", handle, vector_at(x, n, incx), result);                                  \
  }                                                                                                          \
  cublasStatus_t cublas##S##gemv_v2##suffix(cublasHandle_t handle, cublasOperation_t op, Int m, Int n,       \
                                            const T* alpha, const T* A, Int lda, const T* x, Int incx,       \
                                            const T* beta, T* y, Int incy) {                                 \
    return gemv("cublas" #S "gemv", handle, op, m, n, alpha, A, lda, vector_at(x, 0, incx), beta,            \
                vector_at<T>(y, 0, incy));                                                                   \
  }

VECTOR_FUNCTIONS(S, , float, int)
VECTOR_FUNCTIONS(S, _64, float, std::int64_t)
VECTOR_FUNCTIONS(D, , double, int)
VECTOR_FUNCTIONS(D, _64, double, std::int64_t)

}  // extern "C"

#pragma once
// Matrix operations of a warp, by the names and meanings of the CUDA programming guide: in the place of
// NVIDIA's header, which is empty without nvcc. Of its shapes those that take float16, bfloat16 and TF32 and
// sum in float32. Lane i has the i-th of 32 equal parts of a matrix in the order of its memory; a GPU's lanes
// have others, so a kernel may only treat all elements of a fragment alike.

#include "miniparallel/simulator/warp.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace nvcuda::wmma {

struct row_major;
struct col_major;
struct matrix_a;
struct matrix_b;
struct accumulator;
namespace precision {
struct tf32;
}
enum layout_t { mem_row_major, mem_col_major };

/// The nearest number of TF32, which has 10 bits after the first; of two the one with the larger magnitude.
inline float __float_to_tf32(float x) {
  if (!std::isfinite(x)) return x;
  return std::bit_cast<float>((std::bit_cast<std::uint32_t>(x) + 0x1000u) & ~0x1fffu);
}

template <typename Use, int m, int n, int k, typename T, typename Layout = void>
class fragment {
  static constexpr bool is_sum = std::is_same_v<Use, accumulator>;
  static constexpr bool is_tf32 = std::is_same_v<T, precision::tf32>;
  static_assert(m == 16 && n == 16 && (k == 16 || k == 8), "the simulated GPU multiplies 16 x 16 matrices");
  static_assert(is_sum ? std::is_same_v<T, float> && std::is_void_v<Layout>
                       : (k == 16 && (std::is_same_v<T, __half> || std::is_same_v<T, __nv_bfloat16>)) ||
                             (k == 8 && is_tf32));

 public:
  using element_type = T;
  using storage_element_type = std::conditional_t<is_tf32, float, T>;
  static constexpr int num_elements = 16 * (is_sum ? 16 : k) / 32;
  static constexpr int num_storage_elements = num_elements;
  /// Elements that are neighbours in memory: a row, or a column.
  static constexpr int line =
      is_sum || std::is_same_v<Use, matrix_a> == std::is_same_v<Layout, col_major> ? 16 : k;

  storage_element_type x[num_elements];
};

namespace detail {

using miniparallel::simulator::Where;

inline void meet(const Where& where) {
  miniparallel::simulator::warp_operation(miniparallel::simulator::WarpOperation::meet, ~0u, 0, 0, where);
}

/// What the lane copies at once, whatever the type of its elements.
using Eight [[gnu::may_alias]] = std::uint64_t;

/// Calls copy(element, address) for each 8 bytes of the lane's part of the matrix.
template <typename Fragment, typename T, typename Copy>
void for_each_eight(Fragment& fragment, T* matrix, unsigned stride, const Where& where, const Copy& copy) {
  if (reinterpret_cast<std::uintptr_t>(matrix) % 32 != 0 || stride * sizeof(T) % 16 != 0)
    miniparallel::simulator::trap(
        "a matrix that is not at a multiple of 32 bytes, or whose stride is not one of 16 bytes,", where);
  const int first = miniparallel::simulator::lane_index() * Fragment::num_elements;
  for (int i = 0; i < Fragment::num_elements; i += static_cast<int>(sizeof(Eight) / sizeof(T))) {
    const auto line = static_cast<std::size_t>((first + i) / Fragment::line);
    copy(fragment.x + i, matrix + line * stride + (first + i) % Fragment::line);
  }
}

}  // namespace detail

template <typename Fragment, typename Value>
void fill_fragment(Fragment& fragment, const Value& value) {
  for (auto& element : fragment.x) element = static_cast<typename Fragment::storage_element_type>(value);
}

template <typename Use, int k, typename T, typename Layout>
void load_matrix_sync(fragment<Use, 16, 16, k, T, Layout>& to,
                      const typename fragment<Use, 16, 16, k, T, Layout>::storage_element_type* matrix,
                      unsigned stride, detail::Where where = detail::Where::current()) {
  static_assert(!std::is_same_v<Use, accumulator>, "the layout of an accumulator is an argument");
  detail::meet(where);
  detail::for_each_eight(to, matrix, stride, where, [](auto* element, const auto* from) {
    const std::uint64_t bits = *reinterpret_cast<const detail::Eight*>(from);
    std::memcpy(static_cast<void*>(element), &bits, sizeof bits);
  });
}

namespace detail {

inline void by_rows_only(layout_t layout, const Where& where) {
  if (layout != mem_row_major) miniparallel::simulator::trap("a matrix of sums by columns", where);
}

}  // namespace detail

/// Sums go by rows only.
template <int k>
void load_matrix_sync(fragment<accumulator, 16, 16, k, float>& to, const float* matrix, unsigned stride,
                      layout_t layout, detail::Where where = detail::Where::current()) {
  detail::meet(where);
  detail::by_rows_only(layout, where);
  detail::for_each_eight(to, matrix, stride, where, [](float* element, const float* from) {
    const std::uint64_t bits = *reinterpret_cast<const detail::Eight*>(from);
    std::memcpy(element, &bits, sizeof bits);
  });
}

template <int k>
void store_matrix_sync(float* matrix, const fragment<accumulator, 16, 16, k, float>& from, unsigned stride,
                       layout_t layout, detail::Where where = detail::Where::current()) {
  detail::meet(where);
  detail::by_rows_only(layout, where);
  detail::for_each_eight(from, matrix, stride, where, [](const float* element, float* to) {
    std::uint64_t bits = 0;
    std::memcpy(&bits, element, sizeof bits);
    *reinterpret_cast<detail::Eight*>(to) = bits;
  });
}

template <int k, typename T, typename LayoutA, typename LayoutB>
void mma_sync(fragment<accumulator, 16, 16, k, float>& d, const fragment<matrix_a, 16, 16, k, T, LayoutA>& a,
              const fragment<matrix_b, 16, 16, k, T, LayoutB>& b,
              const fragment<accumulator, 16, 16, k, float>& c,
              detail::Where where = detail::Where::current()) {
  using namespace miniparallel::simulator;
  fragment<accumulator, 16, 16, k, float> sum = c;
  const MatrixShare share{.element = std::is_same_v<T, __half>          ? MatrixElement::float16
                                     : std::is_same_v<T, __nv_bfloat16> ? MatrixElement::bfloat16
                                                                        : MatrixElement::tf32,
                          .depth = k,
                          .a_by_columns = std::is_same_v<LayoutA, col_major>,
                          .b_by_columns = std::is_same_v<LayoutB, col_major>,
                          .a = a.x,
                          .b = b.x,
                          .c = sum.x};
  warp_operation(WarpOperation::multiply, ~0u, to_bits(&share), 0, where);
  d = sum;
}

}  // namespace nvcuda::wmma

// Layer normalisation; included once per instruction set, after kernels/cpu/targets.h. One thread sums a row
// or a column from beginning to end.

// clang-format off
#if defined(MINIPARALLEL_LAYER_NORM) == defined(HWY_TARGET_TOGGLE)
#ifdef MINIPARALLEL_LAYER_NORM
#undef MINIPARALLEL_LAYER_NORM
#else
#define MINIPARALLEL_LAYER_NORM
#endif
// clang-format on

#include "kernels/add_norm.h"
#include "kernels/by_dtype.h"
#include "kernels/cpu/backend.h"
#include "kernels/cpu/norm_sums.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/short_length.h"
#include "kernels/cpu/turned_rows.h"
#include "kernels/norm.h"

#include <algorithm>
#include <cmath>

HWY_BEFORE_NAMESPACE();
namespace miniparallel::kernels::cpu::HWY_NAMESPACE {
namespace {

/// Columns whose loops are worth code of their own.
template <class T>
constexpr int kFewColumns = std::is_same_v<T, float> && HWY_TARGET != HWY_SCALAR ? 4 : 0;
constexpr std::int64_t kColumns = 256;   // of a row, at most, which one thread sums over the rows
constexpr std::int64_t kRowsOfSum = 32;  // whose sum is made in T, which is fast, before float64 takes it up

/// Calls f(row) for all rows.
template <class F>
HWY_ATTR void for_each_row(std::int64_t rows, std::int64_t width, const F& f) {
  parallel_for(rows, grain(width), [&](std::int64_t begin, std::int64_t end) HWY_ATTR {
    for (std::int64_t row = begin; row < end; ++row) f(row);
  });
}

/// Calls f(row, count) for blocks of rows that are short enough to be turned.
template <class F>
HWY_ATTR void for_each_block_of_rows(std::int64_t rows, std::int64_t width, const F& f) {
  const std::int64_t blocks = (rows + kTurnedRows - 1) / kTurnedRows;
  parallel_for(blocks, grain(kTurnedRows * width), [&](std::int64_t begin, std::int64_t end) HWY_ATTR {
    for (std::int64_t row = begin * kTurnedRows; row < std::min(rows, end * kTurnedRows); row += kTurnedRows)
      f(row, std::min(kTurnedRows, rows - row));
  });
}

template <class T>
HWY_ATTR void short_layer_forward(const LayerNormArgs& args, T* y) {
  const std::int64_t width = args.width;
  const T *x = in<T>(args.x), *weight = in<T>(args.weight), *bias = in<T>(args.bias);
  T *mean = out<T>(args.mean), *inv_std = out<T>(args.inv_std);
  const double count = static_cast<double>(width), eps = args.eps;
  const bool centers = args.centers;
  for_each_block_of_rows(args.rows, width, [=](std::int64_t first, std::int64_t rows) HWY_ATTR {
    TurnedRows<T> turned;
    turned.read(x + first * width, rows, width);
    double sum[kTurnedRows] = {}, squares[kTurnedRows] = {};
    T *const m = mean + first, *const scale = inv_std + first;
    for (std::int64_t i = 0; i < width; ++i)
      for (std::int64_t r = 0; r < rows; ++r) sum[r] += static_cast<double>(turned[i][r]);
    for (std::int64_t r = 0; r < rows; ++r) m[r] = centers ? static_cast<T>(sum[r] / count) : T(0);
    for (std::int64_t i = 0; i < width; ++i)
      for (std::int64_t r = 0; r < rows; ++r) {
        turned[i][r] -= m[r];
        squares[r] += static_cast<double>(turned[i][r] * turned[i][r]);
      }
    for (std::int64_t r = 0; r < rows; ++r)
      scale[r] = static_cast<T>(1 / std::sqrt(squares[r] / count + eps));
    for (std::int64_t i = 0; i < width; ++i) {
      const T factor = weight == nullptr ? T(1) : weight[i], offset = bias == nullptr ? T(0) : bias[i];
      for (std::int64_t r = 0; r < rows; ++r) turned[i][r] = turned[i][r] * scale[r] * factor + offset;
    }
    turned.write(y + first * width, rows, width);
  });
}

template <class T, int beta>
HWY_ATTR void short_layer_data_gradient(const LayerNormArgs& args, const T* dy, T* dx) {
  const std::int64_t width = args.width;
  const T *x = in<T>(args.x), *weight = in<T>(args.weight);
  const T *mean = in<T>(args.mean), *inv_std = in<T>(args.inv_std);
  const double count = static_cast<double>(width);
  const bool centers = args.centers;
  for_each_block_of_rows(args.rows, width, [=](std::int64_t first, std::int64_t rows) HWY_ATTR {
    TurnedRows<T> g, centered;
    g.read(dy + first * width, rows, width);
    centered.read(x + first * width, rows, width);
    double sum[kTurnedRows] = {}, product[kTurnedRows] = {};
    const T *const m = mean + first, *const scale = inv_std + first;
    for (std::int64_t i = 0; i < width; ++i) {
      const T factor = weight == nullptr ? T(1) : weight[i];
      for (std::int64_t r = 0; r < rows; ++r) {
        g[i][r] *= factor;
        centered[i][r] -= m[r];
        sum[r] += static_cast<double>(g[i][r]);
        product[r] += static_cast<double>(g[i][r] * centered[i][r]);
      }
    }
    T shift[kTurnedRows], slope[kTurnedRows];
    for (std::int64_t r = 0; r < rows; ++r) {
      shift[r] = centers ? static_cast<T>(sum[r] / count) : T(0);
      slope[r] = static_cast<T>(product[r] / count) * scale[r] * scale[r];
    }
    T* const out = dx + first * width;
    for (std::int64_t i = 0; i < width; ++i)
      for (std::int64_t r = 0; r < rows; ++r) {
        const T gradient = scale[r] * (g[i][r] - shift[r] - centered[i][r] * slope[r]);
        g[i][r] = gradient + (beta == 0 ? T(0) : out[r * width + i]);
      }
    g.write(out, rows, width);
  });
}

template <class T>
HWY_ATTR void layer_forward_typed(const LayerNormArgs& args, T* y) {
  const std::int64_t width = args.width;
  const T *x = in<T>(args.x), *weight = in<T>(args.weight), *bias = in<T>(args.bias);
  T *mean = out<T>(args.mean), *inv_std = out<T>(args.inv_std);
  const double eps = args.eps;
  const bool centers = args.centers;
  for_each_row(args.rows, width, [=](std::int64_t row) HWY_ATTR {
    const T* in = x + row * width;
    Sums sums;
    if (centers) add_run<T>(sums, width, [=](std::int64_t i) HWY_ATTR { return Terms<T>{in[i], 0}; });
    const T m = centers ? static_cast<T>(total(sums.first) / static_cast<double>(width)) : T(0);
    add_run<T>(sums, width, [=](std::int64_t i) HWY_ATTR {
      const T difference = in[i] - m;
      return Terms<T>{0, difference * difference};
    });
    const double variance = total(sums.second) / static_cast<double>(width);
    const T scale = static_cast<T>(1 / std::sqrt(variance + eps));
    mean[row] = m;
    inv_std[row] = scale;
    T* out = y + row * width;
    MP_IVDEP
    for (std::int64_t i = 0; i < width; ++i) out[i] = (in[i] - m) * scale;
    if (weight != nullptr)
      for (std::int64_t i = 0; i < width; ++i) out[i] *= weight[i];
    if (bias != nullptr)
      for (std::int64_t i = 0; i < width; ++i) out[i] += bias[i];
  });
}

template <class T, bool weighted, int beta>
HWY_ATTR void layer_data_gradient_typed(const LayerNormArgs& args, const T* dy, T* dx) {
  const std::int64_t width = args.width;
  const T *x = in<T>(args.x), *weight = in<T>(args.weight);
  const T *mean = in<T>(args.mean), *inv_std = in<T>(args.inv_std);
  const bool centers = args.centers;
  for_each_row(args.rows, width, [=](std::int64_t row) HWY_ATTR {
    const T *gradient = dy + row * width, *in = x + row * width;
    const T m = mean[row], scale = inv_std[row];
    Sums sums;
    add_run<T>(sums, width, [=](std::int64_t i) HWY_ATTR {
      const T g = gradient[i] * (weighted ? weight[i] : T(1));
      return Terms<T>{g, g * (in[i] - m)};
    });
    const T shift = centers ? static_cast<T>(total(sums.first) / static_cast<double>(width)) : T(0);
    const T slope = static_cast<T>(total(sums.second) / static_cast<double>(width)) * scale * scale;
    T* out = dx + row * width;
    MP_IVDEP
    for (std::int64_t i = 0; i < width; ++i) {
      const T g = gradient[i] * (weighted ? weight[i] : T(1));
      out[i] = scale * (g - shift - (in[i] - m) * slope) + (beta == 0 ? T(0) : out[i]);
    }
  });
}

template <class T>
HWY_ATTR void layer_parameter_gradient_typed(const LayerNormArgs& args, const T* dy,
                                             const Destination& weight, const Destination& bias) {
  const std::int64_t rows = args.rows, width = args.width;
  const T *x = in<T>(args.x), *mean = in<T>(args.mean), *inv_std = in<T>(args.inv_std);
  T *const dweight = out<T>(weight.data), *const dbias = out<T>(bias.data);
  const int weight_beta = weight.beta, bias_beta = bias.beta;
  // Runs of a row that are long, but not so long that threads have nothing to do.
  const std::int64_t part = std::clamp<std::int64_t>(width / available_threads() / 32 * 32, 32, kColumns);
  parallel_for((width + part - 1) / part, grain(rows * part),
               [=](std::int64_t begin, std::int64_t end) HWY_ATTR {
                 for (std::int64_t first = begin * part; first < std::min(width, end * part); first += part) {
                   const std::int64_t columns = std::min(part, width - first);
                   double products[kColumns] = {}, sums[kColumns] = {};
                   const auto add = [&](std::int64_t count) HWY_ATTR __attribute__((always_inline)) {
                     for (std::int64_t row = 0; row < rows; row += kRowsOfSum) {
                       T product[kColumns], sum[kColumns];
                       for (std::int64_t k = 0; k < count; ++k) product[k] = sum[k] = 0;
                       for (std::int64_t r = row; r < std::min(rows, row + kRowsOfSum); ++r) {
                         const T *gradient = dy + r * width + first, *in = x + r * width + first;
                         const T m = mean[r], scale = inv_std[r];
                         for (std::int64_t k = 0; k < count; ++k) {
                           sum[k] += gradient[k];
                           product[k] += gradient[k] * ((in[k] - m) * scale);
                         }
                       }
                       for (std::int64_t k = 0; k < count; ++k) {
                         sums[k] += static_cast<double>(sum[k]);
                         products[k] += static_cast<double>(product[k]);
                       }
                     }
                   };
                   if (!with_short_length<kFewColumns<T>>(columns, [&]<int count>() HWY_ATTR { add(count); }))
                     add(columns);
                   for (std::int64_t k = 0; k < columns; ++k) {
                     T* const w = dweight == nullptr ? nullptr : dweight + first + k;
                     T* const b = dbias == nullptr ? nullptr : dbias + first + k;
                     if (w != nullptr) *w = static_cast<T>(products[k]) + (weight_beta == 0 ? T(0) : *w);
                     if (b != nullptr) *b = static_cast<T>(sums[k]) + (bias_beta == 0 ? T(0) : *b);
                   }
                 }
               });
}

// --- by dtype

void layer_forward(DType dtype, const LayerNormArgs& given, void* y, Stream stream) {
  LayerNormArgs args = given;
  if (args.residual != nullptr) {
    write_sum(elementwise(), random(), dtype, args, stream);
    args.x = args.sum;
  }
  with_type(dtype, [&]<class T>() {
    (args.width <= kTurnedLength ? short_layer_forward<T> : layer_forward_typed<T>)(args, out<T>(y));
  });
}
void layer_data_gradient(DType dtype, const LayerNormArgs& args, const void* g, Destination dx, void* dropped,
                         Stream stream) {
  with_type(dtype, [&]<class T>() {
    constexpr decltype(&layer_data_gradient_typed<T, true, 0>) by_kind[3][2] = {
        {layer_data_gradient_typed<T, false, 0>, layer_data_gradient_typed<T, false, 1>},
        {layer_data_gradient_typed<T, true, 0>, layer_data_gradient_typed<T, true, 1>},
        {short_layer_data_gradient<T, 0>, short_layer_data_gradient<T, 1>}};
    const int kind = args.width <= kTurnedLength ? 2 : args.weight != nullptr ? 1 : 0;
    by_kind[kind][dx.beta](args, in<T>(g), out<T>(dx.data));
  });
  drop_gradient(random(), dtype, args, dx.data, dropped, stream);
}
void layer_parameter_gradient(DType dtype, const LayerNormArgs& args, const void* g, Destination dweight,
                              Destination dbias, Stream) {
  with_type(dtype, [&]<class T>() { layer_parameter_gradient_typed(args, in<T>(g), dweight, dbias); });
}

}  // namespace
}  // namespace miniparallel::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif

#pragma once

#include <miniparallel/dtype.h>

#include "kernels/math.h"
#include "kernels/sizes.h"
#include "kernels/stream.h"

#include <cstdint>

/// What cells of recurrent networks do element by element, after their products. Rows of gates hold one gate
/// after the other, each `hidden` long.

namespace miniparallel::kernels {

/// Input gates i, forget gates f, candidates g, output gates o, which are tanh for g and sigmoid for the
/// others of the sum of two products: c' = f c + i g, h' = o tanh(c').
struct LstmArgs {
  std::int64_t n = 0, hidden = 0;
  const void* c = nullptr;  ///< (n, hidden)
  void* gates = nullptr;    ///< (n, 4 hidden): i, f, g, o
  void* c_next = nullptr;   ///< (n, hidden)
  bool adds = false;        ///< backward adds to the gradient of c that is there
};
inline Sizes sizes(const LstmArgs& args) { return {"n hidden", {args.n, args.hidden}}; }

/// Reset gates r, update gates z, candidates m, of products a with the input and b with the state h:
/// r = sigmoid(a_r + b_r), z = sigmoid(a_z + b_z), m = tanh(a_m + r b_m), h' = m + z (h - m).
struct GruArgs {
  std::int64_t n = 0, hidden = 0;
  const void* h = nullptr;             ///< (n, hidden)
  const void* hidden_gates = nullptr;  ///< (n, 3 hidden): b
  void* gates = nullptr;               ///< (n, 3 hidden): r, z, m
  bool adds = false;                   ///< backward adds to the gradient of h that is there
};
inline Sizes sizes(const GruArgs& args) { return {"n hidden", {args.n, args.hidden}}; }

enum class Cell { lstm, gru };
constexpr std::int64_t gates_of(Cell cell) { return cell == Cell::lstm ? 4 : 3; }

/// A cell that walks over a sequence. Arrays are plain; what one has for each step stands in the order of the
/// sequence, also where the walk begins at its end.
struct SequenceArgs {
  Cell cell = Cell::lstm;
  std::int64_t length = 0, n = 0, hidden = 0;
  bool reverse = false;
  bool keeps = true;             ///< gates and hidden_sums of all steps, for backward; else of the last one
  const void* weight = nullptr;  ///< (gates hidden, hidden), of the product with h
  const void* bias = nullptr;    ///< (gates hidden), of that product, or null
  const void *h_first = nullptr, *c_first = nullptr;  ///< (n, hidden): the state before; c of an LSTM alone
  void *h = nullptr, *c = nullptr;                    ///< (length, n, hidden): the states after each step
  void* gates = nullptr;                              ///< (length, n, gates hidden)
  void* hidden_sums = nullptr;  ///< the same, of an LSTM (n, gates hidden): the products
};
inline Sizes sizes(const SequenceArgs& args) {
  return {"length n hidden", {args.length, args.n, args.hidden}};
}

/// Those of the states come in, with what followed them beside the walk, and change; the others go out.
struct SequenceGradients {
  void *h = nullptr, *c = nullptr;                     ///< c may be null: nothing followed
  void *input_sums = nullptr, *hidden_sums = nullptr;  ///< (length, n, gates hidden); of an LSTM one array
  void *h_first = nullptr, *c_first = nullptr;
};

/// float32 and float64, on GPUs float16 and bfloat16, too; plain arrays. What `forward` writes to `args`,
/// `backward` reads.
struct Recurrent {
  void (*lstm_forward)(DType dtype, const LstmArgs& args, const void* input_gates, const void* hidden_gates,
                       void* h_next, Stream stream);
  /// From the gradients of h' and c', of which one may be null: those of the sums that became
  /// gates, and of c.
  void (*lstm_backward)(DType dtype, const LstmArgs& args, const void* dh_next, const void* dc_next,
                        void* dgates, void* dc, Stream stream);
  void (*gru_forward)(DType dtype, const GruArgs& args, const void* input_gates, void* h_next, Stream stream);
  /// From the gradient of h': those of the products a and b, and of h beside that through b.
  void (*gru_backward)(DType dtype, const GruArgs& args, const void* dh_next, void* dinput_gates,
                       void* dhidden_gates, void* dh, Stream stream);
  /// input_sums, (length, n, gates hidden), may be where the gates are kept.
  void (*sequence_forward)(DType dtype, const SequenceArgs& args, const void* input_sums, Stream stream);
  void (*sequence_backward)(DType dtype, const SequenceArgs& args, const SequenceGradients& gradients,
                            Stream stream);
};

namespace functors {

/// One element of a cell; gates stand `hidden` elements from each other.
struct LstmCell {
  template <class T>
  MP_INLINE static void forward(std::int64_t hidden, const T* a, const T* b, T c, T* gates, T& h_next,
                                T& c_next) {
    const T i = math::sigmoid(a[0] + b[0]), f = math::sigmoid(a[hidden] + b[hidden]);
    const T g = math::tanh(a[2 * hidden] + b[2 * hidden]), o = math::sigmoid(a[3 * hidden] + b[3 * hidden]);
    gates[0] = i;
    gates[hidden] = f;
    gates[2 * hidden] = g;
    gates[3 * hidden] = o;
    c_next = f * c + i * g;
    h_next = o * math::tanh(c_next);
  }
  template <class T>
  MP_INLINE static void backward(std::int64_t hidden, const T* gates, T c, T c_next, T dh_next, T dc_next,
                                 T* dgates, T& dc) {
    const T i = gates[0], f = gates[hidden], g = gates[2 * hidden], o = gates[3 * hidden];
    const T bounded = math::tanh(c_next);
    const T dsum = dc_next + dh_next * o * (T(1) - bounded * bounded);
    dgates[0] = dsum * g * i * (T(1) - i);
    dgates[hidden] = dsum * c * f * (T(1) - f);
    dgates[2 * hidden] = dsum * i * (T(1) - g * g);
    dgates[3 * hidden] = dh_next * bounded * o * (T(1) - o);
    dc = dsum * f;
  }
};

struct GruCell {
  template <class T>
  MP_INLINE static void forward(std::int64_t hidden, const T* a, const T* b, T h, T* gates, T& h_next) {
    const T r = math::sigmoid(a[0] + b[0]), z = math::sigmoid(a[hidden] + b[hidden]);
    const T m = math::tanh(a[2 * hidden] + r * b[2 * hidden]);
    gates[0] = r;
    gates[hidden] = z;
    gates[2 * hidden] = m;
    h_next = m + z * (h - m);
  }
  template <class T>
  MP_INLINE static void backward(std::int64_t hidden, const T* gates, const T* b, T h, T dh_next, T* da,
                                 T* db, T& dh) {
    const T r = gates[0], z = gates[hidden], m = gates[2 * hidden];
    const T dm = dh_next * (T(1) - z) * (T(1) - m * m);
    const T dr = dm * b[2 * hidden] * r * (T(1) - r), dz = dh_next * (h - m) * z * (T(1) - z);
    da[0] = db[0] = dr;
    da[hidden] = db[hidden] = dz;
    da[2 * hidden] = dm;
    db[2 * hidden] = dm * r;
    dh = dh_next * z;
  }
};

}  // namespace functors

}  // namespace miniparallel::kernels

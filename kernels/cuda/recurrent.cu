#include "kernels/cuda/backend.h"
#include "kernels/cuda/device/launch_on.cuh"
#include "kernels/cuda/device/stored.cuh"
#include "kernels/matmul.h"
#include "kernels/recurrent_walk.h"
#include "kernels/tf32.h"

namespace miniparallel::kernels::cuda {
namespace {

/// Calls f(row, column, element of the state) for the elements of a thread, in grid strides: neighbouring
/// threads have neighbouring columns, whatever the gate.
template <class F>
__device__ void for_elements(std::int64_t n, std::int64_t hidden, const F& f) {
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < n * hidden;
       i += step) {
    const std::int64_t row = i / hidden;
    f(row, i - row * hidden, i);
  }
}

/// The gates of one element to compute with, next to each other; those stored stand `hidden` elements apart.
template <int count, class T>
struct Gates {
  Computed<T> of[count];

  __device__ static Gates load(const T* first, std::int64_t hidden) {
    Gates gates;
    MP_UNROLL
    for (int k = 0; k < count; ++k) gates.of[k] = read(first[k * hidden]);
    return gates;
  }
  __device__ void store(T* first, std::int64_t hidden) const {
    MP_UNROLL
    for (int k = 0; k < count; ++k) first[k * hidden] = convert<T>(of[k]);
  }
};

template <class T>
__global__ void lstm_forward_kernel(LstmArgs args, const T* a, const T* b, T* h_next) {
  for_elements(args.n, args.hidden, [&](std::int64_t row, std::int64_t j, std::int64_t i) {
    const std::int64_t hidden = args.hidden, first = 4 * row * hidden + j;
    const auto input = Gates<4, T>::load(a + first, hidden), recurrent = Gates<4, T>::load(b + first, hidden);
    Gates<4, T> gates;
    Computed<T> h, c;
    functors::LstmCell::forward(1, input.of, recurrent.of, read(in<T>(args.c)[i]), gates.of, h, c);
    gates.store(out<T>(args.gates) + first, hidden);
    h_next[i] = convert<T>(h);
    out<T>(args.c_next)[i] = convert<T>(c);
  });
}

template <class T>
__global__ void lstm_backward_kernel(LstmArgs args, const T* dh_next, const T* dc_next, T* dgates, T* dc) {
  using C = Computed<T>;
  for_elements(args.n, args.hidden, [&](std::int64_t row, std::int64_t j, std::int64_t i) {
    const std::int64_t hidden = args.hidden, first = 4 * row * hidden + j;
    const auto gates = Gates<4, T>::load(in<T>(args.gates) + first, hidden);
    Gates<4, T> gradients;
    C of_c;
    functors::LstmCell::backward(1, gates.of, read(in<T>(args.c)[i]), read(in<T>(args.c_next)[i]),
                                 dh_next ? read(dh_next[i]) : C(0), dc_next ? read(dc_next[i]) : C(0),
                                 gradients.of, of_c);
    gradients.store(dgates + first, hidden);
    dc[i] = convert<T>(args.adds ? read(dc[i]) + of_c : of_c);
  });
}

template <class T>
__global__ void gru_forward_kernel(GruArgs args, const T* a, T* h_next) {
  for_elements(args.n, args.hidden, [&](std::int64_t row, std::int64_t j, std::int64_t i) {
    const std::int64_t hidden = args.hidden, first = 3 * row * hidden + j;
    const auto input = Gates<3, T>::load(a + first, hidden);
    const auto recurrent = Gates<3, T>::load(in<T>(args.hidden_gates) + first, hidden);
    Gates<3, T> gates;
    Computed<T> h;
    functors::GruCell::forward(1, input.of, recurrent.of, read(in<T>(args.h)[i]), gates.of, h);
    gates.store(out<T>(args.gates) + first, hidden);
    h_next[i] = convert<T>(h);
  });
}

template <class T>
__global__ void gru_backward_kernel(GruArgs args, const T* dh_next, T* da, T* db, T* dh) {
  for_elements(args.n, args.hidden, [&](std::int64_t row, std::int64_t j, std::int64_t i) {
    const std::int64_t hidden = args.hidden, first = 3 * row * hidden + j;
    const auto gates = Gates<3, T>::load(in<T>(args.gates) + first, hidden);
    const auto recurrent = Gates<3, T>::load(in<T>(args.hidden_gates) + first, hidden);
    Gates<3, T> of_input, of_recurrent;
    Computed<T> of_h;
    functors::GruCell::backward(1, gates.of, recurrent.of, read(in<T>(args.h)[i]), read(dh_next[i]),
                                of_input.of, of_recurrent.of, of_h);
    of_input.store(da + first, hidden);
    of_recurrent.store(db + first, hidden);
    dh[i] = convert<T>(args.adds ? read(dh[i]) + of_h : of_h);
  });
}

template <class Args, class Kernel, class... Pointers>
void launch_cell(const Args& args, Stream stream, Kernel kernel, Pointers... pointers) {
  const std::int64_t elements = args.n * args.hidden;
  if (elements > 0) launch_on(stream, kernel, grid_for(elements, stream.device), kBlock, args, pointers...);
}

void lstm_forward(DType dtype, const LstmArgs& args, const void* a, const void* b, void* h_next,
                  Stream stream) {
  with_stored_type(dtype, [&]<class T>() {
    launch_cell(args, stream, lstm_forward_kernel<T>, in<T>(a), in<T>(b), out<T>(h_next));
  });
}

void lstm_backward(DType dtype, const LstmArgs& args, const void* dh_next, const void* dc_next, void* dgates,
                   void* dc, Stream stream) {
  with_stored_type(dtype, [&]<class T>() {
    launch_cell(args, stream, lstm_backward_kernel<T>, in<T>(dh_next), in<T>(dc_next), out<T>(dgates),
                out<T>(dc));
  });
}

void gru_forward(DType dtype, const GruArgs& args, const void* a, void* h_next, Stream stream) {
  with_stored_type(
      dtype, [&]<class T>() { launch_cell(args, stream, gru_forward_kernel<T>, in<T>(a), out<T>(h_next)); });
}

void gru_backward(DType dtype, const GruArgs& args, const void* dh_next, void* da, void* db, void* dh,
                  Stream stream) {
  with_stored_type(dtype, [&]<class T>() {
    launch_cell(args, stream, gru_backward_kernel<T>, in<T>(dh_next), out<T>(da), out<T>(db), out<T>(dh));
  });
}

/// Whole steps.
struct Walk {
  DType dtype;
  const SequenceArgs& args;
  Stream stream;

  std::int64_t columns() const { return gates_of(args.cell) * args.hidden; }
  MatmulArgs product(std::int64_t out, std::int64_t inner, const void* a, bool transposed, void* c) const {
    MatmulArgs result;
    result.rows = args.n, result.columns = out, result.inner = inner;
    result.a = {a, inner}, result.b = {args.weight, args.hidden, transposed};
    result.c = c, result.c_stride = out;
    result.allow_tf32 = tf32_is_allowed.load(std::memory_order_relaxed);
    return result;
  }
  void multiply(const void* h, void* sums) const {
    MatmulArgs forth = product(columns(), args.hidden, h, true, sums);
    forth.bias = args.bias;
    matmul().multiply(dtype, forth, stream);
  }
  void multiply_back(const void* dsums, void* dh, bool adds) const {
    MatmulArgs back = product(args.hidden, columns(), dsums, false, dh);
    back.beta = adds ? 1 : 0;
    matmul().multiply(dtype, back, stream);
  }
  void forward(const LstmArgs& cell, const void* a, const void* b, void* h) const {
    lstm_forward(dtype, cell, a, b, h, stream);
  }
  void forward(const GruArgs& cell, const void* a, void* h) const { gru_forward(dtype, cell, a, h, stream); }
  void backward(const LstmArgs& cell, const void* dh, const void* dc, void* dsums, void* dc_before) const {
    lstm_backward(dtype, cell, dh, dc, dsums, dc_before, stream);
  }
  void backward(const GruArgs& cell, const void* dh, void* da, void* db, void* dh_before) const {
    gru_backward(dtype, cell, dh, da, db, dh_before, stream);
  }
};

void sequence_forward(DType dtype, const SequenceArgs& args, const void* input_sums, Stream stream) {
  walk_forward(args, input_sums, size_of(dtype), Walk{dtype, args, stream});
}

void sequence_backward(DType dtype, const SequenceArgs& args, const SequenceGradients& gradients,
                       Stream stream) {
  walk_backward(args, gradients, size_of(dtype), Walk{dtype, args, stream});
}

}  // namespace

const Recurrent& recurrent() {
  static constexpr Recurrent launchers{.lstm_forward = lstm_forward,
                                       .lstm_backward = lstm_backward,
                                       .gru_forward = gru_forward,
                                       .gru_backward = gru_backward,
                                       .sequence_forward = sequence_forward,
                                       .sequence_backward = sequence_backward};
  return launchers;
}

}  // namespace miniparallel::kernels::cuda

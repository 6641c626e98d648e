#include "kernels/by_dtype.h"
#include "kernels/cuda/backend.h"
#include "kernels/cuda/device/launch_on.cuh"
#include "kernels/recurrent.h"

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

template <class T>
__global__ void lstm_forward_kernel(LstmArgs args, const T* a, const T* b, T* h_next) {
  for_elements(args.n, args.hidden, [&](std::int64_t row, std::int64_t j, std::int64_t i) {
    const std::int64_t gate = 4 * row * args.hidden + j;
    functors::LstmCell::forward(args.hidden, a + gate, b + gate, in<T>(args.c)[i], out<T>(args.gates) + gate,
                                h_next[i], out<T>(args.c_next)[i]);
  });
}

template <class T>
__global__ void lstm_backward_kernel(LstmArgs args, const T* dh_next, const T* dc_next, T* dgates, T* dc) {
  for_elements(args.n, args.hidden, [&](std::int64_t row, std::int64_t j, std::int64_t i) {
    const std::int64_t gate = 4 * row * args.hidden + j;
    functors::LstmCell::backward(args.hidden, in<T>(args.gates) + gate, in<T>(args.c)[i],
                                 in<T>(args.c_next)[i], dh_next ? dh_next[i] : T(0),
                                 dc_next ? dc_next[i] : T(0), dgates + gate, dc[i]);
  });
}

template <class T>
__global__ void gru_forward_kernel(GruArgs args, const T* a, T* h_next) {
  for_elements(args.n, args.hidden, [&](std::int64_t row, std::int64_t j, std::int64_t i) {
    const std::int64_t gate = 3 * row * args.hidden + j;
    functors::GruCell::forward(args.hidden, a + gate, in<T>(args.hidden_gates) + gate, in<T>(args.h)[i],
                               out<T>(args.gates) + gate, h_next[i]);
  });
}

template <class T>
__global__ void gru_backward_kernel(GruArgs args, const T* dh_next, T* da, T* db, T* dh) {
  for_elements(args.n, args.hidden, [&](std::int64_t row, std::int64_t j, std::int64_t i) {
    const std::int64_t gate = 3 * row * args.hidden + j;
    functors::GruCell::backward(args.hidden, in<T>(args.gates) + gate, in<T>(args.hidden_gates) + gate,
                                in<T>(args.h)[i], dh_next[i], da + gate, db + gate, dh[i]);
  });
}

template <class Args, class Kernel, class... Pointers>
void launch_cell(const Args& args, Stream stream, Kernel kernel, Pointers... pointers) {
  const std::int64_t elements = args.n * args.hidden;
  if (elements > 0) launch_on(stream, kernel, grid_for(elements, stream.device), kBlock, args, pointers...);
}

void lstm_forward(DType dtype, const LstmArgs& args, const void* a, const void* b, void* h_next,
                  Stream stream) {
  with_type(dtype, [&]<class T>() {
    launch_cell(args, stream, lstm_forward_kernel<T>, in<T>(a), in<T>(b), out<T>(h_next));
  });
}

void lstm_backward(DType dtype, const LstmArgs& args, const void* dh_next, const void* dc_next, void* dgates,
                   void* dc, Stream stream) {
  with_type(dtype, [&]<class T>() {
    launch_cell(args, stream, lstm_backward_kernel<T>, in<T>(dh_next), in<T>(dc_next), out<T>(dgates),
                out<T>(dc));
  });
}

void gru_forward(DType dtype, const GruArgs& args, const void* a, void* h_next, Stream stream) {
  with_type(dtype,
            [&]<class T>() { launch_cell(args, stream, gru_forward_kernel<T>, in<T>(a), out<T>(h_next)); });
}

void gru_backward(DType dtype, const GruArgs& args, const void* dh_next, void* da, void* db, void* dh,
                  Stream stream) {
  with_type(dtype, [&]<class T>() {
    launch_cell(args, stream, gru_backward_kernel<T>, in<T>(dh_next), out<T>(da), out<T>(db), out<T>(dh));
  });
}

}  // namespace

const Recurrent& recurrent() {
  static constexpr Recurrent launchers{.lstm_forward = lstm_forward,
                                       .lstm_backward = lstm_backward,
                                       .gru_forward = gru_forward,
                                       .gru_backward = gru_backward};
  return launchers;
}

}  // namespace miniparallel::kernels::cuda

#include "kernels/recurrent.h"

#include "kernels/by_dtype.h"
#include "kernels/cpu/backend.h"
#include "kernels/cpu/parallel.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/recurrent.cpp"
#include "kernels/cpu/targets.h"

#ifndef MP_RECURRENT_TABLE
#define MP_RECURRENT_TABLE
namespace miniparallel::kernels::cpu {
/// Each computes one row.
struct RecurrentLoops {
  void (*lstm_forward)(const LstmArgs& args, std::int64_t row, const void* a, const void* b, void* h_next);
  void (*lstm_backward)(const LstmArgs& args, std::int64_t row, const void* dh_next, const void* dc_next,
                        void* dgates, void* dc);
  void (*gru_forward)(const GruArgs& args, std::int64_t row, const void* a, void* h_next);
  void (*gru_backward)(const GruArgs& args, std::int64_t row, const void* dh_next, void* da, void* db,
                       void* dh);
};
}  // namespace miniparallel::kernels::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace miniparallel::kernels::cpu::HWY_NAMESPACE {
namespace {

template <class T>
void lstm_forward(const LstmArgs& args, std::int64_t row, const void* a, const void* b, void* h_next) {
  const std::int64_t hidden = args.hidden, state = row * hidden, sums = 4 * state;
  const T *input = in<T>(a) + sums, *recurrent = in<T>(b) + sums, *c = in<T>(args.c) + state;
  T *gates = out<T>(args.gates) + sums, *h = out<T>(h_next) + state, *c_next = out<T>(args.c_next) + state;
  MP_IVDEP
  for (std::int64_t j = 0; j < hidden; ++j)
    functors::LstmCell::forward(hidden, input + j, recurrent + j, c[j], gates + j, h[j], c_next[j]);
}

template <class T>
void lstm_backward(const LstmArgs& args, std::int64_t row, const void* dh_next, const void* dc_next,
                   void* dgates, void* dc) {
  const std::int64_t hidden = args.hidden, state = row * hidden, sums = 4 * state;
  const T *gates = in<T>(args.gates) + sums, *c = in<T>(args.c) + state;
  const T* c_next = in<T>(args.c_next) + state;
  const T* dh = dh_next ? in<T>(dh_next) + state : nullptr;
  const T* dcn = dc_next ? in<T>(dc_next) + state : nullptr;
  T *da = out<T>(dgates) + sums, *dc_row = out<T>(dc) + state;
  MP_IVDEP
  for (std::int64_t j = 0; j < hidden; ++j)
    functors::LstmCell::backward(hidden, gates + j, c[j], c_next[j], dh ? dh[j] : T(0), dcn ? dcn[j] : T(0),
                                 da + j, dc_row[j]);
}

template <class T>
void gru_forward(const GruArgs& args, std::int64_t row, const void* a, void* h_next) {
  const std::int64_t hidden = args.hidden, state = row * hidden, sums = 3 * state;
  const T *input = in<T>(a) + sums, *recurrent = in<T>(args.hidden_gates) + sums, *h = in<T>(args.h) + state;
  T *gates = out<T>(args.gates) + sums, *next = out<T>(h_next) + state;
  MP_IVDEP
  for (std::int64_t j = 0; j < hidden; ++j)
    functors::GruCell::forward(hidden, input + j, recurrent + j, h[j], gates + j, next[j]);
}

template <class T>
void gru_backward(const GruArgs& args, std::int64_t row, const void* dh_next, void* da, void* db, void* dh) {
  const std::int64_t hidden = args.hidden, state = row * hidden, sums = 3 * state;
  const T *gates = in<T>(args.gates) + sums, *recurrent = in<T>(args.hidden_gates) + sums;
  const T *h = in<T>(args.h) + state, *g = in<T>(dh_next) + state;
  T *da_row = out<T>(da) + sums, *db_row = out<T>(db) + sums, *dh_row = out<T>(dh) + state;
  MP_IVDEP
  for (std::int64_t j = 0; j < hidden; ++j)
    functors::GruCell::backward(hidden, gates + j, recurrent + j, h[j], g[j], da_row + j, db_row + j,
                                dh_row[j]);
}

template <class T>
constexpr RecurrentLoops loops_of{lstm_forward<T>, lstm_backward<T>, gru_forward<T>, gru_backward<T>};

}  // namespace

const ByDType<RecurrentLoops>& recurrent_loops() {
  static constexpr ByDType<RecurrentLoops> table{loops_of<float>, loops_of<double>};
  return table;
}

}  // namespace miniparallel::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace miniparallel::kernels::cpu {
namespace {

MP_DISPATCH(ByDType<RecurrentLoops>, recurrent_loops)

constexpr std::int64_t kGrain = 2048;  // elements of the state per thread at least: some ten functions each

/// Calls f(row) for all rows.
template <class Args, class F>
void for_rows(const Args& args, const F& f) {
  parallel_for(args.n, std::max<std::int64_t>(kGrain / std::max<std::int64_t>(args.hidden, 1), 1),
               [&](std::int64_t begin, std::int64_t end) {
                 for (std::int64_t row = begin; row < end; ++row) f(row);
               });
}

void lstm_forward(DType dtype, const LstmArgs& args, const void* a, const void* b, void* h_next, Stream) {
  for_rows(args,
           [&, f = recurrent_loops()[dtype].lstm_forward](std::int64_t row) { f(args, row, a, b, h_next); });
}

void lstm_backward(DType dtype, const LstmArgs& args, const void* dh_next, const void* dc_next, void* dgates,
                   void* dc, Stream) {
  for_rows(args, [&, f = recurrent_loops()[dtype].lstm_backward](std::int64_t row) {
    f(args, row, dh_next, dc_next, dgates, dc);
  });
}

void gru_forward(DType dtype, const GruArgs& args, const void* a, void* h_next, Stream) {
  for_rows(args,
           [&, f = recurrent_loops()[dtype].gru_forward](std::int64_t row) { f(args, row, a, h_next); });
}

void gru_backward(DType dtype, const GruArgs& args, const void* dh_next, void* da, void* db, void* dh,
                  Stream) {
  for_rows(args, [&, f = recurrent_loops()[dtype].gru_backward](std::int64_t row) {
    f(args, row, dh_next, da, db, dh);
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

}  // namespace miniparallel::kernels::cpu
#endif

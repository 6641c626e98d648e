#include "kernels/by_dtype.h"
#include "kernels/cpu/backend.h"
#include "kernels/cpu/panels.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/scratch.h"
#include "kernels/recurrent_walk.h"

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

template <class T, bool adds>
void lstm_backward_row(const LstmArgs& args, std::int64_t row, const void* dh_next, const void* dc_next,
                       void* dgates, void* dc) {
  const std::int64_t hidden = args.hidden, state = row * hidden, sums = 4 * state;
  const T *gates = in<T>(args.gates) + sums, *c = in<T>(args.c) + state;
  const T* c_next = in<T>(args.c_next) + state;
  const T* dh = dh_next ? in<T>(dh_next) + state : nullptr;
  const T* dcn = dc_next ? in<T>(dc_next) + state : nullptr;
  T *da = out<T>(dgates) + sums, *dc_row = out<T>(dc) + state;
  MP_IVDEP
  for (std::int64_t j = 0; j < hidden; ++j) {
    T gradient;
    functors::LstmCell::backward(hidden, gates + j, c[j], c_next[j], dh ? dh[j] : T(0), dcn ? dcn[j] : T(0),
                                 da + j, gradient);
    dc_row[j] = adds ? dc_row[j] + gradient : gradient;
  }
}
template <class T>
void lstm_backward(const LstmArgs& args, std::int64_t row, const void* dh_next, const void* dc_next,
                   void* dgates, void* dc) {
  (args.adds ? lstm_backward_row<T, true> : lstm_backward_row<T, false>)(args, row, dh_next, dc_next, dgates,
                                                                         dc);
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

template <class T, bool adds>
void gru_backward_row(const GruArgs& args, std::int64_t row, const void* dh_next, void* da, void* db,
                      void* dh) {
  const std::int64_t hidden = args.hidden, state = row * hidden, sums = 3 * state;
  const T *gates = in<T>(args.gates) + sums, *recurrent = in<T>(args.hidden_gates) + sums;
  const T *h = in<T>(args.h) + state, *g = in<T>(dh_next) + state;
  T *da_row = out<T>(da) + sums, *db_row = out<T>(db) + sums, *dh_row = out<T>(dh) + state;
  MP_IVDEP
  for (std::int64_t j = 0; j < hidden; ++j) {
    T gradient;
    functors::GruCell::backward(hidden, gates + j, recurrent + j, h[j], g[j], da_row + j, db_row + j,
                                gradient);
    dh_row[j] = adds ? dh_row[j] + gradient : gradient;
  }
}
template <class T>
void gru_backward(const GruArgs& args, std::int64_t row, const void* dh_next, void* da, void* db, void* dh) {
  (args.adds ? gru_backward_row<T, true> : gru_backward_row<T, false>)(args, row, dh_next, da, db, dh);
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

constexpr std::int64_t kWalkGrain = 1 << 18;  // multiplications of a walk per thread at least: some 5 us
constexpr std::int64_t kRowsOfWalk = 6;       // of a thread at least: fewer take as long

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

/// Some rows of all steps: those of one thread, which waits for no other.
template <class T>
struct Walk {
  const SequenceArgs& args;
  const RecurrentLoops& loops;
  const T* weight;  // in panels
  std::int64_t begin, end;

  void multiply(const void* h, void* sums) const {
    const std::int64_t hidden = args.hidden, columns = gates_of(args.cell) * hidden;
    panel_loops<T>().multiply({in<T>(h) + begin * hidden, {hidden}, {1}}, end - begin, weight, hidden,
                              columns, out<T>(sums) + begin * columns, columns, {in<T>(args.bias)}, {});
  }
  void multiply_back(const void* dsums, void* dh, bool adds) const {
    const std::int64_t hidden = args.hidden, columns = gates_of(args.cell) * hidden;
    T* const to = out<T>(dh) + begin * hidden;
    panel_loops<T>().multiply({in<T>(dsums) + begin * columns, {columns}, {1}}, end - begin, weight, columns,
                              hidden, to, hidden, adds ? Start<T>{to, hidden} : Start<T>{}, {});
  }
  void forward(const LstmArgs& cell, const void* a, const void* b, void* h) const {
    for (std::int64_t row = begin; row < end; ++row) loops.lstm_forward(cell, row, a, b, h);
  }
  void forward(const GruArgs& cell, const void* a, void* h) const {
    for (std::int64_t row = begin; row < end; ++row) loops.gru_forward(cell, row, a, h);
  }
  void backward(const LstmArgs& cell, const void* dh, const void* dc, void* dsums, void* dc_before) const {
    for (std::int64_t row = begin; row < end; ++row) loops.lstm_backward(cell, row, dh, dc, dsums, dc_before);
  }
  void backward(const GruArgs& cell, const void* dh, void* da, void* db, void* dh_before) const {
    for (std::int64_t row = begin; row < end; ++row) loops.gru_backward(cell, row, dh, da, db, dh_before);
  }
};

struct WeightPanels;

/// Calls walk(Walk) for parts of the rows, with the weight packed once: as it is, or turned.
template <class T, class F>
void for_walks(DType dtype, const SequenceArgs& args, bool turned, const F& walk) {
  const std::int64_t columns = gates_of(args.cell) * args.hidden;
  const PanelLoops<T>& panels = panel_loops<T>();
  T* const weight = scratch<WeightPanels, T>(turned ? panels.whole(columns) * args.hidden
                                                    : panels.whole(args.hidden) * columns);
  (turned ? panels.pack_turned : panels.pack)(in<T>(args.weight), args.hidden, columns, args.hidden, weight);
  const std::int64_t work = std::max<std::int64_t>(args.length * args.hidden * columns, 1);
  parallel_for(args.n, std::max(kRowsOfWalk, kWalkGrain / work), [&](std::int64_t begin, std::int64_t end) {
    walk(Walk<T>{args, recurrent_loops()[dtype], weight, begin, end});
  });
}

void sequence_forward(DType dtype, const SequenceArgs& args, const void* input_sums, Stream) {
  with_type(dtype, [&]<class T>() {
    for_walks<T>(dtype, args, true,
                 [&](const Walk<T>& walk) { walk_forward(args, input_sums, sizeof(T), walk); });
  });
}

void sequence_backward(DType dtype, const SequenceArgs& args, const SequenceGradients& gradients, Stream) {
  with_type(dtype, [&]<class T>() {
    for_walks<T>(dtype, args, false,
                 [&](const Walk<T>& walk) { walk_backward(args, gradients, sizeof(T), walk); });
  });
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

}  // namespace miniparallel::kernels::cpu
#endif

#include "kernels/ctc.h"

#include "kernels/by_dtype.h"
#include "kernels/cpu/backend.h"
#include "kernels/cpu/parallel.h"

namespace miniparallel::kernels::cpu {
namespace {

// A row at a time, an item on one thread. What is left of the longest item's rows is filled with what no way
// reaches.

template <class T>
void forward_item(const CtcArgs& args, std::int64_t i, T* alpha, T* losses) {
  const CtcItem<T> item(args, i);
  T *row = alpha + i * args.states, *before = row;
  for (std::int64_t t = 0; t < item.steps; ++t, before = row, row += item.row)
    for (std::int64_t s = 0; s < args.states; ++s) row[s] = item.alpha(t, s, before);
  losses[i] = item.loss(before);
}

template <class T>
void backward_item(const CtcArgs& args, std::int64_t i, const T* alpha, T loss, T g, T* gradient) {
  const CtcItem<T> item(args, i);
  const auto to_gradient = [&](std::int64_t t) {  // of a row that holds beta
    const std::int64_t at = t * item.row + i * args.states;
    for (std::int64_t s = 0; s < args.states; ++s)
      gradient[at + s] = item.gradient(t, s, alpha[at + s], gradient[at + s], loss, g);
  };
  for (std::int64_t t = args.steps - 1; t >= 0; --t) {
    T* const row = gradient + t * item.row + i * args.states;
    for (std::int64_t s = 0; s < args.states; ++s)
      row[s] = t < item.steps ? item.beta(t, s, row + item.row) : T(0);
    if (t + 1 < item.steps) to_gradient(t + 1);
  }
  if (item.steps > 0) to_gradient(0);
}

void forward(DType dtype, const CtcArgs& args, void* alpha, void* losses, Stream) {
  with_type(dtype, [&]<class T>() {
    parallel_for(args.n, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i)
        forward_item(args, i, static_cast<T*>(alpha), static_cast<T*>(losses));
    });
  });
}

void backward(DType dtype, const CtcArgs& args, const void* alpha, const void* losses, const void* g,
              void* dlog_probs, Stream) {
  with_type(dtype, [&]<class T>() {
    parallel_for(args.n, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i)
        backward_item(args, i, static_cast<const T*>(alpha), static_cast<const T*>(losses)[i],
                      static_cast<const T*>(g)[i], static_cast<T*>(dlog_probs));
    });
  });
}

}  // namespace

const Ctc& ctc() {
  static constexpr Ctc launchers{.forward = forward, .backward = backward};
  return launchers;
}

}  // namespace miniparallel::kernels::cpu

#pragma once

#include "kernels/recurrent.h"

#include <cstddef>

/// The order of the steps of a sequence, on every device; how it does one is its own business:
///
///   multiply(h, sums)           sums = h weight^T + bias
///   multiply_back(dsums, dh)    dh += dsums weight, or = for `adds` false
///   forward(args, input_sums, hidden_sums, h_next), backward(args, ...): those of Recurrent, of both cells

namespace miniparallel::kernels {

/// Where the arrays of step `index` of the walk are.
class SequenceStep {
 public:
  SequenceStep(const SequenceArgs& args, std::int64_t index, std::size_t element)
      : args_(args),
        element_(element),
        first_(index == 0),
        at_(place(index)),
        before_(first_ ? 0 : place(index - 1)) {}

  bool is_first() const { return first_; }
  /// Of an array with `columns` for each row, the part of this step.
  template <class Array>
  Array* of(Array* array, std::int64_t columns) const {
    return part(array, at_, columns);
  }
  /// The same of the step before, or the state before all.
  template <class Array>
  Array* before(Array* states, Array* first) const {
    return first_ ? first : part(states, before_, args_.hidden);
  }
  template <class Array>
  Array* sums(Array* array) const {
    return of(array, gates_of(args_.cell) * args_.hidden);
  }

  const void* h_before() const { return before<const void>(args_.h, args_.h_first); }
  void* h() const { return of(args_.h, args_.hidden); }
  void* gates() const { return args_.keeps ? sums(args_.gates) : args_.gates; }
  void* hidden_sums() const {
    return args_.keeps && args_.cell == Cell::gru ? sums(args_.hidden_sums) : args_.hidden_sums;
  }
  LstmArgs lstm() const {
    return {args_.n, args_.hidden, before<const void>(args_.c, args_.c_first), gates(),
            of(args_.c, args_.hidden)};
  }
  GruArgs gru() const { return {args_.n, args_.hidden, h_before(), hidden_sums(), gates()}; }

 private:
  std::int64_t place(std::int64_t index) const { return args_.reverse ? args_.length - 1 - index : index; }
  template <class Array>
  Array* part(Array* array, std::int64_t place, std::int64_t columns) const {
    using Byte = std::conditional_t<std::is_const_v<Array>, const std::byte, std::byte>;
    if (array == nullptr) return nullptr;
    return static_cast<Byte*>(array) + static_cast<std::size_t>(place * args_.n * columns) * element_;
  }

  const SequenceArgs& args_;
  std::size_t element_;
  bool first_;
  std::int64_t at_, before_;
};

template <class Device>
void walk_forward(const SequenceArgs& args, const void* input_sums, std::size_t element,
                  const Device& device) {
  for (std::int64_t i = 0; i < args.length; ++i) {
    const SequenceStep step(args, i, element);
    device.multiply(step.h_before(), step.hidden_sums());
    if (args.cell == Cell::lstm)
      device.forward(step.lstm(), step.sums(input_sums), step.hidden_sums(), step.h());
    else
      device.forward(step.gru(), step.sums(input_sums), step.h());
  }
}

template <class Device>
void walk_backward(const SequenceArgs& args, const SequenceGradients& g, std::size_t element,
                   const Device& device) {
  for (std::int64_t i = args.length - 1; i >= 0; --i) {
    const SequenceStep step(args, i, element);
    void* const dh_before = step.before(g.h, g.h_first);
    void* const dsums = step.sums(g.hidden_sums);
    if (args.cell == Cell::lstm) {
      LstmArgs lstm = step.lstm();
      // Where nothing else followed the states c, one array holds the gradient of one after the other.
      const void* const dc = g.c != nullptr        ? step.of(g.c, args.hidden)
                             : i + 1 < args.length ? g.c_first
                                                   : nullptr;
      lstm.adds = g.c != nullptr && !step.is_first();
      device.backward(lstm, step.of(g.h, args.hidden), dc, dsums,
                      g.c != nullptr ? step.before(g.c, g.c_first) : g.c_first);
      device.multiply_back(dsums, dh_before, !step.is_first());
    } else {
      GruArgs gru = step.gru();
      gru.adds = !step.is_first();
      device.backward(gru, step.of(g.h, args.hidden), step.sums(g.input_sums), dsums, dh_before);
      device.multiply_back(dsums, dh_before, true);
    }
  }
}

}  // namespace miniparallel::kernels

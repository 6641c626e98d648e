#pragma once

#include <miniparallel/tensor.h>

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace miniparallel::autograd {

/// What a thread records, op by op, for who writes the graph down in another language. An op tells what it
/// was called with besides its differentiable inputs right before it is recorded:
///
///   autograd::note("axis", axis);
struct Trace {
  using Value = std::variant<std::int64_t, double, std::vector<std::int64_t>, Tensor>;
  struct Op {
    std::string name;
    std::vector<Tensor> inputs, outputs;
    std::map<std::string, Value, std::less<>> notes;
  };
  std::vector<Op> ops;

  void note(const char* name, Value value);
  void take_inputs(std::span<const Tensor> inputs);
  void add(const char* name, std::span<const Tensor> outputs);

 private:
  Op next_;
};

/// The calling thread's; null without one.
inline constinit thread_local Trace* tracing = nullptr;

/// For the op that is recorded next, where somebody traces: a whole number, a real one, several of the first
/// kind, or a tensor.
template <class T>
void note(const char* name, const T& value) {
  if (tracing == nullptr) [[likely]]
    return;
  if constexpr (std::is_integral_v<T>)
    tracing->note(name, static_cast<std::int64_t>(value));
  else if constexpr (requires { value.begin(); })
    tracing->note(name, std::vector<std::int64_t>(value.begin(), value.end()));
  else
    tracing->note(name, value);
}

/// While it lives, the calling thread's ops go there.
class TraceScope {
 public:
  explicit TraceScope(Trace& trace) : previous_(std::exchange(tracing, &trace)) {}
  ~TraceScope() { tracing = previous_; }
  TraceScope(const TraceScope&) = delete;
  TraceScope& operator=(const TraceScope&) = delete;

 private:
  Trace* previous_;
};

}  // namespace miniparallel::autograd

#pragma once

#include <miniparallel/device.h>
#include <miniparallel/nested.h>
#include <miniparallel/scalar.h>
#include <miniparallel/tensor.h>

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace miniparallel {

struct CaptureOptions {
  int warmup = 2;      ///< calls of each kind that run as they are before one is captured
  int max_graphs = 8;  ///< that are kept; for one more the least recently used is dropped
};

/// What calls of a captured step have done.
struct CaptureCounters {
  std::int64_t plain = 0;     ///< ran as they are
  std::int64_t captured = 0;  ///< ran while they were captured
  std::int64_t replayed = 0;  ///< ran as a graph
  std::int64_t nodes = 0;     ///< kernels and copies of the graph that ran last
  std::string reason;  ///< why the last call that could have been a graph was none; empty if there is no such
};

namespace detail {

/// What calls have in common that one graph can serve: shapes, dtypes, devices, and the values of all other
/// arguments.
class CallKind {
 public:
  void clear() {
    words_.clear();
    tensors_.clear();
    versions_.clear();
    incomparable_ = {};
  }
  void add(const Tensor& tensor, const nested::Path& path);
  template <class T>
  void add_value(const T& value);
  void add_word(std::uint64_t word) { words_.push_back(word); }

  const std::vector<std::uint64_t>& words() const { return words_; }
  const std::vector<Tensor>& tensors() const { return tensors_; }
  /// Whether somebody has written to one of the tensors since it was added.
  bool is_written() const;
  /// The type of an argument that cannot be compared with that of another call; empty where there is none.
  std::string_view incomparable() const { return incomparable_; }

 private:
  void add_text(std::string_view text);

  std::vector<std::uint64_t> words_;
  std::vector<Tensor> tensors_;
  std::vector<std::uint32_t> versions_;
  std::string_view incomparable_;
};

template <class T>
void CallKind::add_value(const T& value) {
  if constexpr (std::is_floating_point_v<T>) {
    add_word(std::bit_cast<std::uint64_t>(static_cast<double>(value)));
  } else if constexpr (std::is_arithmetic_v<T> || std::is_enum_v<T>) {
    add_word(static_cast<std::uint64_t>(value));
  } else if constexpr (std::is_convertible_v<const T&, std::string_view>) {
    add_text(value);
  } else if constexpr (std::same_as<T, Device>) {
    add_value(value.type);
    add_value(value.index);
  } else if constexpr (std::same_as<T, Scalar>) {
    add_value(value.kind());
    if (value.kind() == Scalar::Kind::floating)
      add_value(value.as_double());
    else
      add_value(value.as_int64());
  } else if constexpr (requires { value.has_value(); }) {
    add_value(value.has_value());
    if (value.has_value()) add_value(*value);
  } else if constexpr (requires {
                         value.begin();
                         value.size();
                       }) {
    add_word(value.size());
    for (const auto& element : value) add_value(element);
  } else if constexpr (requires { std::tuple_size<T>::value; }) {
    std::apply([this](const auto&... elements) { (add_value(elements), ...); }, value);
  } else {
    incomparable_ = reflect::type_name<T>;
  }
}

struct CallKindRule {
  CallKind& kind;
  template <class T>
    requires(is_plain<std::remove_const_t<T>>)
  void leaf(const reflect::Places<T>& places, const nested::Path&) {
    kind.add_value(places[0]);
  }
  template <class T>
    requires std::derived_from<std::remove_const_t<T>, Tensor>
  void leaf(const reflect::Places<T>& places, const nested::Path& path) {
    kind.add(places[0], path);
  }
};

/// The graphs of a step, by the kind of the call.
class CapturedCalls {
 public:
  explicit CapturedCalls(const CaptureOptions& options);
  ~CapturedCalls();
  CapturedCalls(CapturedCalls&&) noexcept;
  CapturedCalls& operator=(CapturedCalls&&) noexcept;

  enum class Way { plain, capture, replay };
  /// How this call is to be done. The kind must stay until it is.
  Way begin(const CallKind& kind);
  /// Follows a call, however it went.
  void end(const CallKind& kind) noexcept;

  // --- capture
  void begin_capture();
  /// What stands for the next tensor among the arguments while the step is captured.
  Tensor place_of(std::size_t number);
  /// Runs what has been captured. True if the graph serves further calls.
  bool end_capture(const std::vector<Tensor>& results);
  /// Follows when the step's own results are gone; `value` is one of them, without tensors.
  void keep(std::shared_ptr<const void> value);
  void abandon_capture() noexcept;

  // --- replay
  std::vector<Tensor> replay();
  const void* value() const;

  const CaptureCounters& counters() const;
  void reset();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace detail

/// A step, such as forward, backward and an optimizer's step, that runs as one CUDA graph: see `capture`.
/// Movable. Not for several threads at once.
template <class F>
class CapturedStep {
 public:
  explicit CapturedStep(F step, const CaptureOptions& options = {})
      : step_(std::move(step)), calls_(options) {}

  template <class... Arguments>
    requires std::invocable<F&, Arguments...>
  auto operator()(Arguments&&... arguments) -> std::remove_cvref_t<std::invoke_result_t<F&, Arguments...>> {
    using Result = std::remove_cvref_t<std::invoke_result_t<F&, Arguments...>>;
    const Call call{this};
    (describe(arguments), ...);
    switch (calls_.begin(kind_)) {
      case detail::CapturedCalls::Way::replay:
        return replay<Result>();
      case detail::CapturedCalls::Way::capture:
        return capture_call<Result>(arguments...);
      default:
        return step_(std::forward<Arguments>(arguments)...);
    }
  }

  const CaptureCounters& counters() const { return calls_.counters(); }
  /// Drops the graphs: after a change of what the step reads that no rule of `capture` covers.
  void reset() { calls_.reset(); }

 private:
  /// Of which nothing is kept, so that memory of arguments is free after it.
  struct Call {
    CapturedStep* of;
    ~Call() {
      of->calls_.end(of->kind_);
      of->kind_.clear();
    }
  };

  template <class T>
  void describe(const T& argument) {
    detail::CallKindRule rule{kind_};
    reflect::zip(reflect::Places<const T>(argument), nested::Path(), rule);
  }

  template <class Result>
  Result replay() {
    const std::vector<Tensor> tensors = calls_.replay();
    if constexpr (!std::is_void_v<Result>) {
      std::size_t next = 0;
      return nested::map(*static_cast<const Result*>(calls_.value()),
                         [&](const Tensor&) { return tensors[next++]; });
    }
  }

  template <class Result, class... Arguments>
  Result capture_call(const Arguments&... arguments) {
    struct Abandon {
      detail::CapturedCalls* calls;
      ~Abandon() {
        if (calls != nullptr) calls->abandon_capture();
      }
    } guard{&calls_};
    calls_.begin_capture();
    std::size_t next = 0;
    const auto place = [&](const Tensor&) { return calls_.place_of(next++); };
    // Braces, for the order of the arguments.
    std::tuple<std::remove_cvref_t<Arguments>...> places{nested::map(arguments, place)...};
    const auto run = [&]() -> decltype(auto) {
      return std::apply([&](auto&... each) -> decltype(auto) { return step_(std::move(each)...); }, places);
    };
    if constexpr (std::is_void_v<Result>) {
      run();
      guard.calls = nullptr;
      if (calls_.end_capture({})) calls_.keep(nullptr);
    } else {
      Result result = run();
      std::vector<Tensor> tensors;
      nested::for_each(result, [&](const Tensor& tensor) { tensors.push_back(tensor); });
      guard.calls = nullptr;
      const bool captured = calls_.end_capture(tensors);
      if (!captured) return result;
      tensors.clear();
      Result detached = nested::map(std::move(result), [](Tensor tensor) { return tensor.detach(); });
      {
        const Result gone = std::move(result);  // NOLINT: what the moves above have left
      }
      calls_.keep(std::make_shared<const Result>(nested::map(detached, nested::detail::placeholder)));
      return detached;
    }
  }

  F step_;
  detail::CapturedCalls calls_;
  detail::CallKind kind_;
};

/// Makes a step that runs as one CUDA graph: a launch for all of its kernels, which spares a small model most
/// of the time that the host takes to enqueue them.
///
///   auto step = capture([&](const Tensor& x, const Tensor& y) {
///     Tensor loss = cross_entropy(model(x), y);
///     loss.backward();
///     optimizer.step();
///     optimizer.zero_grad();
///     return loss;
///   });
///   for (auto& [x, y] : batches) step(x, y);
///
/// The first calls of a kind run as they are, then one is captured, and later ones run its graph: the same
/// bits as without one. A kind is given by the shapes, dtypes and devices of the arguments, which may be
/// anything that holds tensors, and by the values of all others. Results share no graph of autograd, and a
/// result that is still held when the step runs again keeps its elements.
///
/// What a graph repeats is the work of GPUs. Follow as without one: random numbers, the optimizers' options
/// and counts, schedulers that are called after the step, gradients, and all that is written to tensors, also
/// by loading a checkpoint. A replaced parameter, buffer or optimizer, `train`, `eval` and `requires_grad_`
/// lead to another graph. Not repeated is what the step does on the host alone: printing, counting, and
/// decisions that depend on numbers of the host other than the arguments.
///
/// Where a step does what no graph can, such as reading a tensor on the host, it runs as it is, and the log
/// says once why and what to do instead. So it does on the CPU, without a word.
template <class F>
CapturedStep<F> capture(F step, const CaptureOptions& options = {}) {
  return CapturedStep<F>(std::move(step), options);
}

}  // namespace miniparallel

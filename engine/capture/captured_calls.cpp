#include <miniparallel/capture.h>
#include <miniparallel/cuda.h>
#include <miniparallel/grad_mode.h>
#include <miniparallel/log.h>
#include <miniparallel/ops.h>

#include "engine/capture/recording.h"
#include "engine/error.h"
#include "engine/tensor/tensor_impl.h"
#include "engine/threads/autocast_mode.h"
#include "engine/threads/workers.h"

#include <algorithm>
#include <map>
#include <set>

namespace miniparallel::detail {
namespace {

/// Kinds of calls that are remembered: one for which there is no graph costs some words.
constexpr std::size_t kMaxKinds = 256;
/// Graphs of one kind that may be made in vain before it is given up.
constexpr int kMaxFailures = 4;

}  // namespace

void CallKind::add(const Tensor& tensor, const nested::Path& path) {
  add_text(path.text());
  if (!tensor.defined()) return add_word(0);
  add_word(1 + static_cast<std::uint64_t>(tensor.dtype()));
  add_value(tensor.device());
  add_value(tensor.shape());
  add_value(tensor.is_contiguous());
  if (!tensor.is_contiguous()) add_value(tensor.strides());
  if (tensor.requires_grad()) incomparable_ = "Tensor that requires grad";
  // Where it lies in the memory of one before it.
  const auto& storage = tensor.impl()->storage;
  const auto shares =
      std::ranges::find_if(tensors_, [&](const Tensor& one) { return one.impl()->storage == storage; });
  add_value(shares - tensors_.begin());
  if (shares != tensors_.end()) add_value(tensor.impl()->offset - shares->impl()->offset);
  tensors_.push_back(tensor);
  versions_.push_back(tensor.version());
}

bool CallKind::is_written() const {
  for (std::size_t i = 0; i < tensors_.size(); ++i)
    if (tensors_[i].version() != versions_[i]) return true;
  return false;
}

void CallKind::add_text(std::string_view text) {
  add_word(text.size());
  std::uint64_t word = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    word = word << 8 | static_cast<unsigned char>(text[i]);
    if (i % 8 == 7 || i + 1 == text.size()) add_word(std::exchange(word, 0));
  }
}

struct CapturedCalls::State {
  struct Entry {
    std::unique_ptr<CapturedGraph> graph;
    std::shared_ptr<const void> value;
  };
  struct Kind {
    int calls = 0, failures = 0;
    std::uint64_t last_use = 0;
    bool given_up = false;
    std::vector<Entry> entries;
  };

  explicit State(const CaptureOptions& chosen) : options(chosen) {}

  /// Logged once.
  void say(const std::string& why) {
    counters.reason = why;
    if (said.insert(why).second) log(LogLevel::warning, "capture: " + why + ". Until then it runs as it is");
  }

  /// The entry of the kind that serves this call; those that never will again are dropped.
  Entry* find(Kind& of) {
    Entry* found = nullptr;
    std::erase_if(of.entries,
                  [](const Entry& one) { return one.graph->fits() == CapturedGraph::Fit::never; });
    for (Entry& one : of.entries)
      if (one.graph->fits() == CapturedGraph::Fit::yes) found = &one;
    return found;
  }

  void forget_oldest_graph() {
    Kind* of = nullptr;
    std::size_t oldest = 0, count = 0;
    for (auto& [words, kind] : kinds)
      for (std::size_t i = 0; i < kind.entries.size(); ++i, ++count)
        if (of == nullptr || kind.entries[i].graph->last_use < of->entries[oldest].graph->last_use) {
          of = &kind;
          oldest = i;
        }
    if (count >= static_cast<std::size_t>(options.max_graphs))
      of->entries.erase(of->entries.begin() + static_cast<std::ptrdiff_t>(oldest));
  }

  void fail(const std::string& why, bool for_good) {
    counters.reason = why;
    if (current == nullptr) return;
    current->given_up = for_good || ++current->failures >= kMaxFailures;
    if (!current->given_up) return;
    current->entries.clear();
    say(why);
  }

  CaptureOptions options;
  CaptureCounters counters;
  std::map<std::vector<std::uint64_t>, Kind> kinds;
  std::set<std::string> said;
  std::uint64_t clock = 0;
  // of the call that is under way
  const CallKind* call = nullptr;
  Kind* current = nullptr;
  Entry* entry = nullptr;
  std::unique_ptr<Recording> recording;
};

CapturedCalls::CapturedCalls(const CaptureOptions& options) : state_(std::make_unique<State>(options)) {
  check(options.warmup >= 1, "capture: warmup is ", options.warmup,
        "; it must be at least 1, the call that makes the optimizer's state");
  check(options.max_graphs >= 1, "capture: max_graphs is ", options.max_graphs, "; it must be at least 1");
}
CapturedCalls::~CapturedCalls() = default;
CapturedCalls::CapturedCalls(CapturedCalls&&) noexcept = default;
CapturedCalls& CapturedCalls::operator=(CapturedCalls&&) noexcept = default;

CapturedCalls::Way CapturedCalls::begin(const CallKind& kind) {
  State& s = *state_;
  s.call = &kind;
  s.current = nullptr;
  const auto plain = [&] {
    ++s.counters.plain;
    return Way::plain;
  };
  if (cuda_device_count() == 0 || capturing != nullptr || on_worker()) return plain();
  if (!kind.incomparable().empty()) {
    s.say(message("an argument is a ", kind.incomparable(),
                  ", which calls cannot be told apart by; let the step find it itself"));
    return plain();
  }
  std::vector<std::uint64_t> words = kind.words();
  words.push_back(grad_enabled());
  words.push_back(static_cast<std::uint64_t>(default_dtype()));
  words.push_back(in_autocast ? 1 + static_cast<std::uint64_t>(autocast_mode()->dtype) : 0);
  if (s.kinds.size() >= kMaxKinds && !s.kinds.contains(words)) {
    const auto oldest = std::ranges::min_element(s.kinds, {}, [](const auto& one) {
      return std::pair(!one.second.entries.empty(), one.second.last_use);
    });
    if (oldest->second.calls <= s.options.warmup)
      s.say(
          "most calls have arguments of shapes or values that no call before had; pad them to a few shapes");
    s.kinds.erase(oldest);
  }
  State::Kind& of = s.kinds[words];
  s.current = &of;
  of.last_use = ++s.clock;
  ++of.calls;
  if (of.given_up || of.calls <= s.options.warmup) return plain();
  s.entry = s.find(of);
  if (s.entry == nullptr) {
    if (of.failures < kMaxFailures) return Way::capture;
    s.fail(
        "the step meets other gradients or tensors at every call, or more kinds of calls than max_graphs; "
        "let what it uses stay",
        true);
    return plain();
  }
  return s.entry->graph->writes_one_of(kind.tensors()) ? plain() : Way::replay;
}

void CapturedCalls::end(const CallKind& kind) noexcept {
  State& s = *state_;
  if (s.current != nullptr && !s.current->given_up && kind.is_written())
    s.fail("the step writes to an argument; let it write to a tensor made before, or return what is new",
           true);
  s.call = nullptr;
  s.current = nullptr;
  s.entry = nullptr;
}

void CapturedCalls::begin_capture() {
  state_->recording = std::make_unique<Recording>(state_->call->tensors());
  ++state_->counters.captured;
}

Tensor CapturedCalls::place_of(std::size_t number) {
  return state_->recording->place_of(number, state_->call->tensors()[number]);
}

bool CapturedCalls::end_capture(const std::vector<Tensor>& results) {
  State& s = *state_;
  const std::unique_ptr<Recording> recording = std::move(s.recording);
  std::unique_ptr<CapturedGraph> graph = recording->finish(results);
  if (!graph) {
    s.fail(recording->reason(), !recording->may_be_tried_again());
    return false;
  }
  if (s.current == nullptr) return false;  // the step has called `reset`
  ++s.current->failures;                   // until it runs again
  s.forget_oldest_graph();
  s.counters.nodes = static_cast<std::int64_t>(graph->nodes());
  graph->last_use = s.clock;
  s.entry = &s.current->entries.emplace_back(State::Entry{std::move(graph), nullptr});
  return true;
}

void CapturedCalls::keep(std::shared_ptr<const void> value) {
  State& s = *state_;
  s.entry->value = std::move(value);
  s.entry->graph->settle();
}

void CapturedCalls::abandon_capture() noexcept { state_->recording = nullptr; }

std::vector<Tensor> CapturedCalls::replay() {
  State& s = *state_;
  CapturedGraph& graph = *s.entry->graph;
  graph.run(s.call->tensors());
  graph.last_use = s.clock;
  s.counters.nodes = static_cast<std::int64_t>(graph.nodes());
  ++s.counters.replayed;
  s.current->failures = 0;
  return graph.results(s.call->tensors());
}

const void* CapturedCalls::value() const { return state_->entry->value.get(); }

const CaptureCounters& CapturedCalls::counters() const { return state_->counters; }

void CapturedCalls::reset() {
  state_->current = nullptr;
  state_->entry = nullptr;
  state_->kinds.clear();
}

}  // namespace miniparallel::detail

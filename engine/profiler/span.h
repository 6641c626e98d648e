#pragma once

#include <miniparallel/dtype.h>

#include "kernels/sizes.h"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

/// The records of the profiler: spans of time, one within the other, per thread.

namespace miniparallel::profiler {

enum class Kind : std::uint8_t {
  kernel,
  backward,   ///< a node of the graph
  optimizer,  ///< a step
  data,       ///< making a batch, or waiting for one
  device,     ///< copies and waiting
  user,       ///< a RecordFunction, or a whole backward
};

/// A span that has ended. Times are nanoseconds of the steady clock. Not initialised: nothing is done for a
/// span while no profiler records.
struct Event {
  const char* name;
  const char* labels;  ///< names of the sizes, separated by spaces; null for a shape
  std::int64_t start, duration;
  std::int64_t sizes[kernels::Sizes::kMax];
  std::uint8_t size_count;
  Kind kind;
  DType dtype;
  bool has_dtype;
};

struct Totals {
  std::int64_t calls = 0, total = 0, self = 0;  ///< nanoseconds
};

/// Names are literals or live as long as the process, so their addresses tell most of them apart.
using Key = std::pair<const char*, Kind>;

/// The spans of one thread.
struct ThreadRecord {
  int thread = 0;  ///< counted from 1 in the order of first appearance
  const char* role = nullptr;
  std::vector<Event> events;
  std::map<Key, Totals> totals;
};

/// The number of the recording that runs, 0 when none does.
extern std::atomic<std::uint32_t> current_recording;
inline bool recording() { return current_recording.load(std::memory_order_relaxed) != 0; }

/// Starts a recording of at most `max_events` events; false when one runs.
bool start(std::int64_t max_events);
/// Ends it and takes the records, by thread.
std::vector<ThreadRecord> finish();

/// A copy of the name that lives as long as the process.
const char* intern(const std::string& name);

/// The purpose of the calling thread; a literal.
void set_thread_role(const char* role);

/// From its construction to its destruction, if a recording runs. `name` must be a literal or interned.
class Span {
 public:
  Span(Kind kind, const char* name) {
    if (recording()) [[unlikely]]
      begin(kind, name);
  }
  ~Span() {
    if (number_ != 0) [[unlikely]]
      end();
  }
  Span(const Span&) = delete;
  Span& operator=(const Span&) = delete;

  bool active() const { return number_ != 0; }

  // The span's object; only while active.
  void set_dtype(DType dtype) {
    event_.dtype = dtype;
    event_.has_dtype = true;
  }
  /// `labels` null: a shape.
  void set_sizes(const char* labels, std::span<const std::int64_t> sizes) {
    event_.labels = labels;
    event_.size_count = static_cast<std::uint8_t>(std::min(sizes.size(), kernels::Sizes::kMax));
    std::copy_n(sizes.begin(), event_.size_count, event_.sizes);
  }

 private:
  void begin(Kind kind, const char* name);
  void end();

  std::uint32_t number_ = 0;  // of the recording that it belongs to
  std::int64_t children_;     // nanoseconds of the spans within
  Span* parent_;
  Event event_;
};

}  // namespace miniparallel::profiler

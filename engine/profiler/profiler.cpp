#include <miniparallel/profiler.h>

#include <miniparallel/log.h>

#include "engine/error.h"
#include "engine/fork.h"
#include "engine/profiler/chrome_trace.h"
#include "engine/profiler/span.h"

#include <algorithm>
#include <cstdio>
#include <iomanip>
#include <locale>
#include <map>
#include <sstream>
#include <string_view>
#include <tuple>

namespace miniparallel {

using profiler::Span;
using profiler::ThreadRecord;

struct Profiler::Recording {
  std::string path;
  ProfilerOptions options;
  bool running = true;
  std::vector<ThreadRecord> threads = {};
  std::vector<OpStats> rows = {};
  std::int64_t dropped = 0;
  int generation = fork_generation();

  void summarise();
  void check_stopped(const char* what) const {
    check(!running, "Profiler: ", what, " of a recording that still runs; call stop() first");
  }
};

void Profiler::Recording::summarise() {
  std::map<std::string, profiler::Totals> by_name;
  for (const ThreadRecord& thread : threads) {
    dropped -= std::ssize(thread.events);
    for (const auto& [key, totals] : thread.totals) {
      profiler::Totals& sum = by_name[profiler::display_name(key.first, key.second)];
      sum.calls += totals.calls;
      sum.total += totals.total;
      sum.self += totals.self;
      dropped += totals.calls;
    }
  }
  for (const auto& [name, sum] : by_name)
    rows.push_back(
        {name, sum.calls, static_cast<double>(sum.total) * 1e-9, static_cast<double>(sum.self) * 1e-9});
  std::ranges::sort(rows, {},
                    [](const OpStats& row) { return std::tuple(-row.self, std::string_view(row.name)); });
}

Profiler::Profiler(std::string trace, const ProfilerOptions& options)
    : recording_(std::make_unique<Recording>(Recording{std::move(trace), options})) {
  check(options.max_events >= 0, "Profiler: max_events is ", options.max_events, "; it must be at least 0");
  check(profiler::start(options.max_events), "Profiler: another one is recording; end it first");
}

Profiler::~Profiler() {
  try {
    stop();
  } catch (const std::exception& error) {
    log(LogLevel::warning, error.what());
  }
}

void Profiler::stop() {
  // The copy of a profiler in a forked child has recorded nothing, and the file is its parent's.
  if (!recording_->running || recording_->generation != fork_generation()) return;
  recording_->running = false;
  recording_->threads = profiler::finish();
  recording_->summarise();
  const ProfilerOptions& options = recording_->options;
  if (options.table_rows > 0) std::fputs(table(options.table_rows).c_str(), stderr);
  if (recording_->dropped > 0 && !recording_->path.empty())
    log(LogLevel::warning, message("Profiler: the trace holds the first ", options.max_events,
                                   " events and lacks ", recording_->dropped, "; set max_events for more"));
  if (!recording_->path.empty()) export_chrome_trace(recording_->path);
}

const std::vector<OpStats>& Profiler::key_averages() const {
  recording_->check_stopped("key_averages");
  return recording_->rows;
}

void Profiler::export_chrome_trace(const std::string& path) const {
  recording_->check_stopped("export_chrome_trace");
  profiler::write_chrome_trace(path, recording_->threads, recording_->dropped);
}

std::string Profiler::table(int rows) const {
  recording_->check_stopped("table");
  constexpr int kWidth = 36;
  double all = 0;
  for (const OpStats& row : recording_->rows) all += row.self;
  std::ostringstream text;
  text.imbue(std::locale::classic());
  text << std::fixed << std::setprecision(3) << std::left << std::setw(kWidth) << "name" << std::right
       << std::setw(9) << "calls" << std::setw(13) << "total ms" << std::setw(13) << "self ms" << std::setw(9)
       << "self %" << std::setw(14) << "average us" << '\n';
  for (const OpStats& row : recording_->rows) {
    if (rows-- <= 0) break;
    text << std::left << std::setw(kWidth) << row.name << std::right << std::setw(9) << row.calls
         << std::setw(13) << 1e3 * row.total << std::setw(13) << 1e3 * row.self << std::setw(9)
         << std::setprecision(1) << (all > 0 ? 100 * row.self / all : 0) << std::setw(14)
         << 1e6 * row.average() << std::setprecision(3) << '\n';
  }
  return text.str();
}

struct RecordFunction::Range {
  Span span;
};

RecordFunction::RecordFunction(const std::string& name) {
  if (profiler::recording()) range_.reset(new Range{{profiler::Kind::user, profiler::intern(name)}});
}

RecordFunction::~RecordFunction() = default;

}  // namespace miniparallel

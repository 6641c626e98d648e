#include "engine/profiler/chrome_trace.h"

#include "engine/files/file.h"

#include <nlohmann/json.hpp>
#include <unistd.h>

#include <limits>
#include <locale>
#include <sstream>

namespace miniparallel::profiler {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kCategories[] = {"kernel", "backward", "optimizer", "data", "device", "user"};

/// Gathers text, so that the file is written in large pieces.
class Output {
 public:
  explicit Output(const std::string& path) : file_(path) {}

  void write(const std::string& text) {
    text_ += text;
    if (text_.size() > (1 << 20)) flush();
  }
  void commit() {
    flush();
    file_.commit();
  }

 private:
  void flush() {
    file_.write(std::as_bytes(std::span(text_)));
    text_.clear();
  }

  io::AtomicFile file_;
  std::string text_;
};

double microseconds(std::int64_t nanoseconds) { return static_cast<double>(nanoseconds) / 1000; }

Json arguments(const Event& event) {
  Json args = Json::object();
  if (event.has_dtype) args["dtype"] = name(event.dtype);
  const std::span sizes(event.sizes, event.size_count);
  if (event.labels != nullptr) {
    std::istringstream labels(event.labels);
    labels.imbue(std::locale::classic());
    std::string label;
    for (const std::int64_t size : sizes)
      if (labels >> label) args[label] = size;
  } else if (!sizes.empty()) {
    args["shape"] = sizes;
  }
  return args;
}

Json thread_name(const ThreadRecord& record, bool is_first) {
  const std::string role = record.role != nullptr ? record.role : is_first ? "main" : "thread";
  return {{"name", "thread_name"},
          {"ph", "M"},
          {"pid", ::getpid()},
          {"tid", record.thread},
          {"args", {{"name", is_first ? role : role + " " + std::to_string(record.thread)}}}};
}

}  // namespace

std::string display_name(const char* name, Kind kind) {
  const std::string text = name;
  return kind == Kind::backward ? text + " backward" : kind == Kind::optimizer ? text + ".step" : text;
}

void write_chrome_trace(const std::string& path, const std::vector<ThreadRecord>& threads,
                        std::int64_t dropped) {
  std::int64_t origin = std::numeric_limits<std::int64_t>::max();
  for (const ThreadRecord& record : threads)
    for (const Event& event : record.events) origin = std::min(origin, event.start);

  Output out(path);
  out.write("{\"displayTimeUnit\":\"ms\",\"otherData\":" +
            Json{{"producer", "miniparallel"}, {"dropped_events", dropped}}.dump() + ",\"traceEvents\":[");
  const char* separator = "\n";
  const auto write = [&](const Json& event) {
    out.write(std::exchange(separator, ",\n") + event.dump(-1, ' ', false, Json::error_handler_t::replace));
  };
  for (const ThreadRecord& record : threads) {
    write(thread_name(record, &record == threads.data()));
    for (const Event& event : record.events)
      write({{"name", display_name(event.name, event.kind)},
             {"cat", kCategories[static_cast<int>(event.kind)]},
             {"ph", "X"},
             {"ts", microseconds(event.start - origin)},
             {"dur", microseconds(event.duration)},
             {"pid", ::getpid()},
             {"tid", record.thread},
             {"args", arguments(event)}});
  }
  out.write("\n]}\n");
  out.commit();
}

}  // namespace miniparallel::profiler

#include <miniparallel/miniparallel.h>

#include "tests/op_cases.h"
#include "tests/support/temporary_folder.h"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <fstream>
#include <set>
#include <thread>

namespace miniparallel {
namespace {

using Json = nlohmann::json;

constexpr ProfilerOptions kQuiet{.table_rows = 0};

const OpStats* find(const Profiler& profile, const std::string& name) {
  for (const OpStats& row : profile.key_averages())
    if (row.name == name) return &row;
  return nullptr;
}

std::int64_t calls(const Profiler& profile, const std::string& name) {
  const OpStats* const row = find(profile, name);
  return row == nullptr ? 0 : row->calls;
}

struct TwoLayers {
  nn::Linear fc1{6, 5}, fc2{5, 3};
  Tensor operator()(const Tensor& x) { return fc2(relu(fc1(x))); }
};

/// Three steps on four examples, two a batch.
void train_a_little(int workers) {
  TwoLayers model;
  optim::Adam optimizer(parameters(model));
  data::DataLoader batches(data::TensorDataset(randn({6, 6}), tensor<std::int64_t>({0, 1, 2, 0, 1, 2})),
                           {.batch_size = 2, .num_workers = workers});
  for (auto& [x, labels] : batches) {
    cross_entropy(model(x), labels).backward();
    optimizer.step();
    optimizer.zero_grad();
  }
}

TEST_CASE("profiler: a training step shows forward, backward, optimizer and data by name") {
  Profiler profile({}, kQuiet);
  train_a_little(0);
  profile.stop();
  for (const char* name : {"matmul.multiply", "relu", "cross_entropy.forward", "backward", "relu backward",
                           "relu.backward", "cross_entropy backward", "AccumulateGrad backward", "Adam.step",
                           "optimizer.adam", "data.make_batch"})
    CHECK_MESSAGE(calls(profile, name) > 0, name);
  CHECK(calls(profile, "backward") == 3);
  CHECK(calls(profile, "relu") == 3);
  CHECK(calls(profile, "relu backward") == 3);
  CHECK(calls(profile, "Adam.step") == 3);
  CHECK(calls(profile, "AccumulateGrad backward") == 12);

  // What is within another span is its total, not its self.
  const OpStats &step = *find(profile, "Adam.step"), &kernel = *find(profile, "optimizer.adam");
  CHECK(step.total >= kernel.total);
  CHECK(step.self <= step.total - kernel.total + 1e-9);
  CHECK(kernel.average() == doctest::Approx(kernel.total / 3));
  const auto& rows = profile.key_averages();
  CHECK(std::is_sorted(rows.begin(), rows.end(), [](auto& a, auto& b) { return a.self > b.self; }));
  const std::string table = profile.table(2);
  CHECK(std::count(table.begin(), table.end(), '\n') == 3);
  CHECK(table.find(rows[1].name) != std::string::npos);
}

TEST_CASE("profiler: every op of the table leaves a trace and computes the same") {
  for (const testing::OpCase& row : testing::op_cases()) {
    if (row.has(testing::may_alias) || row.has(testing::random)) continue;
    INFO("op case '", row.name, "'");
    const std::vector<Tensor> inputs = testing::make_inputs(row);
    const Tensor plain = row.function(inputs);
    Profiler profile({}, kQuiet);
    const Tensor recorded = row.function(inputs);
    profile.stop();
    const bool given_back = std::ranges::any_of(inputs, [&](const Tensor& x) { return x.is_same(plain); });
    CHECK((given_back || !profile.key_averages().empty()));
    CHECK(plain.to_vector<double>() == recorded.to_vector<double>());
  }
}

Json trace_of(const testing::TemporaryFolder& folder) {
  return Json::parse(testing::read_text(folder / "trace.json"));
}

bool is_span(const Json& event) { return event["ph"] == "X"; }

/// What the Trace Event Format asks of an event, and that the spans of a thread lie beside or in each other.
void check_valid(const Json& trace) {
  std::map<int, std::vector<std::pair<double, double>>> by_thread;
  for (const Json& event : trace["traceEvents"]) {
    CHECK(event["name"].is_string());
    CHECK(event["pid"].is_number_integer());
    CHECK(event["tid"].is_number_integer());
    if (!is_span(event)) {
      CHECK(event["ph"] == "M");
      continue;
    }
    CHECK(event["cat"].is_string());
    const double begin = event["ts"], duration = event["dur"];
    CHECK(begin >= 0);
    CHECK(duration >= 0);
    by_thread[event["tid"]].emplace_back(begin, begin + duration);
  }
  for (auto& [thread, spans] : by_thread) {
    std::sort(spans.begin(), spans.end(),
              [](auto& a, auto& b) { return a.first != b.first ? a.first < b.first : a.second > b.second; });
    std::vector<double> open;
    for (const auto& [begin, end] : spans) {
      while (!open.empty() && open.back() <= begin) open.pop_back();
      if (!open.empty()) CHECK(end <= open.back() + 1e-3);  // a nanosecond, by rounding
      open.push_back(end);
    }
  }
}

TEST_CASE("profiler: the trace is a valid one, with shapes, threads and nested spans") {
  const testing::TemporaryFolder folder;
  {
    Profiler profile(folder / "trace.json", kQuiet);
    const RecordFunction all("all \"of it\" \xff");
    train_a_little(2);
    matmul(ones({2, 3}, {.dtype = float64}), ones({3, 4}, {.dtype = float64}));
    max_pool2d(ones({1, 3, 4, 6}, {.dtype = float64}), 2);
    layer_norm(ones({2, 5}), {5});
    dropout(ones({2, 7}), 0.5);
  }
  const Json trace = trace_of(folder);
  check_valid(trace);
  std::map<std::string, int> count;
  std::set<std::string> roles;
  std::set<int> makers;
  for (const Json& event : trace["traceEvents"]) {
    if (!is_span(event)) {
      roles.insert(event["args"]["name"].get<std::string>().substr(0, 11));
      continue;
    }
    ++count[event["name"]];
    if (event["name"] == "data.make_batch") makers.insert(event["tid"].get<int>());
  }
  CHECK(roles.count("main") == 1);
  CHECK(roles.count("data worker") == 1);
  CHECK(count["data.make_batch"] == 3);
  CHECK(count["data.wait"] == 3);
  CHECK(count["all \"of it\" \xef\xbf\xbd"] == 1);
  CHECK_FALSE(makers.empty());

  const Json& events = trace["traceEvents"];
  const auto was_traced = [&](const char* name, const Json& arguments) {
    return std::any_of(events.begin(), events.end(), [&](const Json& event) {
      return event["name"] == name && event["args"] == arguments;
    });
  };
  CHECK(was_traced("matmul.multiply",
                   {{"dtype", "float64"}, {"batch", 1}, {"rows", 2}, {"inner", 3}, {"columns", 4}}));
  CHECK(was_traced(
      "pool2d.max",
      {{"dtype", "float64"}, {"planes", 3}, {"in_h", 4}, {"in_w", 6}, {"out_h", 2}, {"out_w", 3}}));
  CHECK(was_traced("norm.layer_forward", {{"dtype", "float32"}, {"rows", 2}, {"width", 5}}));
  CHECK(was_traced("random.dropout", {{"dtype", "float32"}, {"shape", {14}}}));
  const auto node = std::find_if(events.begin(), events.end(),
                                 [](const Json& event) { return event["name"] == "relu backward"; });
  REQUIRE(node != events.end());
  CHECK((*node)["args"]["shape"] == Json{2, 5});
}

TEST_CASE("profiler: one at a time, nothing is recorded beside it, and errors are told") {
  const testing::TemporaryFolder folder;
  add(ones({2}), ones({2}));
  Profiler profile((folder / "missing" / "trace.json").string(), kQuiet);
  CHECK_THROWS_WITH_AS(Profiler({}, kQuiet), "Profiler: another one is recording; end it first", Error);
  CHECK_THROWS_WITH_AS(profile.table(), "Profiler: table of a recording that still runs; call stop() first",
                       Error);
  mul(ones({2}), ones({2}));
  CHECK_THROWS_WITH_AS(profile.stop(), doctest::Contains("no file can be created"), Error);
  sub(ones({2}), ones({2}));
  CHECK(calls(profile, "add") == 0);
  CHECK(calls(profile, "mul") == 1);
  CHECK(calls(profile, "sub") == 0);
  profile.export_chrome_trace(folder / "trace.json");
  check_valid(trace_of(folder));
  CHECK_NOTHROW(profile.stop());

  std::string logged;
  const LogHandler previous = set_log_handler([&](LogLevel, std::string_view message) { logged = message; });
  {
    const Profiler quiet((folder / "missing" / "trace.json").string(), kQuiet);
  }
  set_log_handler(previous);
  CHECK(logged.find("no file can be created") != std::string::npos);
  CHECK_THROWS_AS(Profiler({}, {.max_events = -1}), Error);
  CHECK_NOTHROW(Profiler({}, kQuiet));
}

/// For Perfetto: see tests/programs/perfetto.js.
TEST_CASE("profiler: write a trace" * doctest::skip()) {
  const char* path = std::getenv("MINIPARALLEL_TRACE");
  const Profiler profile(path != nullptr ? path : "trace.json", kQuiet);
  const RecordFunction record("a \"name\" \\ with signs, \xc3\xa9, a tab\t");
  train_a_little(2);
}

TEST_CASE("profiler: the trace is bounded, the table is not") {
  const testing::TemporaryFolder folder;
  const Tensor x = ones({2});
  const LogHandler previous = set_log_handler({});
  Profiler profile(folder / "trace.json", {.table_rows = 0, .max_events = 3});
  for (int i = 0; i < 10; ++i) relu(x);
  profile.stop();
  set_log_handler(previous);
  CHECK(calls(profile, "relu") == 10);
  const Json trace = trace_of(folder);
  CHECK(std::count_if(trace["traceEvents"].begin(), trace["traceEvents"].end(), is_span) == 3);
  CHECK(trace["otherData"]["dropped_events"] == 7);
}

TEST_CASE("profiler: threads work while recordings come and go") {
  std::atomic<bool> done = false;
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i)
    threads.emplace_back([&] {
      while (!done) {
        const RecordFunction outer("outer");
        relu(ones({3}));
      }
    });
  for (int i = 0; i < 50; ++i) {
    Profiler profile({}, {.table_rows = 0, .max_events = 1000});
    relu(ones({3}));
    profile.stop();
    for (const OpStats& row : profile.key_averages()) {
      CHECK(row.self >= 0);
      CHECK(row.self <= row.total);
    }
  }
  done = true;
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace miniparallel

#include "core/launch_counts.h"

#include "core/symbol.h"

#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <mutex>
#include <unordered_map>

namespace miniparallel::simulator {
namespace {

struct Counts {
  std::mutex mutex;
  std::unordered_map<const void*, std::int64_t> of;

  static Counts& get() {
    static Counts& counts = *new Counts;  // outlives every static object of the program
    return counts;
  }
};

}  // namespace

void count_launch(const void* kernel) {
  Counts& counts = Counts::get();
  const std::lock_guard lock(counts.mutex);
  ++counts.of[kernel];
}

void write_launch_counts() {
  const char* const path = std::getenv("MINIPARALLEL_SIMULATED_LAUNCHES");
  if (path == nullptr) return;
  Counts& counts = Counts::get();
  const std::lock_guard lock(counts.mutex);
  std::ofstream file(path);
  for (const auto& [kernel, count] : counts.of) file << mangled_symbol(kernel) << '\t' << count << '\n';
}

}  // namespace miniparallel::simulator

#include "core/traffic.h"

#include <miniparallel/error.h>

#include "core/checker.h"
#include "miniparallel/simulator_traffic.h"

#include <bitset>
#include <map>
#include <mutex>
#include <unordered_map>

namespace miniparallel::simulator {

bool counts_traffic = false;

namespace {

constexpr std::uintptr_t kSector = 32, kPage = 128 * kSector;

/// Which sectors of a page the current work has read and written.
struct Page {
  std::bitset<kPage / kSector> read, written;
};

struct Counting {
  std::map<std::string, MovedBytes> of;
  MovedBytes* current = nullptr;
  std::unordered_map<std::uintptr_t, Page> pages;
  std::uintptr_t last_number = 0;
  Page* last = nullptr;

  static Counting& get() {
    static Counting& counting = *new Counting;  // streams may work at the program's end
    return counting;
  }
  Page& page(std::uintptr_t number) {
    if (last == nullptr || number != last_number) {
      last = &pages[number];
      last_number = number;
    }
    return *last;
  }
  void finish() {
    for (const auto& [number, page] : pages) {
      current->bytes_read += static_cast<std::int64_t>(page.read.count() * kSector);
      current->bytes_written += static_cast<std::int64_t>(page.written.count() * kSector);
    }
    pages.clear();
    last = nullptr;
    current = nullptr;
  }
};

}  // namespace

void begin_traffic_of(const std::string& name) {
  Counting& counting = Counting::get();
  if (counting.current != nullptr) counting.finish();
  counting.current = &counting.of[name];
  counting.current->name = name;
  ++counting.current->runs;
}

void add_traffic(std::uintptr_t address, std::size_t bytes, bool reads, bool writes) {
  Counting& counting = Counting::get();
  if (counting.current == nullptr) return;
  for (std::uintptr_t sector = address / kSector; sector <= (address + bytes - 1) / kSector; ++sector) {
    Page& page = counting.page(sector * kSector / kPage);
    const std::size_t place = sector % (kPage / kSector);
    if (reads) page.read.set(place);
    if (writes) page.written.set(place);
  }
}

void start_traffic() {
  Checker* const check = checker();
  if (check == nullptr)
    throw Error("start_traffic: the machine does not look up accesses; set Machine::check");
  const std::lock_guard lock(check->mutex);
  Counting::get() = {};
  counts_traffic = true;
}

std::vector<MovedBytes> take_traffic() {
  Checker* const check = checker();
  if (check == nullptr) return {};
  const std::lock_guard lock(check->mutex);
  Counting& counting = Counting::get();
  if (counting.current != nullptr) counting.finish();
  counts_traffic = false;
  std::vector<MovedBytes> all;
  for (const auto& [name, traffic] : counting.of) all.push_back(traffic);
  return all;
}

}  // namespace miniparallel::simulator

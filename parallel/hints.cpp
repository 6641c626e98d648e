#include <miniparallel/parallel/hints.h>

#include <miniparallel/cuda.h>
#include <miniparallel/log.h>

#include "engine/capturing.h"
#include "engine/data/waiting.h"
#include "engine/error.h"
#include "parallel/devices.h"

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

namespace miniparallel::parallel {
namespace {

/// "4, 3 and 3".
std::string enumerate(const std::vector<std::int64_t>& numbers) {
  std::string text;
  for (std::size_t i = 0; i < numbers.size(); ++i)
    text += (i == 0 ? "" : i + 1 < numbers.size() ? ", " : " and ") + std::to_string(numbers[i]);
  return text;
}

void compare(const std::vector<Device>& gpus) {
  std::vector<CudaDeviceProperties> all;
  for (const Device gpu : gpus) all.push_back(cuda_device_properties(gpu.index));
  const auto differ = [&](auto CudaDeviceProperties::* number) {
    const auto least = std::ranges::min_element(all, {}, number),
               most = std::ranges::max_element(all, {}, number);
    if (4 * ((*least).*number) >= 3 * ((*most).*number)) return false;
    const auto name = [&](auto at) {
      return message(gpus[static_cast<std::size_t>(at - all.begin())], " (", gibibytes(at->total_memory),
                     " GiB, ", at->multi_processor_count, " multiprocessors)");
    };
    log(LogLevel::warning,
        message(
            "DataParallel: ", name(least), " and ", name(most),
            " get the same number of rows, and the faster one waits; .split = Split::by_speed divides them "
            "by speed"));
    return true;
  };
  if (!differ(&CudaDeviceProperties::multi_processor_count)) differ(&CudaDeviceProperties::total_memory);
}

}  // namespace

struct Hints::Pace {
  std::thread::id thread;
  std::chrono::steady_clock::time_point last{};  // forward
  std::chrono::nanoseconds waited{0};            // for batches, by the thread until then
  int steps = 0, starved = 0;
};

Hints::Hints(std::vector<Device> placement, const DataParallelOptions& options)
    : placement_(std::move(placement)),
      devices_(each_once(placement_)),
      pace_(std::make_unique<Pace>()),
      idle_(placement_[0]) {
  const Split::Kind split = options.split.kind();
  const bool several = options.hints && devices_.size() > 1;
  tells_idle_ = several && split != Split::Kind::sizes;
  tells_detour_ = several;
  tells_uneven_ = options.hints;
  tells_loader_ = options.hints;
  if (several && (split == Split::Kind::balanced || split == Split::Kind::torch_chunk)) compare(devices_);
}

Hints::~Hints() = default;

void Hints::see_step() {
  if (!tells_loader_ || capturing != nullptr) return;
  constexpr int kSteps = 32;
  if (is_starved()) ++pace_->starved;
  if (++pace_->steps < kSteps) return;
  if (2 * pace_->starved > kSteps) {
    tells_loader_ = false;
    log(LogLevel::info,
        message("DataParallel: ", pace_->starved, " of the last ", kSteps,
                " steps spent most of their time waiting for the data loader; more .num_workers make batches "
                "faster, up to recommended_num_workers()"));
  }
  pace_->steps = pace_->starved = 0;
}

/// Whether most of the time since the last forward went by waiting for a batch, and the master's GPU, on
/// which a step ends, has finished that step. A thread that is ahead of its GPU waits for batches at no cost.
bool Hints::is_starved() {
  using Clock = std::chrono::steady_clock;
  const Pace before = *pace_;
  pace_->waited = data::time_waited();
  if (pace_->waited == before.waited)
    return false;  // not at all, and the clock costs more than all the rest here
  pace_->thread = std::this_thread::get_id();
  pace_->last = Clock::now();
  const Clock::duration waited = pace_->waited - before.waited;
  if (pace_->thread != before.thread || 2 * waited < pace_->last - before.last) return false;
  idle_.record();
  // A GPU that is idle needs some microseconds to say so, on a busy machine more: a small part of the wait.
  const Clock::duration patience = std::max<Clock::duration>(std::chrono::microseconds(50), waited / 16);
  while (!idle_.is_done())
    if (Clock::now() - pace_->last > patience) return false;
  return true;
}

void Hints::see_batch(const RowCount& count, const Division& division) {
  if (!count.rows()) return;
  if (tells_idle_ && *count.rows() > 0) {
    std::vector<Device> used;
    for (const std::size_t replica : division.replicas) used.push_back(placement_[replica]);
    if (const std::size_t busy = each_once(used).size(); busy < devices_.size()) {
      tells_idle_ = false;
      log(LogLevel::info, message("DataParallel: a batch of ", *count.rows(), " rows gives work to ", busy,
                                  " of ", devices_.size(), " GPUs; larger batches use all"));
    }
  }
  if (tells_detour_ && count.device() == placement_[0]) {
    tells_detour_ = false;
    log(LogLevel::info,
        message("DataParallel: the batch is on ", placement_[0],
                " and goes to the other GPUs from there; without .to(device) each GPU gets its "
                "rows straight from host memory"));
  }
}

void Hints::see_scalars(const Division& division, const nested::Path& path) {
  const auto is_first = [&](std::int64_t rows) { return rows == division.rows[0]; };
  if (!tells_uneven_ || std::ranges::all_of(division.rows, is_first)) return;
  tells_uneven_ = false;
  const std::string name = path.text();
  log(LogLevel::warning,
      message(
          "DataParallel: ", name.empty() ? "the result" : name, " has a number for each chunk, of ",
          enumerate(division.rows),
          " rows; their mean weighs the chunks alike, not the rows. model.loss(criterion, x, y) gives the "
          "loss of the whole batch"));
}

}  // namespace miniparallel::parallel

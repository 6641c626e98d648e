#include <miniparallel/parallel/speed_meter.h>

#include <miniparallel/cuda.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <utility>

namespace miniparallel::parallel {

void SpeedMeter::time(std::size_t replica, std::int64_t rows, const std::function<void()>& forward) {
  using Clock = std::chrono::steady_clock;
  Event event(placement_[replica]);
  const auto now = [&event] {
    event.record();
    event.synchronize();
    return Clock::now();
  };
  const Clock::time_point start = now();
  forward();
  const std::chrono::duration<double> elapsed = now() - start;
  if (rows > 0) now_[replica] = std::max(elapsed.count(), 1e-9) / static_cast<double>(rows);
}

void SpeedMeter::end_step() {
  const bool all_ran = std::ranges::all_of(now_, [](double seconds) { return seconds > 0; });
  if (all_ran && steps_++ > 0)
    for (std::size_t i = 0; i < now_.size(); ++i)
      best_[i] = best_[i] == 0 ? now_[i] : std::min(best_[i], now_[i]);
  std::ranges::fill(now_, 0);
}

Split SpeedMeter::split() const {
  if (steps_ < kSteps) return Split::by_speed;
  std::vector<double> shares;
  for (const Device device : placement_) {  // replicas of one device share its speed
    double seconds = 0;
    for (std::size_t i = 0; i < placement_.size(); ++i)
      if (placement_[i] == device) seconds += best_[i];
    shares.push_back(1 / seconds);
  }
  const double most = *std::ranges::max_element(shares);
  for (double& share : shares) share = std::round(100 * share / most) / 100;  // two digits: no more is known
  return Split::shares(std::move(shares));
}

}  // namespace miniparallel::parallel

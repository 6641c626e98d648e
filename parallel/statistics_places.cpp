#include "parallel/statistics_places.h"

#include "engine/tensor/tensor_impl.h"

namespace miniparallel::parallel {
namespace {

std::vector<Tensor> repeat(const std::vector<BatchStatistics>& calls, std::size_t parts) {
  std::vector<Tensor> like;
  for (std::size_t part = 0; part < parts; ++part)
    for (const BatchStatistics& call : calls) like.insert(like.end(), {call.mean, call.variance});
  return like;
}

}  // namespace

StatisticsPlaces::StatisticsPlaces(const std::vector<BatchStatistics>& calls, std::size_t parts,
                                   Device device)
    : calls_(calls.size()), parts_(parts), arena_(repeat(calls, parts), device) {}

StatisticsPlaces StatisticsPlaces::on(Device device) const {
  StatisticsPlaces places = *this;
  places.arena_ = arena_.empty_on(device);
  return places;
}

bool StatisticsPlaces::fit(std::size_t call, std::int64_t channels, DType dtype) const {
  return call < calls_ && arena_.fits(index(0, call), {channels}, dtype);
}

BatchStatistics StatisticsPlaces::at(std::size_t part, std::size_t call, std::int64_t count) const {
  const std::size_t mean = index(part, call);
  return {arena_.tensor(mean), arena_.tensor(mean + 1), count};
}

bool StatisticsPlaces::hold(std::size_t part, std::size_t call, const BatchStatistics& batch) const {
  const std::size_t mean = index(part, call);
  return part < parts_ && call < calls_ && arena_.holds(mean, batch.mean) &&
         arena_.holds(mean + 1, batch.variance);
}

std::int64_t StatisticsPlaces::stride() const {
  return parts_ < 2 ? 0 : run(1, 1).impl()->offset - run(0, 0).impl()->offset;
}

Tensor StatisticsPlaces::run(std::size_t first, std::size_t last) const {
  return arena_.run(index(first, 0), index(last + 1, 0) - 1);
}

void StatisticsPlaces::copy(const StatisticsPlaces& from, std::size_t first, std::size_t last) {
  run(first, last).copy_(from.run(first, last));
}

}  // namespace miniparallel::parallel

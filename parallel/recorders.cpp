#include "parallel/recorders.h"

#include <cstdint>
#include <utility>

namespace miniparallel::parallel {

using autograd::Recorder;

std::string name_of_replica(std::size_t replica, Device device) {
  return "replica " + std::to_string(replica) + " on " + to_string(device);
}

std::vector<std::shared_ptr<const Recorder>> recorders_of(const Division& division,
                                                          const std::vector<Device>& devices) {
  std::vector<std::shared_ptr<const Recorder>> made;
  std::int64_t begin = 0;
  for (std::size_t i = 0; i < division.replicas.size(); ++i) {
    const std::size_t replica = division.replicas[i];
    std::string text = name_of_replica(replica, devices[replica]);
    if (!division.rows.empty()) {
      const std::int64_t end = begin + division.rows[i];
      text += ", rows [" + std::to_string(begin) + ", " + std::to_string(end) + ")";
      begin = end;
    }
    made.push_back(std::make_shared<const Recorder>(Recorder{static_cast<int>(replica), std::move(text)}));
  }
  return made;
}

void send_each(const std::vector<std::shared_ptr<const Recorder>>& recorders,
               const std::function<void(std::size_t)>& send) {
  for (std::size_t i = recorders.size(); i-- > 0;) {
    const autograd::RecorderScope scope(recorders[i]);
    send(i);
  }
}

}  // namespace miniparallel::parallel

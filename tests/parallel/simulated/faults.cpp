#include "strike.h"

#include <chrono>

namespace miniparallel {
namespace {

using testing::break_each;
using testing::breaks;
using testing::Messages;
using testing::Mlp;
using testing::NormCnn;
using testing::Setting;
using testing::stride;
using testing::strike_each;
using testing::Watchdog;

TEST_CASE_TEMPLATE("faults: a call that fails once leaves all as it was, and the next step works", Net, Mlp,
                   NormCnn) {
  const Watchdog watchdog(std::chrono::minutes(30));
  const Messages silent;
  int struck = 0;
  for (const int gpus : {1, 2, 4}) {
    CAPTURE(gpus);
    const Setting setting(gpus);
    struck += strike_each<Net>(setting,
                               {[](int nth) { simulator::fail_call("", nth, cudaErrorMemoryAllocation); }});
    struck += strike_each<Net>(setting, {[](int nth) { simulator::fail_call("", nth, cudaErrorUnknown); }});
    struck += strike_each<Net>(setting, {[](int nth) { simulator::fail_library_call("", nth); }});
  }
  MESSAGE(struck << " faults");
  CHECK(struck > 300 / stride());
}

TEST_CASE_TEMPLATE("faults: memory that is refused twice, on each GPU", Net, Mlp, NormCnn) {
  const Watchdog watchdog(std::chrono::minutes(30));
  const Messages silent;
  int struck = 0;
  for (const int gpus : {1, 2, 4})
    for (int device = 0; device < gpus; ++device) {
      CAPTURE(device);
      struck += strike_each<Net>(Setting(gpus), {[device](int nth) {
                                   simulator::fail_allocation(device, nth);
                                   simulator::fail_allocation(device, nth + 1);  // when it is tried again
                                 }});
    }
  MESSAGE(struck << " faults");
  CHECK(struck >= 20 / stride());
}

TEST_CASE_TEMPLATE("faults: after one that no GPU recovers from every step is an error, and none hangs", Net,
                   Mlp, NormCnn) {
  const Watchdog watchdog(std::chrono::minutes(30));
  const Messages silent;
  int struck = 0;
  for (const int gpus : {1, 2, 4}) struck += break_each<Net>(Setting(gpus));
  MESSAGE(struck << " faults");
  CHECK(struck > 100 / stride());
}

TEST_CASE_TEMPLATE("faults: a GPU that falls off the bus is an error, and no step hangs", Net, Mlp, NormCnn) {
  const Watchdog watchdog;
  const Messages silent;
  for (const simulator::Streams streams : {simulator::Streams::lazy, simulator::Streams::threaded})
    for (const int gpus : {1, 2, 4})
      for (int device = 0; device < gpus; ++device) {
        CAPTURE(gpus);
        CAPTURE(device);
        Setting setting(gpus);
        setting.machine.streams = streams;
        CHECK(breaks<Net>(setting, [&] { simulator::lose_device(device); }));
      }
}

}  // namespace
}  // namespace miniparallel

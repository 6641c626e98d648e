#include "engine/tensor/pending.h"

#include <miniparallel/miniparallel.h>

#include "engine/device/accelerator.h"
#include "engine/tensor/tensor_impl.h"
#include "simulated.h"

#include <stdexcept>
#include <utility>

// Parts of a block of memory on which another stream still works.

namespace miniparallel {
namespace {

using testing::Simulated;

const Device gpu = Device::cuda(0);

/// 512 floats, of which the first and the second half are marked apart.
struct Halves {
  Tensor whole = zeros({512}, {.device = gpu});
  Tensor first = whole.narrow(0, 0, 256), second = whole.narrow(0, 256, 256);

  Halves() {
    whole.impl()->storage->set_pending(std::make_unique<Pending>(gpu, std::vector<std::size_t>{1024, 2048}));
    synchronize(gpu);
  }
  Pending& pending() const { return *whole.impl()->storage->pending(); }
  /// Writes to both on the stream for copies.
  void write(float a, float b) {
    const StreamScope copies(gpu, StreamKind::copy);
    first.fill_(a);
    pending().mark(0);
    second.fill_(b);
    pending().mark(1);
  }
};

TEST_CASE("pending: who takes a pointer to a part sees what another stream has written there") {
  for (const std::uint64_t seed : {0u, 1u, 2u, 3u}) {
    simulator::Machine settings = simulator::machine_with(1);
    settings.seed = seed;
    const Simulated machine(settings);
    Halves halves;
    halves.write(1, 2);
    CHECK(equal(halves.second * 1, full({256}, 2.0, {.device = gpu})));
    CHECK(equal(halves.first * 1, full({256}, 1.0, {.device = gpu})));
    halves.write(3, 5);
    CHECK(sum(halves.whole.view({2, 256}).t()).item() == 256 * 8);
    halves.write(3, 5);
    halves.whole.zero_();  // after the other stream's
    CHECK(sum(halves.whole).item() == 0);
  }
}

TEST_CASE("pending: a stream waits once for each mark, and for no other part") {
  const Simulated machine;
  Halves halves;
  auto waits = [before = simulator::counters().stream_waits]() mutable {
    const std::int64_t now = simulator::counters().stream_waits;
    return now - std::exchange(before, now);
  };
  raw(halves.whole);
  CHECK(waits() == 0);  // nothing was marked
  halves.write(1, 2);
  CHECK(waits() == 0);  // a stream does not wait for itself
  raw(halves.first);
  CHECK(waits() == 1);
  raw(halves.first.view({16, 16}).t());
  CHECK(waits() == 0);
  raw(halves.whole);
  CHECK(waits() == 1);
  raw(halves.whole.narrow(0, 0, 0));
  CHECK(waits() == 0);
  halves.write(1, 2);
  raw(halves.whole.narrow(0, 255, 1));
  CHECK(waits() == 1);
  raw(halves.whole.narrow(0, 255, 2));
  CHECK(waits() == 1);
}

TEST_CASE("pending: names the parts that bytes are of") {
  const Simulated machine;
  const Halves halves;
  const auto parts = [&](std::size_t begin, std::size_t end) {
    const Pending::Parts found = halves.pending().parts(begin, end);
    return std::pair(found.first, found.last);
  };
  CHECK(parts(0, 1024) == std::pair<std::size_t, std::size_t>(0, 0));
  CHECK(parts(1020, 1028) == std::pair<std::size_t, std::size_t>(0, 1));
  CHECK(parts(1024, 1028) == std::pair<std::size_t, std::size_t>(1, 1));
  CHECK(parts(0, 2048) == std::pair<std::size_t, std::size_t>(0, 1));
}

/// Fills the first half when somebody uses some of it.
struct FillsFirst final : Pending::Deferred {
  FillsFirst(const Tensor& of, int* done) : first(&of), runs(done) {}
  bool is_for(std::size_t begin, std::size_t) const override { return begin < 1024; }
  void run() const override {
    if (*runs < 0) throw std::runtime_error("refused");
    ++*runs;
    Tensor(*first).fill_(7);  // uses the block itself
  }
  const Tensor* first;
  int* runs;
};

TEST_CASE("pending: deferred work is done once, when somebody uses what it writes") {
  const Simulated machine;
  const Halves halves;
  int runs = 0;
  const auto defer = [&] { halves.pending().defer(std::make_shared<const FillsFirst>(halves.first, &runs)); };
  defer();
  raw(halves.second);
  CHECK(runs == 0);
  CHECK(sum(halves.whole).item() == 7 * 256);
  CHECK(halves.pending().deferred() == nullptr);
  raw(halves.whole);
  CHECK(runs == 1);
  defer();
  halves.pending().defer(nullptr);
  raw(halves.whole);
  CHECK(runs == 1);
  defer();
  runs = -1;
  CHECK_THROWS_WITH_AS(raw(halves.first), "refused", std::runtime_error);
  runs = 1;
  raw(halves.first);  // it is still to be done
  CHECK(runs == 2);
}

TEST_CASE("pending: remembers in which order parts were asked for") {
  const Simulated machine;
  Halves halves;
  CHECK(halves.pending().turn(0) == 0);
  halves.write(1, 2);
  raw(halves.second);
  CHECK(halves.pending().turn(0) == 0);
  raw(halves.first);
  CHECK(halves.pending().turn(1) < halves.pending().turn(0));
  halves.write(1, 2);
  raw(halves.whole);
  raw(halves.second);
  CHECK(halves.pending().turn(0) < halves.pending().turn(1));
}

}  // namespace
}  // namespace miniparallel

#include <miniparallel/model/field_tie.h>

#include "engine/device/accelerator.h"
#include "engine/device/architecture.h"
#include "engine/error.h"
#include "engine/memory/caching_allocator.h"

#include <array>
#include <cstdlib>
#include <deque>

// Eight GPUs that do nothing: launches, copies and events return at once, memory is reserved and
// never touched. What a step costs there is what the host does by itself. A program that links this
// file next to the library for the CPU has these GPUs: it defines the one function by which the
// engine asks for an accelerator.

namespace miniparallel {
namespace {

constexpr int kDevices = 8;
constexpr std::size_t kSmallest = 512;

template <class... Arguments>
void do_nothing(Arguments...) {}
template <class... Arguments>
void set_idle(void (*&launcher)(Arguments...)) {
  launcher = do_nothing<Arguments...>;
}

template <class Family>
const Family& idle_family() {
  static const Family family = [] {
    Family made{};
    reflect::with_members_of_aggregate(made, [](auto&... launcher) { (set_idle(launcher), ...); });
    return made;
  }();
  return family;
}

class ReservedMemory final : public MemorySource {
 public:
  void* take(std::size_t bytes) override {
    return std::aligned_alloc(kSmallest, (bytes + kSmallest - 1) / kSmallest * kSmallest);
  }
  void give_back(void* block, std::size_t) override { std::free(block); }
};

class IdleGraph final : public Graph {
 public:
  Device device() const override { return Device::cuda(0); }
  void launch() override {}
  std::size_t nodes() const override { return 0; }
};

class IdleAccelerator final : public Accelerator {
 public:
  int device_count() const override { return kDevices; }
  const std::string& unavailable() const override { return nothing_; }
  const kernels::Backend& backend() const override {
#define MP_IDLE(Family, name) .name = idle_family<kernels::Family>(),
    static const kernels::Backend idle{MP_FAMILIES(MP_IDLE)};
#undef MP_IDLE
    return idle;
  }
  CudaDeviceProperties properties(int) const override {
    CudaDeviceProperties idle;
    idle.name = "Idle GPU";
    return idle;
  }
  bool reaches(int, int) override { return true; }
  std::shared_ptr<Collectives> collectives(const std::vector<int>&) override {
    fail("an idle GPU has no NCCL");
  }

  void make_current(int) noexcept override {}
  kernels::Stream stream(int device, StreamKind kind) override {
    return {&gpus_[static_cast<std::size_t>(device)].streams[static_cast<std::size_t>(kind)], device};
  }
  CachingAllocator& allocator(int device) override { return gpus_[static_cast<std::size_t>(device)].memory; }
  Allocation allocate_pinned(std::size_t bytes) override { return {&pinned_, pinned_.allocate(bytes, {})}; }
  void synchronize(int) override {}
  void synchronize_stream(kernels::Stream) override {}
  void throw_reported() override {}

  void* take_event(int) override { return this; }
  void return_event(int, void*) override {}
  void record(void*, kernels::Stream) override {}
  void wait(kernels::Stream, void*) override {}
  bool is_done(void*) override { return true; }
  void synchronize_event(void*) override {}

  void copy_to_device(void*, const void*, std::size_t, kernels::Stream) override {}
  void copy_pinned_to_device(void*, const void*, std::size_t, kernels::Stream) override {}
  void copy_to_host(void*, const void*, std::size_t, kernels::Stream) override {}
  void copy_between(void*, kernels::Stream, const void*, kernels::Stream, std::size_t) override {}
  void copy_within(void*, const void*, std::size_t, kernels::Stream) override {}
  void begin_capture() override {}
  std::unique_ptr<Graph> end_capture() override { return std::make_unique<IdleGraph>(); }

 private:
  struct Gpu {
    explicit Gpu(MemorySource& source) : memory("an idle GPU", source, kSmallest) {}
    CachingAllocator memory;
    std::array<char, 3> streams{};  // their addresses are the handles
  };
  static std::deque<Gpu> gpus_on(MemorySource& source) {
    std::deque<Gpu> gpus;
    for (int i = 0; i < kDevices; ++i) gpus.emplace_back(source);
    return gpus;
  }

  const std::string nothing_;
  ReservedMemory source_;
  std::deque<Gpu> gpus_ = gpus_on(source_);
  CachingAllocator pinned_{"pinned", source_, kSmallest};
};

}  // namespace

int code_architecture(int) { return 90; }

Accelerator* built_accelerator() {
  static auto* const idle = new IdleAccelerator;  // outlives every tensor
  return idle;
}

}  // namespace miniparallel

// Trains a few steps, then forbids this process to ask the kernel for memory (mmap, brk, mremap, in every
// thread), then trains on. What still asks gets "out of memory" and the program fails.
//
//   steady_step cpu|cuda mlp|cnn|transformer [grow]     grow: one step of a larger batch, which must fail

#include <miniparallel/miniparallel.h>

#include "tests/cuda/nets.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <exception>
#include <string>

using namespace miniparallel;

namespace {

/// From outside of the library, and of malloc: the kernel itself refuses.
bool forbid_memory() {
  const auto refuse = [](unsigned call) {
    return std::array<sock_filter, 2>{
        sock_filter BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1),
        sock_filter BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (ENOMEM & SECCOMP_RET_DATA))};
  };
  const auto map = refuse(SYS_mmap), remap = refuse(SYS_mremap), heap = refuse(SYS_brk);
  std::array<sock_filter, 8> program{
      sock_filter BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      map[0],
      map[1],
      remap[0],
      remap[1],
      heap[0],
      heap[1],
      sock_filter BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
  const sock_fprog filter{static_cast<unsigned short>(program.size()), program.data()};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &filter) == 0;
}

template <class Net>
void run(Device device, bool grow) {
  manual_seed(1);
  Net net;
  to(net, device);
  typename Net::Optimizer optimizer(parameters(net), {.lr = 1e-3});
  Tensor inputs = Net::inputs(), targets = Net::targets();
  const auto step = [&] {
    const Tensor loss = cross_entropy(net(inputs.to(device)), targets.to(device));
    loss.backward();
    optimizer.step();
    optimizer.zero_grad();
    synchronize(device);
  };
  // On the CPU long enough for every thread to have had a part of every kind, and room for it, also where
  // other programs keep the cores busy.
  using Clock = std::chrono::steady_clock;
  const auto end = Clock::now() + std::chrono::milliseconds(device.is_cpu() ? 500 : 0);
  for (int i = 0; i < 10 || Clock::now() < end; ++i) step();
  const Tensor large = grow ? cat(std::vector<Tensor>(4000, inputs), 0) : Tensor();
  const Tensor large_targets = grow ? cat(std::vector<Tensor>(4000, targets), 0) : Tensor();
  if (!forbid_memory()) {
    std::perror("seccomp");
    std::_Exit(77);  // cannot tell on this system
  }
  if (grow) inputs = large, targets = large_targets;
  for (int i = 0; i < 10; ++i) step();
}

}  // namespace

int main(int argc, char** argv) try {
  const std::string device = argc > 1 ? argv[1] : "", net = argc > 2 ? argv[2] : "";
  const Device where = Device::parse(device);
  const bool grow = argc > 3;
  if (net == "mlp") run<testing::Mlp>(where, grow);
  if (net == "cnn") run<testing::Cnn>(where, grow);
  if (net == "transformer") run<testing::Transformer>(where, grow);
  std::_Exit(0);  // the end of a process may map memory
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  std::_Exit(1);
}

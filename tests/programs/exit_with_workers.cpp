// Ends while threads of GPUs live and statics hold their memory: by return, by exit in main, by exit on a
// worker, or by return in a forked child, which has none of the threads. Each must end quietly with the
// program's own status, 0.
//
//   exit_with_workers return|exit|worker|fork

#include <miniparallel/miniparallel.h>

#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

using namespace miniparallel;

namespace {

Tensor kept;  // freed after main

Tensor loss(const Tensor& w) {
  Tensor sum = zeros({});
  for (int i = 0; i < 3; ++i) sum = sum + tanh(w.to(Device::cuda(i))).sum().cpu();
  return sum;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string way = argc > 1 ? argv[1] : "return";
  const Tensor w = ones({100}).requires_grad_();
  loss(w).backward();
  kept = w.grad().to(Device::cuda(2));
  synchronize(Device::cuda(2));
  if (way == "exit") std::exit(0);
  if (way == "fork") {
    const pid_t child = ::fork();
    if (child == 0) {
      ::alarm(30);
      return 0;
    }
    int status = -1;
    return ::waitpid(child, &status, 0) == child && status == 0 ? 0 : 1;
  }
  if (way == "worker") {
    const Tensor x = w.to(Device::cuda(1));
    x.register_hook([](const Tensor&) -> Tensor { std::exit(0); });
    (x.sum().cpu() + loss(w)).backward();
    return 1;  // not reached
  }
  return 0;
}

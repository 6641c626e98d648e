// Ends while threads of GPUs live and statics hold their memory: by return, by exit in main, or by exit on a
// worker. Each must end quietly with the program's own status, 0.
//
//   exit_with_workers return|exit|worker

#include <miniparallel/miniparallel.h>

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
  if (way == "worker") {
    const Tensor x = w.to(Device::cuda(1));
    x.register_hook([](const Tensor&) -> Tensor { std::exit(0); });
    (x.sum().cpu() + loss(w)).backward();
    return 1;  // not reached
  }
  return 0;
}

#pragma once

#include <miniparallel/miniparallel.h>
#include <miniparallel/simulator.h>

namespace miniparallel::testing {

/// Trains by SGD on one batch of classes, and calls check(work) for what each step has asked of the GPUs once
/// memory has found its places.
template <class Net, class Check>
void for_each_steady_step(DataParallel<Net>& model, const Tensor& x, const Tensor& classes,
                          const Check& check) {
  optim::SGD optimizer(model.parameters(), {.lr = 1e-2});
  for (int step = 0; step < 6; ++step) {
    const simulator::Counters before = simulator::counters();
    {
      const Tensor loss = cross_entropy(model(x), classes.to(model.device()));
      loss.backward();
      optimizer.step();
      optimizer.zero_grad();
    }
    const simulator::Counters work = simulator::counters() - before;
    for (const Device device : model.devices()) synchronize(device);
    if (step >= 3) check(work);
  }
}

}  // namespace miniparallel::testing

#include "engine/autograd/trace.h"

namespace miniparallel::autograd {

void Trace::note(const char* name, Value value) { next_.notes.insert_or_assign(name, std::move(value)); }

void Trace::take_inputs(std::span<const Tensor> inputs) { next_.inputs.assign(inputs.begin(), inputs.end()); }

void Trace::add(const char* name, std::span<const Tensor> outputs) {
  next_.name = name;
  next_.outputs.assign(outputs.begin(), outputs.end());
  ops.push_back(std::exchange(next_, Op()));
}

}  // namespace miniparallel::autograd

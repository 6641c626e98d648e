#pragma once

namespace miniparallel::nn {

/// Whether a layer trains or evaluates. `train(model)` and `eval(model)` set every member of this type, in
/// layers as in your own structs.
struct Training {
  bool on = true;
  operator bool() const { return on; }  // NOLINT: stands for the bool
};

}  // namespace miniparallel::nn

#pragma once

#include <miniparallel/autocast.h>
#include <miniparallel/cuda.h>
#include <miniparallel/optim.h>

#include <CLI/CLI.hpp>

#include <string>

/// What `--precision NAME` means for a training: float32; tf32, in which a GPU may round the operands of
/// products; bf16 and fp16, whose products and convolutions have 16 bits.
///
///   Tensor loss;
///   {
///     const miniparallel::Autocast guard(precision.autocast);
///     loss = cross_entropy(model(x), y);
///   }
///   precision.scaler.scale(loss).backward();
///   precision.scaler.step(optimizer);
///   precision.scaler.update();
struct Precision {
  miniparallel::AutocastOptions autocast;  ///< of a guard around each forward
  miniparallel::GradScaler scaler;         ///< enabled for fp16; otherwise its steps are plain

  /// Allows TF32, or forbids it, for the whole process.
  explicit Precision(const std::string& name)
      : autocast{.dtype = name == "fp16" ? miniparallel::float16 : miniparallel::bfloat16,
                 .enabled = name == "fp16" || name == "bf16"},
        scaler({.enabled = name == "fp16"}) {
    miniparallel::set_allow_tf32(name == "tf32");
  }
};

/// The check of the option.
inline CLI::Validator a_precision() { return CLI::IsMember({"float32", "tf32", "bf16", "fp16"}); }

#pragma once

#include <miniparallel/optim/optimizer.h>

namespace miniparallel::optim {

/// All at least 0, momentum below 1; else the constructor throws `Error`.
struct MuonOptions {
  double lr = 1e-3;
  double weight_decay = 0.1;  ///< p *= 1 - lr weight_decay before each update
  double momentum = 0.95;
  bool nesterov = true;          ///< the direction is (1 - momentum) g + momentum b instead of b
  double eps = 1e-7;             ///< the least length by which a direction is divided
  bool match_rms_adamw = false;  ///< steps as long as AdamW's, whose lr and weight_decay can stay
};

/// For the matrices of hidden layers; `step` is an `Error` for other shapes, so embeddings, biases and the
/// last layer need another optimizer. b = momentum b + (1 - momentum) g; the direction is brought near the
/// orthogonal matrix next to it by five steps of Newton and Schulz, in the parameter's dtype (float32 for 16
/// bits), and p -= lr c times that, with c = sqrt(max(1, rows / columns)), or 0.2 sqrt(max(rows, columns)) to
/// match AdamW. (Jordan et al.: "Muon: An optimizer for hidden layers in neural networks", 2024; Liu et al.:
/// "Muon is scalable for LLM training", 2025.) A captured step that contains it runs plainly.
class Muon : public OptimizerOf<Muon, MuonOptions> {
 public:
  using OptimizerOf::OptimizerOf;

 private:
  bool takes_matrices() const override { return true; }
  std::span<const char* const> state_names(int group) const override;
  void update(DType dtype, Device device, std::span<const Run> runs) override;
};

}  // namespace miniparallel::optim

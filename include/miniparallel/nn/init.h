#pragma once

#include <miniparallel/tensor.h>

/// Initial values. Each function writes the elements of a tensor, also of a parameter, outside the graph, and
/// returns the same handle: `nn::init::normal_(embedding.weight, 0, 0.02);`.
namespace miniparallel::nn::init {

Tensor uniform_(Tensor tensor, double low = 0, double high = 1);
Tensor normal_(Tensor tensor, double mean = 0, double stddev = 1);
Tensor constant_(Tensor tensor, double value);
Tensor zeros_(Tensor tensor);
Tensor ones_(Tensor tensor);
/// Ones on the diagonal of a matrix, zeros elsewhere.
Tensor eye_(Tensor matrix);
/// Normal, but only between `low` and `high`, which are numbers, not multiples of `stddev`. Throws `Error`
/// unless stddev is above 0 and low below high.
Tensor trunc_normal_(Tensor tensor, double mean = 0, double stddev = 1, double low = -2, double high = 2);

/// Number of elements that one element of the output is made of, and that one of the input goes to. For
/// weights (out, in, ...): in * receptive field and out * receptive field. Throws below two dimensions.
struct Fans {
  double in, out;
};
Fans fans(const Tensor& weight);

/// Keeps the variance in both directions: bound gain * sqrt(6 / (in + out)), or that stddev over sqrt(3).
/// (Glorot, Bengio: "Understanding the difficulty of training deep feedforward neural networks", 2010.)
Tensor xavier_uniform_(Tensor weight, double gain = 1);
Tensor xavier_normal_(Tensor weight, double gain = 1);

enum class Fan { in, out };
struct KaimingOptions {
  double negative_slope = 0;  ///< of the leaky ReLU that follows: gain sqrt(2 / (1 + slope^2))
  Fan mode = Fan::in;         ///< keep the variance forward or backward
};
/// Keeps the variance through ReLUs: stddev gain / sqrt(fan), or the uniform bound sqrt(3) times that.
/// (He, Zhang, Ren, Sun: "Delving deep into rectifiers", 2015.)
Tensor kaiming_uniform_(Tensor weight, const KaimingOptions& options = {});
Tensor kaiming_normal_(Tensor weight, const KaimingOptions& options = {});

/// `gain` times a random matrix with orthonormal rows, or columns where there are more rows: of weights (out,
/// in, ...) the matrix (out, in * receptive field). Computed on the CPU. (Saxe, McClelland, Ganguli: "Exact
/// solutions to the nonlinear dynamics of learning in deep linear neural networks", 2013.)
Tensor orthogonal_(Tensor weight, double gain = 1);

}  // namespace miniparallel::nn::init

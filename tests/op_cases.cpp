#include "tests/op_cases/rows.h"

#include <cmath>
#include <set>

namespace miniparallel::testing {
namespace {

/// A permutation of 0 .. n-1 in which neighbours are far apart.
std::int64_t scrambled(std::int64_t i, std::int64_t n) {
  std::int64_t stride = std::max<std::int64_t>(1, static_cast<std::int64_t>(static_cast<double>(n) * 0.618));
  const auto common = [](std::int64_t a, std::int64_t b) {
    while (b != 0) a = std::exchange(b, a % b);
    return a;
  };
  while (common(stride, n) != 1) ++stride;
  return (i + 1) * stride % n;
}

}  // namespace

namespace {

/// Ops that have no half precision, in PyTorch neither.
const std::set<std::string> full_precision_ops{"cholesky",    "cholesky_solve", "cond",
                                               "det",         "eigh",           "eigvalsh",
                                               "inv",         "inverse",        "logdet",
                                               "matrix_rank", "pinv",           "qr",
                                               "slogdet",     "solve",          "solve_triangular",
                                               "svd",         "svdvals"};

}  // namespace

const std::vector<OpCase>& op_cases() {
  static const std::vector<OpCase> all = [] {
    std::vector<OpCase> rows;
    for (const Rows* family :
         {&arithmetic,    &comparison, &functions, &activations,    &reductions, &scans,
          &joining,       &rearranged, &elements,  &linear_algebra, &losses,     &images,
          &normalisation, &attention,  &views,     &in_place,       &special,    &vectors,
          &ordered,       &shapes,     &volumes,   &margins,        &indexed,    &decompositions})
      rows.insert(rows.end(), family->begin(), family->end());
    for (OpCase& row : rows)
      if (full_precision_ops.contains(row.op()) || row.name == "matrix_power: of the inverse")
        row.traits |= full_precision;
    return rows;
  }();
  return all;
}

Tensor make_input(const Input& input, int position, DType dtype, Device device) {
  const std::int64_t n = input.shape.numel();
  std::vector<double> values;
  for (std::int64_t i = 0; i < n; ++i) {
    const double place = static_cast<double>(scrambled(i, n)) + 0.37 + 0.24 * (position % 3);
    const double spread = input.low + (input.high - input.low) * place / static_cast<double>(n);
    values.push_back(input.kind == Input::Kind::whole  ? std::floor(spread)
                     : input.kind == Input::Kind::flag ? spread > 0.5
                                                       : spread);
  }
  const DType stored = input.kind == Input::Kind::whole  ? int64
                       : input.kind == Input::Kind::flag ? boolean
                                                         : dtype;
  return tensor(values, input.shape, {.dtype = stored, .device = device});
}

std::vector<Tensor> make_inputs(const OpCase& row, DType dtype, Device device) {
  std::vector<Tensor> inputs;
  for (std::size_t i = 0; i < row.inputs.size(); ++i)
    inputs.push_back(make_input(row.inputs[i], static_cast<int>(i), dtype, device));
  return inputs;
}

}  // namespace miniparallel::testing

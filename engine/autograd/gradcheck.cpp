#include <miniparallel/autograd.h>
#include <miniparallel/ops.h>

#include "engine/error.h"

#include <cmath>

namespace miniparallel::autograd {
namespace {

/// A copy that shares nothing, laid out in a row, as a leaf.
Tensor leaf_copy(const Tensor& x) {
  const NoGradGuard no_grad;
  return x.detach().clone().requires_grad_();
}

/// d output / d input[j] by central differences, as the flat elements of the output.
std::vector<double> numeric_column(const Function1& function, const std::vector<Tensor>& inputs,
                                   std::size_t input, std::int64_t j, double eps) {
  const NoGradGuard no_grad;
  double* const element = inputs[input].data<double>() + j;
  const double before = *element;
  *element = before + eps;
  std::vector<double> above = function(inputs).to_vector<double>();
  *element = before - eps;
  const std::vector<double> below = function(inputs).to_vector<double>();
  *element = before;
  for (std::size_t i = 0; i < above.size(); ++i) above[i] = (above[i] - below[i]) / (2 * eps);
  return above;
}

/// Element `i` of the output by every input.
std::vector<Tensor> analytic_row(const Tensor& output, const std::vector<Tensor>& inputs, std::int64_t i) {
  Tensor gradient = zeros_like(output.detach());
  gradient.view({-1}).narrow(0, i, 1).fill_(1);
  return grad({output}, inputs, {.gradients = {gradient}, .retain_graph = true, .allow_unused = true});
}

}  // namespace

std::string gradcheck(const Function1& function, const std::vector<Tensor>& given,
                      const GradcheckOptions& options) {
  std::vector<Tensor> inputs, checked;
  std::vector<std::size_t> numbers;
  for (std::size_t i = 0; i < given.size(); ++i) {
    if (!given[i].defined() || !given[i].requires_grad()) {
      inputs.push_back(given[i]);
      continue;
    }
    check(given[i].dtype() == float64, "gradcheck: input ", i, " is ", given[i].dtype(),
          "; finite differences need float64");
    inputs.push_back(leaf_copy(given[i]));
    checked.push_back(inputs.back());
    numbers.push_back(i);
  }
  check(!checked.empty(), "gradcheck: no input requires grad; call requires_grad_() on those to check");

  const Tensor output = function(inputs);
  check(output.dtype() == float64, "gradcheck: the output is ", output.dtype(),
        "; finite differences need float64");
  const std::int64_t rows = output.numel();
  std::vector<std::vector<Tensor>> analytic;
  if (output.requires_grad())
    for (std::int64_t i = 0; i < rows; ++i) analytic.push_back(analytic_row(output, checked, i));

  for (std::size_t k = 0; k < checked.size(); ++k) {
    for (std::int64_t j = 0; j < checked[k].numel(); ++j) {
      const std::vector<double> numeric = numeric_column(function, inputs, numbers[k], j, options.eps);
      for (std::int64_t i = 0; i < rows; ++i) {
        const Tensor row = analytic.empty() ? Tensor() : analytic[static_cast<std::size_t>(i)][k];
        if (row.defined() && row.shape() != checked[k].shape())
          return message("the gradient of input ", numbers[k], " has shape ", row.shape(), ", the input ",
                         checked[k].shape());
        const double got = row.defined() ? row.contiguous().data<double>()[j] : 0;
        const double want = numeric[static_cast<std::size_t>(i)];
        if (!(std::abs(got - want) <= options.atol + options.rtol * std::abs(want)))
          return message("d output[", i, "] / d input ", numbers[k], "[", j, "]: backward gives ", got,
                         ", finite differences give ", want, " (output of shape ", output.shape(),
                         ", input of shape ", checked[k].shape(), ", flat indices)");
      }
    }
  }
  return "";
}

std::string gradgradcheck(const Function1& function, const std::vector<Tensor>& given,
                          const GradcheckOptions& options) {
  std::vector<Tensor> inputs = given;
  for (Tensor& input : inputs)
    if (input.defined() && input.requires_grad()) input = leaf_copy(input);
  const Tensor output = function(inputs);
  // A gradient that is neither constant nor symmetric, so that mistakes do not cancel.
  const Tensor gradient = arange(static_cast<double>(output.numel()), {.dtype = float64}) * 0.7 + 0.3;
  inputs.push_back(leaf_copy(gradient.reshape(output.shape())));
  const std::string difference = gradcheck(
      [&](const std::vector<Tensor>& arguments) {
        const bool enabled = grad_enabled();
        set_grad_enabled(true);
        const std::vector<Tensor> originals(arguments.begin(), arguments.end() - 1);
        std::vector<Tensor> wanted;
        for (const Tensor& original : originals)
          if (original.defined() && original.requires_grad()) wanted.push_back(original);
        const std::vector<Tensor> first =
            grad({function(originals)}, wanted,
                 {.gradients = {arguments.back()}, .create_graph = true, .allow_unused = true});
        std::vector<Tensor> flat;
        for (std::size_t i = 0; i < first.size(); ++i)
          flat.push_back((first[i].defined() ? first[i] : zeros_like(wanted[i])).reshape({-1}));
        Tensor joined = cat(flat);
        set_grad_enabled(enabled);
        return joined;
      },
      inputs, options);
  return difference.empty() ? "" : "second derivative: " + difference;
}

}  // namespace miniparallel::autograd

#include <miniparallel/autograd.h>
#include <miniparallel/error.h>
#include <miniparallel/io.h>
#include <miniparallel/memory.h>
#include <miniparallel/threads.h>

#include "tests/op_cases.h"
#include "tests/support/golden.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <map>
#include <set>
#include <string>

// Every check here runs over every row of the table of ops to which it applies.

namespace miniparallel::testing {
namespace {

using Tensors = std::vector<Tensor>;

const std::string kGoldens = "op_goldens.safetensors";

/// Runs `check(row)` for the rows that `applies` picks; an exception fails the row, not the others.
template <class Applies, class Check>
void for_each_row(Applies applies, Check check) {
  for (const OpCase& row : op_cases()) {
    if (!applies(row)) continue;
    INFO("op case '", row.name, "'");
    try {
      check(row);
    } catch (const std::exception& error) {
      FAIL_CHECK("threw: ", std::string(error.what()));
    }
  }
}

bool any(const OpCase&) { return true; }
bool has_golden(const OpCase& row) { return !row.has(no_golden); }
bool is_differentiable(const OpCase& row) { return !row.has(no_gradient); }
bool is_small(const OpCase& row) { return !row.name.ends_with(": large") && !row.has(no_golden); }

bool is_real(const Input& input) { return input.kind == Input::Kind::real; }
bool is_floating(const Input& input) { return is_real(input) || input.kind == Input::Kind::constant; }

const char* kind_name(Input::Kind kind) {
  static constexpr const char* names[] = {"real", "constant", "whole", "flag"};
  return names[static_cast<int>(kind)];
}

std::string argument_key(const OpCase& row, std::size_t i) {
  return row.name + "|" + std::to_string(i) + "|" + kind_name(row.inputs[i].kind);
}

/// The arguments as leaves, those that gradients are asked for requiring them.
Tensors as_leaves(const OpCase& row, const Tensors& arguments) {
  Tensors leaves;
  for (std::size_t i = 0; i < arguments.size(); ++i)
    leaves.push_back(is_real(row.inputs[i]) && is_differentiable(row)
                         ? arguments[i].detach().clone().requires_grad_()
                         : arguments[i]);
  return leaves;
}

/// The result of a row and the gradients of its real arguments.
struct Outcome {
  Tensor value;
  Tensors gradients;
};

Tensors gradients_of(const Tensor& value, const Tensors& leaves, const Tensor& seed) {
  Tensors wanted;
  for (const Tensor& leaf : leaves)
    if (leaf.requires_grad()) wanted.push_back(leaf);
  Tensors gradients =
      autograd::grad({value}, wanted, {.gradients = {seed.to(value.dtype())}, .allow_unused = true});
  for (std::size_t i = 0; i < gradients.size(); ++i)
    if (!gradients[i].defined()) gradients[i] = zeros_like(wanted[i].detach());
  return gradients;
}

/// The gradient of the result with which gradients are compared.
Tensor seed_of(const OpCase& row, const Tensor& value) {
  const auto& stored = goldens(kGoldens);
  const auto found = stored.find(row.name + "|seed");
  if (found != stored.end() && found->second.shape() == value.shape()) return found->second;
  return make_input({value.shape()}, 2);
}

Outcome run(const OpCase& row, const Tensors& arguments) {
  const Tensors leaves = as_leaves(row, arguments);
  const Tensor value = row.function(leaves);
  Outcome outcome{value.detach(), {}};
  if (!is_differentiable(row)) return outcome;
  if (value.requires_grad()) {
    outcome.gradients = gradients_of(value, leaves, seed_of(row, value));
  } else {
    for (const Tensor& leaf : leaves)
      if (leaf.requires_grad()) outcome.gradients.push_back(zeros_like(leaf.detach()));
  }
  return outcome;
}

void check_close(const Tensor& got, const Tensor& expected, double tolerance) {
  CHECK(got.shape() == expected.shape());
  CHECK(largest_difference(got, expected) <= tolerance * std::max(1.0, largest_magnitude(expected)));
}

void check_close(const Outcome& got, const Outcome& expected, double tolerance) {
  check_close(got.value, expected.value, tolerance);
  REQUIRE(got.gradients.size() == expected.gradients.size());
  for (std::size_t i = 0; i < got.gradients.size(); ++i) {
    INFO("gradient of real argument ", i);
    check_close(got.gradients[i], expected.gradients[i], tolerance);
  }
}

TEST_CASE("ops: each argument's gradient alone is what it is among the others") {
  for_each_row([](const OpCase& row) { return is_differentiable(row) && !row.has(random) && is_small(row); },
               [](const OpCase& row) {
                 const Tensors arguments = make_inputs(row);
                 const Outcome all = run(row, arguments);
                 std::size_t real = 0;
                 for (std::size_t i = 0; i < arguments.size(); ++i) {
                   if (!is_real(row.inputs[i])) continue;
                   INFO("argument ", i);
                   Tensors leaves = arguments;
                   leaves[i] = arguments[i].detach().clone().requires_grad_();
                   const Tensor value = row.function(leaves);
                   if (value.requires_grad())
                     check_close(gradients_of(value, leaves, seed_of(row, value))[0], all.gradients[real],
                                 1e-12);
                   ++real;
                 }
               });
}

TEST_CASE("ops: write the arguments" * doctest::skip()) {
  StateDict arguments;
  for_each_row(has_golden, [&](const OpCase& row) {
    const Tensors inputs = make_inputs(row);
    for (std::size_t i = 0; i < inputs.size(); ++i) arguments[argument_key(row, i)] = inputs[i];
  });
  const char* path = std::getenv("MINIPARALLEL_OP_INPUTS");
  save(arguments, path != nullptr ? path : "op_inputs.safetensors");
}

TEST_CASE("ops: values and gradients agree with PyTorch in float64") {
  for_each_row(has_golden, [](const OpCase& row) {
    const Tensors arguments = make_inputs(row);
    for (std::size_t i = 0; i < arguments.size(); ++i) {
      INFO("argument ", i, " of the table is not the stored one: run tests/data/make_op_goldens.py again");
      REQUIRE(identical(arguments[i], golden(kGoldens, argument_key(row, i))));
    }
    const Outcome got = run(row, arguments);
    const Tensor expected = golden(kGoldens, row.name + "|out");
    CHECK(got.value.dtype() == expected.dtype());
    check_close(got.value, expected, 1e-11);
    if (!is_differentiable(row)) return;
    std::size_t real = 0;
    for (std::size_t i = 0; i < arguments.size(); ++i) {
      if (!is_real(row.inputs[i])) continue;
      INFO("gradient of argument ", i);
      check_close(got.gradients[real++], golden(kGoldens, row.name + "|grad|" + std::to_string(i)), 1e-11);
    }
  });
}

TEST_CASE("ops: integer arguments give PyTorch's values and dtypes") {
  const auto takes_reals = [](const OpCase& row) {
    return has_golden(row) && std::ranges::any_of(row.inputs, is_floating);
  };
  for (const DType dtype : {int64, int32, uint8, boolean}) {
    for_each_row(takes_reals, [dtype](const OpCase& row) {
      INFO("arguments of ", std::string(name(dtype)));
      const auto& stored = goldens(kGoldens);
      const auto found = stored.find(row.name + "|out|" + (dtype == boolean ? "bool" : name(dtype)));
      if (found == stored.end()) return;  // PyTorch does not take it
      Tensors arguments = make_inputs(row);
      for (std::size_t i = 0; i < arguments.size(); ++i) {
        if (!is_floating(row.inputs[i])) continue;
        const Tensor twice = (abs(arguments[i]) * 2).to(int64);
        arguments[i] = dtype == boolean ? arguments[i] > 0 : (twice + 1).to(dtype);
      }
      try {
        const Tensor value = row.function(arguments);
        CHECK(std::string(name(value.dtype())) == name(found->second.dtype()));
        check_close(value, found->second, value.is_floating() ? 1e-5 : 0);
      } catch (const Error& error) {
        CHECK_MESSAGE(row.has(no_integers), std::string(error.what()));
      }
    });
  }
}

TEST_CASE("ops: gradients agree with finite differences") {
  for_each_row(
      [](const OpCase& row) { return is_small(row) && is_differentiable(row) && !row.has(no_differences); },
      [](const OpCase& row) {
        CHECK(autograd::gradcheck(row.function, as_leaves(row, make_inputs(row))) == "");
      });
}

TEST_CASE("ops: second derivatives agree with finite differences, or name the op that has none") {
  for_each_row(
      [](const OpCase& row) { return is_small(row) && is_differentiable(row) && !row.has(no_differences); },
      [](const OpCase& row) {
        const Tensors leaves = as_leaves(row, make_inputs(row));
        if (row.has(no_second))
          CHECK_THROWS_WITH_AS(autograd::gradgradcheck(row.function, leaves),
                               doctest::Contains(row.op().c_str()), Error);
        else
          CHECK(autograd::gradgradcheck(row.function, leaves, {.atol = 1e-5}) == "");
      });
}

TEST_CASE("ops: float32 agrees with float64") {
  for_each_row([](const OpCase& row) { return !row.has(random); },
               [](const OpCase& row) {
                 const Outcome got = run(row, make_inputs(row, float32)),
                               expected = run(row, make_inputs(row));
                 if (expected.value.dtype() == float64 && !row.op().starts_with("to"))
                   CHECK(got.value.dtype() == float32);
                 check_close(got, expected, 1e-5);
               });
}

/// The same elements, stored otherwise.
Tensor stored_transposed(const Tensor& x) {
  return x.dim() < 2 ? x : x.transpose(0, -1).clone().transpose(0, -1);
}
Tensor stored_with_gaps(const Tensor& x) {
  if (x.dim() == 0) return x;
  Shape wide = x.shape();
  wide[wide.rank() - 1] *= 2;
  const Tensor room = empty(wide, {.dtype = x.dtype(), .device = x.device()}).fill_(1);
  Tensor kept = room.slice(-1, 1, wide.back(), 2);
  return kept.copy_(x);
}

TEST_CASE("ops: the layout of the arguments does not matter") {
  const auto applies = [](const OpCase& row) { return is_small(row) && !row.has(contiguous_only); };
  for (const auto stored : {stored_transposed, stored_with_gaps}) {
    for_each_row(applies, [stored](const OpCase& row) {
      const Tensors plain = make_inputs(row);
      const Outcome expected = run(row, plain);
      Tensors leaves, arguments;
      for (std::size_t i = 0; i < plain.size(); ++i) {
        Tensor argument = stored(plain[i]);
        if (is_real(row.inputs[i]) && is_differentiable(row)) argument.requires_grad_();
        leaves.push_back(argument);
      }
      const Tensor value = row.function(leaves);
      Outcome got{value.detach(), {}};
      if (!expected.gradients.empty() && value.requires_grad())
        got.gradients = gradients_of(value, leaves, stored(seed_of(row, value)));
      else
        got.gradients = expected.gradients;
      check_close(got, expected, 1e-12);
    });
  }
}

TEST_CASE("ops: elementwise ones take every shape, and treat an element the same wherever it stands") {
  const auto applies = [](const OpCase& row) { return row.has(elementwise); };
  for_each_row(applies, [](const OpCase& row) {
    for (const Shape& shape :
         {Shape{}, Shape{0}, Shape{2, 0, 3}, Shape{1}, Shape{7}, Shape{3, 1, 5}, Shape{100'003}}) {
      INFO("shape ", to_string(shape));
      Tensors arguments;
      for (std::size_t i = 0; i < row.inputs.size(); ++i) {
        Input input = row.inputs[i];
        input.shape = shape;
        arguments.push_back(make_input(input, static_cast<int>(i), float32));
      }
      const Outcome whole = run(row, arguments);
      CHECK(whole.value.shape() == shape);
      for (const Tensor& gradient : whole.gradients) CHECK(gradient.shape() == shape);
      if (shape.rank() != 1 || shape[0] < 2) continue;
      const Tensor seed = seed_of(row, whole.value);
      const std::int64_t length = std::min<std::int64_t>(shape[0], 5);
      for (const std::int64_t start : {std::int64_t{0}, shape[0] / 2, shape[0] - length}) {
        const auto piece = [&](const Tensor& x) {
          return x.narrow(0, start, std::min(length, shape[0] - start));
        };
        Tensors pieces;
        for (const Tensor& argument : arguments) pieces.push_back(piece(argument).clone());
        const Tensors leaves = as_leaves(row, pieces);
        const Tensor value = row.function(leaves);
        check_close(value.detach(), piece(whole.value), 1e-6);
        if (whole.gradients.empty() || !value.requires_grad()) continue;
        const Tensors gradients = gradients_of(value, leaves, piece(seed));
        for (std::size_t i = 0; i < gradients.size(); ++i)
          check_close(gradients[i], piece(whole.gradients[i]), 1e-6);
      }
    }
  });
}

TEST_CASE("ops: the same bits for every number of threads") {
  const int threads = num_threads();
  for_each_row(any, [](const OpCase& row) {
    set_num_threads(1);
    const Outcome one = run(row, make_inputs(row, float32));
    set_num_threads(3);
    const Outcome three = run(row, make_inputs(row, float32));
    // A BLAS may cut a sum differently for another number of threads: equal to rounding.
    if (row.has(blas)) return check_close(three, one, 1e-5);
    CHECK(identical(one.value, three.value));
    for (std::size_t i = 0; i < one.gradients.size(); ++i)
      CHECK(identical(one.gradients[i], three.gradients[i]));
  });
  set_num_threads(threads);
}

TEST_CASE("ops: a graph leaves nothing behind, used or not") {
  for_each_row(is_small, [](const OpCase& row) {
    const Tensors arguments = make_inputs(row);
    run(row, arguments);
    const std::int64_t before = memory_stats().used;
    run(row, arguments);
    CHECK(memory_stats().used == before);
    row.function(as_leaves(row, arguments));
    CHECK(memory_stats().used == before);
    if (is_differentiable(row)) {
      const Tensors leaves = as_leaves(row, arguments);
      const Tensor value = row.function(leaves);
      if (value.requires_grad() && !row.has(no_second))
        autograd::backward({value}, {seed_of(row, value).to(value.dtype())}, {.create_graph = true});
      for (const Tensor& leaf : leaves) leaf.set_grad({});
    }
    CHECK(memory_stats().used == before);
  });
}

/// Either an error, which names something that was written, or the gradients as if nothing had been.
void check_detected_or_harmless(const OpCase& row, const Tensor& value, const Tensors& leaves,
                                const Outcome& expected) {
  Outcome got{expected.value, {}};
  try {
    got.gradients = gradients_of(value, leaves, seed_of(row, value));
  } catch (const Error& error) {
    CHECK(std::string(error.what()).find("written") != std::string::npos);
    return;
  }
  check_close(got, expected, 1e-12);
}

TEST_CASE("ops: writing to an argument or the result afterwards is detected, or does no harm") {
  for_each_row([](const OpCase& row) { return is_small(row) && is_differentiable(row); },
               [](const OpCase& row) {
                 const Tensors arguments = make_inputs(row);
                 const Outcome expected = run(row, arguments);
                 for (std::size_t written = 0; written <= arguments.size(); ++written) {
                   INFO("written: argument ", written, " (the last: the result)");
                   const Tensors leaves = as_leaves(row, arguments);
                   Tensors copies;
                   for (const Tensor& leaf : leaves) copies.push_back(leaf.clone());
                   Tensor value = row.function(copies);
                   if (!value.requires_grad()) continue;
                   try {
                     Tensor& target = written < copies.size() ? copies[written] : value;
                     target.dtype() == boolean ? target.fill_(true) : target.add_(1);
                   } catch (const Error&) {
                     continue;  // a view where gradients flow cannot be written at all
                   }
                   check_detected_or_harmless(row, value, leaves, expected);
                 }
               });
}

/// Rows that round more than once in float16 and bfloat16, so that their error is one of the largest element.
const std::set<std::string> rounded_often{
    // the gradient reads the result, which is rounded, as PyTorch's does
    "erfinv", "exp", "expm1", "rsqrt", "sigmoid", "sqrt", "tan", "tanh",
    // the gradient is summed along one dimension after another
    "pad: reflect, two dimensions", "pad: replicate", "repeat",
    // the row is made of several ops
    "add_layer_norm", "copy_: to columns", "ctc_loss", "ctc_loss: joined targets, sum",
    "ctc_loss: the last class is blank, none", "ctc_loss: no way", "ctc_loss: long",
    "mul_: to columns, twice", "nanmean", "nansum", "var_mean"};

/// Each element to half a unit in its last place; of results that are rounded often, to four such units of
/// the largest element. On top of that the error of float32.
void check_rounded(const Tensor& got, const Tensor& expected, DType dtype, bool often) {
  CHECK(got.shape() == expected.shape());
  if (expected.dtype() == float64) CHECK((got.dtype() == dtype || got.dtype() == float64));
  const double unit = dtype == float16 ? 0x1p-11 : 0x1p-8, greatest = dtype == float16 ? 65504 : 3.3895e38;
  const double subnormal = dtype == float16 ? 0x1p-25 : 0,
               magnitude = std::max(1.0, largest_magnitude(expected));
  const std::vector<double> a = got.to_vector<double>(), b = expected.to_vector<double>();
  for (std::size_t i = 0; i < a.size(); ++i) {
    const bool overflows = std::isinf(a[i]) && std::abs(b[i]) > greatest;
    if (a[i] == b[i] || (std::isnan(a[i]) && std::isnan(b[i])) || overflows) continue;
    const double bound =
        (often ? 4 * unit * magnitude : unit * std::abs(b[i])) + subnormal + 1e-5 * magnitude;
    if (std::abs(a[i] - b[i]) <= bound) continue;
    FAIL_CHECK("element ", i, ": ", a[i], " for ", b[i]);
    return;
  }
}

TEST_CASE("ops: float16 and bfloat16 give what float64 gives for the same numbers, rounded once") {
  const auto applies = [](const OpCase& row) {
    return std::ranges::any_of(row.inputs, is_floating) && !row.has(random);
  };
  for (const DType dtype : {float16, bfloat16}) {
    for_each_row(applies, [dtype](const OpCase& row) {
      INFO("in ", std::string(name(dtype)));
      const Tensors halves = make_inputs(row, dtype);
      if (row.has(full_precision)) {
        CHECK_THROWS_WITH_AS(row.function(halves), doctest::Contains(name(dtype)), Error);
        return;
      }
      Tensors same;
      for (const Tensor& half : halves) same.push_back(half.is_floating() ? half.to(float64) : half);
      const bool often = rounded_often.contains(row.name);
      const Tensors leaves = as_leaves(row, halves), wide = as_leaves(row, same);
      const Tensor value = row.function(leaves), expected = row.function(wide);
      check_rounded(value.detach(), expected.detach(), dtype, often);
      CHECK(value.requires_grad() == expected.requires_grad());
      if (!value.requires_grad()) return;
      const Tensor seed = seed_of(row, value).to(value.dtype()).to(float64);
      const Tensors got = gradients_of(value, leaves, seed), want = gradients_of(expected, wide, seed);
      for (std::size_t i = 0; i < got.size(); ++i) {
        INFO("gradient of real argument ", i);
        CHECK(got[i].dtype() == dtype);
        check_rounded(got[i], want[i], dtype, often);
      }
    });
  }
}

/// The names with which errors of a row's function may begin: its own, and where a row's expression calls
/// other functions too, or two names are one function, those.
std::vector<std::string> names_of(const OpCase& row) {
  const char* const undefined = "an undefined tensor was used; assign it first";  // of shape() and its like
  // what makes a matrix symmetric
  const std::vector<std::string> symmetric{"matmul", "size", "transpose", "add", undefined};
  static const std::map<std::string, std::vector<std::string>> others{
      // operators and the methods that they are
      {"operator+", {"add"}},
      {"operator-", {"sub", "neg"}},
      {"operator*", {"mul"}},
      {"operator/", {"div"}},
      {"operator+=", {"add_"}},
      {"operator-=", {"sub_"}},
      {"operator*=", {"mul_"}},
      {"operator/=", {"div_"}},
      {"operator[]", {"select", "index", "operator>", undefined}},
      // other names of one function
      {"T", {"t"}},
      {"cpu", {"to"}},
      {"cuda", {"to"}},
      // what else the rows call
      {"add_: to a view", {"mul", "select"}},
      {"allclose", {"add"}},
      {"amax: equal maxima", {"clamp"}},
      {"batch_norm", {"clone"}},
      {"bucketize", {"sort"}},
      {"cholesky", symmetric},
      {"cholesky_solve", {"matmul", "size", "transpose", "add", "cholesky", undefined}},
      {"contiguous", {"t"}},
      {"copy_: to columns", {"mul", "slice"}},
      {"cosine_embedding_loss", {"mul"}},
      {"ctc_loss", {"log_softmax"}},
      {"cumprod: zeros", {"mul"}},
      {"eigh: vectors", symmetric},
      {"eigvalsh", symmetric},
      {"embedding_bag: offsets", {"cumsum", "sub"}},
      {"equal", {"add"}},
      {"expand_as", {undefined}},
      {"fmax: of NaN", {"log"}},
      {"hinge_embedding_loss", {"mul", "sub"}},
      {"index: a mask", {"operator>", undefined}},
      {"index_copy", {"to"}},
      {"index_put", {"argsort"}},
      {"isclose", {"add", "mul"}},
      {"isfinite", {"log"}},
      {"isinf", {"log"}},
      {"isnan", {"log"}},
      {"isneginf", {"sub"}},
      {"isposinf", {"sub"}},
      {"logdet", symmetric},
      {"logsumexp: outer two", {"mul"}},
      {"margin_ranking_loss", {"mul", "sub"}},
      {"matmul: transposed", {"t"}},
      {"matrix_rank", {"matmul"}},
      {"mul_: to columns, twice", {"mul", "slice"}},
      {"nan_to_num", {"log"}},
      {"nanmean", {"log"}},
      {"nansum", {"log"}},
      {"reshape: of a transpose", {"t"}},
      {"scaled_dot_product_attention: bool mask", {"operator<"}},
      {"scaled_dot_product_attention: grouped queries, mask", {"operator<"}},
      {"scatter", {"to"}},
      {"scatter_", {"to"}},
      {"searchsorted", {"sort"}},
      {"softmax: large numbers", {"mul"}},
      {"tril_indices", {undefined}},
      {"triu_indices", {undefined}},
      {"to: device", {undefined}},
      {"to: device and dtype", {undefined}},
      {"view_as", {undefined}},
  };
  std::vector<std::string> names{row.op()};
  for (const std::string& key : std::set{row.op(), row.name})
    if (const auto found = others.find(key); found != others.end())
      names.insert(names.end(), found->second.begin(), found->second.end());
  if (row.op().ends_with('_') || row.op().ends_with('=')) names.emplace_back("clone");  // which is written to
  return names;
}

/// Where the row's function throws for these arguments, the message begins with its name.
void check_named(const OpCase& row, const Tensors& arguments) {
  try {
    row.function(arguments);
  } catch (const Error& error) {
    const std::string message = error.what();
    const auto begins_message = [&](const std::string& name) {
      return message.starts_with(name + ": ") || message == name;
    };
    CHECK_MESSAGE(std::ranges::any_of(names_of(row), begins_message), message);
  }
}

TEST_CASE("ops: errors begin with the name of the function that was called") {
  for_each_row(is_small, [](const OpCase& row) {
    for (const DType dtype : {float16, boolean, int64}) check_named(row, make_inputs(row, dtype));
    for (std::size_t i = 0; i < row.inputs.size(); ++i) {
      const Tensors arguments = make_inputs(row);
      const auto check_with = [&](const Tensor& argument) {
        Tensors others = arguments;
        others[i] = argument;
        check_named(row, others);
      };
      INFO("argument ", i);
      check_with({});
      for (const DType dtype : {float16, boolean, int64, float32}) check_with(arguments[i].to(dtype));
      for (const Shape& shape :
           {Shape{}, Shape{0}, Shape{13}, Shape{7, 11}, Shape{7, 11, 13}, Shape{7, 9, 3, 11, 3}})
        check_with(zeros(shape, {.dtype = arguments[i].dtype()}));
    }
  });
}

}  // namespace
}  // namespace miniparallel::testing

#include "engine/ops/autocast.h"
#include "engine/ops/common.h"

#include <algorithm>
#include <array>
#include <string_view>

// einsum: operands are contracted from left to right, two of them by one product of stacks of matrices.

namespace miniparallel {
namespace {

/// A tensor and a label for each of its dimensions: a letter, or a number below ' ' for one that "..." stands
/// for.
struct Operand {
  Tensor x;
  std::string labels;

  bool has(char label) const { return labels.find(label) != std::string::npos; }
  std::int64_t size(char label) const { return x.size(static_cast<int>(labels.find(label))); }
};

/// The same ones in every locale: `LabelSizes` has no place for others.
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

/// "bij,...k->" in its parts, "..." as '.'.
struct Equation {
  std::vector<std::string> inputs;
  std::string output;
  bool has_output = false;

  explicit Equation(const std::string& text) {
    inputs.emplace_back();
    for (std::size_t i = 0; i < text.size(); ++i) {
      std::string& part = has_output ? output : inputs.back();
      const std::string_view rest = std::string_view(text).substr(i);
      if (text[i] == ' ') continue;
      if (text[i] == ',' && !has_output) {
        inputs.emplace_back();
      } else if (rest.starts_with("->") && !has_output) {
        has_output = true;
        ++i;
      } else if (rest.starts_with("...") && part.find('.') == std::string::npos) {
        part += '.';
        i += 2;
      } else {
        check(is_letter(text[i]), "einsum: '", text, "' has '", text[i], "' at place ", i,
              "; it consists of letters, commas, one -> and ... once in a part");
        part += text[i];
      }
    }
  }
};

/// Labels for `count` dimensions of "...", which are aligned at the last one.
std::string ellipsis_labels(std::size_t count) {
  std::string labels;
  for (std::size_t i = count; i > 0; --i) labels += static_cast<char>(i);
  return labels;
}

std::string with_ellipsis(std::string part, std::size_t count) {
  if (const std::size_t at = part.find('.'); at != std::string::npos)
    part.replace(at, 1, ellipsis_labels(count));
  return part;
}

Operand labelled(const Tensor& x, const std::string& part, const std::string& text) {
  const std::size_t letters = static_cast<std::size_t>(std::ranges::count_if(part, is_letter));
  const auto dims = static_cast<std::size_t>(x.dim());
  const bool open = letters != part.size();
  check(open ? letters <= dims : letters == dims, "einsum: an operand of shape ", x.shape(),
        " does not fit its ", letters, " letters in '", text, "'; name each of its dimensions");
  return {x, with_ellipsis(part, dims - letters)};
}

/// A label that occurs twice: the diagonal.
Operand without_repetition(Operand operand, const std::string& text) {
  for (std::size_t i = 0; i < operand.labels.size(); ++i) {
    const char label = operand.labels[i];
    const std::size_t again = operand.labels.find(label, i + 1);
    if (again == std::string::npos) continue;
    const int first = static_cast<int>(i), second = static_cast<int>(again);
    check(operand.x.size(first) == operand.x.size(second), "einsum: '", label, "' in '", text,
          "' names dimensions of sizes ", operand.x.size(first), " and ", operand.x.size(second),
          "; a diagonal needs equal ones");
    operand.x = operand.x.diagonal(0, first, second);
    operand.labels.erase(again, 1).erase(i, 1);
    operand.labels += label;
    i = static_cast<std::size_t>(-1);  // the labels have moved: from the beginning
  }
  return operand;
}

/// Sums over the dimensions whose labels are not in `kept`.
Operand summed(const Operand& operand, const std::string& kept) {
  Operand result;
  Shape dims;
  for (std::size_t i = 0; i < operand.labels.size(); ++i) {
    if (kept.find(operand.labels[i]) == std::string::npos)
      dims.push_back(static_cast<std::int64_t>(i));
    else
      result.labels += operand.labels[i];
  }
  result.x = dims.empty() ? operand.x : sum(operand.x, dims);
  return result;
}

/// The dimensions in the order of `labels`.
Tensor ordered(const Operand& operand, const std::string& labels) {
  Shape order;
  for (const char label : labels) order.push_back(static_cast<std::int64_t>(operand.labels.find(label)));
  return operand.x.permute(order);
}

/// The sizes of labels: that of an operand which has it, of an ellipsis the one that is not 1.
struct LabelSizes {
  std::array<std::int64_t, 128> of;

  LabelSizes(const std::vector<Operand>& operands, const std::string& text) {
    of.fill(-1);
    for (const Operand& operand : operands)
      for (const char label : operand.labels) {
        const std::int64_t size = operand.size(label);
        std::int64_t& known = of[static_cast<std::size_t>(label)];
        const bool stretches = !is_letter(label) && (size == 1 || known == 1);
        check(known < 0 || known == size || stretches,
              "einsum: ", is_letter(label) ? std::string("'") + label + "'" : std::string("'...'"), " in '",
              text, "' names dimensions of sizes ", known, " and ", size, "; they must be equal");
        if (known < 0 || known == 1) known = size;
      }
  }

  Shape shape(const std::string& labels) const {
    Shape sizes;
    for (const char label : labels) sizes.push_back(of[static_cast<std::size_t>(label)]);
    return sizes;
  }
  std::int64_t count(const std::string& labels) const { return shape(labels).numel(); }
};

/// Operands a and b as one, of which the labels in `kept` are left.
Operand product(const Operand& first, const Operand& second, const std::string& kept,
                const LabelSizes& sizes) {
  const Operand a = summed(first, second.labels + kept), b = summed(second, first.labels + kept);
  std::string shared, terms, left, right;
  for (const char label : a.labels) {
    if (!b.has(label))
      left += label;
    else
      (kept.find(label) != std::string::npos ? shared : terms) += label;
  }
  for (const char label : b.labels)
    if (!a.has(label)) right += label;
  const auto matrices = [&](const Operand& operand, const std::string& rows, const std::string& columns) {
    const std::string labels = shared + rows + columns;
    return ordered(operand, labels)
        .expand(sizes.shape(labels))
        .reshape({sizes.count(shared), sizes.count(rows), sizes.count(columns)});
  };
  const std::string labels = shared + left + right;
  return {matmul(matrices(a, left, terms), matrices(b, terms, right)).reshape(sizes.shape(labels)), labels};
}

/// Without an output: what "..." stands for, then the letters that occur once.
std::string usual_output(const std::vector<std::string>& inputs) {
  std::string all, output = ".";
  for (const std::string& part : inputs) all += part;
  std::ranges::sort(all);
  for (const char label : all)
    if (is_letter(label) && std::ranges::count(all, label) == 1) output += label;
  return output;
}

}  // namespace

Tensor einsum(const std::string& equation, const std::vector<Tensor>& operands) try {
  MP_AUTOCAST(einsum, equation, operands);
  const Equation parts(equation);
  check(parts.inputs.size() == operands.size(), "einsum: '", equation, "' is for ", parts.inputs.size(),
        " operands, but ", operands.size(), " were given; separate their letters by commas");
  for (const Tensor& x : operands) check_floating("einsum", x);
  if (is_half(operands[0])) {
    for (const Tensor& x : operands) check_same_dtype("einsum", {operands[0], x});
    return in_float32(MP_OP(einsum), equation, operands);
  }
  std::vector<Operand> rest;
  std::size_t ellipsis = 0;
  for (std::size_t i = 0; i < operands.size(); ++i) {
    const Operand given = labelled(operands[i], parts.inputs[i], equation);
    const auto letters = static_cast<std::size_t>(std::ranges::count_if(given.labels, is_letter));
    ellipsis = std::max(ellipsis, given.labels.size() - letters);
    rest.push_back(without_repetition(given, equation));
  }
  const std::string output =
      with_ellipsis(parts.has_output ? parts.output : usual_output(parts.inputs), ellipsis);
  const LabelSizes sizes(rest, equation);
  for (const char label : output)
    check(sizes.of[static_cast<std::size_t>(label)] >= 0 && std::ranges::count(output, label) == 1,
          "einsum: '", label, "' in the result of '", equation, "' must occur once there, and in an operand");
  Operand total = rest[0];
  for (std::size_t i = 1; i < rest.size(); ++i) {
    std::string kept = output;
    for (std::size_t later = i + 1; later < rest.size(); ++later) kept += rest[later].labels;
    total = product(total, rest[i], kept, sizes);
  }
  return ordered(summed(total, output), output);
} catch (const Error& error) {
  rethrow_as("einsum", error);
}

}  // namespace miniparallel

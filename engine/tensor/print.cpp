#include <miniparallel/autograd.h>
#include <miniparallel/tensor.h>

#include "engine/tensor/tensor_impl.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <ostream>

// NumPy's layout: columns aligned, nested brackets, the middle of long tensors left out.

namespace miniparallel {
namespace {

constexpr std::int64_t kSummarizeAbove = 1000;  // elements
constexpr std::int64_t kEdge = 3;               // shown at each end of a summarised dimension

/// As printf's %.*f or %.*e would write it in the C locale; printf itself follows the locale.
std::string written(double value, bool scientific, int decimals) {
  char buffer[32];  // without an exponent only numbers below 1e8 are written
  const auto format = scientific ? std::chars_format::scientific : std::chars_format::fixed;
  return {buffer, std::to_chars(buffer, std::end(buffer), value, format, decimals).ptr};
}

/// How every element of one floating tensor is written.
class Format {
 public:
  explicit Format(const std::vector<double>& shown) {
    double largest = 0, smallest = HUGE_VAL;
    for (const double value : shown) {
      if (!std::isfinite(value) || value == 0) continue;
      largest = std::max(largest, std::abs(value));
      smallest = std::min(smallest, std::abs(value));
    }
    scientific_ = largest >= 1e8 || (largest > 0 && (smallest < 1e-4 || largest / smallest > 1e3));
    for (const double value : shown)
      if (std::isfinite(value)) digits_ = std::max(digits_, decimals(value));
  }

  std::string operator()(double value) const {
    if (std::isnan(value)) return "nan";
    if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
    std::string text = written(value, scientific_, digits_);
    if (!scientific_ && digits_ == 0) text += '.';
    return text;
  }

 private:
  /// Decimals that the value needs, at most 4.
  int decimals(double value) const {
    std::string text = written(value, scientific_, 4);
    text = text.substr(0, text.find('e'));
    while (text.back() == '0') text.pop_back();
    return static_cast<int>(text.size() - text.find('.') - 1);
  }

  bool scientific_ = false;
  int digits_ = 0;
};

/// The elements as texts, row by row; whole numbers exactly, beyond double's 53 bits too.
std::vector<std::string> texts_of(const Tensor& x) {
  std::vector<std::string> texts;
  texts.reserve(static_cast<std::size_t>(x.numel()));
  if (x.is_floating()) {
    const std::vector<double> values = x.to_vector<double>();
    const Format format(values);
    for (const double value : values) texts.push_back(format(value));
  } else {
    for (const std::int64_t value : x.to_vector<std::int64_t>())
      texts.push_back(x.dtype() != boolean ? std::to_string(value) : value != 0 ? "true" : "false");
  }
  return texts;
}

class Printer {
 public:
  explicit Printer(const Tensor& x)
      : shape_(x.shape()), summarize_(x.numel() > kSummarizeAbove), texts_(texts_of(shown_part(x))) {
    for (const std::string& text : texts_) width_ = std::max(width_, text.size());
  }

  std::string text() {
    std::string out;
    print(0, 7, out);  // elements line up behind "tensor("
    return out;
  }

 private:
  /// The elements that are printed, in order: of long dimensions both ends.
  Tensor shown_part(const Tensor& x) const {
    Tensor shown = x.detach();
    if (summarize_)
      for (int d = 0; d < shown.dim(); ++d)
        if (shape_[d] > 2 * kEdge) {
          const NoGradGuard no_grad;
          const Tensor head = shown.narrow(d, 0, kEdge), tail = shown.narrow(d, shape_[d] - kEdge, kEdge);
          Shape joined = shown.shape();
          joined[d] = 2 * kEdge;
          Tensor both = make_tensor(joined, shown.dtype(), shown.device());
          both.narrow(d, 0, kEdge).copy_(head);
          both.narrow(d, kEdge, kEdge).copy_(tail);
          shown = both;
        }
    return shown;
  }

  void print(int d, std::size_t indent, std::string& out) {
    if (d == shape_.rank()) {
      const std::string& text = texts_[next_++];
      out.append(width_ - text.size(), ' ');
      out += text;
      return;
    }
    const bool innermost = d + 1 == shape_.rank(), cut = summarize_ && shape_[d] > 2 * kEdge;
    out += '[';
    ++indent;
    for (std::int64_t i = 0; i < shape_[d]; ++i) {
      if (i > 0) separate(d, innermost, indent, out);
      if (cut && i == kEdge) {
        out += "...";
        i = shape_[d] - kEdge - 1;
        continue;
      }
      print(d + 1, indent, out);
    }
    out += ']';
  }

  void separate(int d, bool innermost, std::size_t indent, std::string& out) const {
    out += ',';
    if (innermost) {
      const std::size_t line = out.size() - (out.rfind('\n') + 1);
      if (line + width_ + 2 > 100)
        out.append("\n").append(indent, ' ');
      else
        out += ' ';
    } else {
      out.append(static_cast<std::size_t>(shape_.rank() - 1 - d), '\n').append(indent, ' ');
    }
  }

  Shape shape_;
  bool summarize_;
  std::vector<std::string> texts_;
  std::size_t width_ = 0, next_ = 0;
};

}  // namespace

std::string Tensor::to_string() const {
  if (!defined()) return "tensor(undefined)";
  std::string text = "tensor(" + Printer(*this).text();
  if (numel() == 0 && dim() != 1) text += ", shape=" + miniparallel::to_string(shape());
  const DType usual = is_floating() ? default_dtype() : dtype() == boolean ? boolean : int64;
  if (dtype() != usual || numel() == 0) text += std::string(", dtype=") + name(dtype());
  if (!device().is_cpu()) text += ", device=" + miniparallel::to_string(device());
  if (!is_leaf())
    text += ", grad_fn=" + grad_fn_name();
  else if (requires_grad())
    text += ", requires_grad";
  return text + ")";
}

std::ostream& operator<<(std::ostream& stream, const Tensor& tensor) { return stream << tensor.to_string(); }

}  // namespace miniparallel

#include <miniparallel/data/csv.h>

#include "engine/error.h"
#include "engine/files/file.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>
#include <utility>

namespace miniparallel::data {
namespace {

/// Cuts a text into rows of fields.
class CsvReader {
 public:
  CsvReader(std::string_view text, char delimiter, const std::string& file)
      : text_(text), delimiter_(delimiter), file_(file) {}

  /// The fields of the next row that is not empty; false at the end.
  bool next(std::vector<std::string>& fields) {
    while (skip_line_end()) {
    }
    if (at_ == text_.size()) return false;
    row_line_ = line_;
    fields.clear();
    do {
      fields.push_back(next_field());
    } while (skip(delimiter_));
    check(at_ == text_.size() || skip_line_end(), file_, ": line ", line_,
          ": text after a closing quote; expected a delimiter or the end of the line");
    return true;
  }
  std::int64_t row_line() const { return row_line_; }

 private:
  static std::int64_t lines_ended_in(std::string_view text) {
    std::int64_t lines = 0;
    for (std::size_t i = 0; i < text.size(); ++i)
      lines += text[i] == '\n' || (text[i] == '\r' && !text.substr(i + 1).starts_with('\n'));
    return lines;
  }

  bool skip(char c) {
    if (at_ == text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }

  bool skip_line_end() {
    const std::string_view rest = text_.substr(at_);
    if (rest.starts_with("\r\n")) ++at_;
    if (!skip('\n') && !skip('\r')) return false;
    ++line_;
    return true;
  }

  std::string next_field() {
    if (skip('"')) return quoted_field();
    const auto begin = at_;
    at_ = std::min(text_.find_first_of(std::string{delimiter_, '\n', '\r'}, at_), text_.size());
    return std::string(text_.substr(begin, at_ - begin));
  }

  std::string quoted_field() {
    std::string field;
    for (;;) {
      const auto quote = text_.find('"', at_);
      check(quote != std::string_view::npos, file_, ": line ", row_line_,
            ": a quoted field has no end; close its quote");
      const std::string_view part = text_.substr(at_, quote - at_);
      line_ += lines_ended_in(part);
      field += part;
      at_ = quote + 1;
      if (!skip('"')) return field;
      field += '"';
    }
  }

  std::string_view text_;
  char delimiter_;
  const std::string& file_;
  std::size_t at_ = 0;
  std::int64_t line_ = 1, row_line_ = 1;
};

/// The power of ten of the first digit that is not 0, for a decimal number that has one.
std::int64_t magnitude(std::string_view number) {
  const auto e = std::min(number.find_first_of("eE"), number.size());
  const std::string_view digits = number.substr(0, e);
  const auto point = std::min(digits.find('.'), digits.size());
  const auto place =
      static_cast<std::int64_t>(point) - static_cast<std::int64_t>(digits.find_first_of("123456789"));
  std::string_view exponent = number.substr(std::min(e + 1, number.size()));
  const bool negative = exponent.starts_with('-');
  if (negative || exponent.starts_with('+')) exponent.remove_prefix(1);
  std::int32_t power = 0;
  const auto parsed = std::from_chars(exponent.data(), exponent.data() + exponent.size(), power);
  if (parsed.ec == std::errc::result_out_of_range) power = std::numeric_limits<std::int32_t>::max();
  return place + (negative ? -std::int64_t{power} : power);
}

/// The float nearest to the number that is the whole of `text`: 0 for one below all floats, infinity for one
/// beyond them; nothing where the text is not a number.
std::optional<float> nearest_float(std::string_view text) {
  if (text.starts_with('+')) {
    text.remove_prefix(1);
    if (text.starts_with('-')) return std::nullopt;
  }
  float value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc::invalid_argument || end != text.data() + text.size()) return std::nullopt;
  if (error == std::errc::result_out_of_range)
    value = std::copysign(magnitude(text) < 0 ? 0.0F : HUGE_VALF, text.starts_with('-') ? -1.0F : 1.0F);
  return value;
}

std::string_view trim(std::string_view text) {
  const auto first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

}  // namespace

CsvTable::CsvTable(std::string_view text, const CsvOptions& options, std::string name)
    : file_(std::move(name)), missing_(options.missing) {
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);  // a byte-order mark
  check(text.find('\0') == std::string_view::npos, file_,
        ": has zero bytes, so it is not text in UTF-8 (perhaps in UTF-16); convert it");
  CsvReader reader(text, options.delimiter, file_);
  std::vector<std::string> fields;
  while (reader.next(fields)) {
    if (names_.empty()) {
      for (std::size_t i = 0; i < fields.size(); ++i) {
        names_.push_back(options.header ? fields[i] : std::to_string(i));
      }
      for (auto one = names_.begin(); one != names_.end(); ++one)
        check(std::find(names_.begin(), one, *one) == one, file_, ": line ", reader.row_line(),
              ": two columns are called '", *one, "'; rename one");
      if (options.header) continue;
    }
    check(fields.size() == names_.size(), file_, ": line ", reader.row_line(), ": has ", fields.size(),
          " fields; expected ", names_.size(), ", as in the first line");
    lines_.push_back(reader.row_line());
    std::ranges::move(fields, std::back_inserter(fields_));
  }
}

const std::string& CsvTable::at(std::int64_t row, std::int64_t column) const {
  check(row >= 0 && row < rows() && column >= 0 && column < columns(), file_, ": no field at row ", row,
        ", column ", column, "; there are ", rows(), " rows and ", columns(), " columns");
  return fields_[static_cast<std::size_t>(row * columns() + column)];
}

std::int64_t CsvTable::column(std::string_view name) const {
  const auto found = std::ranges::find(names_, name);
  if (found != names_.end()) return found - names_.begin();
  std::string known;
  for (const std::string& other : names_) known += (known.empty() ? "'" : ", '") + other + "'";
  fail(file_, ": no column '", name, "'; the columns are ", known);
}

CsvTable CsvTable::drop(const std::vector<std::string>& columns) const {
  for (const std::string& name : columns) column(name);  // which throws for an unknown name
  const auto is_kept = [&](std::size_t i) { return std::ranges::find(columns, names_[i]) == columns.end(); };
  CsvTable table;
  table.file_ = file_;
  table.missing_ = missing_;
  table.lines_ = lines_;
  for (std::size_t i = 0; i < names_.size(); ++i) {
    if (is_kept(i)) table.names_.push_back(names_[i]);
  }
  for (std::size_t i = 0; i < fields_.size(); ++i) {
    if (is_kept(i % names_.size())) table.fields_.push_back(fields_[i]);
  }
  return table;
}

float CsvTable::number(std::int64_t row, std::int64_t column) const {
  const std::string_view text = trim(at(row, column));
  if (text.empty() && missing_) return *missing_;
  const std::optional<float> value = nearest_float(text);
  const bool infinite = value && std::isinf(*value) && text.find_first_of("nN") == std::string_view::npos;
  check(
      value && !infinite, file_, ": line ", lines_[static_cast<std::size_t>(row)], ", column '",
      names_[static_cast<std::size_t>(column)], "': '", text.substr(0, 40), "' is ",
      infinite ? "more than float32 holds; scale the column" : "not a number; drop the column or convert it");
  return *value;
}

Tensor CsvTable::numbers(const std::vector<std::string>& columns) const {
  std::vector<std::int64_t> chosen(columns.empty() ? names_.size() : columns.size());
  if (columns.empty()) {
    std::iota(chosen.begin(), chosen.end(), 0);
  } else {
    std::ranges::transform(columns, chosen.begin(), [this](const std::string& name) { return column(name); });
  }
  Tensor table = empty({rows(), std::ssize(chosen)}, {.dtype = float32});
  float* out = table.data<float>();
  for (std::int64_t row = 0; row < rows(); ++row) {
    for (const std::int64_t index : chosen) *out++ = number(row, index);
  }
  return table;
}

CsvTable read_csv(const std::string& path, const CsvOptions& options) {
  const auto bytes = io::read_file(path);
  return {{reinterpret_cast<const char*>(bytes.data()), bytes.size()}, options, path};
}

}  // namespace miniparallel::data

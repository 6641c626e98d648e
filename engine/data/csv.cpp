#include <miniparallel/data/csv.h>

#include "engine/error.h"
#include "engine/io/file.h"

#include <algorithm>
#include <charconv>
#include <numeric>
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
    check(at_ == text_.size() || skip_line_end(), file_, ": line ", line_, ": text after a closing quote");
    return true;
  }
  std::int64_t row_line() const { return row_line_; }

 private:
  bool skip(char c) {
    if (at_ == text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }

  bool skip_line_end() {
    const std::string_view rest = text_.substr(at_);
    if (rest.starts_with("\r\n")) ++at_;
    if (!skip('\n')) return false;
    ++line_;
    return true;
  }

  std::string next_field() {
    if (skip('"')) return quoted_field();
    const auto end = std::min(text_.find_first_of(std::string{delimiter_, '\n'}, at_), text_.size());
    std::string_view field = text_.substr(at_, end - at_);
    at_ = end;
    if (field.ends_with('\r') && end < text_.size() && text_[end] == '\n') {
      field.remove_suffix(1);
    }
    return std::string(field);
  }

  std::string quoted_field() {
    std::string field;
    for (;;) {
      const auto quote = text_.find('"', at_);
      check(quote != std::string_view::npos, file_, ": line ", row_line_, ": a quoted field has no end");
      const std::string_view part = text_.substr(at_, quote - at_);
      line_ += std::ranges::count(part, '\n');
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

std::string_view trim(std::string_view text) {
  const auto first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

}  // namespace

CsvTable::CsvTable(std::string_view text, const CsvOptions& options, std::string name)
    : file_(std::move(name)) {
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);  // a byte-order mark
  CsvReader reader(text, options.delimiter, file_);
  std::vector<std::string> fields;
  while (reader.next(fields)) {
    if (names_.empty()) {
      for (std::size_t i = 0; i < fields.size(); ++i) {
        names_.push_back(options.header ? fields[i] : std::to_string(i));
      }
      if (options.header) continue;
    }
    check(fields.size() == names_.size(), file_, ": line ", reader.row_line(), ": has ", fields.size(),
          " fields, the first line has ", names_.size());
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
  for (const std::string& name : columns) column(name);  // which throws where there is none
  const auto is_kept = [&](std::size_t i) { return std::ranges::find(columns, names_[i]) == columns.end(); };
  CsvTable table;
  table.file_ = file_;
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
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  check(error == std::errc() && end == text.data() + text.size() && !text.empty(), file_, ": line ",
        lines_[static_cast<std::size_t>(row)], ", column '", names_[static_cast<std::size_t>(column)], "': '",
        text.substr(0, 40), "' is not a number");
  return static_cast<float>(value);
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

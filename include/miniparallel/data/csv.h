#pragma once

#include <miniparallel/tensor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace miniparallel::data {

struct CsvOptions {
  char delimiter = ',';
  bool header = true;                 ///< the first line names the columns; without, they are "0", "1", ...
  std::optional<float> missing = {};  ///< what `numbers` makes of an empty field; without, an `Error`
};

/// A table of texts, as RFC 4180 has them: fields may stand in double quotes, a quote in them is doubled;
/// lines end with LF, CRLF or CR; every row has the same number of fields. Empty lines are skipped.
class CsvTable {
 public:
  /// `name` is the file that errors speak of. Throws `Error` with the line where rows differ in their number
  /// of fields, a quote has no end or two columns have one name.
  CsvTable(std::string_view text, const CsvOptions& options, std::string name);

  std::int64_t rows() const { return static_cast<std::int64_t>(lines_.size()); }
  std::int64_t columns() const { return static_cast<std::int64_t>(names_.size()); }
  const std::vector<std::string>& names() const { return names_; }

  /// A field as it stands in the file, without quotes; `Error` outside of the table.
  const std::string& at(std::int64_t row, std::int64_t column) const;
  /// Number of the column called `name`; throws `Error` with the names there are.
  std::int64_t column(std::string_view name) const;

  /// The table without the columns of these names: `table.drop({"price"}).numbers()` are what a price may
  /// depend on. Throws `Error` where there is no such column.
  CsvTable drop(const std::vector<std::string>& columns) const;

  /// The columns of these names, all of them by default, as numbers: [rows, columns] float32, each rounded to
  /// the nearest. The decimal point is '.' in every locale. Throws `Error` with line and column where a field
  /// is not a number, or one that float32 cannot hold.
  Tensor numbers(const std::vector<std::string>& columns = {}) const;

 private:
  CsvTable() = default;
  float number(std::int64_t row, std::int64_t column) const;

  std::string file_;
  std::optional<float> missing_;
  std::vector<std::string> names_;
  std::vector<std::string> fields_;  // row after row
  std::vector<std::int64_t> lines_;  // where in the file each row starts, from 1 on
};

/// The table in a CSV file. Throws `Error` where it cannot be read or is not a table.
CsvTable read_csv(const std::string& path, const CsvOptions& options = {});

}  // namespace miniparallel::data

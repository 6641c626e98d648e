#pragma once

#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

// Pages with tables whose last column names tests.

namespace miniparallel::testing {

inline std::string text_of(const std::filesystem::path& path) {
  std::ifstream file(path);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

/// The cells of each row of a page's tables, without the lines that head them: those have `head` in them.
inline std::vector<std::vector<std::string>> rows_of_tables(const std::string& page,
                                                            const std::string& head) {
  std::vector<std::vector<std::string>> rows;
  std::istringstream text(page);
  for (std::string line; std::getline(text, line);) {
    if (!line.starts_with("| ") || line.find(head) != std::string::npos) continue;
    std::vector<std::string> cells;
    for (std::size_t begin = 2, end; (end = line.find(" |", begin)) != std::string::npos; begin = end + 3)
      cells.push_back(line.substr(begin, end - begin));
    rows.push_back(cells);
  }
  return rows;
}

/// What stands between backticks, if that is the whole cell.
inline std::string code_of(const std::string& cell) {
  if (cell.size() < 2 || cell.front() != '`' || cell.back() != '`') return "";
  return cell.substr(1, cell.size() - 2);
}

/// The source of all tests in a folder and those below.
inline std::string source_of_tests(const std::filesystem::path& folder) {
  std::string all;
  for (const auto& file : std::filesystem::recursive_directory_iterator(folder))
    if (file.path().extension() == ".cpp") all += text_of(file.path());
  return all;
}
inline bool is_test(const std::string& source, const std::string& name) {
  for (const char* const macro : {"TEST_CASE(", "TEST_CASE_TEMPLATE("})
    for (const char* const space : {"", "\n    "})
      if (source.find(std::string(macro) + space + '"' + name + '"') != std::string::npos) return true;
  return false;
}

}  // namespace miniparallel::testing

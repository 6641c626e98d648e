#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

// docs/from-pytorch.md says what its program has, and names tests that there are. The program itself runs in
// tests/parallel/recipe.cpp, on several GPUs.

namespace {

std::string text_of(const std::filesystem::path& path) {
  std::ifstream file(path);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

const std::filesystem::path tree = MINIPARALLEL_TEST_DATA "/../..";

/// The cells of each row of the page's tables, without the lines that head them.
std::vector<std::vector<std::string>> rows_of_tables() {
  std::vector<std::vector<std::string>> rows;
  std::istringstream page(text_of(tree / "docs/from-pytorch.md"));
  for (std::string line; std::getline(page, line);) {
    if (!line.starts_with("| ") || line.find("| here |") != std::string::npos) continue;
    std::vector<std::string> cells;
    for (std::size_t begin = 2, end; (end = line.find(" |", begin)) != std::string::npos; begin = end + 3)
      cells.push_back(line.substr(begin, end - begin));
    rows.push_back(cells);
  }
  return rows;
}

/// What stands between backticks, if that is the whole cell.
std::string code_of(const std::string& cell) {
  if (cell.size() < 2 || cell.front() != '`' || cell.back() != '`') return "";
  return cell.substr(1, cell.size() - 2);
}

}  // namespace

TEST_CASE("docs: the recipe's right column is its program, and the tests that the page names exist") {
  const std::string page = text_of(tree / "docs/from-pytorch.md");
  const std::size_t begin = page.find("<!-- snippet: recipe -->");
  const std::string program = page.substr(begin, page.find("```\n", page.find("```cpp", begin) + 6) - begin);
  std::string tests;
  for (const auto& file : std::filesystem::directory_iterator(tree / "tests/parallel"))
    if (file.path().extension() == ".cpp") tests += text_of(file.path());
  int lines = 0, named = 0;
  for (const std::vector<std::string>& cells : rows_of_tables()) {
    REQUIRE(cells.size() == 3);
    const std::string code = code_of(cells[2]);
    if (code.find(": ") != std::string::npos) {  // the name of a test
      ++named;
      CHECK_MESSAGE(tests.find("TEST_CASE(\"" + code + "\")") != std::string::npos, code);
    } else if (!code.empty()) {
      ++lines;
      CHECK_MESSAGE(program.find(code) != std::string::npos, code);
    }
  }
  CHECK(lines == 12);
  CHECK(named == 23);
}

#include "tests/docs/tables.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <string>
#include <vector>

// docs/from-pytorch.md says what its program has, and names tests that there are. The program itself runs in
// tests/parallel/recipe.cpp, on several GPUs.

using namespace miniparallel::testing;

TEST_CASE("docs: the recipe's right column is its program, and the tests that the page names exist") {
  const std::filesystem::path tree = MINIPARALLEL_TEST_DATA "/../..";
  const std::string page = text_of(tree / "docs/from-pytorch.md");
  const std::size_t begin = page.find("<!-- snippet: recipe -->");
  const std::string program = page.substr(begin, page.find("```\n", page.find("```cpp", begin) + 6) - begin);
  const std::string tests = source_of_tests(tree / "tests");
  int lines = 0, named = 0;
  for (const std::vector<std::string>& cells : rows_of_tables(page, "| here |")) {
    REQUIRE(cells.size() == 3);
    const std::string code = code_of(cells[2]);
    if (code.find(": ") != std::string::npos) {  // the name of a test
      ++named;
      CHECK_MESSAGE(is_test(tests, code), code);
    } else if (!code.empty()) {
      ++lines;
      CHECK_MESSAGE(program.find(code) != std::string::npos, code);
    }
  }
  CHECK(lines == 12);
  CHECK(named == 23);
}

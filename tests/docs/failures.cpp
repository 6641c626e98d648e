#include "tests/docs/tables.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <string>
#include <vector>

// docs/failures.md names tests that there are.

using namespace miniparallel::testing;

TEST_CASE("docs/failures: the test of each promise exists") {
  const std::filesystem::path tree = MINIPARALLEL_TEST_DATA "/../..";
  const std::string tests = source_of_tests(tree / "tests"), page = text_of(tree / "docs/failures.md");
  int promises = 0;
  for (const std::vector<std::string>& cells : rows_of_tables(page, "| what is promised |")) {
    REQUIRE(cells.size() == 3);
    ++promises;
    CHECK_MESSAGE(is_test(tests, code_of(cells[2])), cells[2]);
  }
  CHECK(promises == 45);
}

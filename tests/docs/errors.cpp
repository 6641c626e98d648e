#include <miniparallel/miniparallel.h>

#include "tests/docs/captured.h"

#include <doctest/doctest.h>

#include <iostream>

// The code of docs/errors.md.

using namespace miniparallel;

TEST_CASE("docs/errors: catch") {
  const testing::Captured captured(std::cerr);
#include "snippets/errors/catch.inc"
  CHECK(captured.text().find("matmul: the inner sizes of [2, 3] and [4, 5] differ") == 0);
}

TEST_CASE("docs/errors: messages go where the user likes") {
  const testing::Captured captured(std::clog);
  const LogHandler previous = set_log_handler({});
#include "snippets/errors/log.inc"
  log(LogLevel::warning, "low on memory");
  set_log_handler(previous);
  CHECK(captured.text() == "warning: low on memory\n");
}

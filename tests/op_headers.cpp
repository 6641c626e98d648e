#include "tests/op_cases.h"

#include <doctest/doctest.h>

#include <fstream>
#include <map>
#include <regex>

// The table of ops is complete.

namespace miniparallel::testing {
namespace {

/// How often each function or method that returns a tensor is declared in a public header, between two lines.
std::map<std::string, int> declared(const std::string& header, const std::string& from,
                                    const std::string& to) {
  std::ifstream file(std::string(MINIPARALLEL_TEST_DATA "/../../include/miniparallel/") + header);
  REQUIRE(file.good());
  static const std::regex declaration(
      R"(^ *(inline )?(Tensor&?|bool|std::vector<Tensor>) (operator[^(]+|\w+)\(.*)");
  std::map<std::string, int> counts;
  bool inside = from.empty(), in_macro = false;
  for (std::string line; std::getline(file, line);) {
    const bool defines = in_macro || line.starts_with("#define");
    in_macro = defines && line.ends_with('\\');
    if (defines) continue;
    if (!inside) inside = line.find(from) != std::string::npos;
    if (!to.empty() && line.find(to) != std::string::npos) break;
    if (std::smatch parts; inside && std::regex_match(line, parts, declaration)) ++counts[parts[3]];
  }
  return counts;
}

TEST_CASE("ops: every op, view, copy and in-place method of the headers has a row for each overload") {
  std::map<std::string, int> rows;
  for (const OpCase& row : op_cases()) ++rows[row.op()];
  auto functions = declared("ops.h", "", "");
  for (const char* header : {"convolution.h", "elementwise.h", "linalg.h", "losses.h"})
    for (const auto& [op, count] : declared(header, "", "")) functions[op] += count;
  const auto methods = declared("tensor.h", "// --- views", "// --- autograd");
  CHECK(functions.size() > 60);
  CHECK(methods.size() > 30);
  for (const auto& declarations : {functions, methods})
    for (const auto& op : declarations) {
      INFO(op.first, ": add a row in tests/op_cases/ and to tests/data/op_rows/");
      CHECK(rows[op.first] >= op.second);
    }
}

}  // namespace
}  // namespace miniparallel::testing

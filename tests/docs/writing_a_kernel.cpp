#include <doctest/doctest.h>

#include <fstream>
#include <iterator>
#include <string>

// The code of docs/writing-a-kernel.md is not compiled once more: it is that of the files which it names.

namespace {

std::string text_of(const std::string& path) {
  std::ifstream file(MINIPARALLEL_TEST_DATA "/../../" + path);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

int count(const std::string& text, const std::string& word) {
  int found = 0;
  for (std::size_t at = text.find(word); at != std::string::npos; at = text.find(word, at + 1)) ++found;
  return found;
}

TEST_CASE("docs/writing-a-kernel: every excerpt stands in the file that it names") {
  const std::string page = text_of("docs/writing-a-kernel.md"), mark = "<!-- excerpt: ";
  for (std::size_t at = page.find(mark); at != std::string::npos; at = page.find(mark, at + 1)) {
    const std::size_t name = at + mark.size(), begin = page.find('\n', page.find("```", name)) + 1;
    const std::string file = page.substr(name, page.find(' ', name) - name);
    const std::string lines = page.substr(begin, page.find("```", begin) - begin);
    CHECK_MESSAGE(text_of(file).find("\n" + lines) != std::string::npos, file, " does not have\n", lines);
  }
  CHECK(count(page, mark) > 10);
  CHECK(count(page, mark) == count(page, "```cuda\n"));
}

}  // namespace

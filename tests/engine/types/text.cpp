#include <miniparallel/device.h>
#include <miniparallel/dtype.h>
#include <miniparallel/error.h>
#include <miniparallel/shape.h>

#include "engine/error.h"

#include <doctest/doctest.h>

#include <concepts>
#include <locale>
#include <sstream>

namespace miniparallel {
namespace {

template <class T>
std::string printed(const T& value) {
  std::ostringstream stream;
  stream << value;
  return stream.str();
}

TEST_CASE("text: shapes, dtypes and devices are printed as messages have them") {
  CHECK(printed(Shape{}) == "[]");
  CHECK(printed(Shape{3}) == "[3]");
  CHECK(printed(Shape{2, 0, -1}) == "[2, 0, -1]");
  CHECK(printed(float32) == "float32");
  CHECK(printed(boolean) == "bool");
  CHECK(printed(bfloat16) == "bfloat16");
  CHECK(printed(Device::cpu()) == "cpu");
  CHECK(printed(Device::cuda(3)) == "cuda:3");
  CHECK(message("a ", Shape{2, 3}, " of ", int64, " on ", Device::cuda(), ": ", 2.5, ", ", 1e-7, '.') ==
        "a [2, 3] of int64 on cuda:0: 2.5, 1e-07.");
}

template <class T>
concept IsPrinted = requires(std::ostream& stream, const T& value) { stream << value; };

TEST_CASE("text: what merely converts to a shape is not printed as one") {
  CHECK(IsPrinted<Shape>);
  CHECK_FALSE(IsPrinted<std::vector<std::int64_t>>);
}

struct Grouped : std::numpunct<char> {
  char do_decimal_point() const override { return ','; }
  char do_thousands_sep() const override { return '.'; }
  std::string do_grouping() const override { return "\3"; }
};

TEST_CASE("text: a locale of the program does not reach messages and keys") {
  const std::locale before = std::locale::global(std::locale(std::locale(), new Grouped));
  const std::string text = message(1'234'567, ' ', 0.5), shape = printed(Shape{1000});
  std::locale::global(before);
  CHECK(text == "1234567 0.5");
  CHECK(shape == "[1000]");
}

TEST_CASE("text: devices are read as they are written") {
  for (const Device device : {Device::cpu(), Device::cuda(0), Device::cuda(12)})
    CHECK(Device::parse(to_string(device)) == device);
  CHECK(Device::parse("cuda") == Device::cuda(0));
  for (const char* text : {"", "gpu", "cuda:", "cuda:-1", "cuda:1x", "cpu:0"})
    CHECK_THROWS_WITH_AS(
        Device::parse(text),
        ("Device: got '" + std::string(text) + "'; expected 'cpu', 'cuda' or 'cuda:<index>'").c_str(), Error);
}

}  // namespace
}  // namespace miniparallel

#include <miniparallel/data/csv.h>

#include <miniparallel/error.h>

#include "tests/support/temporary_folder.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

namespace miniparallel::data {
namespace {

using Texts = std::vector<std::string>;

CsvTable parse(const std::string& text, const CsvOptions& options = {}) { return {text, options, "t.csv"}; }

Texts row(const CsvTable& table, std::int64_t index) {
  Texts fields;
  for (std::int64_t i = 0; i < table.columns(); ++i) fields.push_back(table.at(index, i));
  return fields;
}

TEST_CASE("csv: fields, quotes, line ends") {
  const CsvTable table = parse("\xef\xbb\xbfx,name,y\r\n1,\"a, \"\"b\"\"\",2\n\n\"\",\"two\nlines\",-1e3");
  CHECK(table.names() == Texts{"x", "name", "y"});
  CHECK(table.rows() == 2);
  CHECK(row(table, 0) == Texts{"1", "a, \"b\"", "2"});
  CHECK(row(table, 1) == Texts{"", "two\nlines", "-1e3"});
  CHECK(table.column("y") == 2);
  CHECK(parse("a;b\n1;2\n", {.delimiter = ';'}).columns() == 2);
  CHECK(row(parse("1,\n,2\n", {.header = false}), 1) == Texts{"", "2"});
  CHECK(parse("1,2\n", {.header = false}).names() == Texts{"0", "1"});
  CHECK(parse("").rows() == 0);
  CHECK(parse("a,b").rows() == 0);
}

TEST_CASE("csv: lines may end with CR alone, also in one file with the others") {
  const CsvTable table = parse("x,y\r1,2\r\r3,\"a\rb\"\n5,6\r\n7,8");
  CHECK(table.rows() == 4);
  CHECK(row(table, 0) == Texts{"1", "2"});
  CHECK(row(table, 1) == Texts{"3", "a\rb"});
  CHECK(row(table, 3) == Texts{"7", "8"});
  CHECK_THROWS_WITH_AS(parse("a\r\"1\r\n2\r3\"\r4,5\r"), doctest::Contains("line 5: has 2 fields"), Error);
}

TEST_CASE("csv: numbers as a tensor") {
  const CsvTable table = parse("x,y,z\n1, 2.5 ,3\n-4e1,.5,nan\n");
  CHECK(table.numbers({"y", "x"}).to_vector<double>() == std::vector<double>{2.5, 1, 0.5, -40});
  CHECK(table.numbers().shape() == Shape{2, 3});
  CHECK(parse("x\n").numbers().shape() == Shape{0, 1});
}

TEST_CASE("csv: empty fields are the number that the options name") {
  const CsvTable table = parse("x,y\n1,\n , 2\n", {.missing = -7.0F});
  CHECK(table.numbers().to_vector<double>() == std::vector<double>{1, -7, -7, 2});
  CHECK(table.drop({"x"}).numbers().to_vector<double>() == std::vector<double>{-7, 2});
  CHECK_THROWS_WITH_AS(parse("x\nNA\n", {.missing = 0.0F}).numbers(),
                       doctest::Contains("'NA' is not a number"), Error);
}

TEST_CASE("csv: every decimal number is one, rounded to the nearest float32") {
  const auto number = [](const std::string& text) {
    return parse("x\n" + text + "\n").numbers().item<float>();
  };
  CHECK(number("+1.5") == 1.5F);
  CHECK(number("+.5e+1") == 5);
  CHECK(number("1e-400") == 0);
  CHECK(std::signbit(number("-1e-60")));
  CHECK(number("0." + std::string(400, '0') + "1e300") == 0);
  CHECK(number("1e-99999999999999999999") == 0);
  CHECK(number("1" + std::string(60, '0') + "e-60") == 1);
  CHECK(number("1e-40") == 1e-40F);
  CHECK(number("3.4028235e38") == std::numeric_limits<float>::max());
  CHECK(number("1.000000059604644776") ==
        1.00000011920928955F);  // a hair above the middle: not by way of double
  CHECK(std::isinf(number("-inf")));
  CHECK(std::isinf(number("+Infinity")));
  for (const std::string text : {"1e39", "-1e400", "1e99999999999999999999"})
    CHECK_THROWS_WITH_AS(
        number(text),
        ("t.csv: line 2, column 'x': '" + text + "' is more than float32 holds; scale the column").c_str(),
        Error);
  CHECK_THROWS_AS(number("1" + std::string(60, '0')), Error);
  for (const char* text : {"+-1", "++1", "+", "-", ".", "1.5.2", "0x10", "1,5"})
    CHECK_THROWS_AS(number(text), Error);
}

TEST_CASE("csv: two columns of one name are an error") {
  CHECK_THROWS_WITH_AS(parse("x,y,x\n1,2,3\n"), "t.csv: line 1: two columns are called 'x'; rename one",
                       Error);
  CHECK_THROWS_AS(parse("x,x"), Error);
  CHECK(parse("1,1\n", {.header = false}).columns() == 2);
}

TEST_CASE("csv: text in UTF-16 is refused") {
  CHECK_THROWS_WITH_AS(parse(std::string("\xff\xfe"
                                         "a\0\n\0",
                                         6)),
                       doctest::Contains("UTF-16"), Error);
}

TEST_CASE("csv: a table without some columns") {
  const CsvTable table = parse("x,y,z\n1,2,3\n\n4,5,six\n"), rest = table.drop({"y"});
  CHECK(rest.names() == Texts{"x", "z"});
  CHECK(row(rest, 0) == Texts{"1", "3"});
  CHECK(row(rest, 1) == Texts{"4", "six"});
  CHECK(rest.column("z") == 1);
  CHECK_THROWS_WITH_AS(rest.numbers(),
                       "t.csv: line 4, column 'z': 'six' is not a number; drop the column or convert it",
                       Error);
  CHECK(table.drop({"z", "x"}).numbers().to_vector<double>() == std::vector<double>{2, 5});
  CHECK(table.drop({}).names() == table.names());
  CHECK(table.drop({"x", "y", "z"}).numbers().shape() == Shape{2, 0});
  CHECK_THROWS_WITH_AS(rest.drop({"y"}), "t.csv: no column 'y'; the columns are 'x', 'z'", Error);
}

TEST_CASE("csv: errors name the line and the column") {
  CHECK_THROWS_WITH_AS(parse("a,b\n1,2\n\n3\n"),
                       "t.csv: line 4: has 1 fields; expected 2, as in the first line", Error);
  CHECK_THROWS_WITH_AS(parse("a\n\"x\ny\n"), "t.csv: line 2: a quoted field has no end; close its quote",
                       Error);
  CHECK_THROWS_WITH_AS(
      parse("a\n\"x\"y\n"),
      "t.csv: line 2: text after a closing quote; expected a delimiter or the end of the line", Error);
  CHECK_THROWS_WITH_AS(parse("a\n\"1\n\"\nx\n").numbers(), doctest::Contains("line 2, column 'a'"), Error);
  CHECK_THROWS_WITH_AS(parse("a,b\n1,2\n1,two").numbers(),
                       "t.csv: line 3, column 'b': 'two' is not a number; drop the column or convert it",
                       Error);
  CHECK_THROWS_WITH_AS(parse("a\n1x").numbers(), doctest::Contains("'1x' is not a number"), Error);
  CHECK_THROWS_WITH_AS(parse("a,b\n,1").numbers(), doctest::Contains("'' is not a number"), Error);
  CHECK_THROWS_WITH_AS(parse("a,b\n").column("c"), "t.csv: no column 'c'; the columns are 'a', 'b'", Error);
  CHECK_THROWS_WITH_AS(parse("a\n1\n").at(1, 0), doctest::Contains("no field at row 1"), Error);
  CHECK_THROWS_WITH_AS(read_csv("/nowhere.csv"), doctest::Contains("No such file"), Error);
}

}  // namespace
}  // namespace miniparallel::data

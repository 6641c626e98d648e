// Runs examples/regression as its users do.

#include "examples/mnist/child_process.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

namespace {

ChildResult regression(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), {"/bin/sh", "-c", "exec \"$0\" \"$@\" 2>&1", MINIPARALLEL_REGRESSION});
  return run_child(arguments);
}

double number_after(const std::string& text, const std::string& words) {
  const std::size_t at = text.find(words);
  REQUIRE_MESSAGE(at != std::string::npos, text);
  return std::stod(text.substr(at + words.size()));
}

}  // namespace

TEST_CASE("regression: predicts flats it has not seen far better than their mean does") {
  const ChildResult result = regression({MINIPARALLEL_FLATS, "price_thousand", "70", "3", "12", "2.5"});
  REQUIRE_MESSAGE(result.status == 0, result.output);
  const double error = number_after(result.output, "held back: ");
  const double of_the_mean = number_after(result.output, "on average (");
  CHECK(error < of_the_mean / 5);
  const double price = number_after(result.output, "price_thousand = ");
  CHECK(price > 220);
  CHECK(price < 360);

  // A smaller and older flat further out costs less.
  const ChildResult cheaper = regression({MINIPARALLEL_FLATS, "price_thousand", "35", "1", "50", "12"});
  CHECK(number_after(cheaper.output, "price_thousand = ") < price / 2);
  // Any column can be the target.
  CHECK(regression({MINIPARALLEL_FLATS, "rooms"}).status == 0);
}

TEST_CASE("regression: mistakes of the user are explained") {
  CHECK(regression({}).output.find("usage: regression FILE.csv TARGET") == 0);
  const ChildResult column = regression({MINIPARALLEL_FLATS, "prize"});
  CHECK(column.status == 1);
  CHECK(column.output.find("no column 'prize'") != std::string::npos);
  const ChildResult values = regression({MINIPARALLEL_FLATS, "price_thousand", "70"});
  CHECK(values.status == 1);
  CHECK(values.output.find("got 1 values for shape [1, 4]") != std::string::npos);
  CHECK(values.output.find("epoch") == std::string::npos);  // found before the training
  const ChildResult text = regression({MINIPARALLEL_FLATS, "price_thousand", "70", "three", "12", "2.5"});
  CHECK(text.status == 1);
  CHECK(text.output == "regression: 'three' is not a number\n");
}

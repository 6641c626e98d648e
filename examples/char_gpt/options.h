#pragma once

#include <cstdint>
#include <string>

/// The options of the command line.
struct Options {
  std::string text;  ///< the file to learn from
  std::int64_t steps = 1000, batch_size = 16, context = 64;
  std::int64_t width = 64, heads = 4, layers = 3;
  double dropout = 0.1, lr = 2e-3, temperature = 0.8;
  std::string prompt;  ///< empty: the first character of the text
  std::int64_t length = 400;
  std::string device = "auto", precision = "float32";
  std::uint64_t seed = 1;
};

/// Reads the command line; prints help or what is wrong with
/// it and ends the program where there is nothing to run.
Options parse_options(int argc, char** argv);

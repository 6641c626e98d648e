#pragma once

#include <cstdint>
#include <string>
#include <vector>

/// The options of the command line.
struct Options {
  std::string machine = "h100";
  std::vector<std::string> models = {"mlp", "resnet50", "gpt2"};
  std::vector<int> gpus = {1, 2, 4, 8};
  std::int64_t rows = 0;  ///< of each GPU; 0: as many as the model usually has
  int steps = 3, runs = 5;
  bool shard_optimizer = false, capture = false;
  std::string kernel_times, trace;  ///< files; empty: none
};

/// Reads the command line; prints help or what is wrong with it and ends the program where there
/// is nothing to run.
Options parse_options(int argc, char** argv);

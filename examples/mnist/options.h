#pragma once

#include <cstdint>
#include <optional>
#include <string>

/// The options of the command line.
struct Options {
  std::string data;  ///< folder; empty: look for it
  int epochs = 3;
  std::int64_t batch_size = 64;
  std::string model = "cnn", optimizer = "adam";
  double lr = 0;  ///< 0: one that suits the optimizer
  std::string precision = "float32";
  int workers = 0;
  std::uint64_t seed = 1;
  std::string save, load, resume;
  std::string plot, log_dir;
  std::optional<int> gpus;  ///< 0: the CPU; not given: all, or the CPU if there is none
  int replicas = 0;         ///< 0: one for each GPU
  bool capture = true;      ///< training steps as CUDA graphs
  bool json = false;
};

/// Reads the command line; prints help or what is wrong with
/// it and ends the program where there is nothing to run.
Options parse_options(int argc, char** argv);

#pragma once

#include <string>
#include <vector>

struct ChildResult {
  int status;          ///< exit status; 127 where the program could not be started
  std::string output;  ///< what it wrote to stdout
};

/// Runs a program of the PATH and waits for it. No shell takes part: arguments are passed as they are.
ChildResult run_child(const std::vector<std::string>& arguments);

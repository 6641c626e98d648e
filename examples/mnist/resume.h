#pragma once

#include <miniparallel/checkpoint.h>

#include "options.h"

#include <stdexcept>
#include <string>
#include <vector>

/// Thrown when the user has interrupted the training and all is saved.
struct Interrupted : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// The checkpoint of --resume: the run continues from it, writes it after each epoch and, on Ctrl-C, after
/// the batch at hand. A second Ctrl-C ends the program at once. Without --resume it does nothing.
class Resume {
 public:
  /// Loads the file where it exists. Throws where it is of a run with other options.
  Resume(const Options& options, std::vector<miniparallel::CheckpointPart> parts);

  Resume(const Resume&) = delete;
  Resume& operator=(const Resume&) = delete;

  void save();
  /// Saves and throws `Interrupted` where the user has pressed Ctrl-C; to be called after each batch.
  void stop_if_interrupted();

 private:
  std::string file_, settings_;
  miniparallel::Checkpoint checkpoint_;
};

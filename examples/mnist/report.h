#pragma once

#include <miniparallel/device.h>
#include <miniparallel/state_dict.h>

#include "find_data.h"
#include "options.h"
#include "progress.h"

#include <nlohmann/json.hpp>

#include <cstdint>
#include <vector>

/// Tells the user, and with --json a program, what was
/// trained, how each epoch went and how good it is in the end.
class Report {
 public:
  Report(const Options& options, const DataSource& source, const std::vector<miniparallel::Device>& devices,
         std::int64_t parameters);

  void add_epoch(const Scores& trained, const Scores& tested);

  /// The epochs so far, for a checkpoint.
  miniparallel::StateDict state_dict() const;
  miniparallel::PreparedLoad prepare_load(const miniparallel::StateDict& state);

  /// The table per class.
  void finish(const Scores& tested);

 private:
  const Options& options_;
  const DataSource& source_;
  nlohmann::ordered_json json_;
};

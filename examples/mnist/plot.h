#pragma once

#include <miniparallel/data.h>
#include <miniparallel/state_dict.h>

#include "find_data.h"
#include "options.h"
#include "progress.h"
#include "svg.h"

#include <string>
#include <vector>

/// A picture of the training, in SVG: curves of loss and accuracy, and the test images on which the model was
/// most sure and wrong. Writes nothing without --plot.
class Plot {
 public:
  Plot(const Options& options, const DataSource& source, const miniparallel::data::Mnist& test_images);

  /// Adds an epoch to the curves and writes the file anew.
  void add_epoch(const Scores& trained, const Scores& tested);

  /// Writes the file; `tested` has the mistakes.
  void write(const Scores& tested) const;

  /// The curves, for a checkpoint.
  miniparallel::StateDict state_dict() const;
  miniparallel::PreparedLoad prepare_load(const miniparallel::StateDict& state);

 private:
  /// By epoch, also parts of one; losses, and accuracies in percent.
  struct Curves {
    std::vector<Point> batch_loss, train_loss, test_loss, train_accuracy, test_accuracy;
  };

  void draw_loss(Svg& svg, const Box& box) const;
  void draw_accuracy(Svg& svg, const Box& box) const;
  void draw_mistakes(Svg& svg, const Box& box, const std::vector<Mistake>& mistakes) const;

  const Options& options_;
  const DataSource& source_;
  const miniparallel::data::Mnist& test_images_;
  Curves curves_;
};

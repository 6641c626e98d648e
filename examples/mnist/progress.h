#pragma once

#include <miniparallel/state_dict.h>
#include <miniparallel/tensor.h>

#include "options.h"

#include <array>
#include <chrono>
#include <cstdint>
#include <iosfwd>
#include <vector>

/// A test image that was taken for another class.
struct Mistake {
  std::int64_t image;  ///< its place in the data set
  int target, guess;
  double confidence;  ///< the model's probability of the guess
};

/// How well the model did on the images so far.
class Scores {
 public:
  static constexpr int kClasses = 10;
  using Clock = std::chrono::steady_clock;

  /// Counts a batch: its mean loss, the model's output [n, classes] and the right classes [n].
  void add(const miniparallel::Tensor& loss, const miniparallel::Tensor& logits,
           const miniparallel::Tensor& targets);

  /// Looks for mistakes in a batch of a pass in the data set's order.
  void add_mistakes(const miniparallel::Tensor& logits, const miniparallel::Tensor& targets);

  std::int64_t images() const { return images_; }
  double loss() const { return images_ ? loss_ / static_cast<double>(images_) : 0; }
  double accuracy() const;  ///< 0 to 1
  double seconds() const { return std::chrono::duration<double>(last_ - start_).count(); }
  /// Images of class `target` that were taken for class `guess`.
  std::int64_t count(int target, int guess) const { return counts_.at(target).at(guess); }

  /// Of each batch so far.
  const std::vector<double>& losses() const { return losses_; }
  /// Those of the highest confidence, the highest first.
  std::vector<Mistake> worst_mistakes(std::size_t most) const;

  /// For a checkpoint in the middle of an epoch.
  miniparallel::StateDict state_dict() const;
  miniparallel::PreparedLoad prepare_load(const miniparallel::StateDict& state);

 private:
  Clock::time_point start_ = Clock::now(), last_ = start_;
  std::int64_t images_ = 0;
  double loss_ = 0;
  std::vector<double> losses_;
  std::int64_t searched_ = 0;  ///< images, for mistakes
  std::vector<Mistake> mistakes_;
  std::array<std::array<std::int64_t, kClasses>, kClasses> counts_{};
};

/// Where text for people goes: stdout, or stderr where stdout carries JSON.
std::ostream& text_stream(const Options& options);

/// How far an epoch is: a bar that redraws itself on a terminal, else a line every tenth of the epoch.
class Progress {
 public:
  Progress(std::int64_t epoch, const Options& options, std::int64_t images);

  ~Progress();  ///< ends the line of a bar that was interrupted
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void show(const Scores& scores);

 private:
  void redraw(double share, const std::string& text);

  std::ostream& out_;
  int descriptor_;  ///< of `out_`
  bool terminal_;
  std::string title_;
  std::int64_t images_;
  int tenths_ = 0;                   ///< of the epoch that have their line
  bool open_ = false;                ///< the bar stands on the terminal's last line
  Scores::Clock::time_point drawn_;  ///< when the bar was last drawn
};

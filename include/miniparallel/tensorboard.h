#pragma once

#include <miniparallel/tensor.h>

#include <cstdint>
#include <memory>
#include <string>

/// Logs that TensorBoard shows.
namespace miniparallel::tensorboard {

struct SummaryWriterOptions {
  double flush_secs = 5;  ///< the longest that a value waits to reach the file; 0: none waits
};

/// Appends to a new event file in a folder; `tensorboard --logdir runs` shows all runs below `runs`:
///
///   tensorboard::SummaryWriter writer("runs/first");
///   writer.add_scalar("loss/train", loss.item(), step);
///
/// `tag` names a chart, a slash groups charts; `step` is its axis. Values may come from any device and are
/// read at once. Any thread may call. Values reach the file within `flush_secs`, whatever the program
/// does, and at the latest with the destructor or exit(). Every call throws `Error` where the
/// file cannot be written. After fork() both processes may write on.
class SummaryWriter {
 public:
  /// Makes the folder if it does not exist. Empty: "runs/" with the time and the machine's name.
  explicit SummaryWriter(std::string log_dir = {}, const SummaryWriterOptions& options = {});
  ~SummaryWriter();
  SummaryWriter(const SummaryWriter&) = delete;
  SummaryWriter& operator=(const SummaryWriter&) = delete;

  void add_scalar(const std::string& tag, double value, std::int64_t step);

  /// An image as `encode_png` takes it: [channels, rows, columns] or [rows, columns]; uint8, or floating from
  /// 0 to 1. `make_grid` makes one of a batch.
  void add_image(const std::string& tag, const Tensor& image, std::int64_t step);

  /// How the values are distributed: counts in buckets whose limits are 10 % apart, as TensorFlow's.
  /// Infinities and NaN are left out. Throws `Error` for an empty tensor.
  void add_histogram(const std::string& tag, const Tensor& values, std::int64_t step);

  /// Hands everything to the operating system now.
  void flush();

  const std::string& log_dir() const;

 private:
  class File;
  std::unique_ptr<File> file_;
};

}  // namespace miniparallel::tensorboard

#include <miniparallel/image.h>
#include <miniparallel/log.h>
#include <miniparallel/tensorboard.h>

#include "engine/error.h"
#include "engine/tensorboard/crc32c.h"
#include "engine/tensorboard/event_file.h"
#include "engine/tensorboard/histogram.h"
#include "engine/tensorboard/protobuf.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <ctime>
#include <filesystem>
#include <system_error>

// The messages are those of TensorFlow's event.proto and summary.proto; field numbers are named next to them.

namespace miniparallel::tensorboard {
namespace {

using Message = ProtobufMessage;
using Clock = std::chrono::system_clock;

double seconds_since_1970(Clock::time_point time) {
  return std::chrono::duration<double>(time.time_since_epoch()).count();
}

std::string host_name() {
  char name[256] = {};
  return ::gethostname(name, sizeof name - 1) == 0 ? name : "localhost";
}

std::string default_log_dir() {
  const std::time_t now = Clock::to_time_t(Clock::now());
  std::tm local{};
  ::localtime_r(&now, &local);
  // strftime would take the program's language.
  constexpr const char* months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                    "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  char rest[64] = {};
  std::strftime(rest, sizeof rest, "%d_%H-%M-%S", &local);
  return message("runs/", months[local.tm_mon], rest, "_", host_name());
}

/// events.out.tfevents.<seconds>.<machine>.<process>.<how many before>: TensorBoard looks for the first part.
std::string file_name() {
  static std::atomic<int> made = 0;
  return message("events.out.tfevents.", static_cast<std::int64_t>(Clock::to_time_t(Clock::now())), ".",
                 host_name(), ".", static_cast<std::int64_t>(::getpid()), ".", made++);
}

template <class Integer>
std::string little_endian(Integer value) {
  std::string bytes;
  for (std::size_t i = 0; i < sizeof value; ++i) bytes += static_cast<char>(value >> 8 * i & 0xff);
  return bytes;
}

/// A checksum of data that may itself hold checksums is stored rotated and shifted.
std::string masked_crc(const std::string& bytes) {
  const std::uint32_t crc = crc32c(bytes);
  return little_endian((crc >> 15 | crc << 17) + 0xa282ead8u);
}

std::string made_folder(std::string folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  check(!error, "SummaryWriter: ", folder, ": the folder cannot be made: ", error.message(),
        "; choose another");
  return folder;
}

EventFile::Clock::duration checked_delay(double seconds) {
  check(seconds >= 0 && std::isfinite(seconds), "SummaryWriter: got flush_secs = ", seconds,
        "; it must be a finite number from 0 on");
  constexpr double year = 365.0 * 24 * 3600;
  return std::chrono::duration_cast<EventFile::Clock::duration>(
      std::chrono::duration<double>(std::min(seconds, year)));
}

/// TensorFlow's record: length, its checksum, data, its checksum.
std::string framed(const std::string& data) {
  const std::string length = little_endian(static_cast<std::uint64_t>(data.size()));
  return length + masked_crc(length) + data + masked_crc(data);
}

}  // namespace

class SummaryWriter::File {
 public:
  File(std::string folder, const SummaryWriterOptions& options)
      : folder_(made_folder(std::move(folder))),
        file_((std::filesystem::path(folder_) / file_name()).string(), checked_delay(options.flush_secs)) {
    write(Message().add_bytes(3, "brain.Event:2"), 0);  // file_version, the first record
    flush();
  }

  const std::string& folder() const { return folder_; }

  /// Appends an Event; `event` has the fields other than wall_time (1) and step (2).
  void write(const Message& event, std::int64_t step) {
    Message stamped;
    stamped.add_double(1, seconds_since_1970(Clock::now())).add_integer(2, step);
    file_.append(framed(stamped.bytes() + event.bytes()));
  }

  /// Appends a Summary (5 of Event) with one Value (1), whose tag (1) and content are given.
  void write_value(const std::string& tag, Message value, std::int64_t step) {
    value.add_bytes(1, tag);
    write(Message().add_message(5, Message().add_message(1, value)), step);
  }

  void flush() { file_.flush(); }

 private:
  std::string folder_;
  EventFile file_;
};

SummaryWriter::SummaryWriter(std::string log_dir, const SummaryWriterOptions& options)
    : file_(std::make_unique<File>(log_dir.empty() ? default_log_dir() : std::move(log_dir), options)) {}

SummaryWriter::~SummaryWriter() {
  try {
    flush();
  } catch (const std::exception& error) {
    log(LogLevel::warning, error.what());
  }
}

void SummaryWriter::add_scalar(const std::string& tag, double value, std::int64_t step) {
  file_->write_value(tag, Message().add_float(2, static_cast<float>(value)), step);  // simple_value
}

void SummaryWriter::add_image(const std::string& tag, const Tensor& image, std::int64_t step) {
  const std::string png = encode_png(image);
  Message content;  // Image: height, width, colorspace (1 gray, 3 RGB), encoded_image_string
  content.add_integer(1, image.size(-2)).add_integer(2, image.size(-1));
  content.add_integer(3, image.dim() == 2 ? 1 : image.size(0)).add_bytes(4, png);
  file_->write_value(tag, Message().add_message(4, content), step);
}

void SummaryWriter::add_histogram(const std::string& tag, const Tensor& values, std::int64_t step) {
  check(values.defined() && values.numel() > 0, "add_histogram: ", tag, " has no values; pass at least one");
  const Histogram histogram = make_histogram(values.to_vector<double>());
  Message content;  // HistogramProto
  content.add_double(1, histogram.min).add_double(2, histogram.max).add_double(3, histogram.count);
  content.add_double(4, histogram.sum).add_double(5, histogram.sum_squares);
  content.add_doubles(6, histogram.limits).add_doubles(7, histogram.counts);
  file_->write_value(tag, Message().add_message(5, content), step);
}

void SummaryWriter::flush() { file_->flush(); }

const std::string& SummaryWriter::log_dir() const { return file_->folder(); }

}  // namespace miniparallel::tensorboard

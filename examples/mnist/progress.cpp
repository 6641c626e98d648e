#include "progress.h"

#include <unistd.h>

#include <iomanip>
#include <iostream>
#include <sstream>

using miniparallel::Tensor;

void Scores::add(const Tensor& loss, const Tensor& logits, const Tensor& targets) {
  const auto guesses = logits.detach().argmax(1).to_vector<std::int64_t>();
  const auto right = targets.to_vector<std::int64_t>();
  for (std::size_t i = 0; i < right.size(); ++i) ++counts_.at(right[i]).at(guesses[i]);
  images_ += targets.numel();
  loss_ += loss.item() * static_cast<double>(targets.numel());
  last_ = Clock::now();
}

double Scores::accuracy() const {
  std::int64_t right = 0;
  for (int i = 0; i < kClasses; ++i) right += count(i, i);
  return images_ ? static_cast<double>(right) / static_cast<double>(images_) : 0;
}

std::ostream& text_stream(const Options& options) { return options.json ? std::cerr : std::cout; }

Progress::Progress(int epoch, const Options& options, std::int64_t images)
    : out_(text_stream(options)),
      terminal_(::isatty(options.json ? STDERR_FILENO : STDOUT_FILENO)),
      title_("epoch " + std::to_string(epoch) + "/" + std::to_string(options.epochs)),
      images_(images) {}

namespace {

std::string bar(double share) {
  constexpr int width = 24;
  const int full = static_cast<int>(share * width);
  return "[" + std::string(full, '=') + (full < width ? ">" + std::string(width - full - 1, ' ') : "") + "]";
}

std::string minutes(double seconds) {
  const auto whole = static_cast<std::int64_t>(seconds + 0.5);
  std::ostringstream text;
  text << whole / 60 << ':' << std::setw(2) << std::setfill('0') << whole % 60;
  return text.str();
}

}  // namespace

void Progress::show(const Scores& scores) {
  const auto now = Scores::Clock::now();
  const double share = static_cast<double>(scores.images()) / static_cast<double>(images_);
  const bool done = scores.images() >= images_;
  if (terminal_) {
    if (!done && now - drawn_ < std::chrono::milliseconds(100)) return;
    drawn_ = now;
  } else {
    if (static_cast<int>(share * 10) == tenths_) return;
    tenths_ = static_cast<int>(share * 10);
  }

  const double speed = static_cast<double>(scores.images()) / scores.seconds();
  std::ostringstream line;
  line << std::fixed << title_ << ' ' << (terminal_ ? bar(share) + " " : "") << std::setw(3)
       << static_cast<int>(share * 100) << " %  loss " << std::setprecision(4) << scores.loss()
       << "  accuracy " << std::setprecision(2) << 100 * scores.accuracy() << " %  " << std::setprecision(0)
       << speed << " images/s  " << minutes(static_cast<double>(images_ - scores.images()) / speed)
       << " left";
  if (terminal_) {
    out_ << "\r\033[K" << line.str() << (done ? "\r\033[K" : "")
         << std::flush;  // the epoch's summary follows
  } else {
    out_ << line.str() << std::endl;
  }
}

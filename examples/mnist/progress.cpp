#include "progress.h"

#include <miniparallel/ops.h>

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <iomanip>
#include <iostream>
#include <sstream>

using miniparallel::Tensor;

void Scores::add(const Tensor& loss, const Tensor& logits, const Tensor& targets) {
  const auto guesses = logits.detach().argmax(1).to_vector<std::int64_t>();
  const auto right = targets.to_vector<std::int64_t>();
  for (std::size_t i = 0; i < right.size(); ++i) ++counts_.at(right[i]).at(guesses[i]);
  images_ += targets.numel();
  losses_.push_back(loss.item());
  loss_ += losses_.back() * static_cast<double>(targets.numel());
  last_ = Clock::now();
}

void Scores::add_mistakes(const Tensor& logits, const Tensor& targets) {
  const auto probabilities = miniparallel::softmax(logits.detach(), 1).to_vector<double>();
  const auto guesses = logits.detach().argmax(1).to_vector<std::int64_t>();
  const auto right = targets.to_vector<std::int64_t>();
  for (std::size_t i = 0; i < right.size(); ++i, ++searched_)
    if (guesses[i] != right[i])
      mistakes_.push_back({searched_, static_cast<int>(right[i]), static_cast<int>(guesses[i]),
                           probabilities[i * kClasses + static_cast<std::size_t>(guesses[i])]});
}

std::vector<Mistake> Scores::worst_mistakes(std::size_t most) const {
  std::vector<Mistake> worst(std::min(most, mistakes_.size()));
  std::ranges::partial_sort_copy(mistakes_, worst, std::ranges::greater(), &Mistake::confidence,
                                 &Mistake::confidence);
  return worst;
}

double Scores::accuracy() const {
  std::int64_t right = 0;
  for (int i = 0; i < kClasses; ++i) right += count(i, i);
  return images_ ? static_cast<double>(right) / static_cast<double>(images_) : 0;
}

miniparallel::StateDict Scores::state_dict() const {
  return {{"counts", miniparallel::from_data(counts_.data(), {kClasses, kClasses}, miniparallel::int64)},
          {"losses", miniparallel::from_data(losses_.data(), {std::ssize(losses_)}, miniparallel::float64)},
          {"loss", miniparallel::scalar_tensor(loss_, {.dtype = miniparallel::float64})},
          {"seconds", miniparallel::scalar_tensor(seconds(), {.dtype = miniparallel::float64})}};
}

miniparallel::PreparedLoad Scores::prepare_load(const miniparallel::StateDict& state) {
  Scores loaded;
  const auto counts = state.at("counts").to_vector<std::int64_t>();
  for (int i = 0; i < kClasses * kClasses; ++i) {
    loaded.counts_[i / kClasses][i % kClasses] = counts.at(i);
    loaded.images_ += counts[i];
  }
  loaded.losses_ = state.at("losses").to_vector<double>();
  loaded.loss_ = state.at("loss").item();
  const std::chrono::duration<double> before(state.at("seconds").item());
  loaded.start_ -= std::chrono::duration_cast<Clock::duration>(before);
  return [this, loaded] { *this = loaded; };
}

std::ostream& text_stream(const Options& options) { return options.json ? std::cerr : std::cout; }

Progress::Progress(std::int64_t epoch, const Options& options, std::int64_t images)
    : out_(text_stream(options)),
      descriptor_(options.json ? STDERR_FILENO : STDOUT_FILENO),
      terminal_(::isatty(descriptor_)),
      title_("epoch " + std::to_string(epoch) + "/" + std::to_string(options.epochs)),
      images_(images) {}

Progress::~Progress() {
  if (open_) out_ << std::endl;
}

namespace {

std::string bar(double share, int width) {
  const int full = static_cast<int>(share * width);
  return "[" + std::string(full, '=') + (full < width ? ">" + std::string(width - full - 1, ' ') : "") + "]";
}

std::string minutes(double seconds) {
  const auto whole = std::llround(seconds);
  std::ostringstream text;
  text << whole / 60 << ':' << std::setw(2) << std::setfill('0') << whole % 60;
  return text.str();
}

int terminal_columns(int descriptor) {
  winsize size{};
  return ::ioctl(descriptor, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
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
  std::ostringstream text;
  text << std::fixed << std::setprecision(4) << "loss " << scores.loss() << "  accuracy "
       << std::setprecision(2) << 100 * scores.accuracy() << " %  " << std::setprecision(0) << speed
       << " images/s  " << minutes(static_cast<double>(images_ - scores.images()) / speed) << " left";
  if (terminal_) {
    redraw(share, text.str());
  } else {
    out_ << title_ << std::setw(4) << static_cast<int>(share * 100) << " %  " << text.str() << std::endl;
  }
}

/// The bar takes what the text leaves of the terminal's width: a longer line would wrap and could not be
/// redrawn. A whole bar is wiped: the epoch's summary takes its place.
void Progress::redraw(double share, const std::string& text) {
  constexpr int least = 4, most = 40;
  const int columns = terminal_columns(descriptor_) - 1;
  const int left = columns - static_cast<int>(title_.size() + text.size()) - 5;  // spaces and brackets
  std::string line = title_ + ' ' + (left < least ? "" : bar(share, std::min(left, most)) + "  ") + text;
  line.resize(std::min<std::size_t>(line.size(), columns));
  open_ = share < 1;
  out_ << "\r\033[K" << line << (open_ ? "" : "\r\033[K") << std::flush;
}

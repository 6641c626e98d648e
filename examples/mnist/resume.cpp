#include "resume.h"

#include <miniparallel/error.h>

#include "progress.h"

#include <csignal>
#include <filesystem>
#include <sstream>

using namespace miniparallel;

namespace {

volatile std::sig_atomic_t interrupted = 0;

/// The next Ctrl-C is noted, the one after it ends the program.
void catch_interrupt() {
  struct sigaction action{};
  action.sa_handler = [](int) { interrupted = 1; };
  action.sa_flags = static_cast<int>(SA_RESETHAND | SA_RESTART);
  ::sigaction(SIGINT, &action, nullptr);
}

/// The options that decide the result.
std::string settings_of(const Options& options) {
  std::ostringstream text;
  text << "--model " << options.model << " --epochs " << options.epochs << " --batch-size "
       << options.batch_size << " --optimizer " << options.optimizer << " --lr " << options.lr
       << " --precision " << options.precision << " --seed " << options.seed;
  return text.str();
}

std::vector<CheckpointPart> with_settings(std::vector<CheckpointPart> parts, std::string& settings) {
  parts.emplace_back("settings", settings);
  return parts;
}

}  // namespace

Resume::Resume(const Options& options, std::vector<CheckpointPart> parts)
    : file_(options.resume),
      settings_(settings_of(options)),
      checkpoint_(with_settings(std::move(parts), settings_)) {
  if (file_.empty()) return;
  if (std::filesystem::exists(file_)) {
    try {
      load_checkpoint(file_, {{"settings", settings_}}, {.strict = false});
      if (settings_ != settings_of(options))
        throw std::runtime_error(file_ + ": is of a run with " + settings_ + ", this one is with " +
                                 settings_of(options) + "; give the same options, or another file");
      load_checkpoint(file_, checkpoint_);
    } catch (const Error& error) {
      throw std::runtime_error("--resume: " + file_ +
                               " is not a checkpoint of this program; give another file\n" + error.what());
    }
    text_stream(options) << "continuing from " << file_ << std::endl;
  }
  catch_interrupt();
}

void Resume::save() {
  if (!file_.empty()) save_checkpoint(file_, checkpoint_);
}

void Resume::stop_if_interrupted() {
  if (interrupted == 0) return;
  save();
  throw Interrupted("interrupted; the same command continues from " + file_);
}

#include "options.h"

#include <miniparallel/miniparallel.h>

#include "../option_checks.h"
#include "../precision.h"

#include <CLI/CLI.hpp>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <system_error>

namespace {

/// What --help prints. `.ci/mnist --help` shows the same file before anything is built.
constexpr char kHelp[] =
#include "help.txt"
    ;

/// An output that cannot be written should be known before the training, not after its first epoch.
void check_writable(const std::string& option, const std::string& file) {
  if (file.empty()) return;
  const auto fail = [&](int error) {
    throw std::runtime_error(option + ": " + file +
                             " cannot be written: " + std::generic_category().message(error));
  };
  std::error_code ignored;
  if (std::filesystem::is_directory(file, ignored)) fail(EISDIR);
  const auto folder = std::filesystem::absolute(file).parent_path();
  std::string probe = (folder / ".mnist.XXXXXX").string();
  const int descriptor = ::mkstemp(probe.data());
  if (descriptor < 0) fail(errno);
  ::close(descriptor);
  ::unlink(probe.c_str());
}

}  // namespace

Options parse_options(int argc, char** argv) {
  Options options;
  options.workers = miniparallel::recommended_num_workers();

  CLI::App app;
  app.formatter_fn([](const CLI::App*, const std::string&, CLI::AppFormatMode) { return kHelp; });

  app.add_option("--data", options.data);
  app.add_option("--epochs", options.epochs)->check(from_zero_on());
  app.add_option("--batch-size", options.batch_size)->check(above_zero());
  app.add_option("--model", options.model)->check(CLI::IsMember({"cnn", "mlp"}));
  app.add_option("--optimizer", options.optimizer)->check(CLI::IsMember({"sgd", "adam", "adamw"}));
  app.add_option("--lr", options.lr)->check(above_zero());
  app.add_option("--precision", options.precision)->check(a_precision());
  app.add_option("--workers", options.workers)->check(from_zero_on());
  app.add_option("--seed", options.seed);
  app.add_option("--save", options.save);
  app.add_option("--load", options.load);
  app.add_option("--resume", options.resume);
  app.add_option("--plot", options.plot);
  app.add_option("--log-dir", options.log_dir);
  app.add_option("--gpus", options.gpus)->check(from_zero_on());
  app.add_option("--replicas", options.replicas)->check(above_zero());
  app.add_flag("--capture,!--no-capture", options.capture);
  app.add_flag("--json", options.json);

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    std::exit(app.exit(error));
  }
  check_writable("--save", options.save);
  check_writable("--resume", options.resume);
  check_writable("--plot", options.plot);
  if (options.lr == 0) options.lr = options.optimizer == "sgd" ? 0.01 : 0.001;
  return options;
}

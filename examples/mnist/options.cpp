#include "options.h"

#include <miniparallel/miniparallel.h>

#include <CLI/CLI.hpp>

#include <cstdlib>

namespace {

/// What --help prints. `.ci/mnist --help` shows the same file before anything is built.
constexpr char kHelp[] =
#include "help.txt"
    ;

}  // namespace

Options parse_options(int argc, char** argv) {
  Options options;
  options.workers = miniparallel::recommended_num_workers();

  CLI::App app;
  app.formatter_fn([](const CLI::App*, const std::string&, CLI::AppFormatMode) { return kHelp; });

  app.add_option("--data", options.data);
  app.add_option("--epochs", options.epochs)->check(CLI::NonNegativeNumber);
  app.add_option("--batch-size", options.batch_size)->check(CLI::PositiveNumber);
  app.add_option("--model", options.model)->check(CLI::IsMember({"cnn", "mlp"}));
  app.add_option("--optimizer", options.optimizer)->check(CLI::IsMember({"sgd", "adam", "adamw"}));
  app.add_option("--lr", options.lr)->check(CLI::PositiveNumber);
  app.add_option("--workers", options.workers)->check(CLI::NonNegativeNumber);
  app.add_option("--seed", options.seed);
  app.add_option("--save", options.save);
  app.add_option("--load", options.load);
  app.add_option("--resume", options.resume);
  app.add_option("--plot", options.plot);
  app.add_option("--log-dir", options.log_dir);
  app.add_option("--device", options.device)->check(CLI::IsMember({"auto", "cpu", "cuda"}));
  app.add_flag("--json", options.json);

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    std::exit(app.exit(error));
  }
  if (options.lr == 0) options.lr = options.optimizer == "sgd" ? 0.01 : 0.001;
  return options;
}

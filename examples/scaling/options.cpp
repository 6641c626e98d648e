#include "options.h"

#include "../option_checks.h"

#include <CLI/CLI.hpp>

#include <cstdlib>

Options parse_options(int argc, char** argv) {
  Options options;
  CLI::App app(
      "What training steps would take on one to eight GPUs, by a model of the machine; no GPU is needed.\n"
      "\n"
      "Each GPU gets the same number of rows. Efficiency is the step of one GPU with these rows over the "
      "step of\n"
      "all; 'alone' is a step of one GPU with the rows of all. 'hidden' is the share of the time of summing\n"
      "gradients in which GPUs compute something else.");
  app.footer(
      "Examples:\n"
      "  scaling                                        8 x H100, all models\n"
      "  scaling --machine rtx4090 --model mlp --rows 1024\n"
      "  scaling --model gpt2 --gpus 8 --trace gpt2.json   open it in https://ui.perfetto.dev");
  const auto add = [&app](const char* name, auto& value, const char* help) {
    return app.add_option(name, value, help)->capture_default_str();
  };
  add("--machine", options.machine, "h100, a100, rtx4090 or t4");
  add("--model", options.models, "mlp, resnet50, gpt2")
      ->delimiter(',')
      ->check(CLI::IsMember({"mlp", "resnet50", "gpt2"}));
  add("--gpus", options.gpus, "how many to train on")->delimiter(',')->check(above_zero());
  app.add_option("--rows", options.rows, "of each GPU [mlp 32, resnet50 128, gpt2 8 texts of 1024 tokens]")
      ->check(above_zero());
  add("--steps", options.steps, "to average over")->check(above_zero());
  add("--runs", options.runs, "of each, of which the shortest counts")->check(above_zero());
  app.add_flag("--shard-optimizer", options.shard_optimizer,
               "each GPU steps a share of the parameters; ours only");
  app.add_flag("--capture", options.capture, "steps are CUDA graphs; ours only");
  app.add_option("--kernel-times", options.kernel_times,
                 "a file of times measured on a GPU: lines of microseconds and a kernel's name, as "
                 "kernel_times.py makes it of a profiler's trace")
      ->check(CLI::ExistingFile);
  app.add_option("--trace", options.trace,
                 "the file that gets the timeline of the last model on the most GPUs");

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    std::exit(app.exit(error));
  }
  return options;
}

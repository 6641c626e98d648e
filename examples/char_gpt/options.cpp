#include "options.h"

#include "../option_checks.h"
#include "../precision.h"

#include <CLI/CLI.hpp>

#include <cstdlib>

Options parse_options(int argc, char** argv) {
  Options options;
  CLI::App app(
      "Trains a small GPT on a text file, character by character, and lets it write.\n"
      "\n"
      "Loss is the average surprise at the next character; exp(loss) is among how many characters the model\n"
      "still wavers. It is also measured on the last tenth of the text, which training never sees.");
  app.footer(
      "Examples:\n"
      "  char_gpt /usr/share/common-licenses/GPL-3             a minute on two cores\n"
      "  char_gpt book.txt --steps 5000 --width 128 --layers 4 longer, larger, better\n"
      "  char_gpt book.txt --prompt \"It was \" --temperature 0.5");

  app.add_option("text", options.text, "the file to learn from")->required()->check(CLI::ExistingFile);
  const auto add = [&app](const char* name, auto& value, const char* help) {
    return app.add_option(name, value, help)->capture_default_str();
  };
  add("--steps", options.steps, "batches to train on")->check(from_zero_on());
  add("--batch-size", options.batch_size, "pieces of text per step")->check(above_zero());
  add("--context", options.context, "characters that the model looks back on")->check(above_zero());
  add("--width", options.width, "numbers that stand for one character; a multiple of --heads")
      ->check(above_zero());
  add("--heads", options.heads, "attention heads per layer")->check(above_zero());
  add("--layers", options.layers, "transformer blocks")->check(above_zero());
  add("--dropout", options.dropout, "share of numbers zeroed in training, against learning by heart")
      ->check(number_that("from 0 to 0.9", [](double p) { return p >= 0 && p <= 0.9; }));
  add("--lr", options.lr, "highest learning rate; it falls to 0 along a cosine")->check(above_zero());
  app.add_option("--prompt", options.prompt, "what the sample starts with [the text's first character]");
  add("--length", options.length, "characters to write")->check(from_zero_on());
  add("--temperature", options.temperature, "low: safe and dull; high: wild")->check(above_zero());
  add("--device", options.device, "where to compute: cpu, cuda, or auto, a GPU where there is one");
  add("--precision", options.precision, "float32, tf32, bf16 or fp16")->check(a_precision());
  add("--seed", options.seed, "the same seed, the same run");

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    std::exit(app.exit(error));
  }
  return options;
}

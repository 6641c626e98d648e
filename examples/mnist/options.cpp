#include "options.h"

#include <miniparallel/miniparallel.h>

#include <CLI/CLI.hpp>

#include <cstdlib>

Options parse_options(int argc, char** argv) {
  Options options;
  options.workers = miniparallel::recommended_num_workers();

  CLI::App app(
      "Trains an image classifier on MNIST, or on a set in its form, and tests it after each epoch.\n"
      "\n"
      "An epoch shows the model every training image once, batch by batch. Loss is what training makes\n"
      "smaller; accuracy is the share of images whose class is guessed right. What counts is the accuracy\n"
      "on the test images, which training never sees: when it falls while the training loss still sinks,\n"
      "the model only learns by heart.");
  app.footer(
      "Examples:\n"
      "  mnist                                          the CNN, three epochs: about 99 % on MNIST\n"
      "  mnist --model mlp --epochs 10                  a simpler model, faster and less accurate\n"
      "  mnist --optimizer sgd --lr 0.05                another way to step\n"
      "  mnist --save digits.safetensors                keep the weights after each epoch ...\n"
      "  mnist --load digits.safetensors --epochs 0     ... and test them later\n"
      "  mnist --resume run.safetensors                 stop with Ctrl-C; the same command goes on\n"
      "  mnist --plot mnist.svg                         curves and mistakes, for a browser\n"
      "  mnist --log-dir runs/first                     ... and tensorboard --logdir runs\n"
      "  mnist --json > result.json                     numbers for a program, text on stderr");

  app.add_option("--data", options.data,
                 "folder with train-images-idx3-ubyte and the other three files, with .gz or without;\n"
                 "else the usual places, a download, or Debian's dataset-fashion-mnist");
  app.add_option("--epochs", options.epochs, "passes over the training images; 0: only test")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--batch-size", options.batch_size,
                 "images per step: more is faster per image, but fewer steps")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--model", options.model,
                 "cnn: two convolutions, 1.2 M weights; mlp: three linear layers, 0.5 M")
      ->check(CLI::IsMember({"cnn", "mlp"}))
      ->capture_default_str();
  app.add_option("--optimizer", options.optimizer,
                 "how gradients become steps: sgd (momentum 0.9), adam or adamw")
      ->check(CLI::IsMember({"sgd", "adam", "adamw"}))
      ->capture_default_str();
  app.add_option("--lr", options.lr,
                 "learning rate, the length of a step, at the start [0.001; 0.01 for sgd];\n"
                 "it falls to 0 along a cosine")
      ->check(CLI::PositiveNumber);
  app.add_option("--workers", options.workers, "threads that prepare batches while the model trains; 0: none")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--seed", options.seed, "of first weights, order and dropout: the same seed, the same run")
      ->capture_default_str();
  app.add_option("--save", options.save, "write the weights here after each epoch (safetensors)");
  app.add_option("--load", options.load, "start from the weights in this file");
  app.add_option("--resume", options.resume,
                 "keep a checkpoint in this file, after each epoch and on Ctrl-C, and go on from it where\n"
                 "it exists: as if the run had not been interrupted");
  app.add_option("--plot", options.plot,
                 "draw the curves of loss and accuracy, and the worst mistakes, after each epoch (SVG)");
  app.add_option("--log-dir", options.log_dir,
                 "folder for TensorBoard: loss of each batch, scores, weights, mistakes");
  app.add_option("--device", options.device, "where to compute; auto: a GPU where there is one")
      ->check(CLI::IsMember({"auto", "cpu", "cuda"}))
      ->capture_default_str();
  app.add_flag("--json", options.json, "print one JSON object on stdout; the text goes to stderr");

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    std::exit(app.exit(error));
  }
  if (options.lr == 0) options.lr = options.optimizer == "sgd" ? 0.01 : 0.001;
  return options;
}

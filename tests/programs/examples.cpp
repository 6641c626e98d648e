// Runs the examples that are pages of docs/ as their users do, on few images of clothes and a short text.

#include <miniparallel/data/mnist.h>
#include <miniparallel/image.h>
#include <miniparallel/ops.h>

#include "examples/mnist/child_process.h"
#include "tests/support/temporary_folder.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

namespace {

using namespace miniparallel;
using miniparallel::testing::TemporaryFolder;

ChildResult run(const char* program, std::vector<std::string> arguments,
                const std::string& input = "/dev/null") {
  arguments.insert(arguments.begin(), {"/bin/sh", "-c", "exec \"$0\" \"$@\" 2>&1 <" + input, program});
  return run_child(arguments);
}

std::string output_of(const char* program, const std::vector<std::string>& arguments,
                      const std::string& input = "/dev/null") {
  const ChildResult result = run(program, arguments, input);
  REQUIRE_MESSAGE(result.status == 0, result.output);
  return result.output;
}

double number_after(const std::string& text, const std::string& words) {
  const std::size_t at = text.find(words);
  REQUIRE_MESSAGE(at != std::string::npos, text);
  return std::stod(text.substr(at + words.size()));
}

std::int64_t count(const std::string& text, const std::string& part) {
  std::int64_t found = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

const std::string kClothes = data::fashion_mnist_dir();

}  // namespace

TEST_CASE("predict: one program learns, the other names clothes on pictures") {
  const TemporaryFolder folder;
  const std::string weights = folder / "clothes.safetensors";
  const std::string learned = output_of(MINIPARALLEL_PREDICT_TRAIN, {weights, kClothes, "2000", "2"});
  CHECK(number_after(learned, "epoch 2: ") > 65);

  const data::FashionMnist unseen(kClothes, data::Split::test, {{0}, {1}});
  std::vector<std::string> arguments{weights};
  std::string paths;
  for (int i = 0; i < 20; ++i) {
    arguments.push_back(folder / (std::to_string(i) + ".png"));
    write_png(unseen.get(i).image, arguments.back());
    paths += arguments.back() + "\n";
  }
  const std::string named = output_of(MINIPARALLEL_PREDICT, arguments);
  std::int64_t right = 0;
  for (int i = 0; i < 20; ++i) {
    const auto label = unseen.labels()[i].item<std::size_t>();
    right +=
        count(named, arguments[static_cast<std::size_t>(i) + 1] + ": " + data::FashionMnist::kClasses[label]);
  }
  CHECK_MESSAGE(right >= 12, named);
  CHECK(count(named, " us\n") == 20);

  // As a service it goes on after a file that is no picture.
  testing::write_text(folder / "paths", weights + "\n" + paths);
  const std::string served = output_of(MINIPARALLEL_PREDICT, {weights}, folder / "paths");
  CHECK(served.find("begins neither as a PNG nor as a JPEG file does") != std::string::npos);
  CHECK(count(served, " us\n") == 20);
  CHECK(run(MINIPARALLEL_PREDICT, {folder / "none"}).status == 1);
}

TEST_CASE("finetune: what was learned before helps where there are few images") {
  const std::string output = output_of(MINIPARALLEL_FINETUNE, {kClothes, "2000", "50"});
  CHECK(output.find("not in the file, so new: head.weight head.bias\n") == 0);
  const double with = number_after(output, "50 images: "), without = number_after(output, "right, ");
  CHECK_MESSAGE(with > 60, output);
  CHECK_MESSAGE(with > without - 5, output);
}

TEST_CASE("gan: writes a picture of what it paints") {
  const TemporaryFolder folder;
  const std::string picture = folder / "clothes.png";
  const std::string output = output_of(MINIPARALLEL_GAN, {picture, kClothes, "20"});
  CHECK(number_after(output, "step 20: discriminator ") < 2);
  const Tensor grid = read_image(picture).to(float32);
  CHECK(grid.shape() == Shape{1, 8 * 30 + 2, 8 * 30 + 2});
  CHECK(grid.max().item() > 30);
  CHECK(run(MINIPARALLEL_GAN, {picture, folder / "none"}).status == 1);
}

TEST_CASE("lstm_text: learns a verse by heart and goes on with it") {
  const TemporaryFolder folder;
  const std::string file = folder / "verse.txt";
  std::string verse = "one potato, two potato, three potato, four;\n", text;
  for (int i = 0; i < 60; ++i) text += verse;
  testing::write_text(file, text);
  const std::string output = output_of(MINIPARALLEL_LSTM_TEXT, {file, "120", "one pot"});
  CHECK(number_after(output, "step 120: loss ") < 0.3);
  CHECK_MESSAGE(output.find("\none potato, two potato, three potato, four;\none") != std::string::npos,
                output);
  CHECK(run(MINIPARALLEL_LSTM_TEXT, {file, "1", "Z"}).output.find("the text has no 'Z'") !=
        std::string::npos);
  CHECK(run(MINIPARALLEL_LSTM_TEXT, {folder / "none"}).output.find("too short, or missing") !=
        std::string::npos);
}

#include "plot.h"

#include <miniparallel/image.h>

#include "chart.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>

namespace {

constexpr int kPerRow = 8, kRows = 3;         // of mistakes
constexpr std::size_t kPointsPerEpoch = 100;  // of the curve of the batches
constexpr double kWidth = 1040, kMargin = 24, kChartTop = 76, kChartHeight = 320, kCellHeight = 146;

std::string percent(double share, int decimals) { return decimal(100 * share, decimals) + " %"; }

/// Neighbours are averaged where there are more than `most` values.
std::vector<double> thinned(const std::vector<double>& values, std::size_t most) {
  const std::size_t count = std::min(values.size(), most);
  std::vector<double> result(count);
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t begin = i * values.size() / count, end = (i + 1) * values.size() / count;
    for (std::size_t j = begin; j < end; ++j) result[i] += values[j] / static_cast<double>(end - begin);
  }
  return result;
}

std::vector<double> finite_heights(std::initializer_list<const std::vector<Point>*> curves) {
  std::vector<double> heights;
  for (const std::vector<Point>* curve : curves)
    for (const Point& point : *curve)
      if (std::isfinite(point.y)) heights.push_back(point.y);
  return heights;
}

/// High enough for the means of the epochs and all but the highest twentieth of the batches: a model knows
/// nothing in its first batches, which would press all others to the floor.
double top_of_losses(const std::vector<Point>& batches, const std::vector<Point>& train,
                     const std::vector<Point>& test) {
  double top = 0;
  for (const double loss : finite_heights({&train, &test})) top = std::max(top, loss);
  std::vector<double> losses = finite_heights({&batches});
  if (!losses.empty()) {
    std::ranges::sort(losses);
    top = std::max(top, losses[(losses.size() - 1) * 19 / 20]);
  }
  return top > 0 ? top * 1.08 : 1;
}

}  // namespace

Plot::Plot(const Options& options, const DataSource& source, const miniparallel::data::Mnist& test_images)
    : options_(options), source_(source), test_images_(test_images) {}

void Plot::add_epoch(const Scores& trained, const Scores& tested) {
  const double begin = static_cast<double>(curves_.train_loss.size()), middle = begin + 0.5, end = begin + 1;
  const std::vector<double> losses = thinned(trained.losses(), kPointsPerEpoch);
  const double count = static_cast<double>(losses.size());
  for (std::size_t i = 0; i < losses.size(); ++i)
    curves_.batch_loss.push_back({begin + (static_cast<double>(i) + 0.5) / count, losses[i]});
  // The means of training were measured along the epoch, the test's after it.
  curves_.train_loss.push_back({middle, trained.loss()});
  curves_.train_accuracy.push_back({middle, 100 * trained.accuracy()});
  curves_.test_loss.push_back({end, tested.loss()});
  curves_.test_accuracy.push_back({end, 100 * tested.accuracy()});
  write(tested);
}

miniparallel::StateDict Plot::state_dict() const {
  const auto points = [](const std::vector<Point>& curve) {
    return miniparallel::from_data(curve.data(), {std::ssize(curve), 2}, miniparallel::float64);
  };
  return {{"batch_loss", points(curves_.batch_loss)},
          {"train_loss", points(curves_.train_loss)},
          {"test_loss", points(curves_.test_loss)},
          {"train_accuracy", points(curves_.train_accuracy)},
          {"test_accuracy", points(curves_.test_accuracy)}};
}

miniparallel::PreparedLoad Plot::prepare_load(const miniparallel::StateDict& state) {
  const auto points = [&](const char* curve) {
    const miniparallel::Tensor& tensor = state.at(curve);
    std::vector<Point> result(static_cast<std::size_t>(tensor.size(0)));
    tensor.copy_to_host(result.data(), miniparallel::float64);
    return result;
  };
  return [this, loaded = Curves{points("batch_loss"), points("train_loss"), points("test_loss"),
                                points("train_accuracy"), points("test_accuracy")}] { curves_ = loaded; };
}

void Plot::write(const Scores& tested) const {
  if (options_.plot.empty()) return;
  const std::vector<Mistake> mistakes = tested.worst_mistakes(kPerRow * kRows);
  const std::size_t rows = (mistakes.size() + kPerRow - 1) / kPerRow;
  const double grid_top = kChartTop + (curves_.test_loss.empty() ? 0 : kChartHeight + 16);
  const double height = grid_top + 40 + static_cast<double>(std::max<std::size_t>(rows, 1)) * kCellHeight;

  Svg svg(kWidth, height);
  svg.text("heading", {kMargin, 34}, options_.model + " on " + source_.name);
  std::ostringstream setup;
  setup << options_.optimizer << ", learning rate " << options_.lr << ", batches of " << options_.batch_size
        << "; " << percent(tested.accuracy(), 2) << " of " << tested.images() << " test images right";
  svg.text("muted", {kMargin, 56}, setup.str());
  if (!curves_.test_loss.empty()) {
    const double width = (kWidth - 3 * kMargin) / 2;
    draw_loss(svg, {kMargin, kChartTop, width, kChartHeight});
    draw_accuracy(svg, {2 * kMargin + width, kChartTop, width, kChartHeight});
  }
  draw_mistakes(svg, {kMargin, grid_top, kWidth - 2 * kMargin, height - grid_top}, mistakes);

  // Put in place when it is whole; the name is short, whatever that of the picture.
  const auto folder = std::filesystem::absolute(options_.plot).parent_path();
  const auto part = folder / (".mnist-plot." + std::to_string(::getpid()) + ".part");
  std::ofstream file(part);
  file << svg.finish();
  file.close();
  std::error_code error;
  if (file) std::filesystem::rename(part, options_.plot, error);
  if (!file || error) throw std::runtime_error("--plot: " + options_.plot + " cannot be written");
}

void Plot::draw_loss(Svg& svg, const Box& box) const {
  draw(svg, box,
       {.title = "Loss (mean cross-entropy per image)",
        .x_label = "epoch",
        .x_begin = 0,
        .x_end = static_cast<double>(curves_.train_loss.size()),
        .y_low = 0,
        .y_high = top_of_losses(curves_.batch_loss, curves_.train_loss, curves_.test_loss),
        .y_unit = "",
        .series = {{"batches", "training, batches", curves_.batch_loss, false},
                   {"train", "training, epoch", curves_.train_loss},
                   {"test", "test", curves_.test_loss}}});
}

void Plot::draw_accuracy(Svg& svg, const Box& box) const {
  double low = 100;
  for (const double accuracy : finite_heights({&curves_.train_accuracy, &curves_.test_accuracy}))
    low = std::min(low, accuracy);
  low = std::max(0.0, low - 0.1 * (100 - low) - 0.1);
  draw(svg, box,
       {.title = "Accuracy (share of images guessed right)",
        .x_label = "epoch",
        .x_begin = 0,
        .x_end = static_cast<double>(curves_.train_loss.size()),
        .y_low = low,
        .y_high = 100,
        .y_unit = " %",
        .series = {{"train", "training, epoch", curves_.train_accuracy},
                   {"test", "test", curves_.test_accuracy}}});
}

void Plot::draw_mistakes(Svg& svg, const Box& box, const std::vector<Mistake>& mistakes) const {
  svg.text("title", {box.left, box.top + 14},
           mistakes.empty() ? "No test image was taken for another class"
                            : "Worst mistakes: test images on which the model was most sure, and wrong");
  constexpr double kPicture = 84;
  const double cell = box.width / kPerRow;
  for (std::size_t i = 0; i < mistakes.size(); ++i) {
    const Mistake& mistake = mistakes[i];
    const std::size_t row = i / kPerRow, column = i % kPerRow;
    const double left = box.left + static_cast<double>(column) * cell;
    const double top = box.top + 30 + static_cast<double>(row) * kCellHeight;
    const std::string truth = source_.classes.at(mistake.target), guess = source_.classes.at(mistake.guess);
    svg.image({left, top, kPicture, kPicture},
              miniparallel::encode_png(test_images_.pixels().select(0, mistake.image)),
              "test image " + std::to_string(mistake.image));
    svg.text("small strong", {left, top + kPicture + 14}, "true: " + truth);
    svg.text("small", {left, top + kPicture + 28}, "predicted: " + guess);
    svg.text("small muted", {left, top + kPicture + 42}, percent(mistake.confidence, 1) + " sure");
  }
}

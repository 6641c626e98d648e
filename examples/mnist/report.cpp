#include "report.h"

#include <cstdio>
#include <iomanip>
#include <iostream>
#include <stdexcept>

namespace {

nlohmann::ordered_json to_json(const Scores& scores) {
  return {{"loss", scores.loss()},
          {"accuracy", scores.accuracy()},
          {"images", scores.images()},
          {"seconds", scores.seconds()}};
}

/// How the images of one class fared.
struct ClassResult {
  std::int64_t images = 0, right = 0, wrong = 0;
  int mistaken_for = -1;  ///< the class they were most often taken for by mistake

  ClassResult(const Scores& scores, int target) : right(scores.count(target, target)) {
    for (int guess = 0; guess < Scores::kClasses; ++guess) {
      const std::int64_t count = scores.count(target, guess);
      images += count;
      if (guess == target || count <= wrong) continue;
      wrong = count;
      mistaken_for = guess;
    }
  }
  double accuracy() const { return images ? static_cast<double>(right) / static_cast<double>(images) : 0; }
};

}  // namespace

Report::Report(const Options& options, const DataSource& source,
               const std::vector<miniparallel::Device>& devices, std::int64_t parameters)
    : options_(options), source_(source) {
  std::vector<std::string> names;
  for (const miniparallel::Device device : devices) names.push_back(to_string(device));
  json_ = {{"data", {{"name", source.name}, {"folder", source.folder}}},
           {"model", options.model},
           {"parameters", parameters},
           {"devices", names},
           {"optimizer", options.optimizer},
           {"lr", options.lr},
           {"batch_size", options.batch_size},
           {"precision", options.precision},
           {"seed", options.seed},
           {"epochs", nlohmann::ordered_json::array()}};
  text_stream(options) << source.name << " in " << source.folder << "\n"
                       << options.model << " with " << parameters << " parameters on ";
  for (const std::string& name : names) text_stream(options) << name << ", ";
  text_stream(options) << options.optimizer << " with learning rate " << options.lr << ", batches of "
                       << options.batch_size << ", in " << options.precision << std::endl;
}

void Report::add_epoch(const Scores& trained, const Scores& tested) {
  json_["epochs"].push_back({{"train", to_json(trained)}, {"test", to_json(tested)}});
  text_stream(options_) << std::fixed << "epoch " << json_["epochs"].size() << '/' << options_.epochs
                        << ": train loss " << std::setprecision(4) << trained.loss() << "  accuracy "
                        << std::setprecision(2) << 100 * trained.accuracy() << " %   test loss "
                        << std::setprecision(4) << tested.loss() << "  accuracy " << std::setprecision(2)
                        << 100 * tested.accuracy() << " %   " << std::setprecision(1) << trained.seconds()
                        << " s" << std::endl;
}

miniparallel::StateDict Report::state_dict() const {
  const std::string text = json_["epochs"].dump();
  return {{"epochs", miniparallel::from_data(text.data(), {std::ssize(text)}, miniparallel::uint8)}};
}

miniparallel::PreparedLoad Report::prepare_load(const miniparallel::StateDict& state) {
  const auto text = state.at("epochs").to_vector<std::uint8_t>();
  return
      [this, epochs = nlohmann::ordered_json::parse(text.begin(), text.end())] { json_["epochs"] = epochs; };
}

void Report::finish(const Scores& tested) {
  std::ostream& text = text_stream(options_);
  json_["test"] = to_json(tested);
  auto& classes = json_["test"]["classes"] = nlohmann::ordered_json::array();
  text << "\nclass         images   right   most often taken for\n" << std::fixed << std::setprecision(2);
  for (int i = 0; i < Scores::kClasses; ++i) {
    const ClassResult result(tested, i);
    const std::string& name = source_.classes.at(i);
    classes.push_back({{"class", name}, {"images", result.images}, {"accuracy", result.accuracy()}});
    text << std::left << std::setw(12) << name << std::right << std::setw(8) << result.images << std::setw(7)
         << 100 * result.accuracy() << " %";
    if (result.mistaken_for >= 0)
      text << "   " << source_.classes.at(result.mistaken_for) << " (" << result.wrong << ")";
    text << '\n';
  }
  text << std::left << std::setw(12) << "all" << std::right << std::setw(8) << tested.images() << std::setw(7)
       << 100 * tested.accuracy() << " %" << std::endl;
  if (options_.json && !(std::cout << json_.dump(2) << std::endl))
    throw std::runtime_error("--json: the result cannot be written to stdout");
}

#include <miniparallel/miniparallel.h>

#include "tests/support/golden.h"
#include "tests/support/temporary_folder.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <limits>

namespace miniparallel {
namespace {

using testing::identical;
using testing::read_text;
using testing::TemporaryFolder;
using testing::write_text;

struct Net {
  nn::Linear first{4, 8};
  nn::BatchNorm1d norm{8};
  nn::Linear second{8, 3};

  Tensor operator()(const Tensor& x) { return second(relu(norm(first(x)))); }
};

/// A run with every kind of part.
struct Run {
  explicit Run(std::uint64_t seed) {
    manual_seed(seed);
    to(model, cpu);  // made before the seed was known: make its weights the seed's
    const NoGradGuard guard;
    for (Tensor parameter : parameters(model)) parameter.copy_(randn(parameter.shape()));
  }

  void step() {
    for (auto& [x] : batches) {
      model(x).pow(2).sum().backward();
      optimizer.step();
      optimizer.zero_grad();
      scheduler.step();
      if (batches.position().batch == 2) break;
    }
  }

  std::map<std::string, Tensor> everything() {
    std::map<std::string, Tensor> all;
    for (const CheckpointPart& part : checkpoint.parts()) {
      for (auto& [name, tensor] : part.state_dict()) all[part.name() + '.' + name] = tensor.clone();
    }
    all["random"] = tensor(
        {static_cast<std::int64_t>(random_state().seed), static_cast<std::int64_t>(random_state().ordinal)});
    return all;
  }

  const Device cpu = Device::cpu();
  Net model;
  optim::Adam optimizer{parameters(model), {.lr = 0.1}};
  optim::StepLR scheduler{optimizer, {.step_size = 1, .gamma = 0.5}};
  data::DataLoader<data::TensorDataset<1>> batches{
      data::TensorDataset(arange(40, {.dtype = float32}).view({10, 4})), {.batch_size = 3, .shuffle = true}};
  int epoch = 0;
  std::uint64_t big = 0;
  double best = 0;
  float single = 0;
  bool flag = false;
  std::string text;
  std::vector<double> losses;
  std::vector<std::int64_t> counts;
  Checkpoint checkpoint{{"model", model},     {"optimizer", optimizer}, {"scheduler", scheduler},
                        {"batches", batches}, {"epoch", epoch},         {"big", big},
                        {"best", best},       {"single", single},       {"flag", flag},
                        {"text", text},       {"losses", losses},       {"counts", counts}};
};

bool same(const std::map<std::string, Tensor>& a, const std::map<std::string, Tensor>& b) {
  return std::ranges::equal(
      a, b, [](const auto& x, const auto& y) { return x.first == y.first && identical(x.second, y.second); });
}

TEST_CASE("checkpoint: every part comes back, and the file replaces the old one") {
  const TemporaryFolder folder;
  const std::string file = folder / "run.safetensors";
  Run saved(1);
  saved.step();
  saved.epoch = -7;
  saved.big = std::numeric_limits<std::uint64_t>::max();
  saved.best = 0.1;
  saved.single = 0.1F;
  saved.flag = true;
  saved.text = std::string("a\0\xff", 3);
  saved.losses = {0.5, 1e300};
  saved.counts = {3, std::numeric_limits<std::int64_t>::min()};
  save_checkpoint(file, saved.checkpoint);
  save_checkpoint(file, saved.checkpoint);
  const auto expected = saved.everything();

  Run loaded(2);
  REQUIRE_FALSE(same(loaded.everything(), expected));
  const LoadReport report = load_checkpoint(file, loaded.checkpoint);
  CHECK(same(loaded.everything(), expected));
  CHECK(report.missing.empty());
  CHECK(report.unexpected.empty());
  CHECK(loaded.epoch == -7);
  CHECK(loaded.big == saved.big);
  CHECK(loaded.single == saved.single);
  CHECK(loaded.text == saved.text);
  CHECK(loaded.counts == saved.counts);
  CHECK(loaded.optimizer.lr() == saved.optimizer.lr());
  CHECK(std::distance(std::filesystem::directory_iterator(folder.path()), {}) == 1);
}

TEST_CASE("checkpoint: a safetensors file whose keys and notes say what it holds") {
  const TemporaryFolder folder;
  const std::string file = folder / "run.safetensors";
  Run run(1);
  save_checkpoint(file, run.checkpoint);
  const StateDict tensors = load(file);
  CHECK(identical(tensors.at("model.first.weight"), run.model.first.weight.detach()));
  CHECK(tensors.at("optimizer.groups.0.lr").item() == run.optimizer.lr());
  CHECK(tensors.at("epoch").item() == 0);
  const Metadata notes = load_metadata(file);
  CHECK(notes.at("format") == "miniparallel checkpoint");
  CHECK(notes.at("version") == "1");
  CHECK(notes.at("part.optimizer") == "Adam");
  CHECK(notes.at("part.scheduler") == "StepLR");
  CHECK(notes.at("part.batches") == "DataLoader");
}

/// What loading `file` throws; checks that it changes nothing.
std::string refusal(const std::string& file, Run& run) {
  const auto before = run.everything();
  std::string text;
  try {
    load_checkpoint(file, run.checkpoint);
  } catch (const Error& error) {
    text = error.what();
  }
  CHECK(same(run.everything(), before));
  return text;
}

bool contains(const std::string& text, const std::string& part) {
  INFO(text, " should contain ", part);
  CHECK(text.find(part) != std::string::npos);
  return true;
}

TEST_CASE("checkpoint: a file cut off at any byte is refused by name and changes nothing") {
  const TemporaryFolder folder;
  const std::string file = folder / "run.safetensors", cut = folder / "cut.safetensors";
  Run run(1), other(2);
  save_checkpoint(file, run.checkpoint);
  const std::string whole = read_text(file);
  REQUIRE(whole.size() > 1000);
  for (std::size_t size = 0; size < whole.size(); size += 13) {
    write_text(cut, whole.substr(0, size));
    CHECK(contains(refusal(cut, other), "cut.safetensors: "));
  }
  CHECK(contains(refusal(folder / "none", other), "No such file"));
}

TEST_CASE("checkpoint: what is no checkpoint, or of another version, is refused") {
  const TemporaryFolder folder;
  const std::string file = folder / "run.safetensors";
  Run run(1), other(2);
  const auto with_notes = [&](const std::function<void(Metadata&)>& change) {
    save_checkpoint(file, run.checkpoint);
    Metadata notes = load_metadata(file);
    change(notes);
    save(load(file), file, notes);
    return refusal(file, other);
  };
  contains(with_notes([](Metadata& notes) { notes.clear(); }), "not a checkpoint; read it with load()");
  contains(with_notes([](Metadata& notes) { notes["format"] = "pt"; }),
           "not a checkpoint; read it with load()");
  contains(with_notes([](Metadata& notes) { notes["version"] = "2"; }),
           "run.safetensors: a checkpoint of version 2, this program reads versions up to 1; read it with a "
           "newer");
  contains(with_notes([](Metadata& notes) { notes["version"] = "99999999999999999999"; }),
           "newer miniparallel");
  for (const char* version : {"", "1x", "0", "-1", "one"})
    contains(with_notes([&](Metadata& notes) { notes["version"] = version; }), "its version is '");
  contains(with_notes([](Metadata& notes) { notes.erase("version"); }), "its version is ''");
  contains(with_notes([](Metadata& notes) { notes.erase("part.epoch"); }), "'epoch' belongs to no part");
  contains(with_notes([](Metadata& notes) { notes["part.optimizer"] = "AdamW"; }),
           "optimizer: AdamW in the file, Adam here");
  save(run.model, file);
  contains(refusal(file, other), "not a checkpoint; read it with load()");
}

TEST_CASE("checkpoint: another model, optimizer or list of parts is named, and nothing is loaded") {
  const TemporaryFolder folder;
  const std::string file = folder / "run.safetensors";
  struct Other {
    nn::Linear first{4, 9};
    nn::Linear third{2, 2};
  } model;
  optim::AdamW optimizer(parameters(model));
  optim::LinearLR scheduler(optimizer);
  for (const Tensor& parameter : parameters(model)) parameter.sum().backward();
  optimizer.step();
  std::string epoch;
  const Checkpoint written{
      {"model", model}, {"optimizer", optimizer}, {"scheduler", scheduler}, {"epoch", epoch}};
  save_checkpoint(file, written);

  Run run(1);
  const std::string text = refusal(file, run);
  contains(text,
           "run.safetensors: the parts of the checkpoint are not those to be loaded; nothing was loaded:");
  contains(text, "missing in the file: batches");
  contains(text, "optimizer: AdamW in the file, Adam here");
  contains(text, "scheduler: LinearLR in the file, StepLR here");
  contains(text, "epoch: text in the file, whole number here");

  const Checkpoint model_alone{{"model", run.model}};
  const auto before = run.everything();
  CHECK_THROWS_WITH_AS(load_checkpoint(file, model_alone), doctest::Contains("in the file only: optimizer"),
                       Error);
  const auto load_model = [&] { load_checkpoint(file, model_alone, {.strict = false}); };
  CHECK_THROWS_WITH_AS(load_model(),
                       doctest::Contains("part 'model': load_state_dict: the state dict does not"), Error);
  CHECK(same(run.everything(), before));

  optim::AdamW of_one_layer(parameters(run.model.first));
  CHECK_THROWS_WITH_AS(load_checkpoint(file, {{"optimizer", of_one_layer}}, {.strict = false}),
                       doctest::Contains("shape"), Error);
}

TEST_CASE("checkpoint: the last part's failure leaves the first ones alone") {
  const TemporaryFolder folder;
  const std::string file = folder / "run.safetensors";
  Run run(1), other(2);
  run.step();
  const auto with = [&](const std::string& name, const Tensor& value) {
    save_checkpoint(file, run.checkpoint);
    StateDict tensors = load(file);
    const Metadata notes = load_metadata(file);
    if (value.defined())
      tensors[name] = value;
    else
      tensors.erase(name);
    save(tensors, file, notes);
    return refusal(file, other);
  };
  contains(with("counts", ones({2})), "part 'counts': damaged; expected one int64 list");
  contains(with("epoch", tensor({std::int64_t{1} << 40}).view({})),
           "the type of the variable here cannot hold");
  contains(with("flag", Tensor()), "part 'flag': damaged");
  contains(with("random.seed", Tensor()), "part 'random'");
  contains(with("random.seed", scalar_tensor(1.5)), "part 'random'");
  contains(with("batches.batch", scalar_tensor(-3)), "part 'batches': DataLoader: epoch 0, batch -3");
  contains(with("batches.batch_size", scalar_tensor(4)),
           "batch 2 of an epoch of 10 examples in batches of 4, here are 10 in batches of 3");
  contains(with("batches.seed", Tensor()), "no whole number 'seed'");
  contains(with("scheduler.count", scalar_tensor(-1)), "count is -1");
  contains(with("scheduler.count", scalar_tensor(std::numeric_limits<std::int64_t>::max())),
           "StepLR::load_state_dict: count is 9.22337e+18; it must be a whole number from 0 to 2^53");
  contains(with("scheduler.base_lrs", ones({2}, {.dtype = float64})), "of 2 parameter groups");
  contains(with("optimizer.groups.0.lr", scalar_tensor(-1.0, {.dtype = float64})), "lr is -1");
  for (const double step : {0.0, 1.5, -1.0, 1e300, std::numeric_limits<double>::quiet_NaN()})
    contains(with("optimizer.state.0.step", scalar_tensor(step, {.dtype = float64})), "state.0.step is ");
  contains(with("batches.epoch", scalar_tensor(std::int64_t{1} << 60)), "is not a position to resume at");
  contains(with("model.second.bias", ones({4})), "second.bias: the model has [3], the state dict [4]");
}

TEST_CASE("checkpoint: not strict, what is in both is loaded and the rest is listed") {
  const TemporaryFolder folder;
  const std::string file = folder / "run.safetensors";
  Run run(1), other(2);
  run.epoch = 4;
  save_checkpoint(file, run.checkpoint);
  double new_number = 3;
  const LoadReport report = load_checkpoint(
      file, {{"model", other.model}, {"epoch", other.epoch}, {"new", new_number}}, {.strict = false});
  CHECK(report.missing == std::vector<std::string>{"new"});
  CHECK(report.unexpected.size() == 10);
  CHECK(new_number == 3);
  CHECK(other.epoch == 4);
  CHECK(identical(other.model.first.weight.detach(), run.model.first.weight.detach()));
}

TEST_CASE("checkpoint: a new epoch may have other batches") {
  const TemporaryFolder folder;
  const std::string file = folder / "run.safetensors";
  const data::TensorDataset examples(arange(10));
  data::DataLoader threes(examples, {.batch_size = 3, .seed = 1}),
      fives(examples, {.batch_size = 5, .seed = 2});
  for ([[maybe_unused]] auto& batch : threes) {
  }
  save_checkpoint(file, {{"batches", threes}});
  load_checkpoint(file, {{"batches", fives}});
  CHECK(fives.position() == threes.position());
}

TEST_CASE("checkpoint: names are given once and do not look like paths") {
  int a = 0, b = 0;
  CHECK_THROWS_WITH_AS((Checkpoint{{"a", a}, {"a", b}}), doctest::Contains("the name 'a' is taken"), Error);
  CHECK_THROWS_WITH_AS((Checkpoint{{"random", a}}), doctest::Contains("'random' is taken"), Error);
  CHECK_THROWS_WITH_AS((Checkpoint{{"a.b", a}}), doctest::Contains("named 'a.b'"), Error);
  CHECK_THROWS_WITH_AS((Checkpoint{{"", a}}), doctest::Contains("must not be empty"), Error);
}

}  // namespace
}  // namespace miniparallel

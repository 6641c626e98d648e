// Runs examples/mnist as its users do, on a tiny data set.

#include <miniparallel/data.h>
#include <miniparallel/io.h>
#include <miniparallel/ops.h>

#include "tests/programs/check_precisions.h"
#include "tests/programs/run_mnist.h"

#include <doctest/doctest.h>
#include <expat.h>
#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <filesystem>

namespace miniparallel {
namespace {

using testing::Arguments;
using testing::Json;
using testing::TinyData;

ChildResult mnist(const Arguments& arguments, bool text = false) {
  return testing::run_mnist(MINIPARALLEL_MNIST, arguments, text);
}

Json train(const TinyData& data, const Arguments& more) {
  return testing::train_mnist(MINIPARALLEL_MNIST, data,
                              testing::joined({"--model", "mlp", "--batch-size", "16"}, more));
}

void forget_times(Json& result) {
  for (Json& epoch : result["epochs"]) {
    for (const char* part : {"train", "test"}) epoch[part].erase("seconds");
  }
  result["test"].erase("seconds");
}

TEST_CASE("mnist: --help teaches every option") {
  const ChildResult help = mnist({"--help"});
  CHECK(help.status == 0);
  for (const char* option :
       {"--data", "--epochs", "--batch-size", "--model", "--optimizer", "--lr", "--precision", "--workers",
        "--seed", "--save", "--load", "--resume", "--plot", "--log-dir", "--gpus", "--json", "Examples:"}) {
    CHECK_MESSAGE(help.output.find(option) != std::string::npos, option);
  }
}

TEST_CASE("mnist: .ci/mnist answers --help and a misspelt option before it installs or builds") {
  const testing::TemporaryFolder tree;  // where it could do neither
  const std::filesystem::path source = MINIPARALLEL_SOURCE;
  for (const char* file : {".ci/mnist", ".ci/step", "examples/mnist/help.txt"}) {
    create_directories((tree.path() / file).parent_path());
    copy_file(source / file, tree.path() / file);
  }
  const std::string script = tree / ".ci/mnist";
  const ChildResult help = run_child({script, "--epochs", "1", "--help"});
  CHECK(help.status == 0);
  CHECK(help.output == mnist({"--help"}).output);

  const ChildResult misspelt = testing::run_mnist(script.c_str(), {"--epochs=1", "--modle", "mlp"}, true);
  CHECK(misspelt.status == 2);
  CHECK(misspelt.output == "mnist: there is no option --modle; .ci/mnist --help lists them\n");
}

TEST_CASE("mnist: trains, reports JSON, and one seed gives one result") {
  const TinyData data;
  Json result = train(data, {"--epochs", "2", "--workers", "2"});
  CHECK(result["parameters"] == 535'818);
  CHECK(result["data"]["folder"] == data.path().string());
  REQUIRE(result["epochs"].size() == 2);
  CHECK(result["epochs"][0]["train"]["images"] == 40);
  CHECK(result["epochs"][1]["train"]["loss"] < result["epochs"][0]["train"]["loss"]);
  CHECK(result["test"]["images"] == 20);
  CHECK(result["test"]["classes"].size() == 10);
  CHECK(result["test"]["classes"][3]["images"] == 2);

  Json again = train(data, {"--epochs", "2", "--workers", "0"});
  forget_times(result);
  forget_times(again);
  CHECK(result == again);
  CHECK(train(data, {"--epochs", "2", "--seed", "2"})["test"]["loss"] != result["test"]["loss"]);
}

TEST_CASE("mnist: in 16 bits the losses are near those of float32; TF32 changes nothing on a CPU") {
  const TinyData data;
  const auto loss = [&](const char* precision) {
    const Json result = train(data, {"--epochs", "2", "--precision", precision});
    CHECK(result["precision"] == precision);
    return result["test"]["loss"].get<double>();
  };
  miniparallel::testing::check_precisions(loss, 0.02);
  CHECK(mnist({"--precision", "int8"}, true).output.find("--precision") != std::string::npos);
}

TEST_CASE("mnist: what is saved can be loaded and gives the same result") {
  const TinyData data;
  const std::string file = data / "weights.safetensors";
  const Json trained = train(data, {"--epochs", "1", "--save", file});
  const Json loaded = train(data, {"--epochs", "0", "--load", file});
  CHECK(loaded["test"]["loss"] == trained["test"]["loss"]);
  CHECK(loaded["epochs"].empty());
  const StateDict weights = load(file);
  CHECK(weights.size() == 6);
  CHECK(weights.at("fc1.weight").shape() == Shape{512, 784});

  const ChildResult wrong =
      mnist({"--data", data.path(), "--epochs", "0", "--model", "cnn", "--load", file}, true);
  CHECK(wrong.status == 1);
  CHECK(wrong.output.find("conv1.weight") != std::string::npos);
  CHECK(wrong.output.find("strict") == std::string::npos);  // which is for programs, not for their users
  save({{"a", ones({1})}}, file);
  const ChildResult other =
      mnist({"--data", data.path(), "--epochs", "0", "--model", "mlp", "--load", file}, true);
  CHECK(other.status == 1);
  CHECK(other.output.find("--load: " + file + " is not of --model mlp") != std::string::npos);
  CHECK(other.output.find("strict") == std::string::npos);
  const ChildResult no_checkpoint =
      mnist({"--data", data.path(), "--epochs", "1", "--model", "mlp", "--resume", file}, true);
  CHECK(no_checkpoint.status == 1);
  CHECK(no_checkpoint.output.find("--resume: " + file + " is not a checkpoint of this program") !=
        std::string::npos);
}

TEST_CASE("mnist: outputs that cannot be written are found before the training") {
  const TinyData data;
  std::filesystem::create_directory(data / "folder");
  for (const std::string option : {"--save", "--plot", "--resume"}) {
    for (const std::string& file : {std::string("/nope/x"), (data / "folder").string()}) {
      INFO(option, " ", file);
      const ChildResult result = mnist({"--data", data.path(), "--model", "mlp", option, file}, true);
      CHECK(result.status == 1);
      // NOLINTNEXTLINE: one short message
      CHECK(result.output.find("mnist: " + option + ": " + file + " cannot be written: ") == 0);
      CHECK(result.output.find("epoch") == std::string::npos);
    }
  }
  const ChildResult log = mnist({"--data", data.path(), "--model", "mlp", "--log-dir", "/proc/x"}, true);
  CHECK(log.status == 1);
  CHECK(log.output.find("epoch") == std::string::npos);
  const ChildResult json = run_child({"/bin/sh", "-c", "exec \"$0\" \"$@\" >/dev/full", MINIPARALLEL_MNIST,
                                      "--data", data.path(), "--model", "mlp", "--epochs", "0", "--json"});
  CHECK(json.status == 1);
  CHECK(std::distance(std::filesystem::directory_iterator(data.path()), {}) == 5);  // nothing is left over
}

TEST_CASE("mnist: without curl it says so, and Fashion-MNIST is called by its name") {
  const testing::TemporaryFolder empty;
  if (data::is_mnist_dir("/usr/share/datasets/mnist") || !data::is_mnist_dir(data::fashion_mnist_dir()))
    return;
  const ChildResult result = testing::run_mnist(
      MINIPARALLEL_MNIST, {"--epochs", "0", "--model", "mlp"}, true,
      {"-u", "MNIST_DIR", "-C", empty.path(), "PATH=/nowhere", "XDG_CACHE_HOME=" + empty.path().string()});
  CHECK(result.status == 0);
  CHECK(result.output.find("curl, which would download it, is not installed") != std::string::npos);
  CHECK(result.output.find("this is Fashion-MNIST in") != std::string::npos);
  CHECK(result.output.find("Fashion-MNIST in /usr/share") != std::string::npos);
}

/// Runs the program and sends it Ctrl-C once it has written `sign`; its exit status and all its text.
ChildResult interrupt(const Arguments& arguments, const std::string& sign) {
  std::vector<char*> pointers{const_cast<char*>(MINIPARALLEL_MNIST)};
  for (const std::string& argument : arguments) pointers.push_back(const_cast<char*>(argument.c_str()));
  pointers.push_back(nullptr);
  int ends[2];
  REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO);
  pid_t child = 0;
  REQUIRE(::posix_spawn(&child, pointers[0], &actions, nullptr, pointers.data(), environ) == 0);
  ::posix_spawn_file_actions_destroy(&actions);
  ::close(ends[1]);
  std::string output;
  char buffer[4096];
  bool sent = false;
  for (ssize_t count; (count = ::read(ends[0], buffer, sizeof buffer)) > 0;) {
    output.append(buffer, static_cast<std::size_t>(count));
    if (!sent && output.find(sign) != std::string::npos) sent = ::kill(child, SIGINT) == 0;
  }
  ::close(ends[0]);
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  return {WEXITSTATUS(status), output};
}

TEST_CASE("mnist: interrupted and resumed it gives the same numbers as in one go") {
  const testing::TemporaryFolder data;
  testing::write_mnist_split(data.path(), "train", 800, true);
  testing::write_mnist_split(data.path(), "t10k", 20, false);
  const std::string file = data / "run.safetensors";
  const auto arguments = [&](const Arguments& more) {
    return testing::joined(
        {"--data", data.path(), "--model", "mlp", "--batch-size", "16", "--epochs", "2", "--workers", "2"},
        more);
  };
  Json straight = Json::parse(mnist(arguments({"--json", "--plot", data / "straight.svg"})).output);

  // In the first epoch and, resumed, in the second.
  for (const char* sign : {"epoch 1/2  20 %", "epoch 2/2  50 %"}) {
    const ChildResult stopped = interrupt(arguments({"--resume", file}), sign);
    CHECK(stopped.status == 130);
    CHECK(stopped.output.find("mnist: interrupted; the same command continues from " + file) !=
          std::string::npos);
    CHECK(load(file).at("batches.batch").item() > 0);
  }
  const ChildResult finished = mnist(arguments({"--json", "--resume", file, "--plot", data / "resumed.svg"}));
  REQUIRE(finished.status == 0);
  Json resumed = Json::parse(finished.output);
  CHECK(resumed["epochs"].size() == 2);
  CHECK(load(file).at("batches.epoch").item() == 2);
  forget_times(straight);
  forget_times(resumed);
  CHECK(resumed == straight);
  CHECK(testing::read_text(data / "resumed.svg") == testing::read_text(data / "straight.svg"));

  // A run that is complete is only tested.
  Json again = Json::parse(mnist(arguments({"--json", "--resume", file})).output);
  forget_times(again);
  CHECK(again == straight);

  const ChildResult other = mnist(arguments({"--resume", file, "--lr", "0.5"}), true);
  CHECK(other.status == 1);
  CHECK(other.output.find("give the same options, or another file") != std::string::npos);
}

/// What an SVG file holds; reading it checks that it is well-formed XML.
struct Picture {
  std::map<std::string, int> count;                ///< of each element
  std::map<std::string, std::vector<int>> points;  ///< of the polylines, by class
  std::vector<std::string> images;                 ///< where they come from
  std::string text;

  explicit Picture(const std::filesystem::path& path) {
    const std::string file = testing::read_text(path);
    const std::unique_ptr<XML_ParserStruct, void (*)(XML_Parser)> parser(XML_ParserCreate(nullptr),
                                                                         XML_ParserFree);
    XML_SetUserData(parser.get(), this);
    XML_SetStartElementHandler(parser.get(), [](void* self, const char* name, const char** attributes) {
      static_cast<Picture*>(self)->add(name, attributes);
    });
    XML_SetCharacterDataHandler(parser.get(), [](void* self, const char* part, int length) {
      static_cast<Picture*>(self)->text.append(part, static_cast<std::size_t>(length));
    });
    const auto status = XML_Parse(parser.get(), file.data(), static_cast<int>(file.size()), true);
    CHECK_MESSAGE(status == XML_STATUS_OK, XML_ErrorString(XML_GetErrorCode(parser.get())));
  }

 private:
  void add(const std::string& name, const char** attributes) {
    std::map<std::string, std::string> values;
    for (; attributes[0] != nullptr; attributes += 2) values[attributes[0]] = attributes[1];
    ++count[name];
    if (name == "polyline") {
      const std::string& list = values.at("points");
      points[values.at("class")].push_back(static_cast<int>(std::count(list.begin(), list.end(), ',')));
    }
    if (name == "image") images.push_back(values.at("href"));
  }
};

TEST_CASE("mnist: --plot draws the curves and the worst mistakes") {
  const TinyData data;
  const Json result = train(data, {"--epochs", "3", "--plot", data / "plot.svg"});
  const Picture plot(data / "plot.svg");
  // The legend has two points for each curve; 40 images are three batches an epoch.
  CHECK(plot.points.at("batches") == std::vector{2, 9});
  CHECK(plot.points.at("train") == std::vector{2, 3, 2, 3});
  CHECK(plot.points.at("test") == std::vector{2, 3, 2, 3});

  const double wrong = 20 * (1 - result["test"]["accuracy"].get<double>());
  CHECK(plot.images.size() == std::lround(wrong));
  for (const std::string& image : plot.images)
    CHECK(image.rfind("data:image/png;base64,iVBORw0KGgo", 0) == 0);
  for (const char* words :
       {"mlp on MNIST", "Loss", "Accuracy", "epoch", " %", "true: ", "predicted: ", " % sure"})
    CHECK_MESSAGE(plot.text.find(words) != std::string::npos, words);

  train(data, {"--epochs", "0", "--plot", data / "test_only.svg"});
  CHECK(Picture(data / "test_only.svg").points.empty());
  const ChildResult nowhere =
      mnist({"--data", data.path(), "--epochs", "0", "--plot", "/none/plot.svg"}, true);
  CHECK(nowhere.status == 1);
  CHECK(nowhere.output.find("--plot: /none/plot.svg cannot be written") != std::string::npos);
}

TEST_CASE("mnist: a picture may have a name as long as they get") {
  const TinyData data;
  train(data, {"--epochs", "0", "--plot", data / (std::string(251, 'p') + ".svg")});
  CHECK(Picture(data / (std::string(251, 'p') + ".svg")).count.at("svg") == 1);
}

TEST_CASE("mnist: --log-dir writes an event file") {
  const TinyData data;
  train(data, {"--epochs", "2", "--log-dir", data / "runs"});
  const std::filesystem::directory_iterator files(data / "runs");
  REQUIRE(files != end(files));
  const std::string log = testing::read_text(files->path());
  for (const char* tag : {"batch/loss", "batch/learning rate", "loss/train", "loss/test", "accuracy/train",
                          "accuracy/test", "fc1.weight", "fc3.bias", "worst mistakes"})
    CHECK_MESSAGE(log.find(tag) != std::string::npos, tag);
}

TEST_CASE("mnist: every optimizer and the CNN run") {
  const TinyData data;
  for (const char* optimizer : {"sgd", "adam", "adamw"}) {
    const Json result = train(data, {"--epochs", "1", "--optimizer", optimizer});
    CHECK(result["optimizer"] == optimizer);
    CHECK(result["test"]["loss"].is_number());
  }
  const ChildResult cnn = mnist({"--data", data.path(), "--epochs", "1"}, true);
  CHECK(cnn.status == 0);
  CHECK(cnn.output.find("1199882 parameters") != std::string::npos);
  CHECK(cnn.output.find("epoch 1/1 100 %") != std::string::npos);
  CHECK(cnn.output.find("images/s") != std::string::npos);
  CHECK(cnn.output.find('\r') == std::string::npos);  // no redrawing where it is no terminal
  CHECK(cnn.output.find("most often taken for") != std::string::npos);
}

/// What the program writes to a terminal of this width.
std::string in_terminal(Arguments command, unsigned short columns) {
  std::vector<char*> pointers;
  for (std::string& argument : command) pointers.push_back(argument.data());
  pointers.push_back(nullptr);
  const winsize size{.ws_row = 24, .ws_col = columns, .ws_xpixel = 0, .ws_ypixel = 0};
  int terminal = -1;
  const pid_t child = ::forkpty(&terminal, nullptr, nullptr, &size);
  REQUIRE(child >= 0);
  if (child == 0) {
    ::execv(pointers[0], pointers.data());
    ::_exit(127);
  }
  std::string output;
  char buffer[4096];
  for (ssize_t count; (count = ::read(terminal, buffer, sizeof buffer)) > 0;)
    output.append(buffer, static_cast<std::size_t>(count));
  ::close(terminal);
  int status = 0;
  CHECK(::waitpid(child, &status, 0) == child);
  CHECK(status == 0);
  return output;
}

TEST_CASE("mnist: on a terminal one line is redrawn, which fits and makes place for the summary") {
  const TinyData data;
  const std::string wipe = "\r\033[K";
  for (const unsigned short columns : {40, 80, 200}) {
    const std::string output = in_terminal(
        {MINIPARALLEL_MNIST, "--data", data.path(), "--model", "mlp", "--epochs", "1", "--batch-size", "10"},
        columns);
    const auto first = output.find(wipe), last = output.rfind(wipe);
    REQUIRE(first < last);
    for (auto at = first; at != last;) {
      const auto begin = at + wipe.size();
      at = output.find(wipe, begin);
      const std::string line = output.substr(begin, at - begin);
      CHECK(line.size() < columns);
      CHECK(line.find('\n') == std::string::npos);
      CHECK((line.find("==>") != std::string::npos || line.find("==]") != std::string::npos) ==
            (columns >= 80));
    }
    CHECK(output.compare(last + wipe.size(), 10, "epoch 1/1:") == 0);
  }
}

TEST_CASE("mnist: mistakes of the user are explained") {
  const testing::TemporaryFolder nothing;
  const ChildResult no_data = mnist({"--data", nothing.path()}, true);
  CHECK(no_data.status == 1);
  CHECK(no_data.output.find("mnist: Mnist: neither train-images-idx3-ubyte") != std::string::npos);
  const ChildResult no_model = mnist({"--model", "transformer"}, true);
  CHECK(no_model.status != 0);
  CHECK(no_model.output.find("--model") != std::string::npos);
  CHECK(mnist({"--epochs", "-1"}).status != 0);
  CHECK(mnist({"--lr", "0"}).status != 0);
  for (const char* value : {"-1", "nan", "inf", "fast"}) {
    const ChildResult rate = mnist({"--lr", value}, true);
    CHECK(rate.status != 0);
    CHECK(rate.output.find(std::string("--lr: got ") + value + "; it must be above 0") == 0);
    CHECK(rate.output.size() < 120);
  }
  for (const char* option : {"--epochs", "--batch-size", "--workers"})
    CHECK(mnist({option, "-1"}, true).output.find(std::string(option) + ": got -1; it must be ") == 0);
}

}  // namespace
}  // namespace miniparallel

#include <miniparallel/error.h>
#include <miniparallel/io.h>
#include <miniparallel/miniparallel.h>

#include "tests/support/temporary_folder.h"

#include <doctest/doctest.h>

namespace miniparallel {
namespace {

using testing::read_text;
using testing::TemporaryFolder;
using testing::write_text;

std::string golden(const std::string& name) {
  return (std::filesystem::path(MINIPARALLEL_TEST_DATA) / "safetensors" / name).string();
}

TEST_CASE("save and load: a file written by Python, every dtype") {
  const StateDict tensors = load(golden("dtypes.safetensors"));
  REQUIRE(tensors.size() == 10);
  const std::vector<double> values = {0, 1, -2.5, 3, 0.15625, 1024};
  for (const char* name : {"float32", "float16", "bfloat16"}) {
    CHECK(tensors.at(name).shape() == Shape{2, 3});
    CHECK(tensors.at(name).to_vector<double>() == values);
  }
  CHECK(tensors.at("float16").dtype() == float16);
  CHECK(tensors.at("bfloat16").dtype() == bfloat16);
  CHECK(tensors.at("float64").to_vector<double>()[2] == -2.5 / 3);
  CHECK(tensors.at("int64").to_vector<std::int64_t>() ==
        std::vector<std::int64_t>{-(1LL << 62), -1, 1LL << 62});
  CHECK(tensors.at("int32").shape() == Shape{2, 1});
  CHECK(tensors.at("int32").to_vector<std::int64_t>() ==
        std::vector<std::int64_t>{-(1LL << 31), (1LL << 31) - 1});
  CHECK(tensors.at("uint8").to_vector<int>() == std::vector<int>{0, 127, 255});
  CHECK(tensors.at("bool").to_vector<int>() == std::vector<int>{1, 0, 1});
  CHECK(tensors.at("scalar").dim() == 0);
  CHECK(tensors.at("scalar").item() == 7);
  CHECK(tensors.at("empty").shape() == Shape{0, 4});
  CHECK(load_metadata(golden("dtypes.safetensors")) == Metadata{{"format", "pt"}});
}

TEST_CASE("save and load: what is written equals Python's file byte for byte") {
  const TemporaryFolder folder;
  for (const std::string name : {"dtypes.safetensors", "names.safetensors", "empty.safetensors"}) {
    const std::string path = folder / name;
    save(load(golden(name)), path, load_metadata(golden(name)));
    CHECK(read_text(path) == read_text(golden(name)));
  }
}

TEST_CASE("save and load: views are saved as they look, files are loaded as copies") {
  const TemporaryFolder folder;
  const std::string path = folder / "view.safetensors";
  const Tensor base = arange(12, {.dtype = float32}).view({3, 4});
  save({{"t", base.t()}, {"column", base.select(1, 2)}}, path);
  const StateDict read = load(path);
  CHECK(read.at("t").shape() == Shape{4, 3});
  CHECK(read.at("t").to_vector<float>() == base.t().to_vector<float>());
  CHECK(read.at("column").to_vector<float>() == std::vector<float>{2, 6, 10});
}

TEST_CASE("save and load: a file cut off at any byte is an error") {
  const TemporaryFolder folder;
  const std::string whole = read_text(golden("dtypes.safetensors")), path = folder / "cut.safetensors";
  for (std::size_t size = 0; size < whole.size(); ++size) {
    write_text(path, whole.substr(0, size));
    CHECK_THROWS_WITH_AS(load(path), doctest::Contains("cut.safetensors"), Error);
  }
  write_text(path, whole + "x");
  CHECK_THROWS_WITH_AS(load(path), doctest::Contains("bytes of data follow the header"), Error);
}

TEST_CASE("save and load: a bool is 0 or 1 whatever the file holds") {
  const TemporaryFolder folder;
  std::string bytes = read_text(golden("dtypes.safetensors"));
  bytes.back() = '\x80';
  write_text(folder / "bool.safetensors", bytes);
  const Tensor loaded = load(folder / "bool.safetensors").at("bool");
  CHECK(static_cast<int>(*reinterpret_cast<const unsigned char*>(loaded.data<bool>() + 2)) == 1);
}

TEST_CASE("save: what cannot be saved is refused and leaves the old file") {
  const TemporaryFolder folder;
  const std::string path = folder / "model.safetensors";
  save({{"a", ones({2})}}, path);
  const std::string old = read_text(path);
  CHECK_THROWS_WITH_AS(save({{"a", Tensor()}}, path), doctest::Contains("'a' is undefined"), Error);
  CHECK_THROWS_WITH_AS(save({{"__metadata__", ones({2})}}, path), doctest::Contains("__metadata__"), Error);
  CHECK_THROWS_WITH_AS(save({{"\xff", ones({2})}}, path), doctest::Contains("not UTF-8"), Error);
  CHECK_THROWS_WITH_AS(save({{"a", ones({2})}}, folder / "none/x"), doctest::Contains("No such file"), Error);
  CHECK(read_text(path) == old);
  CHECK_THROWS_WITH_AS(load(folder / "none"), doctest::Contains("No such file"), Error);
}

/// As a language model whose output layer has the weights of its embedding.
struct TiedNet {
  nn::Parameter embedding{randn({4, 3})};
  nn::Parameter head = embedding;
  nn::Linear body{3, 3};
};

std::vector<std::string> names_in(const std::string& path) {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : load(path)) names.push_back(name);
  return names;
}

TEST_CASE("save: tied tensors are written once, under the first name; load: any of the names will do") {
  const TemporaryFolder folder;
  const std::string path = folder / "tied.safetensors";
  TiedNet net;
  save(net, path);
  CHECK(names_in(path) == std::vector<std::string>{"body.bias", "body.weight", "embedding"});
  CHECK(state_dict(net).size() == 4);
  TiedNet other;
  const LoadReport report = load(other, path);
  CHECK(report.missing.empty());
  CHECK(equal(other.head.detach(), net.embedding.detach()));

  // Files with the other name (Hugging Face chooses its own), and with both, as
  // PyTorch's state_dict has them.
  StateDict state = load(path);
  state["head"] = state.at("embedding");
  save(state, path);
  TiedNet both;
  load(both, path);
  CHECK(equal(both.embedding.detach(), net.embedding.detach()));
  state.erase("embedding");
  save(state, path);
  TiedNet third;
  load(third, path);
  CHECK(equal(third.embedding.detach(), net.embedding.detach()));

  state["embedding"] = zeros({4, 3});
  save(state, path);
  CHECK_THROWS_WITH_AS(load(third, path), doctest::Contains("of another value"), Error);
  CHECK_THROWS_WITH_AS(load(third, path), doctest::Contains("tied.safetensors: load_state_dict: "), Error);
  CHECK(equal(third.embedding.detach(), net.embedding.detach()));
}

TEST_CASE("load: a file that holds a part of a model, or more, with strict = false") {
  const TemporaryFolder folder;
  const std::string path = folder / "part.safetensors";
  save({{"body.bias", full({3}, 7.0)}, {"extra", ones({1})}}, path);
  TiedNet net;
  CHECK_THROWS_WITH_AS(load(net, path), doctest::Contains("strict = false"), Error);
  const LoadReport report = load(net, path, {.strict = false});
  CHECK(report.missing == std::vector<std::string>{"embedding", "head", "body.weight"});
  CHECK(report.unexpected == std::vector<std::string>{"extra"});
  CHECK(net.body.bias.to_vector<double>() == std::vector<double>{7, 7, 7});
}

}  // namespace
}  // namespace miniparallel

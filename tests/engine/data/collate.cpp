#include <miniparallel/data/collate.h>

#include <miniparallel/error.h>

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <optional>
#include <unordered_map>

namespace elsewhere {

/// A type with a rule of its own: sentences of different length are padded.
struct Sentence {
  std::vector<std::int64_t> words;
};

inline miniparallel::Tensor collate(const std::vector<Sentence>& sentences) {
  std::size_t longest = 0;
  for (const auto& sentence : sentences) longest = std::max(longest, sentence.words.size());
  std::vector<std::int64_t> words;
  for (auto sentence : sentences) {
    sentence.words.resize(longest, -1);
    words.insert(words.end(), sentence.words.begin(), sentence.words.end());
  }
  return miniparallel::tensor(words, {std::ssize(sentences), static_cast<std::int64_t>(longest)});
}

}  // namespace elsewhere

namespace miniparallel::data {
namespace {

using Integers = std::vector<std::int64_t>;

struct Pair {
  Tensor image, target;
};
struct Labelled {
  Tensor image;
  int label;
  std::string name;
};
struct Nested {
  std::pair<float, bool> flags;
  std::array<Pair, 2> views;
};

TEST_CASE("collate: tensors are stacked, numbers and strings listed") {
  const Tensor stacked = collate(std::vector{tensor({1.0, 2.0}), tensor({3.0, 4.0})});
  CHECK(stacked.shape() == Shape{2, 2});
  CHECK(stacked.to_vector<int>() == std::vector<int>{1, 2, 3, 4});
  CHECK(collate(std::vector<int>{3, 4}).dtype() == int64);
  CHECK(collate(std::vector<std::uint8_t>{3, 255}).to_vector<std::int64_t>() == Integers{3, 255});
  CHECK(collate(std::vector<float>{0.5F}).dtype() == float32);
  CHECK(collate(std::vector<double>{0.5}).dtype() == float64);
  CHECK(collate(std::vector<bool>{true, false}).dtype() == boolean);
  CHECK(collate(std::vector<bool>{true, false}).to_vector<int>() == std::vector<int>{1, 0});
  CHECK(collate(std::vector<std::string>{"a", "b"}) == std::vector<std::string>{"a", "b"});
}

TEST_CASE("collate: structs of tensors stay what they are, others become tuples") {
  const Pair pair = collate(std::vector<Pair>{{ones({2}), zeros({1})}, {ones({2}), zeros({1})}});
  CHECK(pair.image.shape() == Shape{2, 2});
  CHECK(pair.target.shape() == Shape{2, 1});

  auto [images, labels, names] =
      collate(std::vector<Labelled>{{ones({3}), 7, "a"}, {ones({3}), 8, "b"}, {ones({3}), 9, "c"}});
  CHECK(images.shape() == Shape{3, 3});
  CHECK(labels.to_vector<std::int64_t>() == Integers{7, 8, 9});
  CHECK(names == std::vector<std::string>{"a", "b", "c"});
}

TEST_CASE("collate: nested types") {
  const Nested example{{0.5F, true}, {Pair{ones({2}), ones({1})}, Pair{zeros({4}), ones({1})}}};
  auto [flags, views] = collate(std::vector{example, example, example});
  CHECK(flags.first.shape() == Shape{3});
  CHECK(flags.second.dtype() == boolean);
  CHECK(views[1].image.shape() == Shape{3, 4});

  auto [number, pieces] = collate(std::vector<std::tuple<int, std::vector<Tensor>>>{
      {1, {ones({2}), ones({3})}}, {2, {ones({2}), ones({3})}}});
  CHECK(number.shape() == Shape{2});
  CHECK(pieces.at(1).shape() == Shape{2, 3});
}

TEST_CASE("collate: maps and optionals are joined by key and where they hold a value") {
  using Example = std::map<std::string, std::optional<int>>;
  const std::map<std::string, std::optional<Tensor>> batch =
      collate(std::vector<Example>{{{"a", 1}, {"b", std::nullopt}}, {{"b", std::nullopt}, {"a", 2}}});
  CHECK(batch.at("a")->to_vector<std::int64_t>() == Integers{1, 2});
  CHECK_FALSE(batch.at("b").has_value());
  const std::unordered_map<int, Tensor> views = collate(std::vector<std::unordered_map<int, Tensor>>{
      {{0, ones({2})}, {9, ones({3})}}, {{9, ones({3})}, {0, ones({2})}}});
  CHECK(views.at(9).shape() == Shape{2, 3});
}

TEST_CASE("collate: a struct that holds a struct of tensors stays what it is too") {
  struct Views {
    Pair first;
    std::vector<Tensor> others;
  };
  const Views batch = collate(std::vector<Views>{{{ones({2}), ones({1})}, {}}, {{ones({2}), ones({1})}, {}}});
  CHECK(batch.first.image.shape() == Shape{2, 2});
}

TEST_CASE("collate: no examples make an empty batch, except of tensors") {
  const auto [number, list] = collate(std::vector<std::pair<int, std::vector<float>>>{});
  CHECK(number.shape() == Shape{0});
  CHECK(list.empty());
  CHECK(collate(std::vector<std::map<int, int>>{}).empty());
  CHECK_THROWS_AS(collate(std::vector<Tensor>{}), Error);
}

std::string error_of(auto&& examples) {
  try {
    collate(examples);
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing was thrown";
}

TEST_CASE("collate: examples that do not fit together are an error that tells where") {
  using Parts = std::pair<int, std::vector<Tensor>>;
  CHECK(error_of(std::vector<Parts>{{1, {ones({2})}}, {2, {ones({2}), ones({2})}}}) ==
        "collate: examples 0 and 1 differ at [1]: 1 and 2 elements; they must have the same structure");
  CHECK(error_of(std::vector<std::map<std::string, int>>{{{"a", 1}}, {{"a", 1}}, {{"b", 1}}}) ==
        "collate: examples 0 and 2 differ: only one has the element [\"a\"]; they must have the same "
        "structure");
  CHECK(error_of(std::vector<std::optional<int>>{1, std::nullopt}) ==
        "collate: examples 0 and 1 differ: one holds a value, the other none; they must have the same "
        "structure");
  const std::string shapes = error_of(std::vector<Pair>{{ones({2}), zeros({1})}, {ones({2}), zeros({3})}});
  CHECK(shapes.find("stack: ") == 0);
  CHECK(shapes.find("\n  when collate joined target of the examples") != std::string::npos);
}

TEST_CASE("collate: a type's own rule is found, also inside others") {
  const std::vector<elsewhere::Sentence> sentences = {{{1, 2, 3}}, {{4}}};
  CHECK(collate(sentences).to_vector<std::int64_t>() == Integers{1, 2, 3, 4, -1, -1});
  auto [words, labels] = collate(std::vector<std::pair<elsewhere::Sentence, int>>{{{{1}}, 0}, {{{2, 3}}, 1}});
  CHECK(words.shape() == Shape{2, 2});
}

}  // namespace
}  // namespace miniparallel::data

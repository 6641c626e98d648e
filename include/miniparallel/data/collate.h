#pragma once

#include <miniparallel/model/field_tie.h>
#include <miniparallel/ops.h>
#include <miniparallel/tensor.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace miniparallel::data {

/// Joins examples to a batch: tensors are stacked along a new dimension 0; numbers become a tensor of one
/// dimension (whole numbers int64, bool boolean, float and double as they are); strings a vector; pairs,
/// tuples, arrays and vectors are joined member by member. Overload it in the namespace of a type of your own
/// for another rule.
template <class Example>
auto collate(std::vector<Example> examples);

namespace detail {

template <class T>
struct Collate;

template <class T>
using Collated = decltype(collate(std::declval<std::vector<T>>()));

template <>
struct Collate<Tensor> {
  static Tensor join(std::vector<Tensor> examples) { return stack(examples); }
};

template <class T>
  requires std::is_arithmetic_v<T>
struct Collate<T> {
  using Stored = std::conditional_t<std::is_integral_v<T> && !std::is_same_v<T, bool>, std::int64_t, T>;
  static Tensor join(const std::vector<T>& examples) {
    Tensor joined = empty({static_cast<std::int64_t>(examples.size())}, {.dtype = dtype_of<Stored>});
    std::copy(examples.begin(), examples.end(), joined.data<Stored>());
    return joined;
  }
};

template <>
struct Collate<std::string> {
  static std::vector<std::string> join(std::vector<std::string> examples) { return examples; }
};

/// The values that `member` picks from each example, joined.
template <class Example, class Member>
auto join_member(std::vector<Example>& examples, Member&& member) {
  std::vector<std::remove_cvref_t<decltype(member(examples[0]))>> values;
  values.reserve(examples.size());
  for (Example& example : examples) values.push_back(std::move(member(example)));
  return collate(std::move(values));
}

/// Picks element `i` of a tuple. (nvcc expands no pack that is named inside a lambda.)
template <std::size_t i>
struct Element {
  auto& operator()(auto& example) const { return std::get<i>(example); }
};

template <class... T>
struct Collate<std::tuple<T...>> {
  static auto join(std::vector<std::tuple<T...>> examples) {
    return [&]<std::size_t... i>(std::index_sequence<i...>) {
      return std::tuple{join_member(examples, Element<i>{})...};
    }(std::index_sequence_for<T...>{});
  }
};

template <class First, class Second>
struct Collate<std::pair<First, Second>> {
  static auto join(std::vector<std::pair<First, Second>> examples) {
    return std::pair{join_member(examples, [](auto& example) -> auto& { return example.first; }),
                     join_member(examples, [](auto& example) -> auto& { return example.second; })};
  }
};

template <class T, std::size_t size>
struct Collate<std::array<T, size>> {
  static auto join(std::vector<std::array<T, size>> examples) {
    std::array<Collated<T>, size> joined;
    for (std::size_t i = 0; i < size; ++i) {
      joined[i] = join_member(examples, [i](auto& example) -> auto& { return example[i]; });
    }
    return joined;
  }
};

template <class T>
struct Collate<std::vector<T>> {
  static auto join(std::vector<std::vector<T>> examples) {
    std::vector<Collated<T>> joined(examples.empty() ? 0 : examples[0].size());
    for (std::size_t i = 0; i < joined.size(); ++i) {
      joined[i] = join_member(examples, [i](auto& example) -> auto& { return example.at(i); });
    }
    return joined;
  }
};

/// Plain structs.
template <class T>
  requires(std::is_aggregate_v<T>)
struct Collate<T> {
  static auto join(std::vector<T> examples) {
    constexpr auto count = static_cast<std::size_t>(reflect::initialiser_count<T>);
    return [&]<std::size_t... i>(std::index_sequence<i...>) {
      return gather(join_member(examples, [](T& example) -> auto& { return member<i>(example); })...);
    }(std::make_index_sequence<count>{});
  }

 private:
  template <std::size_t i>
  static auto& member(T& example) {
    return reflect::with_members_of_aggregate(
        example, [](auto&... members) -> auto& { return std::get<i>(std::tie(members...)); });
  }

  template <class... Members>
  static auto gather(Members... members) {
    if constexpr ((std::is_same_v<Members, Tensor> && ...)) {
      return T{std::move(members)...};
    } else {
      return std::tuple{std::move(members)...};
    }
  }
};

}  // namespace detail

template <class Example>
auto collate(std::vector<Example> examples) {
  return detail::Collate<Example>::join(std::move(examples));
}

}  // namespace miniparallel::data

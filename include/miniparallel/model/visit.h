#pragma once

#include <miniparallel/model/containers.h>
#include <miniparallel/model/members.h>
#include <miniparallel/model/plain.h>

#include <cstddef>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

namespace miniparallel {

namespace reflect {

/// A type that the visitor takes as it is, or that walks through its own parts.
template <class T, class Visitor>
concept IsLeaf = requires(T& object, Visitor& visitor) { visitor.leaf(object); };
template <class T, class Visitor>
concept VisitsItsParts = requires(T& object, Visitor& visitor) { object.visit_parts(visitor); };

/// Walks depth first through all that `object` consists of:
///
///   visitor.leaf(x)                   for each type that the visitor takes
///   visitor.enter(name) ... leave()   around a named member or element
///   visitor.begin(x) ... end()        around the members of a struct
///
/// A type with a member function `visit_parts(visitor)` is visited by that.
template <class T, class Visitor>
void visit(T& object, Visitor& visitor) {
  static_assert(!std::is_const_v<T> || is_plain<std::remove_const_t<T>>,
                "miniparallel: layers and tensors in a model must not be const members");
  const auto visit_part = [&visitor]<class Part>(const PartName& name, const Places<Part>& part) {
    if constexpr (!is_plain<std::remove_const_t<Part>>) {
      PartName::Digits digits;
      const std::string_view text = name.text(digits);
      if (!text.empty()) visitor.enter(text);
      reflect::visit(part[0], visitor);
      if (!text.empty()) visitor.leave();
    }
  };
  if constexpr (IsLeaf<T, Visitor>) {
    visitor.leaf(object);
  } else if constexpr (VisitsItsParts<T, Visitor>) {
    object.visit_parts(visitor);
  } else if constexpr (IsContainer<T>) {
    static_assert(
        Container<T>::keeps_order,
        "miniparallel: the elements of an unordered_map have no lasting order, by which parameters could "
        "be told apart; make it a std::map");
    Container<T>::zip(Places<T>(object), visit_part);
  } else if constexpr (!is_plain<std::remove_const_t<T>>) {
    visitor.begin(object);
    zip_members(Places<T>(object), visit_part);
    visitor.end();
  }
}

/// A type that the rule takes as it is.
template <class T, class Rule>
concept IsLeafOf =
    requires(Rule& rule, const Places<T>& places, const Path& path) { rule.leaf(places, path); };

namespace detail {

/// Tells rule.differ where the containers at `places` do not hold corresponding elements.
template <class T, class Rule>
void check_structure(const Places<T>& places, const Path& path, Rule& rule) {
  if constexpr (requires { rule.differ(path, std::size_t{}, std::string()); })
    for (std::size_t i = 1; i < places.size(); ++i)
      if (const std::string why = Container<std::remove_const_t<T>>::difference(places[0], places[i]);
          !why.empty())
        rule.differ(path, i, why);
}

}  // namespace detail

/// Walks through several values of one type side by side, depth first:
///
///   rule.leaf(places, path)      for each type that the rule takes
///   rule.differ(path, i, why)    where containers of values 0 and i do not correspond; must throw. A rule
///                                for single values needs none
template <class T, class Rule>
void zip(const Places<T>& places, const Path& path, Rule& rule) {
  const auto zip_part = [&]<class Part>(const PartName& name, const Places<Part>& part) {
    reflect::zip(part, Path(path, name), rule);
  };
  if constexpr (IsLeafOf<T, Rule>) {
    rule.leaf(places, path);
  } else if constexpr (IsContainer<std::remove_const_t<T>>) {
    detail::check_structure(places, path, rule);
    Container<std::remove_const_t<T>>::zip(places, zip_part);
  } else {
    zip_members(places, zip_part);
  }
}

template <class T, class Rule>
auto join(const Places<T>& places, const Path& path, Rule& rule);

namespace detail {

template <class T, class Rule>
struct JoinPart {
  const Path& path;
  Rule& rule;
  template <class Part>
  auto operator()(const PartName& name, const Places<Part>& part) const {
    return reflect::join(part, Path(path, name), rule);
  }
};

/// The type that the members of T become: T where all keep their types, else a tuple.
template <class T, class... Joined, class... Member>
auto struct_of(std::tuple<Member&...>*)
    -> std::conditional_t<(std::is_same_v<Joined, std::remove_const_t<Member>> && ...), T,
                          std::tuple<Joined...>>;

template <class T, class F, std::size_t... i>
auto join_members(const Places<T>& places, const F& f, std::index_sequence<i...>) {
  using Struct = std::remove_const_t<T>;
  [[maybe_unused]] static constexpr auto names = names_of_members<Struct>();
  using Made = decltype(struct_of<Struct, decltype(f(PartName::none(), Places(places, AtMember<i>{})))...>(
      static_cast<Members<T>*>(nullptr)));
  if constexpr (Access::lists_members<Struct>() && std::is_same_v<Made, Struct>) {
    // Its members are not all known: the first value gives the others.
    std::tuple<std::remove_const_t<std::remove_reference_t<std::tuple_element_t<i, Members<T>>>>...> joined{
        f(PartName::member(names[i]), Places(places, AtMember<i>{}))...};
    Made made = places.take(0);
    ((std::get<i>(members_of(made)) = std::move(std::get<i>(joined))), ...);
    return made;
  } else {
    return Made{f(PartName::member(names[i]), Places(places, AtMember<i>{}))...};
  }
}

}  // namespace detail

/// Makes one value of several of one type, part by part: rule.leaf(places, path) makes one of each type that
/// the rule takes. Containers and structs keep their types as far as the leaves do; a struct of which a
/// member becomes something else becomes a tuple. rule.differ as above.
template <class T, class Rule>
auto join(const Places<T>& places, const Path& path, Rule& rule) {
  using Value = std::remove_const_t<T>;
  const detail::JoinPart<T, Rule> join_part{path, rule};
  if constexpr (IsLeafOf<T, Rule>) {
    return rule.leaf(places, path);
  } else if constexpr (IsContainer<Value>) {
    detail::check_structure(places, path, rule);
    return Container<Value>::join(places, join_part);
  } else if constexpr (knows_members<Value>()) {
    return detail::join_members(places, join_part,
                                std::make_index_sequence<std::tuple_size_v<detail::Members<T>>>());
  } else {
    return Value(places.take(0));  // the compiler has complained
  }
}

namespace detail {

struct CopyRule {
  template <class T>
    requires(is_plain<std::remove_const_t<T>> || Access::lists_members<std::remove_const_t<T>>() ||
             !(IsContainer<std::remove_const_t<T>> || std::is_aggregate_v<T>))
  std::remove_const_t<T> leaf(const Places<T>& places, const Path&) {
    static_assert(
        std::is_copy_constructible_v<T>,
        "miniparallel: a class that lists its members by MINIPARALLEL_MEMBERS needs a copy constructor "
        "to be cloned or replicated");
    return places[0];
  }
};

}  // namespace detail

/// A copy of `object` made member by member, so that it works for unique_ptr too. Leaves and classes that are
/// not aggregates are copied by their copy constructor.
template <class T>
T copy(const T& object) {
  detail::CopyRule rule;
  return reflect::join(Places<const T>(object), Path(), rule);
}

}  // namespace reflect
}  // namespace miniparallel

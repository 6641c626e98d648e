#pragma once

#include <miniparallel/model/containers.h>
#include <miniparallel/model/members.h>
#include <miniparallel/model/plain.h>

#include <concepts>
#include <string>
#include <string_view>
#include <type_traits>

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
  const auto visit_named = [&visitor](std::string_view name, auto& element) {
    if constexpr (!is_plain<std::remove_cvref_t<decltype(element)>>) {
      if (!name.empty()) visitor.enter(name);
      reflect::visit(element, visitor);
      if (!name.empty()) visitor.leave();
    }
  };
  if constexpr (IsLeaf<T, Visitor>) {
    visitor.leaf(object);
  } else if constexpr (VisitsItsParts<T, Visitor>) {
    object.visit_parts(visitor);
  } else if constexpr (IsContainer<T>) {
    Container<T>::each(object, visit_named);
  } else if constexpr (!is_plain<std::remove_const_t<T>>) {
    visitor.begin(object);
    for_each_member(object, visit_named);
    visitor.end();
  }
}

/// A copy of `object` made member by member, so that it works for unique_ptr too. Leaves and classes that are
/// no aggregates are copied by their copy constructor.
template <class T>
T copy(const T& object) {
  const auto copy_part = [](const auto& part) { return reflect::copy(part); };
  if constexpr (IsContainer<T> && !is_plain<T>) {
    return Container<T>::copy(object, copy_part);
  } else if constexpr (std::is_aggregate_v<T> && !is_plain<T> && !Access::lists_members<T>()) {
    return with_members_of_aggregate(object, [&](const auto&... member) { return T{copy_part(member)...}; });
  } else {
    static_assert(
        std::is_copy_constructible_v<T>,
        "miniparallel: a class that lists its members by MINIPARALLEL_MEMBERS needs a copy constructor "
        "to be cloned or replicated");
    return object;
  }
}

}  // namespace reflect
}  // namespace miniparallel

#pragma once

#include <miniparallel/model/plain.h>

#include <cstddef>
#include <type_traits>
#include <utility>

/// How many members an aggregate has: the largest number of initialisers its braces accept. Brace elision and
/// base classes make that number differ from the number of members, so both are detected, as are the members
/// that cannot be reached by a reference.
namespace miniparallel::reflect {

/// Most members that one struct may have; more need MINIPARALLEL_MEMBERS or a nested struct.
inline constexpr int max_members = 64;

namespace detail {

/// Stands for an initialiser of any type. Never called; clang wants a body where T is local to a function.
struct Anything {
  template <class T>
  operator T() const {
    __builtin_unreachable();
  }
};

/// Stands for an initialiser that only a base class of `Derived` accepts.
template <class Derived>
struct AnyBaseOf {
  template <class T>
    requires(std::is_base_of_v<T, Derived> && !std::is_same_v<T, Derived>)
  operator T() const;
};

/// Likewise, for members that are references too.
struct AnyObject {
  template <class T>
  operator T&() const;
};

/// Stands for an initialiser that only a union accepts.
struct AnyUnion {
  template <class T>
    requires(std::is_union_v<T> && !is_plain<T>)
  operator T() const;
};

template <std::size_t>
using AnythingAt = Anything;
template <std::size_t>
using AnyObjectAt = AnyObject;

template <int count>
using Times = std::make_index_sequence<static_cast<std::size_t>(count)>;

template <class T, std::size_t... i>
constexpr bool accepts(std::index_sequence<i...>) {
  return requires { T{AnythingAt<i>{}...}; };
}

template <class T, std::size_t... i>
constexpr bool accepts_objects(std::index_sequence<i...>) {
  return requires { T{AnyObjectAt<i>{}...}; };
}

/// Whether T{*..., a union, *...} is valid.
template <class T, std::size_t... before, std::size_t... after>
constexpr bool accepts_union(std::index_sequence<before...>, std::index_sequence<after...>) {
  return requires { T{AnythingAt<before>{}..., AnyUnion{}, AnythingAt<after>{}...}; };
}

/// Whether T{first, *...} with `rest` unspecified initialisers is valid.
template <class T, class First, std::size_t... rest>
constexpr bool accepts_first(std::index_sequence<rest...>) {
  return requires { T{First{}, AnythingAt<rest>{}...}; };
}

/// Whether T{*..., {*...}, *...} is valid.
template <class T, std::size_t... before, std::size_t... nested, std::size_t... after>
constexpr bool accepts_nested(std::index_sequence<before...>, std::index_sequence<nested...>,
                              std::index_sequence<after...>) {
  return requires { T{AnythingAt<before>{}..., {AnythingAt<nested>{}...}, AnythingAt<after>{}...}; };
}

/// The accepted numbers of initialisers run from the last member that needs one to the last member. A C array
/// of layers makes a hole, its size: the braces take all of its elements or none. So the search continues,
/// for a while, or to the end where the struct seems to have no member and is not empty.
template <class T, int candidate = 0, int last = -1>
constexpr int count_initialisers() {
  constexpr int found = accepts<T>(Times<candidate>{}) ? candidate : last;
  constexpr int longest_hole = found == -1 || (found == 0 && !std::is_empty_v<T>) ? max_members : 16;
  if constexpr (candidate == max_members + 1 || candidate - found > longest_hole) {
    return found > max_members ? -1 : found;
  } else {
    return count_initialisers<T, candidate + 1, found>();
  }
}

template <class T, int count, int at, int nested>
constexpr bool takes_one_slot = accepts_nested<T>(Times<at>{}, Times<nested>{}, Times<count - at - 1>{});

/// An array of n elements takes n initialisers by brace elision: braces around exactly n of them fill it.
template <class T, int count, int at, int size>
constexpr bool is_array_of_at_least() {
  if constexpr (at + size > count) {
    return false;
  } else if constexpr (accepts_nested<T>(Times<at>{}, Times<size>{}, Times<count - at - size>{}) &&
                       !accepts_nested<T>(Times<at>{}, Times<size>{}, Times<count - at - size + 1>{})) {
    return true;
  } else {
    return is_array_of_at_least<T, count, at, size + 1>();
  }
}

/// Most members show in one or two questions that they are not arrays; the search is for the others. (One
/// question after another: asking too much of a vector of unique_ptr instantiates its copy constructor.)
template <class T, int count, int at>
constexpr bool is_array_at() {
  bool array = false;
  if constexpr (!takes_one_slot<T, count, at, 0>) {
    if constexpr (!takes_one_slot<T, count, at, 2>) array = is_array_of_at_least<T, count, at, 2>();
  }
  return array;
}

template <class T, int count, std::size_t... at>
constexpr bool any_array(std::index_sequence<at...>) {
  return (is_array_at<T, count, static_cast<int>(at)>() || ...);
}

template <class T, int count, std::size_t... at>
constexpr bool any_union(std::index_sequence<at...>) {
  return (accepts_union<T>(Times<static_cast<int>(at)>{}, Times<count - static_cast<int>(at) - 1>{}) || ...);
}

template <class T, std::size_t... n>
constexpr bool any_count_of_objects(std::index_sequence<n...>) {
  return (accepts_objects<T>(std::make_index_sequence<n>{}) || ...);
}

}  // namespace detail

/// The number of initialisers T accepts, -1 if there is none up to max_members.
template <class T>
inline constexpr int initialiser_count = detail::count_initialisers<T>();

template <class T>
constexpr bool has_base_class() {
  constexpr int count = initialiser_count<T>;
  if constexpr (count < 1) {
    return false;
  } else {
    return detail::accepts_first<T, detail::AnyBaseOf<T>>(detail::Times<count - 1>{});
  }
}

/// Whether a member is a C array of two or more elements (one element does not disturb the count).
template <class T>
constexpr bool has_array_member() {
  constexpr int count = initialiser_count<T>;
  if constexpr (count < 2) {
    return false;
  } else {
    return detail::any_array<T, count>(detail::Times<count - 1>{});
  }
}

/// Whether a member is a union, named or anonymous, that is not declared plain.
template <class T>
constexpr bool has_union_member() {
  constexpr int count = initialiser_count<T>;
  if constexpr (count < 1) {
    return false;
  } else {
    return detail::any_union<T, count>(detail::Times<count>{});
  }
}

/// Whether T, which could not be counted, could be if its members were given by reference:
/// one is a reference.
template <class T>
constexpr bool needs_references() {
  return !detail::accepts<T>(detail::Times<max_members + 1>{}) &&
         detail::any_count_of_objects<T>(detail::Times<max_members + 1>{});
}

}  // namespace miniparallel::reflect

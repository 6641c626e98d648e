#pragma once

#include <miniparallel/model/check.h>
#include <miniparallel/model/field_names.h>
#include <miniparallel/model/path.h>
#include <miniparallel/model/places.h>

#include <array>
#include <cstddef>
#include <memory>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

/// Lists the members of a class by hand, for parts that reflection cannot see: a private part, a base class,
/// constructors. List them all, the plain ones too: a member left out is neither saved, trained nor moved, so
/// room for a layer or tensor that is not listed is a compile-time error. Write it
/// inside the class, anywhere:
///
///   class Net {
///     nn::Linear fc{8, 2};
///     int cache = 0;                 // small enough to be left out
///     MINIPARALLEL_MEMBERS(fc)
///    public: ...
///   };
#define MINIPARALLEL_MEMBERS(...)                                                                       \
  friend struct ::miniparallel::reflect::Access;                                                        \
  [[maybe_unused]] void miniparallel_lists_its_members() const {}                                       \
  [[maybe_unused]] auto miniparallel_members() { return ::miniparallel::reflect::listed(__VA_ARGS__); } \
  [[maybe_unused]] auto miniparallel_members() const {                                                  \
    return ::miniparallel::reflect::listed(__VA_ARGS__);                                                \
  }                                                                                                     \
  [[maybe_unused]] static constexpr ::std::string_view miniparallel_member_names() { return #__VA_ARGS__; }

namespace miniparallel::reflect {

/// References to members. Every translation unit meets those of every layer; as std::tuple, which `tuple`
/// makes of them where they are used, they would take a fifth of its time.
template <class... Member>
struct Listed {
  std::array<const volatile void*, sizeof...(Member)> places;

  std::tuple<Member&...> tuple() const {
    return [this]<std::size_t... i>(std::index_sequence<i...>) {
      return std::tuple<Member&...>(*static_cast<Member*>(const_cast<void*>(places[i]))...);
    }(std::index_sequence_for<Member...>());
  }
};
template <class... Member>
Listed<Member...> listed(Member&... member) {
  return {{std::addressof(member)...}};
}

/// Reaches what MINIPARALLEL_MEMBERS put into a class, also into its private part.
struct Access {
  /// Whether T itself has the list: one inherited from a base class would miss T's own members.
  template <class T>
  static constexpr bool lists_members() {
    if constexpr (requires { &T::miniparallel_lists_its_members; }) {
      return std::is_same_v<decltype(&T::miniparallel_lists_its_members), void (T::*)() const>;
    } else {
      return false;
    }
  }

  template <class T>
  static auto members(T& object) {
    return object.miniparallel_members().tuple();
  }

  template <class T>
  static constexpr std::string_view names() {
    return T::miniparallel_member_names();
  }
};

namespace detail {

/// Whether T has room for a handle, the smallest tensor or layer, besides the listed members, their padding
/// and the pointer of virtual functions.
template <class T, class... Member>
constexpr bool leaves_room(const std::tuple<Member&...>*) {
  constexpr std::size_t handle = 2 * sizeof(void*), alignment = alignof(T);
  const std::size_t padded = (((sizeof(Member) + alignment - 1) / alignment * alignment) + ... + 0);
  return sizeof(T) >= padded + handle + (std::is_polymorphic_v<T> ? sizeof(void*) : 0);
}

template <class T>
constexpr void check_list() {
  using Members = decltype(Access::members(std::declval<T&>()));
  static_assert(
      !leaves_room<T>(static_cast<const Members*>(nullptr)),
      "miniparallel: MINIPARALLEL_MEMBERS leaves out a part of this class that is large enough for a "
      "layer or a tensor, which would be neither trained nor saved; list every member, those that are "
      "plain (numbers, enums, strings, types declared by miniparallel::is_plain) too");
}

/// Cuts "conv1, fc" into its identifiers.
template <std::size_t count>
constexpr std::array<std::string_view, count> split_names(std::string_view list) {
  std::array<std::string_view, count> names;
  for (std::string_view& name : names) {
    const std::size_t comma = list.find(',');
    name = last_identifier(list.substr(0, comma));
    list.remove_prefix(comma == std::string_view::npos ? list.size() : comma + 1);
  }
  return names;
}

}  // namespace detail

/// References to all members of an object, as a tuple, in order of declaration or of MINIPARALLEL_MEMBERS.
template <class T>
constexpr auto members_of(T& object) {
  if constexpr (Access::lists_members<std::remove_const_t<T>>()) {
    return Access::members(object);
  } else {
    return with_members_of_aggregate(object, [](auto&... member) { return std::tie(member...); });
  }
}

/// Whether the members of T are known; a compile-time error where they are not.
template <class T>
constexpr bool knows_members() {
  if constexpr (Access::lists_members<T>()) {
    detail::check_list<T>();
    return true;
  } else {
    return detail::check_aggregate<T>();
  }
}

namespace detail {

template <class T>
using Members = decltype(members_of(std::declval<T&>()));

template <std::size_t i>
struct AtMember {
  auto& operator()(auto& object) const { return std::get<i>(members_of(object)); }
};

template <class T>
constexpr auto names_of_members() {
  if constexpr (Access::lists_members<T>()) {
    return split_names<std::tuple_size_v<Members<T>>>(Access::names<T>());
  } else {
    return member_names<T>;
  }
}

/// Calls f(name, places of the member) for each of the members i.
template <class T, class F, std::size_t... i>
void zip_members(const Places<T>& places, F& f, std::index_sequence<i...>) {
  [[maybe_unused]] static constexpr auto names = names_of_members<std::remove_const_t<T>>();
  (f(PartName::member(names[i]), Places(places, AtMember<i>{})), ...);
}

}  // namespace detail

/// Calls f(name, places of a member) for every member of the objects at `places`.
template <class T, class F>
void zip_members(const Places<T>& places, F&& f) {
  if constexpr (knows_members<std::remove_const_t<T>>())
    detail::zip_members(places, f, std::make_index_sequence<std::tuple_size_v<detail::Members<T>>>());
}

}  // namespace miniparallel::reflect

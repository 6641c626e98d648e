#pragma once

#include <miniparallel/model/check.h>
#include <miniparallel/model/field_names.h>

#include <string_view>
#include <tuple>
#include <type_traits>

/// Lists the members of a class by hand, for what reflection cannot see: a private part, a base class,
/// constructors. Write it inside the class, anywhere:
///
///   class Net {
///     nn::Linear fc{8, 2};
///     int cache = 0;                 // not listed: neither saved, trained nor moved
///     MINIPARALLEL_MEMBERS(fc)
///    public: ...
///   };
#define MINIPARALLEL_MEMBERS(...)                                                        \
  friend struct ::miniparallel::reflect::Access;                                         \
  [[maybe_unused]] void miniparallel_lists_its_members() const {}                        \
  [[maybe_unused]] auto miniparallel_members() { return ::std::tie(__VA_ARGS__); }       \
  [[maybe_unused]] auto miniparallel_members() const { return ::std::tie(__VA_ARGS__); } \
  [[maybe_unused]] static constexpr ::std::string_view miniparallel_member_names() { return #__VA_ARGS__; }

namespace miniparallel::reflect {

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
    return object.miniparallel_members();
  }

  template <class T>
  static constexpr std::string_view names() {
    return T::miniparallel_member_names();
  }
};

namespace detail {

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

/// Calls `visitor(name, member)` for every member, in order of declaration or of MINIPARALLEL_MEMBERS.
template <class T, class Visitor>
void for_each_member(T& object, Visitor&& visitor) {
  const auto visit_all = [&](const auto& names, auto&... member) {
    [[maybe_unused]] std::size_t i = 0;
    (visitor(names[i++], member), ...);
  };
  if constexpr (Access::lists_members<std::remove_const_t<T>>()) {
    std::apply(
        [&](auto&... member) {
          static constexpr auto names =
              detail::split_names<sizeof...(member)>(Access::names<std::remove_const_t<T>>());
          visit_all(names, member...);
        },
        Access::members(object));
  } else if constexpr (detail::check_aggregate<std::remove_const_t<T>>()) {
    with_members_of_aggregate(
        object, [&](auto&... member) { visit_all(member_names<std::remove_const_t<T>>, member...); });
  }
}

}  // namespace miniparallel::reflect

#pragma once

#include <miniparallel/model/field_tie.h>

#include <array>
#include <string_view>
#include <tuple>

/// The names of the members of an aggregate, read from the compiler's spelling of the address of a member.
namespace miniparallel::reflect {

namespace detail {

/// Room for a T that is never constructed: its members have addresses, and these have names. (A declared but
/// never defined object would do too, if compilers did not warn of it for types local to a function.)
template <class T>
union NeverConstructed {
  char nothing;
  T value;
  constexpr NeverConstructed() : nothing() {}
  constexpr ~NeverConstructed() {}  // NOLINT: a default one is deleted where T's does something
};
template <class T>
inline NeverConstructed<T> never_constructed;

/// A pointer to a subobject is only accepted inside a class type by clang 14.
template <class Member>
struct Address {
  Member* pointer;
};

template <class T>
constexpr auto addresses_of_members() {
  return with_members_of_aggregate(never_constructed<T>.value, [](auto&... member) {
    return std::tuple{Address<std::remove_reference_t<decltype(member)>>{&member}...};
  });
}

template <auto address>
constexpr const char* spell_address() {
  return __PRETTY_FUNCTION__;
}

template <class T>
constexpr const char* spell_type() {
  return __PRETTY_FUNCTION__;
}

constexpr bool is_identifier(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         static_cast<unsigned char>(c) >= 0x80;
}

/// The last identifier: "... Net::conv1))}]" and "... value.conv1}]" both end in the name and brackets.
constexpr std::string_view last_identifier(std::string_view text) {
  std::size_t end = text.size();
  while (end > 0 && !is_identifier(text[end - 1])) --end;
  std::size_t begin = end;
  while (begin > 0 && is_identifier(text[begin - 1])) --begin;
  return text.substr(begin, end - begin);
}

/// "foo::Net" of "... [T = foo::Net]" or "... [with T =
/// foo::Net]", without scopes and template arguments: "Net".
constexpr std::string_view short_type(std::string_view text) {
  text.remove_prefix(text.find("T = ") + 4);
  if (text.back() == ']') text.remove_suffix(1);
  text = text.substr(0, text.find('<'));
  return last_identifier(text);
}

template <class T>
struct MemberNames {
  static constexpr auto addresses = addresses_of_members<T>();
  static constexpr std::size_t count = std::tuple_size_v<decltype(addresses_of_members<T>())>;
  static constexpr auto value = []<std::size_t... i>(std::index_sequence<i...>) {
    return std::array<std::string_view, count>{last_identifier(spell_address<std::get<i>(addresses)>())...};
  }(std::make_index_sequence<count>{});
};

}  // namespace detail

/// Whether a member is a bit-field.
template <class T>
inline constexpr bool has_bit_field =
    std::is_same_v<decltype(detail::addresses_of_members<T>()), detail::BitFieldFound>;

/// Whether a member is a reference: its address is that of another object, and not constant.
template <class T>
inline constexpr bool has_reference_member =
    !requires { typename std::bool_constant<((void)detail::addresses_of_members<T>(), true)>; };

/// Names of the members of an aggregate, in order of declaration.
template <class T>
inline constexpr const auto& member_names = detail::MemberNames<T>::value;

/// The name of a type without namespaces: "Linear".
template <class T>
inline constexpr std::string_view type_name = detail::short_type(detail::spell_type<T>());

}  // namespace miniparallel::reflect

#pragma once

#include <miniparallel/require_cxx20.h>

#include <array>
#include <charconv>
#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace miniparallel::reflect {

/// The name of a part in the value that holds it. It refers to that value's own text.
class PartName {
 public:
  /// The part of an optional or a unique_ptr, which has the name of its holder.
  static PartName none() { return {}; }
  static PartName member(std::string_view name) { return PartName(Kind::member, name); }
  static PartName index(std::size_t i) { return PartName(Kind::number, {}, i); }
  /// The element of a map.
  template <class Key>
  static PartName key(const Key& key) {
    if constexpr (std::is_convertible_v<const Key&, std::string_view>) {
      return PartName(Kind::key, key);
    } else if constexpr (std::is_enum_v<Key>) {
      return PartName::key(static_cast<std::underlying_type_t<Key>>(key));
    } else {
      static_assert(
          std::is_integral_v<Key>,
          "miniparallel: the keys of a map of layers must be strings, integers or enums, and so must "
          "those of a map of tensors");
      if constexpr (std::is_signed_v<Key>)
        if (key < 0) return PartName(Kind::number, "-", 0 - static_cast<std::uint64_t>(key));
      return PartName(Kind::number, {}, static_cast<std::uint64_t>(key));
    }
  }

  using Digits = std::array<char, 24>;

  /// As in the keys of a state dict: "fc", "2".
  std::string text() const {
    Digits digits;
    return std::string(text(digits));
  }
  /// The same without an allocation: `digits` holds a number.
  std::string_view text(Digits& digits) const {
    if (kind_ != Kind::number) return text_;
    char* const begin = digits.data();
    char* const after_sign = begin + text_.copy(begin, 1);
    char* const end = std::to_chars(after_sign, begin + digits.size(), number_).ptr;
    return {begin, static_cast<std::size_t>(end - begin)};
  }
  /// As in an expression: ".fc", "[2]", `["left"]`.
  std::string selector() const {
    switch (kind_) {
      case Kind::none:
        return {};
      case Kind::member:
        return "." + text();
      case Kind::number:
        return "[" + text() + "]";
      case Kind::key:
        break;
    }
    return "[\"" + text() + "\"]";
  }

 private:
  enum class Kind { none, member, number, key };
  PartName() = default;
  PartName(Kind kind, std::string_view text, std::uint64_t number = 0)
      : kind_(kind), text_(text), number_(number) {}

  Kind kind_ = Kind::none;
  std::string_view text_;  // of a number its sign
  std::uint64_t number_ = 0;
};

/// The way from a value to one of its parts. A walk keeps it on the stack, one Path for each step, and
/// nothing is written until somebody asks for the text.
class Path {
 public:
  /// `root` is the name of the value; "" where it has none.
  explicit Path(std::string_view root = {}) : name_(PartName::member(root)) {}
  Path(const Path& whole, const PartName& name) : whole_(&whole), name_(name) {}
  Path(const Path&) = delete;  // its parts point to it
  Path& operator=(const Path&) = delete;

  /// `outputs.loss[2]`.
  std::string text() const {
    if (whole_ == nullptr) return name_.text();
    std::string text = whole_->text() + name_.selector();
    return text.starts_with('.') ? text.substr(1) : text;
  }
  /// As in the keys of a state dict: "blocks.2.fc".
  std::string state_key() const {
    std::string before = whole_ == nullptr ? std::string() : whole_->state_key(), name = name_.text();
    if (before.empty() || name.empty()) return before + name;
    return before + "." + name;
  }

 private:
  const Path* whole_ = nullptr;
  PartName name_;
};

}  // namespace miniparallel::reflect

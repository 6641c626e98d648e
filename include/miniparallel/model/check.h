#pragma once

#include <miniparallel/model/field_names.h>

/// Compile-time errors for what reflection cannot see, with the remedies. The compiler names the type: T, in
/// the line before or after.
#define MINIPARALLEL_LIST_MEMBERS                                                                          \
  "list the members that belong to the model by hand, MINIPARALLEL_MEMBERS(conv1, fc) inside the struct; " \
  "or, if the type holds no layer and no tensor, declare it plain: "                                       \
  "template <> inline constexpr bool miniparallel::is_plain<T> = true;"
#define MINIPARALLEL_ARRAY \
  "miniparallel: this struct has a C array as a member; make it a std::array, or " MINIPARALLEL_LIST_MEMBERS
#define MINIPARALLEL_REFERENCE                                         \
  "miniparallel: this struct has a reference member; make it a value " \
  "(tensors and layers are handles), or " MINIPARALLEL_LIST_MEMBERS

namespace miniparallel::reflect::detail {

/// Stands for an argument of any type but T: a class that takes one has a constructor.
template <class T>
struct AnyArgumentOf {
  template <class U>
    requires(!std::is_same_v<std::remove_cvref_t<U>, T>)
  operator U() const;
};

template <class T>
constexpr bool has_constructor() {
  using Any = AnyArgumentOf<T>;
  return std::is_constructible_v<T, Any> || std::is_constructible_v<T, Any, Any> ||
         std::is_constructible_v<T, Any, Any, Any> || std::is_constructible_v<T, Any, Any, Any, Any>;
}

/// Says why a type that is not an aggregate has no members to be found.
template <class T>
constexpr void explain_no_aggregate() {
  constexpr bool pointer = requires(T& object) { *object; };
  constexpr bool is_class = std::is_class_v<T> && !pointer;
  static_assert(
      !pointer,
      "miniparallel: a member is a pointer, and what it points to is not visited; hold the part as a "
      "value, in a std::unique_ptr or a std::optional, or " MINIPARALLEL_LIST_MEMBERS);
  if constexpr (is_class && std::is_polymorphic_v<T>) {
    static_assert(!is_class,
                  "miniparallel: this class has a virtual function, so its members cannot be "
                  "found; " MINIPARALLEL_LIST_MEMBERS);
  } else if constexpr (is_class && has_constructor<T>()) {
    static_assert(
        !is_class,
        "miniparallel: this class has a constructor, so its members cannot be found, and it is none "
        "of the containers (vector, array, optional, tuple, pair, map, "
        "unique_ptr); " MINIPARALLEL_LIST_MEMBERS);
  } else if constexpr (!pointer) {
    static_assert(
        !is_class,
        "miniparallel: this class has a constructor, a private or protected member or a private base "
        "class, so its members cannot be found; " MINIPARALLEL_LIST_MEMBERS);
    static_assert(is_class,
                  "miniparallel: a model, a batch or a member of one is neither a layer, a tensor, a struct, "
                  "a container "
                  "of these (vector, array, optional, tuple, pair, map, unique_ptr), an arithmetic type, an "
                  "enum nor a string: " MINIPARALLEL_LIST_MEMBERS);
  }
}

/// Whether the members of the aggregate T can be found. If not, this is a compile-time error, and false
/// keeps the compiler from reporting its consequences.
template <class T>
constexpr bool check_aggregate() {
  if constexpr (std::is_array_v<T>) {
    static_assert(!std::is_array_v<T>, MINIPARALLEL_ARRAY);
  } else if constexpr (!std::is_aggregate_v<T>) {
    explain_no_aggregate<T>();
  } else if constexpr (initialiser_count<T> < 0) {
    constexpr bool reference = needs_references<T>();
    static_assert(!reference, MINIPARALLEL_REFERENCE);
    static_assert(
        reference,
        "miniparallel: the members of this struct cannot be counted; it has more than 64, a C array "
        "among them counted by its elements, or one that braces cannot initialise; put some into a "
        "struct of their own, make an array a std::array, or " MINIPARALLEL_LIST_MEMBERS);
  } else {
    constexpr bool base = has_base_class<T>();
    constexpr bool array = has_array_member<T>();
    constexpr bool is_union = has_union_member<T>();
    static_assert(!base,
                  "miniparallel: the members of a struct with a base class cannot be found; make the "
                  "base a member, or " MINIPARALLEL_LIST_MEMBERS);
    static_assert(!array, MINIPARALLEL_ARRAY);
    static_assert(
        !is_union,
        "miniparallel: this struct has a union as a member, perhaps an anonymous one; make its parts "
        "members, or " MINIPARALLEL_LIST_MEMBERS);
    if constexpr (!base && !array && !is_union) {
      static_assert(
          !has_bit_field<T>,
          "miniparallel: this struct has a bit-field as a member; make it a whole number or a bool, "
          "or " MINIPARALLEL_LIST_MEMBERS);
      if constexpr (!has_bit_field<T>) {
        static_assert(!has_reference_member<T>, MINIPARALLEL_REFERENCE);
        return !has_reference_member<T>;
      }
    }
  }
  return false;
}

}  // namespace miniparallel::reflect::detail

#undef MINIPARALLEL_REFERENCE
#undef MINIPARALLEL_ARRAY
#undef MINIPARALLEL_LIST_MEMBERS

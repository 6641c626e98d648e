#pragma once

#include <miniparallel/model/field_names.h>

/// Compile-time errors for what reflection cannot see, with the remedies.
#define MINIPARALLEL_LIST_MEMBERS                                                                          \
  "list the members that belong to the model by hand, MINIPARALLEL_MEMBERS(conv1, fc) inside the struct; " \
  "or, if the type holds no layer and no tensor, declare it plain: "                                       \
  "template <> inline constexpr bool miniparallel::is_plain<T> = true;"
#define MINIPARALLEL_ARRAY \
  "miniparallel: this struct has a C array as a member; make it a std::array, or " MINIPARALLEL_LIST_MEMBERS

namespace miniparallel::reflect::detail {

/// Whether the members of the aggregate T can be found; what cannot is a compile-time error, and false keeps
/// the compiler from reporting what follows from it.
template <class T>
constexpr bool check_aggregate() {
  static_assert(
      std::is_aggregate_v<T>,
      "miniparallel: a model, a batch or a member of one is neither a layer, a tensor, an aggregate, a "
      "container of these (vector, array, optional, tuple, pair, map, unique_ptr), an arithmetic type, an "
      "enum nor a string: " MINIPARALLEL_LIST_MEMBERS);
  static_assert(!std::is_array_v<T>, MINIPARALLEL_ARRAY);
  if constexpr (std::is_aggregate_v<T> && !std::is_array_v<T>) {
    constexpr bool counted = initialiser_count<T> >= 0;
    constexpr bool base = has_base_class<T>();
    constexpr bool array = has_array_member<T>();
    static_assert(
        counted,
        "miniparallel: the members of this struct cannot be counted; it has a reference member, more "
        "than 64 members, or one that braces cannot initialise: " MINIPARALLEL_LIST_MEMBERS);
    static_assert(!base,
                  "miniparallel: the members of a struct with a base class cannot be found; make the "
                  "base a member, or " MINIPARALLEL_LIST_MEMBERS);
    static_assert(!array, MINIPARALLEL_ARRAY);
    if constexpr (counted && !base && !array) {
      static_assert(!has_reference_member<T>,
                    "miniparallel: this struct has a reference member; make it a value "
                    "(tensors and layers are handles), or " MINIPARALLEL_LIST_MEMBERS);
      return !has_reference_member<T>;
    }
  }
  return false;
}

}  // namespace miniparallel::reflect::detail

#undef MINIPARALLEL_ARRAY
#undef MINIPARALLEL_LIST_MEMBERS

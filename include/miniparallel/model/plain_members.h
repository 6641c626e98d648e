#pragma once

#include <miniparallel/model/inventory.h>

#include <concepts>
#include <string>
#include <type_traits>

namespace miniparallel::reflect {

/// Throws the `Error` of two models whose members at `path` do not correspond.
[[noreturn]] void fail_to_assign(const Path& path, const std::string& why);
/// Throws `Error` unless both tensors are undefined or have the same shape.
void check_same_shape(const Path& path, const Tensor& from, const Tensor& to);

/// What `assign_plain_members` does with the members at two places, the source's first.
struct PlainMemberRule {
  template <class T>
    requires(is_plain<std::remove_const_t<T>>)
  void leaf(const Places<T>& places, const Path&) {
    if constexpr (!std::is_const_v<T>) places[1] = std::as_const(places[0]);
  }
  /// A plain Tensor may be another one in each model.
  template <class T>
    requires std::derived_from<std::remove_const_t<T>, Tensor>
  void leaf(const Places<T>& places, const Path& path) {
    if constexpr (!std::same_as<std::remove_const_t<T>, Tensor>) check_same_shape(path, places[0], places[1]);
  }
  /// A class that does it itself, such as Sequential.
  template <class T>
    requires requires(T& object, const T& source, const Path& path) {
      object.assign_plain_parts(source, path);
    }
  void leaf(const Places<T>& places, const Path& path) {
    places[1].assign_plain_parts(places[0], path);
  }
  void differ(const Path& path, std::size_t, const std::string& why) { fail_to_assign(path, why); }
};

/// Gives the plain members of `to`, at any depth, the values of those of `from`: numbers, enums, strings,
/// options of layers, whether they train. Tensors stay as they are. Allocates nothing where strings and
/// vectors keep their sizes. Not seen: members that MINIPARALLEL_MEMBERS does not list, captures of
/// lambdas. Throws `Error`, naming the member, where the models do not have the same layers, or a Parameter
/// or Buffer has another shape.
template <class Model>
void assign_plain_members(const Model& from, Model& to, const Path& path = Path()) {
  PlainMemberRule rule;
  zip(Places<Model>(const_cast<Model&>(from), to), path, rule);  // NOLINT: the rule does not change the first
}

}  // namespace miniparallel::reflect

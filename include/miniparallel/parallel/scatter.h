#pragma once

#include <miniparallel/nested.h>
#include <miniparallel/parallel/chunks.h>
#include <miniparallel/parallel/device_list.h>
#include <miniparallel/parallel/replicated.h>
#include <miniparallel/tensor.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace miniparallel::parallel {

/// Which replicas run for a batch, in order, and the rows of each; no rows where no argument has any.
struct Division {
  std::vector<std::size_t> replicas;
  std::vector<std::int64_t> rows;
};
Division divide(std::optional<std::int64_t> rows, std::size_t replicas, const Split& split,
                std::int64_t min_rows);

/// The number of rows of a batch, of which every tensor must have the same.
class RowCount {
 public:
  /// `op` is named in errors; `dim` is the dimension of the rows, negative from the end.
  RowCount(const char* op, int dim) : op_(op), dim_(dim) {}
  /// Throws `Error` for a tensor without that dimension, and for one that disagrees; `name` tells which.
  void see(const Tensor& tensor, const std::string& name);
  std::optional<std::int64_t> rows() const { return rows_; }
  /// Where all of them are; nothing where that is on several devices, or where they need gradients.
  std::optional<Device> device() const { return device_; }

 private:
  const char* op_;
  int dim_;
  std::optional<std::int64_t> rows_;
  std::optional<Device> device_;
  std::string first_;  // which tensor told them
};

/// The number of rows of a tensor.
std::int64_t rows_of(const Tensor& tensor, int dim);

/// The rows of each replica that runs, as views of `tensor`: one node of the graph for all of them.
std::vector<Tensor> split_rows(const Tensor& tensor, const Division& division, int dim);

namespace detail {

// nested::for_each and nested::map that leave alone what is wrapped by `replicated`.

template <class F>
struct ForEachDividedRule : nested::detail::ForEachRule<F> {
  using Base = nested::detail::ForEachRule<F>;
  template <class T>
    requires(is_replicated<T> || reflect::IsLeafOf<T, Base>)
  void leaf(const reflect::Places<T>& places, const nested::Path& path) {
    if constexpr (!is_replicated<T>) Base::leaf(places, path);
  }
};
template <class Make>
struct DividedRule : nested::detail::TensorRule<Make> {
  using Base = nested::detail::TensorRule<Make>;
  template <class T>
    requires(is_replicated<T> || reflect::IsLeafOf<T, Base>)
  std::remove_const_t<T> leaf(const reflect::Places<T>& places, const nested::Path& path) {
    if constexpr (is_replicated<T>)
      return {nested::map(std::as_const(places[0].value), [](const Tensor& tensor) { return tensor; })};
    else
      return Base::leaf(places, path);
  }
};

template <class Value, class F>
void for_each_divided(const Value& value, F&& f, const nested::Path& root = nested::Path()) {
  ForEachDividedRule<F> rule{{f}};
  reflect::zip(reflect::Places<const Value>(value), root, rule);
}
template <class Value, class F>
auto map_divided(const Value& value, F&& f) {
  const auto make = [&f](const auto& places, const nested::Path&) {
    const Tensor& tensor = places[0];
    return tensor.defined() ? f(tensor) : tensor;
  };
  DividedRule<decltype(make)> rule{{make, {}}};
  return reflect::join(reflect::Places<const Value>(value), nested::Path(), rule);
}

}  // namespace detail

/// Shows `count` every tensor of `value` that is to be divided, under names that begin with `root`.
template <class Value>
void count_rows(RowCount& count, const Value& value, const nested::Path& root) {
  detail::for_each_divided(
      value, [&](const Tensor& tensor, const nested::Path& path) { count.see(tensor, path.text()); }, root);
}

/// The part of `value` that each replica gets, whose tensors still are where they were.
template <class Value>
auto split_parts(const Value& value, const Division& division, int dim) {
  std::vector<std::vector<Tensor>> chunks;  // of each tensor
  detail::for_each_divided(
      value, [&](const Tensor& tensor) { chunks.push_back(split_rows(tensor, division, dim)); });
  const auto part_of = [&](std::size_t i) {
    return detail::map_divided(
        value, [&, next = std::size_t{0}](const Tensor&) mutable { return chunks[next++][i]; });
  };
  std::vector<decltype(part_of(0))> parts;
  parts.reserve(division.replicas.size());
  for (std::size_t i = 0; i < division.replicas.size(); ++i) parts.push_back(part_of(i));
  return parts;
}

/// Calls send(i) for the i-th replica of `division`, the last one first, as work of that replica: gradients
/// of what all of them get are then summed in the replicas' order.
void send_each(const Division& division, const std::vector<Device>& devices,
               const std::function<void(std::size_t)>& send);

struct ScatterOptions {
  int dim = 0;  ///< of the rows; negative counts from the end
  Split split = Split::balanced;
  std::int64_t min_rows = 1;  ///< of a chunk; fewer devices get one where the batch is too small
};

/// Divides the tensors of `batch` - a tensor, or containers and plain structs of them - by rows and sends
/// each device its own: one batch of the same type for each device that gets rows, in the order of
/// `devices`. Rows that are on their device already are views. What is no tensor goes to every device,
/// and so does a tensor that is wrapped by `replicated`. Differentiable. Throws `Error` where tensors
/// disagree in their rows.
///
///   auto chunks = parallel::scatter(std::tuple(images, labels), {0, 1, 2});
template <class Batch>
std::vector<Batch> scatter(const Batch& batch, const DeviceList& devices,
                           const ScatterOptions& options = {}) {
  const std::vector<Device> places = devices.resolve("scatter");
  RowCount count("scatter", options.dim);
  count_rows(count, batch, nested::Path("batch"));
  const Division division = divide(count.rows(), places.size(), options.split, options.min_rows);
  std::vector<Batch> chunks = split_parts(batch, division, options.dim);
  send_each(division, places, [&](std::size_t i) {
    nested::for_each(chunks[i], [&](Tensor& tensor) { tensor = tensor.to(places[division.replicas[i]]); });
  });
  return chunks;
}

}  // namespace miniparallel::parallel

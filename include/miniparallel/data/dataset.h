#pragma once

#include <miniparallel/data/example_random.h>
#include <miniparallel/data/transforms.h>
#include <miniparallel/ops.h>
#include <miniparallel/tensor.h>

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace miniparallel::data {

template <class D>
concept HasGet = requires(const D& dataset, std::int64_t index) { dataset.get(index); };
template <class D>
concept HasRandomGet =
    requires(const D& dataset, std::int64_t index, RandomStream& random) { dataset.get(index, random); };
template <class D>
concept HasGetBatch =
    requires(const D& dataset, std::span<const std::int64_t> indices) { dataset.get_batch(indices); };

template <class D>
concept HasSize = requires(const D& dataset) {
  { dataset.size() } -> std::convertible_to<std::int64_t>;
};

/// The dataset that a DataLoader reads: any type with `size()` and one of
///
///   Example get(index) const                    one example: a tensor, a number, a struct or tuple of these
///   Example get(index, RandomStream&) const     the same with random numbers, for augmentation
///   Batch get_batch(indices) const              a whole batch at once, where that is faster
///
/// `get` and `get_batch` are called by several workers at the same time, each with its own index. The first
/// that the type has, from the last line up, is used. Random numbers come from the stream that `get` is
/// given: those of `rand` and its like would depend on which worker is first.
template <class D>
concept Dataset = (HasGet<D> || HasRandomGet<D> || HasGetBatch<D>) && HasSize<D>;

namespace detail {
/// A compile-time error that says what D lacks; a constraint would list all that was tried instead.
template <class D>
constexpr bool check_dataset() {
  static_assert(HasSize<D>,
                "miniparallel: this dataset has no size(); give it std::int64_t size() const, the number of "
                "examples (tensors become one by data::TensorDataset(images, labels))");
  static_assert(HasGet<D> || HasRandomGet<D> || HasGetBatch<D>,
                "miniparallel: this dataset has no get(); give it auto get(std::int64_t index) const, which "
                "returns one example: a tensor, a number, a struct or a tuple of these");
  return Dataset<D>;
}
/// Throws `Error` unless all tensors have dimensions and the same first size.
void check_first_sizes(std::span<const Tensor> tensors);
/// The sizes of parts that are `fractions` of `size` examples. Throws `Error` unless these add up to 1.
std::vector<std::int64_t> split_sizes(std::int64_t size, std::span<const double> fractions);
/// 0 .. size-1 in random order, cut into parts of these sizes. Throws `Error` unless they add up to `size`.
std::vector<std::vector<std::int64_t>> random_parts(std::int64_t size,
                                                    const std::vector<std::int64_t>& sizes);
}  // namespace detail

/// The rows of tensors that agree in their first size, else it throws `Error`: `TensorDataset(images,
/// labels)` gives `auto& [image, label]`.
template <std::size_t count>
class TensorDataset {
 public:
  using Batch = std::array<Tensor, count>;

  template <std::same_as<Tensor>... Tensors>
  explicit TensorDataset(Tensors... tensors) : tensors_{std::move(tensors)...} {
    detail::check_first_sizes(tensors_);
  }

  std::int64_t size() const { return tensors_[0].size(0); }
  Batch get(std::int64_t index) const {
    return map([&](const Tensor& tensor) { return tensor.select(0, index); });
  }
  Batch get_batch(std::span<const std::int64_t> indices) const {
    const Tensor rows = from_data(indices.data(), {static_cast<std::int64_t>(indices.size())}, int64);
    return map([&](const Tensor& tensor) { return index_select(tensor, 0, rows); });
  }
  const Batch& tensors() const { return tensors_; }

 private:
  template <class F>
  Batch map(F&& f) const {
    Batch result;
    for (std::size_t i = 0; i < count; ++i) result[i] = f(tensors_[i]);
    return result;
  }

  Batch tensors_;
};

template <std::same_as<Tensor>... Tensors>
TensorDataset(Tensors...) -> TensorDataset<sizeof...(Tensors)>;

/// A dataset whose examples went through `transform`, on the loader's workers: `transform(example)`, or
/// `transform(example, random)` where it takes a RandomStream&.
template <class D, class Transform>
class Transformed {
 public:
  Transformed(D dataset, Transform transform)
      : dataset_(std::move(dataset)), transform_(std::move(transform)) {}

  std::int64_t size() const { return dataset_.size(); }
  auto get(std::int64_t index, RandomStream& random) const {
    if constexpr (HasRandomGet<D>) {
      return apply_transform(transform_, dataset_.get(index, random), random);
    } else {
      return apply_transform(transform_, dataset_.get(index), random);
    }
  }

 private:
  D dataset_;
  Transform transform_;
};

/// The examples of `dataset` at `indices`, in that order: a part of it, or some of them several times. An
/// index that the dataset has not is an error of the dataset's when it is read.
template <class D>
class Subset {
 public:
  Subset(D dataset, std::vector<std::int64_t> indices)
      : dataset_(std::move(dataset)), indices_(std::move(indices)) {}

  std::int64_t size() const { return static_cast<std::int64_t>(indices_.size()); }
  auto get(std::int64_t index) const
    requires HasGet<D>
  {
    return dataset_.get(at(index));
  }
  auto get(std::int64_t index, RandomStream& random) const
    requires HasRandomGet<D>
  {
    return dataset_.get(at(index), random);
  }
  auto get_batch(std::span<const std::int64_t> indices) const
    requires HasGetBatch<D>
  {
    std::vector<std::int64_t> chosen;
    chosen.reserve(indices.size());
    for (const std::int64_t index : indices) chosen.push_back(at(index));
    return dataset_.get_batch(chosen);
  }

 private:
  std::int64_t at(std::int64_t index) const { return indices_.at(static_cast<std::size_t>(index)); }

  D dataset_;
  std::vector<std::int64_t> indices_;
};

/// The examples of one dataset after the other. They must be of one type: `Transformed` makes them so. An
/// index that it has not is an error of the last dataset's.
template <class First, class... More>
class ConcatDataset {
  template <class D>
  static constexpr bool gives_examples = HasSize<D> && (HasGet<D> || HasRandomGet<D>);
  static_assert(gives_examples<First> && (gives_examples<More> && ...),
                "miniparallel: ConcatDataset joins datasets, which have size() and get(index)");

 public:
  explicit ConcatDataset(First first, More... more) : datasets_(std::move(first), std::move(more)...) {}

  std::int64_t size() const {
    return std::apply([](const auto&... dataset) { return (std::int64_t{0} + ... + dataset.size()); },
                      datasets_);
  }
  auto get(std::int64_t index, RandomStream& random) const { return pick<0>(index, random); }

 private:
  template <class D>
  static auto example(const D& dataset, std::int64_t index, RandomStream& random) {
    if constexpr (HasRandomGet<D>) {
      return dataset.get(index, random);
    } else {
      return dataset.get(index);
    }
  }
  using Example = decltype(example(std::declval<const First&>(), 0, std::declval<RandomStream&>()));

  template <std::size_t i>
  Example pick(std::int64_t index, RandomStream& random) const {
    const auto& dataset = std::get<i>(datasets_);
    static_assert(
        std::is_same_v<Example, decltype(example(dataset, index, random))>,
        "miniparallel: the datasets of a ConcatDataset have examples of different types; bring them "
        "together with data::Transformed");
    if constexpr (i < sizeof...(More)) {
      if (index >= dataset.size()) return pick<i + 1>(index - dataset.size(), random);
    }
    return example(dataset, index, random);
  }

  std::tuple<First, More...> datasets_;
};

/// Cuts a dataset into parts at random, every example into one of them:
///
///   const auto [training, validation] = data::random_split(dataset, {0.8, 0.2});
///
/// `parts` are fractions that add up to 1 (what rounding leaves over goes to the first parts, one example to
/// each) or, as whole numbers, sizes that add up to that of the dataset; else it throws `Error`. The order is
/// drawn after `manual_seed`. The parts are copies of the dataset, which for tensors are handles.
template <class D, class T, std::size_t count>
  requires std::is_arithmetic_v<T>
std::array<Subset<D>, count> random_split(const D& dataset, const T (&parts)[count]) {
  std::vector<std::int64_t> sizes;
  if constexpr (std::is_floating_point_v<T>) {
    sizes = detail::split_sizes(dataset.size(), std::vector<double>(parts, parts + count));
  } else {
    sizes.assign(parts, parts + count);
  }
  auto indices = detail::random_parts(dataset.size(), sizes);
  return [&]<std::size_t... i>(std::index_sequence<i...>) {
    return std::array{Subset<D>(dataset, std::move(indices[i]))...};
  }(std::make_index_sequence<count>{});
}

}  // namespace miniparallel::data

#pragma once

#include <miniparallel/nested.h>
#include <miniparallel/parallel/options.h>
#include <miniparallel/parallel/replicate.h>
#include <miniparallel/parallel/replicated.h>
#include <miniparallel/parallel/scatter.h>
#include <miniparallel/parallel/speed_meter.h>

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace miniparallel::parallel {

struct RunOptions {
  BatchNormPolicy batch_norm = BatchNormPolicy::merge;
  SpeedMeter* speeds = nullptr;  ///< measures the forwards, where given
};

/// Runs forward(i) for the i-th replica of `division`, each on its device's thread - those of the first one's
/// device in the calling thread - and in the state that a replica needs: its parameters, whose refresh has
/// begun; the caller's grad mode, dtype, streams; the random numbers of its rows; its place in sums of
/// gradients. Before that send(i) is called for each in the calling thread, the last one first. When all have
/// ended finish() makes something of what they returned; then running statistics are merged and the random
/// state moves on. Of policy `sync` each replica but the first has a thread of its own.
///
/// Of several exceptions the lowest replica's is rethrown, an `Error` with a note of replica, device and
/// rows; then, and after an exception of `finish`, statistics and random state are as before the call.
void run_replicas(const ReplicaTensors& tensors, const Division& division, const RunOptions& options,
                  const std::function<void(std::size_t)>& send,
                  const std::function<void(std::size_t)>& forward, const std::function<void()>& finish);

/// Calls a model; what is done in replicas where nothing else is said.
struct CallModel {
  template <class Model, class... Parts>
  decltype(auto) operator()(Model& model, Parts&&... parts) const {
    return model(std::forward<Parts>(parts)...);
  }
};

/// call(model, the elements of the tuple `chunk`...), of `replicated` ones what they hold.
template <class Call, class Model, class Chunk>
decltype(auto) call_with(const Call& call, Model& model, Chunk& chunk) {
  return std::apply(
      [&](auto&... part) -> decltype(auto) { return call(model, std::move(unwrapped(part))...); }, chunk);
}

/// finish(the results, in order) of call_with(call, replica, chunk) in the replica of each chunk, a tuple of
/// arguments. The replicas' refresh must have begun. What is on a GPU is sent by this thread, before any
/// replica runs; what is on the host by each replica's.
template <class Model, class Call, class Chunk, class Finish = std::identity>
auto apply(Replicas<Model>& replicas, const Division& division, const RunOptions& options, const Call& call,
           std::vector<Chunk> chunks, const Finish& finish = {}) {
  using Result =
      std::remove_cvref_t<decltype(call_with(call, std::declval<Model&>(), std::declval<Chunk&>()))>;
  const auto send = [&](std::size_t i, bool from_host) {
    const Device device = replicas.devices()[division.replicas[i]];
    nested::for_each(chunks[i], [&](Tensor& tensor) {
      if (tensor.device().is_cpu() == from_host) tensor = tensor.to(device);
    });
  };
  std::vector<std::optional<Result>> results(chunks.size());
  std::optional<std::remove_cvref_t<decltype(finish(std::declval<std::vector<Result>>()))>> finished;
  run_replicas(
      replicas.tensors(), division, options, [&](std::size_t i) { send(i, false); },
      [&](std::size_t i) {
        send(i, true);
        results[i].emplace(call_with(call, replicas[division.replicas[i]], chunks[i]));
      },
      [&] {
        std::vector<Result> all;
        all.reserve(results.size());
        for (std::optional<Result>& result : results) all.push_back(std::move(*result));
        finished.emplace(finish(std::move(all)));
      });
  return std::move(*finished);
}

/// Counts the rows of chunk after chunk, each a part of one batch for the next replica.
class ChunkRows {
 public:
  /// Throws `Error` unless there are chunks and a replica for each.
  ChunkRows(std::size_t chunks, std::size_t replicas, int dim);
  template <class Chunk>
  void see(const Chunk& chunk) {
    RowCount count("parallel_apply", dim_);
    const std::string name = "chunk " + std::to_string(division_.replicas.size());
    count_rows(count, chunk, nested::Path(name));
    add(count.rows());
  }
  /// Which replica gets which rows; no rows where some chunk has none.
  const Division& division() const { return division_; }

 private:
  void add(std::optional<std::int64_t> rows);

  int dim_;
  Division division_;
};

template <class T>
inline constexpr bool is_tuple = false;
template <class... T>
inline constexpr bool is_tuple<std::tuple<T...>> = true;

struct ApplyOptions {
  int dim = 0;  ///< of the rows; negative counts from the end
  BatchNormPolicy batch_norm = BatchNormPolicy::merge;
};

/// Calls the first replica with the first chunk, the second with the second, ..., all at the same time, each
/// on its device; a chunk that is a tuple holds the arguments. Returns their results, in order. Replicas are
/// brought up to date first. Random numbers belong to rows and running statistics are merged, as in
/// `DataParallel`. Throws `Error` where there are more chunks than replicas; of several replicas that fail
/// the exception of the lowest.
template <class Model, class Chunk>
auto parallel_apply(Replicas<Model>& nets, std::vector<Chunk> chunks, const ApplyOptions& options = {}) {
  ChunkRows rows(chunks.size(), nets.size(), options.dim);
  for (const Chunk& chunk : chunks) rows.see(chunk);
  nets.begin_refresh(chunks.size());
  const RunOptions run{.batch_norm = options.batch_norm};
  if constexpr (is_tuple<Chunk>) {
    return apply(nets, rows.division(), run, CallModel(), std::move(chunks));
  } else {
    std::vector<std::tuple<Chunk>> arguments;
    arguments.reserve(chunks.size());
    for (Chunk& chunk : chunks) arguments.emplace_back(std::move(chunk));
    return apply(nets, rows.division(), run, CallModel(), std::move(arguments));
  }
}

}  // namespace miniparallel::parallel

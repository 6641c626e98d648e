#pragma once

#include <miniparallel/tensor.h>

#include "engine/tensor/storage.h"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace miniparallel::autograd {

class Recomputed;

/// A function whose ops keep no tensors for backward. The graph is the usual one: nodes, edges, ends. Only
/// what they have `Saved` is empty, and when backward first asks for such a tensor the function runs again,
/// records another graph, of which the saved tensors are taken, in order, and the rest is dropped. Each is
/// free again when its node has run.
class Recomputation : public std::enable_shared_from_this<Recomputation> {
 public:
  /// While it lives, the calling thread runs the function.
  class Run {
   public:
    /// The first time; what is saved is not kept.
    explicit Run(Recomputation& of) : Run(of, nullptr) {}
    ~Run();
    Run(const Run&) = delete;
    Run& operator=(const Run&) = delete;

   private:
    friend class Recomputation;
    Run(Recomputation& of, std::vector<Tensor>* found);

    Recomputation& of_;
    std::vector<Tensor>* found_;  // of a later run: what it saves, undefined where nobody asks for it
    std::size_t saved_ = 0;
    Run* outer_;
  };

  /// `again` runs the function once more. Its nodes have the number `begin` or later ones.
  Recomputation(std::function<void()> again, std::int64_t begin) : again_(std::move(again)), begin_(begin) {}

  // --- what the ops of a thread tell of, while it runs such a function
  static bool runs_here() { return run_ != nullptr; }
  /// An op saves `tensor`. Null where it is to keep it itself.
  static std::shared_ptr<Recomputed> save(const Tensor& tensor);
  /// An op that is recorded reads `tensor`, the result of node `maker`; of a leaf -1.
  static void note_use(const Tensor& tensor, std::int64_t maker) {
    if (run_ != nullptr) [[unlikely]]
      add_use(tensor, maker);
  }

 private:
  friend class Recomputed;
  struct Use {
    std::weak_ptr<Version> version;
    std::uint32_t writes;
    Shape shape;
  };

  static void add_use(const Tensor& tensor, std::int64_t maker);
  void check_found(const Recomputed& place, const Tensor& tensor) const;
  void run_again();

  static thread_local constinit Run* run_;

  std::function<void()> again_;
  std::int64_t begin_;
  std::vector<Use> uses_;                         // of tensors with gradients that the function has not made
  std::vector<std::weak_ptr<Recomputed>> saved_;  // in the order of the first run
  std::mutex mutex_;                      // guards the tensors: nodes of several GPUs may ask for them
  std::atomic<std::thread::id> running_;  // the function
};

/// What an op has saved in a function that is to run again.
class Recomputed {
 public:
  Recomputed(std::shared_ptr<Recomputation> by, const Tensor& tensor);

  struct Found {
    Tensor tensor;
    std::uint32_t version;  ///< when it was saved again
  };
  /// Runs the function where the tensor is not there yet. Throws what that throws, and `Error` where it has
  /// not done what it did before, or does it still.
  Found get();

 private:
  friend class Recomputation;
  std::shared_ptr<Recomputation> by_;
  // As it was saved the first time.
  Shape shape_;
  DType dtype_;
  Device device_;
  std::weak_ptr<Version> alias_group_;
  std::uint32_t writes_;

  Found found_{};
};

}  // namespace miniparallel::autograd

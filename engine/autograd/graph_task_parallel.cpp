#include "engine/autograd/graph_task.h"
#include "engine/capturing.h"
#include "engine/threads/spin.h"
#include "engine/threads/workers.h"

#include <algorithm>

// A walk by several threads. A queue's worker is told when the queue gets its first ready node and leaves
// when it has none; the caller leaves when no queue is active. Locks are held only to hand nodes and
// gradients on, and none while another is: so a worker becomes inactive before it says so to the caller, and
// may be told again in between.

namespace miniparallel::autograd {

void GraphTask::use_workers() {
  if (on_worker() || current_recorder() || create_graph_ || capturing != nullptr) return;
  int first = -1, last = -1;  // GPUs in the graph
  for (const Node* node : order_) {
    if (node->device().is_cpu()) continue;
    const int index = node->device().index;
    first = first < 0 ? index : std::min(first, index);
    last = std::max(last, index);
  }
  if (first == last) return;
  parallel_ = true;
  led_ = roots_[0]->device();
  queues_ = std::vector<ReadyQueue>(static_cast<std::size_t>(last) + 2);
  ThreadState state_here;
  state_here.grad_mode = create_graph_;
  caller_ = std::make_unique<const ThreadState>(std::move(state_here));
}

GraphTask::ReadyQueue& GraphTask::queue_of(const Node& node) {
  const Device device = node.device();
  const bool here = !parallel_ || device.is_cpu() || device == led_;
  return queues_[here ? 0 : static_cast<std::size_t>(device.index) + 1];
}

void GraphTask::wake_caller() {
  has_news_ = true;
  changed_.notify_one();
}

void GraphTask::activate(ReadyQueue& queue, Device device) {
  if (&queue == &queues_[0]) return wake_caller();
  if (queue.active) return;
  post(accelerator(device), device.index, [this, &queue] { walk_on_worker(queue); });
  queue.active = true;  // the worker comes no further than to the queue's lock
  ++active_;
}

void GraphTask::walk_in_parallel() {
  ReadyQueue& own = queues_[0];
  enqueue_roots();
  std::unique_lock lock(own.mutex);
  while (true) {
    if (active_ > 0 && own.nodes.empty()) {
      has_news_ = false;
      lock.unlock();
      spin_until([this] { return has_news_.load(); });
      lock.lock();
      changed_.wait(lock, [&] { return active_ == 0 || !own.nodes.empty(); });
    }
    if (own.nodes.empty()) break;
    const std::shared_ptr<Node> node = take_ready(own);
    lock.unlock();
    run_guarded(node);
    lock.lock();
  }
  if (error_) std::rethrow_exception(error_);
}

void GraphTask::walk_on_worker(ReadyQueue& queue) {
  const ThreadStateScope scope(*caller_);
  std::unique_lock lock(queue.mutex);
  while (!queue.nodes.empty()) {
    std::shared_ptr<Node> node = take_ready(queue);
    lock.unlock();
    run_guarded(node);
    node.reset();
    lock.lock();
  }
  queue.active = false;
  lock.unlock();
  const std::scoped_lock caller(queues_[0].mutex);  // the task may be gone once it is free
  if (--active_ == 0) wake_caller();
}

}  // namespace miniparallel::autograd

// Who runs queued work, and when: a host thread that waits
// for it (lazy), or one worker per stream (threaded).

#include "core/call.h"
#include "core/virtual_clock.h"

#include <algorithm>
#include <set>

namespace miniparallel::simulator {
namespace {

using State = Operation::State;

bool all_done(const std::vector<OperationRef>& operations) {
  return std::all_of(operations.begin(), operations.end(),
                     [](const OperationRef& operation) { return operation->state == State::done; });
}

bool is_ready(const Operation& operation) {
  const auto& gate = operation.work.gate;
  return operation.state == State::queued && all_done(operation.work.after) &&
         (!gate || (gate->open && all_done(gate->after)));
}

void run(Simulation& s, Lock& lock, const OperationRef& operation) {
  operation->state = State::running;
  ++s.running;
  const bool skip = state_error(s, operation->device) != cudaSuccess;
  cudaError_t error = cudaSuccess;
  if (!skip) {
    lock.unlock();
    error = execute(s, *operation);
    lock.lock();
  }
  --s.running;
  ++s.finished_count;
  if (error != cudaSuccess && s.sticky == cudaSuccess) s.sticky = error;
  operation->state = State::done;
  operation->finished = std::chrono::steady_clock::now();
  operation->work.run = nullptr;  // releases what the closure holds
  operation->work.after.clear();
  const auto stream = operation->stream;
  stream->queue.pop_front();
  if (stream->destroyed) retire(s, stream);
  operation->stream.reset();
  s.changed.notify_all();
}

/// What an operation still waits for: heads of queues that can run now, and a shut gate if one is in the way.
struct Needs {
  std::vector<OperationRef> ready;
  std::shared_ptr<Gate> shut;
  std::vector<OperationRef> stuck;  ///< heads of queues that wait for others
  std::set<const Stream*> seen;

  void add(const OperationRef& operation) {
    if (operation->state == State::done || !seen.insert(operation->stream.get()).second) return;
    const OperationRef head = operation->stream->queue.front();
    if (head->state == State::running) return;
    if (is_ready(*head)) {
      ready.push_back(head);
      return;
    }
    stuck.push_back(head);
    if (head->work.gate && !head->work.gate->open) shut = head->work.gate;
    for (const auto& before : head->work.after) add(before);
    if (!head->work.gate) return;
    for (const auto& before : head->work.gate->after) add(before);
  }
};

/// With a seed, work that nobody needs yet sometimes runs
/// first, so that early running is exercised like late running.
void add_unneeded(Simulation& s, std::vector<OperationRef>& ready) {
  if (s.settings.seed == 0 || s.random.below(3) != 0) return;
  for (const auto& stream : s.all_streams) {
    if (stream->queue.empty() || !is_ready(*stream->queue.front())) continue;
    if (std::find(ready.begin(), ready.end(), stream->queue.front()) == ready.end()) {
      ready.push_back(stream->queue.front());
    }
  }
}

OperationRef choose(Simulation& s, const std::vector<OperationRef>& ready) {
  double least = 0;
  std::vector<OperationRef> fastest;  // slow devices come last
  for (const auto& operation : ready) {
    const double slowness = s.devices[static_cast<std::size_t>(operation->device)].slowness;
    if (fastest.empty() || slowness < least) {
      fastest.clear();
      least = slowness;
    }
    if (slowness == least) fastest.push_back(operation);
  }
  return fastest[s.settings.seed == 0 ? 0 : s.random.below(fastest.size())];
}

cudaError_t report_hang(Simulation& s, const Operation& operation, const Needs& needs) {
  std::string why;
  if (needs.shut) {
    why = needs.shut->explain();
  } else {
    for (const auto& stuck : needs.stuck) {
      why += (why.empty() ? "" : ", ") + describe(*stuck) + " on device " + std::to_string(stuck->device);
    }
    why = why.empty() ? "the work before it does not end"
                      : "stuck, waiting for each other or lost work: " + why;
  }
  s.sticky = cudaErrorLaunchTimeout;
  report(Finding::hang, "the host waits for " + describe(operation) + " on device " +
                            std::to_string(operation.device) + ", which cannot finish: " + why);
  s.changed.notify_all();
  return s.sticky;
}

/// A worker's life: its stream's work in order, until the machine or the destroyed stream ends.
void work_through(Simulation& s, const std::shared_ptr<Stream>& stream) {
  Lock lock(s.mutex);
  const auto can_run = [&] {
    return !stream->queue.empty() && (is_ready(*stream->queue.front()) || s.sticky != cudaSuccess);
  };
  for (;;) {
    s.changed.wait(
        lock, [&] { return stream->stopping || can_run() || (stream->destroyed && stream->queue.empty()); });
    if (stream->stopping) return;
    if (stream->queue.empty()) break;
    run(s, lock, OperationRef(stream->queue.front()));
  }
  s.ended_workers.push_back(std::move(stream->worker));
  retire(s, stream);
}

}  // namespace

void join_ended_workers(Simulation& s) {
  for (auto& ended : s.ended_workers) ended.join();
  s.ended_workers.clear();
}

void start_worker(Simulation& s, const std::shared_ptr<Stream>& stream) {
  join_ended_workers(s);
  stream->worker = std::thread([&s, stream] { work_through(s, stream); });
}

void stop_workers(Simulation& s, Lock& lock) {
  for (const auto& stream : s.all_streams) stream->stopping = true;
  s.changed.notify_all();
  for (const auto& stream : std::vector(s.all_streams)) {
    if (!stream->worker.joinable()) continue;
    lock.unlock();
    stream->worker.join();
    lock.lock();
  }
  join_ended_workers(s);
  for (const auto& stream : s.all_streams) {
    for (const auto& operation : stream->queue) operation->stream.reset();
    stream->queue.clear();
  }
}

namespace {

/// The host has seen that the operation is done.
void join_host(Simulation& s, const Operation& operation) {
  s.host.join(operation.clock);
  s.host_depth = std::max(s.host_depth, operation.depth);
  if (s.clock) s.clock->wait_for(s, operation);
}

}  // namespace

bool poll(Simulation& s, Lock& lock, const OperationRef& operation) {
  if (s.clock && !s.clock->has_passed(s, *operation)) return false;
  if (operation->state == State::done) {
    join_host(s, *operation);
    return true;
  }
  if (s.settings.streams == Streams::threaded) return false;
  Needs needs;
  needs.add(operation);
  if (!needs.ready.empty()) run(s, lock, choose(s, needs.ready));
  return false;
}

cudaError_t wait_until_done(Simulation& s, Lock& lock, const OperationRef& operation) {
  auto progress = s.finished_count;
  auto deadline = std::chrono::steady_clock::now() + s.settings.patience;
  while (operation->state != State::done) {
    if (const cudaError_t error = state_error(s, operation->device); error != cudaSuccess) return error;
    Needs needs;
    needs.add(operation);
    if (s.settings.streams == Streams::lazy) {
      if (!needs.ready.empty()) {
        add_unneeded(s, needs.ready);
        run(s, lock, choose(s, needs.ready));
        continue;
      }
    }
    if (progress != s.finished_count || s.running > 0 || !needs.ready.empty()) {
      progress = s.finished_count;
      deadline = std::chrono::steady_clock::now() + s.settings.patience;
    } else if (std::chrono::steady_clock::now() >= deadline) {
      return report_hang(s, *operation, needs);
    }
    s.changed.wait_until(
        lock, std::min(deadline, std::chrono::steady_clock::now() + std::chrono::milliseconds(50)));
  }
  join_host(s, *operation);
  return state_error(s, operation->device);
}

cudaError_t wait_for_device(Simulation& s, Lock& lock, int device) {
  std::vector<OperationRef> newest;
  for (const auto& stream : s.all_streams) {
    if (stream->device == device && stream->last) newest.push_back(stream->last);
  }
  for (const auto& operation : newest) {
    if (const cudaError_t error = wait_until_done(s, lock, operation); error != cudaSuccess) return error;
  }
  return cudaSuccess;
}

}  // namespace miniparallel::simulator

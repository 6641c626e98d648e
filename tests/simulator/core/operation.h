#pragma once
// Queued work and the streams and events that order it.

#include "core/clock.h"
#include "runtime.h"

#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace miniparallel::simulator {

struct Capture;
struct Stream;

/// Work on its way through a stream, or a node of a graph: then it never runs, its `number` is its place in
/// the graph, and it has nothing but a device and its work, with the nodes that it comes after.
struct Operation {
  enum class State { queued, running, done };

  std::uint64_t number = 0;  ///< in the order of enqueueing, over all streams
  std::shared_ptr<Stream> stream;
  int device = 0;
  std::uint32_t stream_index = 0, sequence = 0;  ///< its place in vector clocks
  Clock clock;                                   ///< what has finished before this starts, itself included
  std::int64_t depth = 0;                        ///< of the chain of work that ends here
  Work work;
  State state = State::queued;
  cudaError_t injected = cudaSuccess;  ///< the fault that strikes when it runs
  std::chrono::steady_clock::time_point finished;
  double called = 0, start = 0, end = 0;  ///< by the virtual clock
  std::thread::id caller;
};

/// A queue of operations of one device. Shared by its handle and by the operations in it.
struct Stream {
  int device = 0;
  bool blocking = true;  ///< ordered with the legacy default stream
  bool legacy = false;
  bool destroyed = false;
  unsigned flags = 0;
  int priority = 0;
  unsigned long long id = 0;
  std::uint32_t index = 0;
  std::uint32_t sequence = 0;
  Clock clock;
  std::int64_t depth = 0;      ///< of the newest operation
  double called = 0, end = 0;  ///< of it, by the virtual clock
  std::thread::id caller;      ///< who enqueued it
  std::deque<OperationRef> queue;
  OperationRef last;  ///< the newest operation, finished or not
  std::thread worker;
  bool stopping = false;
  std::shared_ptr<Capture> capture;  ///< that records its work
  std::vector<OperationRef> tips;    ///< the nodes that the next one comes after
};

struct Event {
  int device = 0;
  unsigned flags = 0;
  OperationRef record;
  std::shared_ptr<Capture> capture;    ///< in which it was recorded last
  std::vector<OperationRef> captured;  ///< the nodes that it stands for there
};

}  // namespace miniparallel::simulator

#pragma once
// The one simulated machine: its devices, memory, streams and error state.

#include "core/arena.h"
#include "core/operation.h"
#include "core/random.h"
#include "core/report.h"
#include "miniparallel/simulator_graphs.h"

#include <atomic>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace miniparallel::simulator {

using Lock = std::unique_lock<std::mutex>;

/// A fault that waits for the n-th event of its sort on a device.
struct Fault {
  int device;
  int countdown;
  cudaError_t error;
};

/// A fault that waits for the n-th call of a function whose name begins so.
struct CallFault {
  std::string prefix;
  int countdown;
  cudaError_t error;
};

struct Faults {
  std::vector<Fault> allocations, kernels, copies, graph_nodes;
  std::vector<CallFault> calls, library_calls;
  std::set<std::pair<int, int>> corrupt_copies, corrupt_reads;  ///< links by what they damage
  std::map<std::pair<int, int>, double> slow_links;             ///< bytes per second
};

struct DeviceState {
  Gpu gpu;
  Counters counters;
  GraphCounters graph_counters;
  std::int64_t kernels_started = 0;  ///< by calls and by graphs
  std::set<int> enabled_peers;
  bool lost = false;
  double slowness = 1;
  std::shared_ptr<Stream> legacy;
};

class VirtualClock;
struct Graph;
class GraphExec;

struct Simulation {
  explicit Simulation(const Machine& settings, std::uint64_t generation);
  ~Simulation();

  const Machine settings;
  const std::uint64_t generation;  ///< which reset made it
  std::mutex mutex;                ///< guards everything below
  std::condition_variable changed;
  Arenas arenas;
  std::vector<DeviceState> devices;
  std::map<cudaStream_t, std::shared_ptr<Stream>> streams;
  std::map<std::pair<std::thread::id, int>, std::shared_ptr<Stream>> thread_streams;
  std::map<cudaEvent_t, std::unique_ptr<Event>> events;
  std::vector<std::shared_ptr<Capture>> captures;  ///< that have not ended
  std::map<cudaGraph_t, std::shared_ptr<Graph>> graphs;
  std::map<cudaGraphExec_t, std::shared_ptr<GraphExec>> graph_execs;
  std::vector<std::shared_ptr<Stream>> all_streams;  ///< also destroyed ones until the host knows their end
  std::vector<std::pair<std::uint32_t, std::uint32_t>>
      free_indices;                        ///< stream indices to use again, with their sequences
  std::vector<std::thread> ended_workers;  ///< of destroyed streams
  std::uint32_t stream_count = 0;
  std::uint64_t operation_count = 0;
  std::uint64_t finished_count = 0;
  int running = 0;
  Clock host;                                        ///< what the host knows to have finished
  std::int64_t host_depth = 0;                       ///< the deepest of it
  std::optional<std::vector<OperationRef>> history;  ///< what was enqueued since it was asked for
  std::int64_t history_start = 0;
  std::unique_ptr<VirtualClock> clock;  ///< null: work has no modelled time
  std::uint64_t clock_number = 0;       ///< how often it was started
  Random random;
  Faults faults;
  cudaError_t sticky = cudaSuccess;
  std::size_t pinned_bytes = 0;  ///< allocated and registered
  std::map<std::uintptr_t, std::pair<std::size_t, unsigned>>
      registered;                                   ///< cudaHostRegister: bytes and flags by address
  std::map<const void*, int> dynamic_shared_limit;  ///< cudaFuncSetAttribute
  std::map<std::uintptr_t, std::unique_ptr<Allocation>> blocks;  ///< carved by caching allocators
  std::vector<std::unique_ptr<Allocation>> retired_blocks;
};

/// The machine of now; made on first use.
Simulation& simulation();

// ---- streams (stream.cpp, schedule.cpp)

std::shared_ptr<Stream> make_stream(Simulation&, int device, unsigned flags, int priority);
/// The stream behind any legal handle; nullptr for a dead one.
std::shared_ptr<Stream> resolve(Simulation&, cudaStream_t handle);
/// Puts work at the end of the stream, or of what the stream's capture records.
OperationRef append(Simulation&, const std::shared_ptr<Stream>&, Work work);
/// Puts work at the end of the stream, which captures nothing.
OperationRef start(Simulation&, const std::shared_ptr<Stream>&, Work work);
void retire(Simulation&, const std::shared_ptr<Stream>&);
void stop_workers(Simulation&, Lock&);
void join_ended_workers(Simulation&);  ///< of destroyed streams

/// Waits (and runs work, when streams are lazy) until the operation is done. The host then knows that it is.
cudaError_t wait_until_done(Simulation&, Lock&, const OperationRef&);
cudaError_t wait_for_device(Simulation&, Lock&, int device);
/// Lazy streams: runs one step towards the operation, so that polling gets on. True if it is done.
bool poll(Simulation&, Lock&, const OperationRef&);
void start_worker(Simulation&, const std::shared_ptr<Stream>&);

/// Runs the work itself, the lock not held (execute.cpp).
cudaError_t execute(Simulation&, Operation&);
/// What the calling thread is executing.
const Operation& executing_operation();
/// "kernel scale" or the name of other work.
std::string describe(const Operation&);

// ---- history (history.cpp)

/// Finds out how deep a new operation stands, whose `work.after` is whole.
void note_depth(Simulation&, Operation&);

// ---- memory (memory.cpp)

std::string describe_address(const Simulation&, std::uintptr_t address);

// ---- faults (faults.cpp)

/// The error of a fault whose turn has come, else cudaSuccess.
cudaError_t strike(std::vector<Fault>&, int device);
cudaError_t strike(std::vector<CallFault>&, std::string_view name);
/// The error of the fault that strikes work of the device which is started now.
cudaError_t strike(Faults&, const Work&, int device);
/// Looks at the machine's and the device's state: the error that any call on the device must return.
cudaError_t state_error(const Simulation&, int device);

/// Adds what each field counts, levels apart.
void add(Counters& sum, const Counters& part);

}  // namespace miniparallel::simulator

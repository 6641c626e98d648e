#pragma once
// What a simulated library (cuBLAS, NCCL) needs from the simulated runtime: to queue work on a stream with
// the memory that it reads and writes, to wait for work of other streams, and to report. Not installed.

#include "miniparallel/simulator.h"
#include "miniparallel/simulator_clock.h"

#include <cuda_runtime_api.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace miniparallel::simulator {

/// `carry` reads bytes that need not have been written: a copy that passes that on.
enum class Use { read, write, update, carry };

/// Memory that queued work touches: `rows` runs of `width` bytes,
/// `pitch` bytes apart (a matrix with a leading dimension).
struct Access {
  Use use;
  const void* address;
  std::size_t width;
  std::size_t pitch = 0;
  std::size_t rows = 1;
};

struct Operation;
using OperationRef = std::shared_ptr<Operation>;

/// Something that work waits for besides other work: the remaining ranks of a collective. While it is shut
/// the work does not run; if the host waits for it longer than the machine's patience, `explain` says whose
/// fault that is, in a report.
struct Gate {
  std::function<std::string()> explain;
  bool open = false;
  std::vector<OperationRef> after;  ///< what the work behind the open gate waits for besides its own `after`
};

/// A `marker` orders other work, a `graph_launch` stands before the work of a graph, and a `note` is the
/// simulator's own, with no call behind it.
enum class WorkKind { kernel, copy, library, host_function, marker, graph_launch, note };

/// Whether it is something that a program asked for: a step of its history, a node of a graph.
constexpr bool is_step(WorkKind kind) { return kind <= WorkKind::host_function; }
/// Whether it keeps a device busy.
constexpr bool works_on_device(WorkKind kind) { return kind <= WorkKind::library; }

/// Bytes that cross the machine, from a device, or the host, to another.
struct Transfer {
  static constexpr int host = -1;
  int from, to;
  double bytes;
};

/// What work asks of the machine, for the virtual clock.
struct Demand {
  std::optional<double> bytes =
      {};  ///< of its device's memory; if empty, both this and the rest follow from `accesses`
  double operations = 0;
  Unit unit = Unit::float32;
  std::vector<Transfer> transfers = {};
  std::optional<double> measured = {};  ///< seconds, instead of what bytes and operations take
  bool nothing = false;                 ///< a part of other work, which takes the time
};

struct Work {
  std::string name;
  WorkKind kind = WorkKind::library;
  std::vector<Access>
      accesses;  ///< checked before `run`: valid, on a reachable device, written, unordered with nobody
  std::function<cudaError_t()>
      run;  ///< empty for a marker; an error that it returns becomes the machine's sticky error. A graph
            ///< runs copies of it again and again
  std::vector<OperationRef> after;  ///< work of other streams that must have finished
  std::shared_ptr<Gate> gate;
  /// Those that depend on device memory (pointer arrays, a
  /// factor of 0): asked for and checked after `accesses`.
  std::function<std::vector<Access>()> more_accesses = nullptr;
  Demand demand = {};
  const void* kernel = nullptr;  ///< the function, if it is a kernel
  Counters traffic = {};         ///< bytes that its device counts when it is started
  bool replayed = false;         ///< started by the launch of a graph
};

/// Appends work to a stream (any legal handle, the default streams included). Never waits. On failure returns
/// the error, sets the thread's last error and leaves `*queued` alone.
cudaError_t enqueue(cudaStream_t stream, Work work, OperationRef* queued = nullptr);

/// Refuses what a graph cannot hold: the error that the stream's capture, now invalid, returns for it;
/// cudaSuccess if the stream does not capture.
cudaError_t refuse_capture(cudaStream_t stream);

/// Opens a gate: the work behind it may run once `after` has finished. A second call without `after` lets the
/// work run at once; with it, it changes nothing.
void open_gate(const std::shared_ptr<Gate>& gate, std::vector<OperationRef> after = {});

/// Waits in the host for the stream, as cudaStreamSynchronize
/// does, without counting it as the program's own wait.
cudaError_t wait_for(cudaStream_t stream);

int current_device();
void set_current_device(int device);
int device_count();
/// The device a stream belongs to; -1 for a dead handle.
int device_of(cudaStream_t stream);
/// The device that owns this address; -1 if it is no device memory.
int device_of_address(const void* address);
/// True if kernels of `device` may touch memory of `owner` now.
bool can_access(int device, int owner);
bool peers_enabled(int device, int owner);

/// True once for the call that `fail_library_call` chose.
bool library_call_fails(const std::string& name);
void count_library_call(int device);
/// A rank's part in a collective, send or receive; `bytes` are those that it puts on links.
void count_collective(int device, std::int64_t bytes);

/// Makes `error` the error that every later call returns, as after a fault in a kernel.
void set_sticky_error(cudaError_t error);
/// The sticky error, or cudaSuccess. A library call made after a fault must fail too.
cudaError_t sticky_error(int device);

void report(Finding finding, std::string text);

/// "0x7f…40, byte 64 of the 256-byte allocation 3 on device 0" or what else is known of the address.
std::string describe_address(const void* address);

/// The current machine's settings (read only).
const Machine& machine();

/// Called by reset(), so that a library can drop what it keeps per machine.
void on_reset(std::function<void()> action);

}  // namespace miniparallel::simulator

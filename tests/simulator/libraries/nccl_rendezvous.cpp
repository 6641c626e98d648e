#include "nccl_rendezvous.h"

#include "reduction.h"

#include <algorithm>
#include <atomic>
#include <cstring>

namespace miniparallel::simulator {
namespace {

const char* name_of(ncclDataType_t type) {
  constexpr const char* names[] = {"int8",    "uint8",   "int32",   "uint32",   "int64",      "uint64",
                                   "float16", "float32", "float64", "bfloat16", "float8e4m3", "float8e5m2"};
  return names[type];
}

const char* name_of(ncclRedOp_t op) {
  constexpr const char* names[] = {"sum", "prod", "max", "min", "avg"};
  return names[op];
}

bool has_root(NcclKind kind) { return kind == NcclKind::broadcast || kind == NcclKind::reduce; }

bool reduces(NcclKind kind) {
  return kind == NcclKind::reduce || kind == NcclKind::all_reduce || kind == NcclKind::reduce_scatter;
}

bool point_to_point(NcclKind kind) { return kind == NcclKind::send || kind == NcclKind::receive; }

/// The call as a reader of a report needs it: "ncclAllReduce of 12 float32, sum".
std::string describe(const NcclCall& call) {
  std::string text =
      std::string(call.function) + " of " + std::to_string(call.count) + ' ' + name_of(call.type);
  if (reduces(call.kind)) text += std::string(", ") + name_of(call.op);
  if (has_root(call.kind)) text += ", root " + std::to_string(call.root);
  return text;
}

bool match(const NcclCall& a, const NcclCall& b) {
  if (a.count != b.count || a.type != b.type) return false;
  if (point_to_point(a.kind)) return true;
  return a.kind == b.kind && (!reduces(a.kind) || a.op == b.op) && (!has_root(a.kind) || a.root == b.root);
}

/// Unlike std::thread::id, never given to another thread.
std::uint64_t this_thread_number() {
  static std::atomic<std::uint64_t> threads = 0;
  thread_local const std::uint64_t number = ++threads;
  return number;
}

}  // namespace

std::size_t NcclCall::bytes_read(int rank, int ranks) const {
  const std::size_t bytes = count * size_of(type);
  if (kind == NcclKind::receive || (kind == NcclKind::broadcast && rank != root)) return 0;
  return kind == NcclKind::reduce_scatter ? bytes * static_cast<std::size_t>(ranks) : bytes;
}

std::size_t NcclCall::bytes_written(int rank, int ranks) const {
  const std::size_t bytes = count * size_of(type);
  if (kind == NcclKind::send || (kind == NcclKind::reduce && rank != root)) return 0;
  return kind == NcclKind::all_gather ? bytes * static_cast<std::size_t>(ranks) : bytes;
}

std::int64_t NcclCall::bytes_on_links(int rank, int ranks) const {
  const auto bytes = static_cast<std::int64_t>(count * size_of(type));
  switch (kind) {
    case NcclKind::all_reduce:
      return 2 * bytes * (ranks - 1) / ranks;
    case NcclKind::reduce_scatter:
    case NcclKind::all_gather:
      return bytes * (ranks - 1);
    case NcclKind::broadcast:
    case NcclKind::reduce:
      return rank == root ? 0 : bytes;
    case NcclKind::send:
      return rank == root ? 0 : bytes;
    case NcclKind::receive:
      break;
  }
  return 0;
}

Rendezvous::Rendezvous(std::string name, const std::vector<int>& ranks, const std::vector<int>& devices)
    : name_(std::move(name)), seats_(ranks.size()) {
  for (std::size_t i = 0; i < seats_.size(); ++i) {
    seats_[i].rank = ranks[i];
    seats_[i].device = devices[i];
    seats_[i].gate = std::make_shared<Gate>();
    // Whoever waits at the gate keeps this object alive: the work behind it does.
    seats_[i].gate->explain = [this] { return explain(); };
  }
}

bool Rendezvous::join(std::size_t index, const NcclCall& call, std::uint64_t launch) {
  std::string mismatch, ungrouped;
  {
    const std::lock_guard lock(mutex_);
    Seat& seat = seats_[index];
    if (seat.given_up) return false;
    seat.joined = true;
    seat.call = call;
    seat.launch = launch;
    seat.thread = this_thread_number();
    for (const Seat& other : seats_) {
      if (!other.joined || &other == &seat) continue;
      if (mismatch.empty() && !match(other.call, call)) {
        mismatch = name_ + ": rank " + std::to_string(other.rank) + " called " + describe(other.call) +
                   ", but rank " + std::to_string(seat.rank) + " called " + describe(call) +
                   "; all ranks must make the same calls in the same order";
      }
      if (!complained_ && other.thread == seat.thread && other.launch != launch) {
        complained_ = true;
        ungrouped =
            name_ + ": one thread called " + call.function + " for rank " + std::to_string(other.rank) +
            " and then for rank " + std::to_string(seat.rank) +
            ", which may wait for ever in NCCL; put both calls between ncclGroupStart and ncclGroupEnd";
      }
    }
  }
  if (!ungrouped.empty()) report(Finding::library, ungrouped);
  if (!mismatch.empty()) report(Finding::library, mismatch);
  return mismatch.empty();
}

Work Rendezvous::arrival(const std::shared_ptr<Rendezvous>& self, std::size_t index) {
  Seat& seat = self->seats_[index];
  const auto ranks = static_cast<int>(self->seats_.size());
  const std::size_t bytes = seat.call.bytes_read(seat.rank, ranks);
  Work work;
  work.name = std::string(seat.call.function) + " (rank " + std::to_string(seat.rank) + " sends)";
  if (bytes > 0) work.accesses.push_back({Use::read, seat.call.send, bytes});
  work.demand.nothing = true;  // the departure takes the time
  // Work that never runs must not keep alive who keeps it; the departure, queued next, holds the rendezvous.
  work.run = [weak = std::weak_ptr(self), index, bytes] {
    if (const auto rendezvous = weak.lock()) rendezvous->stage(index, bytes);
    return cudaSuccess;
  };
  return work;
}

void Rendezvous::stage(std::size_t index, std::size_t bytes) {
  Seat& seat = seats_[index];
  const auto* source = static_cast<const char*>(seat.call.send);
  seat.staged.assign(source, source + bytes);
}

void Rendezvous::arrived(std::size_t index, OperationRef arrival) {
  std::vector<OperationRef> all;
  {
    const std::lock_guard lock(mutex_);
    seats_[index].arrival = std::move(arrival);
    for (const Seat& seat : seats_) {
      if (!seat.arrival) return;
      all.push_back(seat.arrival);
    }
  }
  for (const Seat& seat : seats_) open_gate(seat.gate, all);
}

Work Rendezvous::departure(const std::shared_ptr<Rendezvous>& self, std::size_t index) {
  Seat& seat = self->seats_[index];
  const std::size_t bytes = seat.call.bytes_written(seat.rank, static_cast<int>(self->seats_.size()));
  Work work;
  work.name = std::string(seat.call.function) + " (rank " + std::to_string(seat.rank) + ')';
  if (bytes > 0) work.accesses.push_back({Use::write, seat.call.receive, bytes});
  const auto ranks = static_cast<int>(self->seats_.size());
  const Seat& neighbour = self->seats_[(index + self->seats_.size() - 1) % self->seats_.size()];
  work.demand.bytes = static_cast<double>(bytes);
  work.demand.transfers = {
      {neighbour.device, seat.device, static_cast<double>(seat.call.bytes_on_links(seat.rank, ranks))}};
  work.run = [self, &seat] {
    self->deliver(seat);
    return cudaSuccess;
  };
  work.gate = seat.gate;
  return work;
}

void Rendezvous::give_up(std::size_t index) {
  {
    const std::lock_guard lock(mutex_);
    seats_[index].given_up = true;
  }
  open_gate(seats_[index].gate);
}

void Rendezvous::give_up() {
  for (std::size_t index = 0; index < seats_.size(); ++index) give_up(index);
}

bool Rendezvous::over() {
  const std::lock_guard lock(mutex_);
  return std::all_of(seats_.begin(), seats_.end(), [](const Seat& seat) { return seat.joined; });
}

std::string Rendezvous::explain() {
  const std::lock_guard lock(mutex_);
  std::string present, missing;
  for (const Seat& seat : seats_) {
    std::string& list = seat.joined ? present : missing;
    list += (list.empty() ? "" : ", ") + std::to_string(seat.rank) + " (device " +
            std::to_string(seat.device) + ')';
  }
  return name_ + " was called by rank " + present + " and still waits for rank " + missing + '.';
}

std::vector<const void*> Rendezvous::inputs(std::size_t offset) const {
  std::vector<const void*> list;
  for (const Seat& seat : seats_) list.push_back(seat.staged.data() + offset);
  return list;
}

void Rendezvous::reduce_once(const NcclCall& call) {
  std::call_once(reduced_, [&] {
    result_.resize(call.count * size_of(call.type));
    reduce(call.type, call.op, inputs(0), result_.data(), call.count);
  });
}

void Rendezvous::deliver(const Seat& seat) {
  {
    const std::lock_guard lock(mutex_);
    if (seat.given_up) return;
  }
  const NcclCall& call = seat.call;
  auto* target = static_cast<char*>(call.receive);
  const std::size_t bytes = call.count * size_of(call.type);
  if (call.bytes_written(seat.rank, static_cast<int>(seats_.size())) == 0) return;
  switch (call.kind) {
    case NcclKind::broadcast:
      std::memcpy(target, seats_[static_cast<std::size_t>(call.root)].staged.data(), bytes);
      break;
    case NcclKind::reduce:
    case NcclKind::all_reduce:
      reduce_once(call);
      std::memcpy(target, result_.data(), bytes);
      break;
    case NcclKind::reduce_scatter:
      reduce(call.type, call.op, inputs(static_cast<std::size_t>(seat.rank) * bytes), target, call.count);
      break;
    case NcclKind::all_gather:
      for (const Seat& from : seats_) target = std::copy(from.staged.begin(), from.staged.end(), target);
      break;
    case NcclKind::receive:
      std::memcpy(target, seats_.front().staged.data(), bytes);
      break;
    case NcclKind::send:
      break;
  }
}

}  // namespace miniparallel::simulator

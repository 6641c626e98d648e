// Making, finding and ending streams; appending work to them.

#include "core/call.h"
#include "core/capture.h"
#include "core/virtual_clock.h"

#include <algorithm>

namespace miniparallel::simulator {

std::shared_ptr<Stream> make_stream(Simulation& s, int device, unsigned flags, int priority) {
  auto stream = std::make_shared<Stream>();
  stream->device = device;
  stream->flags = flags;
  stream->blocking = (flags & cudaStreamNonBlocking) == 0;
  stream->priority = priority;
  stream->id = s.stream_count + s.operation_count + 1;
  if (s.free_indices.empty()) {
    stream->index = s.stream_count++;
  } else {
    std::tie(stream->index, stream->sequence) = s.free_indices.back();
    s.free_indices.pop_back();
  }
  s.all_streams.push_back(stream);
  if (s.settings.streams == Streams::threaded) start_worker(s, stream);
  return stream;
}

std::shared_ptr<Stream> resolve(Simulation& s, cudaStream_t handle) {
  const int device = current_device(s);
  if (handle == nullptr || handle == cudaStreamLegacy) {
    return s.devices.empty() ? nullptr : s.devices[static_cast<std::size_t>(device)].legacy;
  }
  if (handle == cudaStreamPerThread) {
    auto& own = s.thread_streams[{std::this_thread::get_id(), device}];
    if (!own) own = make_stream(s, device, cudaStreamDefault, 0);
    return own;
  }
  const auto found = s.streams.find(handle);
  return found == s.streams.end() ? nullptr : found->second;
}

namespace {

/// The legacy default stream and the blocking streams of its device wait for each other.
void add_legacy_order(Simulation& s, const Stream& stream, std::vector<OperationRef>& after) {
  if (!stream.blocking) return;
  if (!stream.legacy) {
    if (const auto& legacy = s.devices[static_cast<std::size_t>(stream.device)].legacy; legacy->last) {
      after.push_back(legacy->last);
    }
    return;
  }
  for (const auto& other : s.all_streams) {
    if (other->device == stream.device && other->blocking && other.get() != &stream && other->last) {
      after.push_back(other->last);
    }
  }
}

}  // namespace

OperationRef append(Simulation& s, const std::shared_ptr<Stream>& stream, Work work) {
  return stream->capture ? record(*stream, std::move(work)) : start(s, stream, std::move(work));
}

OperationRef start(Simulation& s, const std::shared_ptr<Stream>& stream, Work work) {
  auto operation = std::make_shared<Operation>();
  operation->number = ++s.operation_count;
  operation->stream = stream;
  operation->device = stream->device;
  operation->stream_index = stream->index;
  operation->sequence = ++stream->sequence;
  add_legacy_order(s, *stream, work.after);
  stream->clock.join(s.host);
  for (const auto& before : work.after) stream->clock.join(before->clock);
  if (work.gate) {
    for (const auto& before : work.gate->after) stream->clock.join(before->clock);
  }
  stream->clock.set(stream->index, stream->sequence);
  operation->clock = stream->clock;
  operation->work = std::move(work);
  DeviceState& device = s.devices[static_cast<std::size_t>(operation->device)];
  add(device.counters, operation->work.traffic);
  operation->injected = strike(s.faults, operation->work, operation->device);
  if (operation->work.kind == WorkKind::kernel && ++device.kernels_started == device.gpu.lost_after)
    device.lost = true;
  note_depth(s, *operation);
  if (s.clock) s.clock->place(s, *operation);
  if (s.clock && !s.clock->executes() && works_on_device(operation->work.kind)) operation->work.run = nullptr;
  std::erase_if(operation->work.after,
                [](const OperationRef& before) { return before->state == Operation::State::done; });
  if (s.history && is_step(operation->work.kind)) s.history->push_back(operation);
  stream->queue.push_back(operation);
  stream->last = operation;
  s.changed.notify_all();
  return operation;
}

void retire(Simulation& s, const std::shared_ptr<Stream>& stream) {
  stream->destroyed = true;
  s.changed.notify_all();
  if (!stream->queue.empty() || stream->worker.joinable()) return;
  s.free_indices.emplace_back(stream->index, stream->sequence);
  std::erase_if(s.all_streams, [&](const auto& other) {
    return other->destroyed && other->queue.empty() && !other->worker.joinable() &&
           (!other->last || s.host.at(other->index) >= other->last->sequence);
  });
}

}  // namespace miniparallel::simulator

// Graphs: instantiation, update, launch.

#include "core/graph.h"

#include "core/call.h"
#include "core/capture.h"
#include "core/memory.h"

#include <cuda_runtime_api.h>

#include <algorithm>

using namespace miniparallel::simulator;

namespace {

const Operation& node_of(cudaGraphNode_t handle) { return *reinterpret_cast<const Operation*>(handle); }
cudaGraphNode_t handle_of(const OperationRef& node) { return reinterpret_cast<cudaGraphNode_t>(node.get()); }

template <typename Body>
cudaError_t with_graph(const char* name, cudaGraph_t handle, Body&& body) {
  return call(name, [&](Simulation& s, Lock&) -> cudaError_t {
    const auto found = s.graphs.find(handle);
    return found == s.graphs.end() ? cudaErrorInvalidValue : body(s, found->second);
  });
}

template <typename Body>
cudaError_t with_exec(const char* name, cudaGraphExec_t handle, Body&& body) {
  return call(name, [&](Simulation& s, Lock&) -> cudaError_t {
    const auto found = s.graph_execs.find(handle);
    return found == s.graph_execs.end() ? cudaErrorInvalidValue : body(s, *found->second);
  });
}

/// Fills an array of `*count` handles, or tells how many there are, as CUDA's functions do.
cudaError_t list(const std::vector<OperationRef>& from, cudaGraphNode_t* nodes, std::size_t* count) {
  if (count == nullptr) return cudaErrorInvalidValue;
  if (nodes != nullptr) {
    for (std::size_t i = 0; i < *count; ++i) nodes[i] = i < from.size() ? handle_of(from[i]) : nullptr;
  }
  *count = nodes == nullptr ? from.size() : std::min(*count, from.size());
  return cudaSuccess;
}

cudaGraphNodeType type_of(const Operation& node) {
  switch (node.work.kind) {
    case WorkKind::copy:
      return node.work.accesses.size() == 1 ? cudaGraphNodeTypeMemset : cudaGraphNodeTypeMemcpy;
    case WorkKind::host_function:
      return cudaGraphNodeTypeHost;
    default:
      return cudaGraphNodeTypeKernel;
  }
}

/// Whether an update may put one node in the place of the other: on the same devices.
bool is_alike(const Simulation& s, const Operation& a, const Operation& b) {
  if (a.device != b.device) return false;
  if (a.work.kind != WorkKind::copy) return true;
  return std::ranges::equal(a.work.accesses, b.work.accesses, [&](const Access& x, const Access& y) {
    const Place at = place_of(s, x.address), other = place_of(s, y.address);
    return at.space == other.space && at.device == other.device;
  });
}

/// Compares a graph with one that takes its place, nodes paired in the order in which they were recorded.
cudaGraphExecUpdateResultInfo compare(const Simulation& s, const Graph& before, const Graph& after) {
  const std::vector<OperationRef> old_steps = before.steps(), new_steps = after.steps();
  if (old_steps.size() != new_steps.size())
    return {cudaGraphExecUpdateErrorTopologyChanged, nullptr, nullptr};
  const auto places = [](const std::vector<OperationRef>& steps, const OperationRef& step) {
    std::vector<std::ptrdiff_t> found;
    for (const OperationRef& other : without_notes(step->work.after))
      found.push_back(std::ranges::find(steps, other) - steps.begin());
    std::ranges::sort(found);
    return found;
  };
  for (std::size_t i = 0; i < new_steps.size(); ++i) {
    const auto fail = [&](cudaGraphExecUpdateResult result) {
      return cudaGraphExecUpdateResultInfo{result, handle_of(new_steps[i]), nullptr};
    };
    if (places(old_steps, old_steps[i]) != places(new_steps, new_steps[i]))
      return fail(cudaGraphExecUpdateErrorTopologyChanged);
    if (type_of(*old_steps[i]) != type_of(*new_steps[i]))
      return fail(cudaGraphExecUpdateErrorNodeTypeChanged);
    if (!is_alike(s, *old_steps[i], *new_steps[i]))
      return fail(new_steps[i]->work.kind == WorkKind::copy
                      ? cudaGraphExecUpdateErrorParametersChanged
                      : cudaGraphExecUpdateErrorUnsupportedFunctionChange);
  }
  return {cudaGraphExecUpdateSuccess, nullptr, nullptr};
}

}  // namespace

cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t* exec, cudaGraph_t handle,
                                          unsigned long long flags) {
  return with_graph("cudaGraphInstantiate", handle,
                    [&](Simulation& s, const std::shared_ptr<Graph>& graph) -> cudaError_t {
                      constexpr unsigned long long known =
                          cudaGraphInstantiateFlagAutoFreeOnLaunch | cudaGraphInstantiateFlagUseNodePriority;
                      if (exec == nullptr || (flags & ~known) != 0) return cudaErrorInvalidValue;
                      const auto made = std::make_shared<GraphExec>(s, graph);
                      *exec = reinterpret_cast<cudaGraphExec_t>(made.get());
                      s.graph_execs.emplace(*exec, made);
                      return cudaSuccess;
                    });
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long flags) {
  return cudaGraphInstantiateWithFlags(exec, graph, flags);
}

cudaError_t cudaGraphDestroy(cudaGraph_t handle) {
  return call("cudaGraphDestroy", [&](Simulation& s, Lock&) {
    return s.graphs.erase(handle) == 1 ? cudaSuccess : cudaErrorInvalidValue;
  });
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t handle) {
  return with_exec("cudaGraphExecDestroy", handle, [&](Simulation& s, GraphExec& exec) {
    exec.retire_lanes(s);  // queued work still runs
    s.graph_execs.erase(handle);
    return cudaSuccess;
  });
}

cudaError_t cudaGraphGetNodes(cudaGraph_t handle, cudaGraphNode_t* nodes, std::size_t* count) {
  return with_graph("cudaGraphGetNodes", handle, [&](Simulation&, const std::shared_ptr<Graph>& graph) {
    return list(graph->steps(), nodes, count);
  });
}

cudaError_t cudaGraphNodeGetType(cudaGraphNode_t node, cudaGraphNodeType* type) {
  return call("cudaGraphNodeGetType", [&](Simulation&, Lock&) {
    if (node == nullptr || type == nullptr) return cudaErrorInvalidValue;
    *type = type_of(node_of(node));
    return cudaSuccess;
  });
}

cudaError_t cudaGraphNodeGetDependencies(cudaGraphNode_t node, cudaGraphNode_t* nodes,
                                         cudaGraphEdgeData* edges, std::size_t* count) {
  return call("cudaGraphNodeGetDependencies", [&](Simulation&, Lock&) {
    if (node == nullptr || count == nullptr || (nodes == nullptr && edges != nullptr))
      return cudaErrorInvalidValue;
    if (edges != nullptr) std::fill_n(edges, *count, cudaGraphEdgeData{});
    return list(without_notes(node_of(node).work.after), nodes, count);
  });
}

cudaError_t cudaGraphExecUpdate(cudaGraphExec_t handle, cudaGraph_t graph_handle,
                                cudaGraphExecUpdateResultInfo* info) {
  return with_exec("cudaGraphExecUpdate", handle, [&](Simulation& s, GraphExec& exec) {
    const auto found = s.graphs.find(graph_handle);
    if (info == nullptr || found == s.graphs.end()) return cudaErrorInvalidValue;
    *info = compare(s, exec.graph(), *found->second);
    if (info->result != cudaGraphExecUpdateSuccess) return cudaErrorGraphExecUpdateFailure;
    exec.replace(s, found->second);
    return cudaSuccess;
  });
}

namespace {

/// Runs the body of a call that puts a graph into a stream.
template <typename Body>
cudaError_t with_exec_on(const char* name, cudaGraphExec_t handle, cudaStream_t stream_handle, Body&& body) {
  return with_exec(name, handle, [&](Simulation& s, GraphExec& exec) -> cudaError_t {
    complain_about_unread_error(s, name);
    const auto stream = resolve(s, stream_handle);
    if (!stream) return cudaErrorInvalidResourceHandle;
    if (const cudaError_t error = stream_error(s, *stream); error != cudaSuccess) return error;
    if (stream->capture) return refuse(*stream);  // graphs hold no graphs here
    for (const auto& lane : exec.lanes())
      if (const cudaError_t error = state_error(s, lane->device); error != cudaSuccess) return error;
    body(s, exec, stream);
    return cudaSuccess;
  });
}

}  // namespace

cudaError_t cudaGraphUpload(cudaGraphExec_t handle, cudaStream_t stream) {
  return with_exec_on("cudaGraphUpload", handle, stream, [](auto&&...) {});
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t handle, cudaStream_t stream) {
  return with_exec_on("cudaGraphLaunch", handle, stream,
                      [](Simulation& s, GraphExec& exec, const auto& into) { exec.launch(s, into); });
}

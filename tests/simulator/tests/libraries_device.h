#pragma once
// Device memory, streams and machines for the tests of cuBLAS and NCCL.
#include "miniparallel/simulator.h"

#include <cublas_v2.h>
#include <cuda_runtime_api.h>
#include <doctest/doctest.h>

#include <chrono>
#include <string>
#include <utility>
#include <vector>

namespace miniparallel::simulator::testing {

/// A fresh machine that checks every access. When the test
/// ends, nothing may have been found that it did not take.
class TestMachine {
 public:
  /// A test that makes the host wait in vain asks for little patience.
  explicit TestMachine(int gpus, Streams streams = Streams::lazy, std::uint64_t seed = 0,
                       std::chrono::milliseconds patience = std::chrono::seconds(20)) {
    Machine machine = machine_with(gpus);
    machine.streams = streams;
    machine.seed = seed;
    for (Gpu& gpu : machine.gpus) gpu.memory = std::size_t{64} << 20;
    machine.checking = true;
    machine.patience = patience;
    reset(machine);
    take_reports();
    previous_ = set_report_handler([](const Report&) {});
  }
  ~TestMachine() {
    cudaGetLastError();
    for (const Report& report : take_reports()) FAIL_CHECK(report.text);
    set_report_handler(previous_);
  }
  TestMachine(const TestMachine&) = delete;
  TestMachine& operator=(const TestMachine&) = delete;

 private:
  ReportHandler previous_;
};

/// The one finding that there has to be: its text, "" (and a
/// failure) if there is another number of them or another kind.
inline std::string only_report(Finding finding) {
  const auto reports = take_reports();
  CHECK(reports.size() == 1);
  if (reports.size() != 1) return "";
  CHECK(reports[0].finding == finding);
  return reports[0].text;
}

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

/// Memory of the current device with these values.
template <class T>
class DeviceBuffer {
 public:
  explicit DeviceBuffer(const std::vector<T>& values) : DeviceBuffer(values.size()) {
    REQUIRE(cudaMemcpy(data_, values.data(), size_ * sizeof(T), cudaMemcpyHostToDevice) == cudaSuccess);
  }
  /// Unwritten memory.
  explicit DeviceBuffer(std::size_t size) : size_(size) {
    REQUIRE(cudaMalloc(reinterpret_cast<void**>(&data_), std::max<std::size_t>(1, size) * sizeof(T)) ==
            cudaSuccess);
  }
  DeviceBuffer(DeviceBuffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(other.size_) {}
  ~DeviceBuffer() { cudaFree(data_); }

  T* data() const { return data_; }
  std::vector<T> download() const {
    std::vector<T> values(size_);
    REQUIRE(cudaMemcpy(values.data(), data_, size_ * sizeof(T), cudaMemcpyDeviceToHost) == cudaSuccess);
    return values;
  }

 private:
  T* data_ = nullptr;
  std::size_t size_ = 0;
};

struct StreamHandle {
  StreamHandle() { REQUIRE(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) == cudaSuccess); }
  ~StreamHandle() { cudaStreamDestroy(stream); }
  StreamHandle(const StreamHandle&) = delete;
  StreamHandle& operator=(const StreamHandle&) = delete;
  cudaStream_t stream = nullptr;
};

struct EventHandle {
  EventHandle() { REQUIRE(cudaEventCreateWithFlags(&event, cudaEventDisableTiming) == cudaSuccess); }
  ~EventHandle() { cudaEventDestroy(event); }
  EventHandle(const EventHandle&) = delete;
  EventHandle& operator=(const EventHandle&) = delete;
  cudaEvent_t event = nullptr;
};

struct CublasHandle {
  CublasHandle() { REQUIRE(cublasCreate(&handle) == CUBLAS_STATUS_SUCCESS); }
  ~CublasHandle() { cublasDestroy(handle); }
  CublasHandle(const CublasHandle&) = delete;
  CublasHandle& operator=(const CublasHandle&) = delete;
  cublasHandle_t handle = nullptr;
};

}  // namespace miniparallel::simulator::testing

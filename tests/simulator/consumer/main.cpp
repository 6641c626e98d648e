// Each of two GPUs scales its half; the second half travels
// to the first GPU, which hands the whole to the host.

#include <miniparallel/cuda/check.h>

#include "scale.h"

#include <cstdio>
#include <vector>

int main() {
  constexpr int count = 1000, half = count / 2;
  constexpr std::size_t bytes = half * sizeof(float);
  int gpus = 0;
  CUDA_CHECK(cudaGetDeviceCount(&gpus));
  if (gpus != 2) return std::printf("this program wants 2 GPUs and found %d\n", gpus), 1;

  const std::vector<float> input(count, 1.0f);
  std::vector<float> output(count);
  float* parts[2] = {};
  cudaStream_t streams[2] = {};
  for (int gpu = 0; gpu < 2; ++gpu) {
    CUDA_CHECK(cudaSetDevice(gpu));
    CUDA_CHECK(cudaStreamCreateWithFlags(&streams[gpu], cudaStreamNonBlocking));
    CUDA_CHECK(cudaMalloc(&parts[gpu], gpu == 0 ? 2 * bytes : bytes));
    CUDA_CHECK(
        cudaMemcpyAsync(parts[gpu], input.data() + gpu * half, bytes, cudaMemcpyHostToDevice, streams[gpu]));
    scale(parts[gpu], gpu == 0 ? 2.0f : 3.0f, half, streams[gpu]);
  }

  cudaEvent_t scaled = nullptr;  // made on GPU 1, which is current
  CUDA_CHECK(cudaEventCreateWithFlags(&scaled, cudaEventDisableTiming));
  CUDA_CHECK(cudaEventRecord(scaled, streams[1]));
  CUDA_CHECK(cudaSetDevice(0));
  CUDA_CHECK(cudaStreamWaitEvent(streams[0], scaled,
                                 0));  // without this line the checked program stops with a report
  CUDA_CHECK(cudaMemcpyPeerAsync(parts[0] + half, 0, parts[1], 1, bytes, streams[0]));
  CUDA_CHECK(cudaMemcpyAsync(output.data(), parts[0], 2 * bytes, cudaMemcpyDeviceToHost, streams[0]));
  CUDA_CHECK(cudaStreamSynchronize(streams[0]));

  for (int gpu = 0; gpu < 2; ++gpu) {
    CUDA_CHECK(cudaFree(parts[gpu]));
    CUDA_CHECK(cudaStreamDestroy(streams[gpu]));
  }
  CUDA_CHECK(cudaEventDestroy(scaled));
  const bool right =
      output.front() == 2.0f && output[half - 1] == 2.0f && output[half] == 3.0f && output.back() == 3.0f;
  std::printf("%s\n", right ? "both halves arrived" : "wrong numbers");
  return right ? 0 : 1;
}

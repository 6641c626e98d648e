// What the simulated NCCL refuses, reports and survives.
#include "libraries_nccl_support.h"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

using namespace miniparallel::simulator;
using namespace miniparallel::simulator::testing;

namespace {

float ones(int, std::size_t) { return 1; }

/// Every lazy order that a planted bug has to be found in, and threads (seed 8).
template <class Body>
void for_every_order(int gpus, Body&& body) {
  for (std::uint64_t seed = 0; seed <= 8; ++seed) {
    INFO("seed " << seed);
    const TestMachine machine(gpus, seed == 8 ? Streams::threaded : Streams::lazy, seed,
                              std::chrono::milliseconds(100));
    body();
  }
}

}  // namespace

TEST_CASE("libraries: planted bug: a collective that one rank misses") {
  for_every_order(3, [] {
    Ranks ranks(3);
    const RankBuffers<float> data(3, 4, ones);
    ncclGroupStart();
    for (const int rank : {0, 2}) {
      ncclAllReduce(data[rank], data[rank], 4, ncclFloat, ncclSum,
                    ranks.comms[static_cast<std::size_t>(rank)], ranks.stream(rank));
    }
    CHECK(ncclGroupEnd() == ncclSuccess);
    CHECK(cudaStreamSynchronize(ranks.stream(0)) != cudaSuccess);
    const auto text = only_report(Finding::hang);
    CHECK(contains(text, "ncclAllReduce, collective 0 of the communicator of devices 0, 1, 2"));
    CHECK(contains(text, "called by rank 0 (device 0), 2 (device 2)"));
    CHECK(contains(text, "waits for rank 1 (device 1)"));
  });
}

TEST_CASE("libraries: planted bug: two ranks send first and receive then") {
  for_every_order(2, [] {
    Ranks ranks(2);
    const RankBuffers<float> data(2, 4, ones);
    for (int rank = 0; rank < 2; ++rank) {
      const auto comm = ranks.comms[static_cast<std::size_t>(rank)];
      std::thread([&, rank, comm] {
        ncclSend(data[rank], 4, ncclFloat, 1 - rank, comm, ranks.stream(rank));
        ncclRecv(data[rank], 4, ncclFloat, 1 - rank, comm, ranks.stream(rank));
      }).join();
    }
    CHECK(cudaStreamSynchronize(ranks.stream(0)) != cudaSuccess);
    CHECK(contains(only_report(Finding::hang), "ncclSend"));
  });
}

TEST_CASE("libraries: calls that do not match are reported and do not hang") {
  const auto mismatch = [](auto second) {
    const TestMachine machine(2);
    const Ranks ranks(2);
    const RankBuffers<float> data(2, 8, ones);
    ncclGroupStart();
    ncclAllReduce(data[0], data[0], 4, ncclFloat, ncclSum, ranks.comms[0], ranks.stream(0));
    second(data[1], ranks.comms[1], ranks.stream(1));
    CHECK(ncclGroupEnd() == ncclInvalidUsage);
    CHECK(ranks.synchronize() == cudaSuccess);
    ncclResult_t error = ncclSuccess;
    CHECK(ncclCommGetAsyncError(ranks.comms[0], &error) == ncclSuccess);
    CHECK(error == ncclInvalidUsage);
    return only_report(Finding::library);
  };
  auto text = mismatch([](float* x, ncclComm_t comm, cudaStream_t stream) {
    ncclAllReduce(x, x, 8, ncclFloat, ncclSum, comm, stream);
  });
  CHECK(contains(text, "rank 0 called ncclAllReduce of 4 float32, sum"));
  CHECK(contains(text, "rank 1 called ncclAllReduce of 8 float32, sum"));
  text = mismatch([](float* x, ncclComm_t comm, cudaStream_t stream) {
    ncclAllReduce(x, x, 4, ncclInt32, ncclSum, comm, stream);
  });
  CHECK(contains(text, "4 int32"));
  text = mismatch([](float* x, ncclComm_t comm, cudaStream_t stream) {
    ncclAllReduce(x, x, 4, ncclFloat, ncclMax, comm, stream);
  });
  CHECK(contains(text, "max"));
  text = mismatch([](float* x, ncclComm_t comm, cudaStream_t stream) {
    ncclBroadcast(x, x, 4, ncclFloat, 0, comm, stream);
  });
  CHECK(contains(text, "ncclBroadcast of 4 float32, root 0"));
}

TEST_CASE("libraries: a third rank that joins calls that do not match is not reported again") {
  const TestMachine machine(3);
  const Ranks ranks(3);
  const RankBuffers<float> data(3, 8, ones);
  CHECK(ranks.grouped([&](int rank, ncclComm_t comm, cudaStream_t stream) {
    ncclAllReduce(data[rank], data[rank], rank == 0 ? 4 : 8, ncclFloat, ncclSum, comm, stream);
  }) == ncclInvalidUsage);
  only_report(Finding::library);
  CHECK(ranks.synchronize() == cudaSuccess);
}

TEST_CASE("libraries: one thread that calls for two ranks outside a group is reported") {
  const TestMachine machine(2);
  const Ranks ranks(2);
  const RankBuffers<float> data(2, 1, ones);
  for (int rank = 0; rank < 2; ++rank) {
    CHECK(ncclAllReduce(data[rank], data[rank], 1, ncclFloat, ncclSum,
                        ranks.comms[static_cast<std::size_t>(rank)], ranks.stream(rank)) == ncclSuccess);
  }
  CHECK(contains(only_report(Finding::library), "ncclGroupStart"));
  CHECK(ranks.synchronize() == cudaSuccess);
  CHECK(data.download(0)[0] == 2);
}

TEST_CASE("libraries: ncclCommAbort frees those who wait") {
  for (const auto streams : {Streams::lazy, Streams::threaded}) {
    const TestMachine machine(2, streams);
    Ranks ranks(2);
    const RankBuffers<float> data(2, 4, ones);
    CHECK(ncclAllReduce(data[0], data[0], 4, ncclFloat, ncclSum, ranks.comms[0], ranks.stream(0)) ==
          ncclSuccess);
    CHECK(cudaStreamQuery(ranks.stream(0)) == cudaErrorNotReady);
    std::thread aborting([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(30));
      CHECK(ncclCommAbort(ranks.comms[0]) == ncclSuccess);
    });
    CHECK(cudaStreamSynchronize(ranks.stream(0)) == cudaSuccess);
    aborting.join();
    CHECK(data.download(0) == std::vector<float>(4, 1));
    CHECK(ncclAllReduce(data[0], data[0], 4, ncclFloat, ncclSum, ranks.comms[0], ranks.stream(0)) ==
          ncclInvalidArgument);
    CHECK(contains(ncclGetLastError(nullptr), "aborted"));
  }
}

TEST_CASE("libraries: a device lost during a collective shows on the other ranks, which abort and go on") {
  for (const auto streams : {Streams::lazy, Streams::threaded}) {
    const TestMachine machine(2, streams);
    Ranks ranks(2);
    const RankBuffers<float> data(2, 4, ones);
    cudaStream_t blocked = ranks.stream(1);
    static std::atomic<bool> go;  // read until the next machine stops this one's workers
    go = false;
    cudaLaunchHostFunc(
        blocked,
        [](void*) {
          while (!go) std::this_thread::yield();
        },
        nullptr);
    REQUIRE(ranks.grouped([&](int rank, ncclComm_t comm, cudaStream_t stream) {
      ncclAllReduce(data[rank], data[rank], 4, ncclFloat, ncclSum, comm, stream);
    }) == ncclSuccess);
    lose_device(1);
    go = true;
    ncclResult_t error = ncclSuccess;
    CHECK(ncclCommGetAsyncError(ranks.comms[0], &error) == ncclSuccess);
    CHECK(error == ncclRemoteError);
    CHECK(ncclCommGetAsyncError(ranks.comms[1], &error) == ncclSuccess);
    CHECK(error == ncclUnhandledCudaError);
    CHECK(ncclCommAbort(ranks.comms[0]) == ncclSuccess);
    CHECK(cudaStreamSynchronize(ranks.stream(0)) == cudaSuccess);
    take_reports();
  }
}

TEST_CASE("libraries: NCCL answers wrong arguments as documented") {
  const TestMachine machine(3);
  const Ranks ranks(2);
  const RankBuffers<float> data(2, 4, ones);
  const auto comm = ranks.comms[0];
  const auto reduce = [&](void* buffer, int type, int op, int root) {
    return ncclReduce(buffer, buffer, 4, static_cast<ncclDataType_t>(type), static_cast<ncclRedOp_t>(op),
                      root, comm, ranks.stream(0));
  };
  CHECK(ncclAllReduce(data[0], data[0], 4, ncclFloat, ncclSum, nullptr, nullptr) == ncclInvalidArgument);
  CHECK(contains(ncclGetLastError(nullptr), "ncclAllReduce"));
  CHECK(reduce(data[0], 12, ncclSum, 0) == ncclInvalidArgument);
  CHECK(reduce(data[0], ncclFloat, 7, 0) == ncclInvalidArgument);
  CHECK(reduce(data[0], ncclFloat, ncclSum, 2) == ncclInvalidArgument);
  CHECK(reduce(data[0], ncclFloat, ncclSum, -1) == ncclInvalidArgument);
  CHECK(reduce(nullptr, ncclFloat, ncclSum, 0) == ncclInvalidArgument);
  CHECK(ncclGroupEnd() == ncclInvalidUsage);
  CHECK(ncclGetVersion(nullptr) == ncclInvalidArgument);
  CHECK(ncclCommCount(nullptr, nullptr) == ncclInvalidArgument);
  CHECK(ncclCommDestroy(nullptr) == ncclSuccess);
  CHECK(ncclCommAbort(nullptr) == ncclSuccess);

  int number = -1;
  CHECK(ncclCommCount(comm, &number) == ncclSuccess);
  CHECK(number == 2);
  CHECK(ncclCommUserRank(ranks.comms[1], &number) == ncclSuccess);
  CHECK(number == 1);
  CHECK(ncclCommCuDevice(ranks.comms[1], &number) == ncclSuccess);
  CHECK(number == 1);
  CHECK(std::strcmp(ncclGetErrorString(ncclSuccess), "no error") == 0);

  ncclComm_t made[3];
  const int twice[] = {1, 1}, missing[] = {0, 3}, backwards[] = {2, 0};
  CHECK(ncclCommInitAll(nullptr, 1, nullptr) == ncclInvalidArgument);
  CHECK(ncclCommInitAll(made, -1, nullptr) == ncclInvalidArgument);
  CHECK(ncclCommInitAll(made, 2, twice) == ncclInvalidUsage);
  CHECK(ncclCommInitAll(made, 2, missing) == ncclInvalidArgument);
  CHECK(ncclCommInitAll(made, 0, nullptr) == ncclSuccess);
  REQUIRE(ncclCommInitAll(made, 2, backwards) == ncclSuccess);
  CHECK(ncclCommCuDevice(made[0], &number) == ncclSuccess);
  CHECK(number == 2);
  CHECK(ncclCommDestroy(made[0]) == ncclSuccess);
  CHECK(ncclCommDestroy(made[0]) == ncclInvalidArgument);
  CHECK(ncclCommDestroy(made[1]) == ncclSuccess);
}

TEST_CASE("libraries: ncclCommInitRank by one thread in a group, and its refusals") {
  const TestMachine machine(2);
  ncclUniqueId id;
  REQUIRE(ncclGetUniqueId(&id) == ncclSuccess);
  ncclComm_t comms[2];
  CHECK(ncclCommInitRank(nullptr, 2, id, 0) == ncclInvalidArgument);
  CHECK(ncclCommInitRank(&comms[0], 0, id, 0) == ncclInvalidArgument);
  CHECK(ncclCommInitRank(&comms[0], 2, id, 2) == ncclInvalidArgument);
  CHECK(ncclCommInitRank(&comms[0], 2, ncclUniqueId{}, 0) == ncclInvalidArgument);
  ncclGroupStart();
  for (int rank = 0; rank < 2; ++rank) {
    cudaSetDevice(rank);
    CHECK(ncclCommInitRank(&comms[rank], 2, id, rank) == ncclSuccess);
  }
  REQUIRE(ncclGroupEnd() == ncclSuccess);
  cudaSetDevice(0);
  int device = -1;
  CHECK(ncclCommCuDevice(comms[1], &device) == ncclSuccess);
  CHECK(device == 1);
  for (const auto comm : comms) CHECK(ncclCommDestroy(comm) == ncclSuccess);

  // One device cannot be two ranks.
  ncclUniqueId another;
  REQUIRE(ncclGetUniqueId(&another) == ncclSuccess);
  ncclGroupStart();
  for (int rank = 0; rank < 2; ++rank) ncclCommInitRank(&comms[rank], 2, another, rank);
  CHECK(ncclGroupEnd() == ncclInvalidUsage);
}

TEST_CASE("libraries: a rank that never joins the communicator is reported") {
  const TestMachine machine(2, Streams::lazy, 0, std::chrono::milliseconds(100));
  ncclUniqueId id;
  REQUIRE(ncclGetUniqueId(&id) == ncclSuccess);
  ncclComm_t comm;
  CHECK(ncclCommInitRank(&comm, 2, id, 0) == ncclSystemError);
  CHECK(contains(only_report(Finding::hang), "waits for rank 1 of 2"));
}

TEST_CASE("libraries: an injected NCCL fault starts nothing and leaves the communicator usable") {
  const TestMachine machine(2);
  const Ranks ranks(2);
  const RankBuffers<float> data(2, 1, ones);
  const auto all_reduce = [&] {
    return ranks.grouped([&](int rank, ncclComm_t comm, cudaStream_t stream) {
      ncclAllReduce(data[rank], data[rank], 1, ncclFloat, ncclSum, comm, stream);
    });
  };
  fail_library_call("ncclAllReduce", 2);
  CHECK(all_reduce() == ncclSystemError);
  CHECK(contains(ncclGetLastError(nullptr), "injected fault"));
  CHECK(ranks.synchronize() == cudaSuccess);
  CHECK(data.download(0)[0] == 1);
  CHECK(all_reduce() == ncclSuccess);
  CHECK(ranks.synchronize() == cudaSuccess);
  CHECK(data.download(1)[0] == 2);
  ncclComm_t comms[2];
  fail_library_call("ncclCommInitAll", 1);
  CHECK(ncclCommInitAll(comms, 2, nullptr) == ncclSystemError);
}

TEST_CASE("libraries: NCCL fails after a fault in a kernel or copy") {
  const TestMachine machine(2);
  const Ranks ranks(2);
  const RankBuffers<float> data(2, 1, ones);
  fail_copy(0, 1);
  cudaMemcpyAsync(data[0], data[0], 4, cudaMemcpyDeviceToDevice, ranks.stream(0));
  CHECK(cudaStreamSynchronize(ranks.stream(0)) == cudaErrorLaunchFailure);
  CHECK(ncclAllReduce(data[0], data[0], 1, ncclFloat, ncclSum, ranks.comms[0], ranks.stream(0)) ==
        ncclUnhandledCudaError);
  ncclResult_t error = ncclSuccess;
  CHECK(ncclCommGetAsyncError(ranks.comms[0], &error) == ncclSuccess);
  CHECK(error == ncclUnhandledCudaError);
}

TEST_CASE("libraries: NCCL's buffers and streams are checked") {
  const TestMachine machine(2);
  const Ranks ranks(2);
  const RankBuffers<float> data(2, 4, ones);
  SUBCASE("a stream of another device") {
    CHECK(ncclAllReduce(data[0], data[0], 4, ncclFloat, ncclSum, ranks.comms[0], ranks.stream(1)) ==
          ncclUnhandledCudaError);
    const auto text = only_report(Finding::wrong_stream);
    CHECK(contains(text, "rank 0 is device 0"));
    CHECK(contains(text, "belongs to device 1"));
  }
  SUBCASE("unwritten data") {
    const DeviceBuffer<float> unwritten(std::size_t{4});
    ncclGroupStart();
    ncclAllReduce(unwritten.data(), data[0], 4, ncclFloat, ncclSum, ranks.comms[0], ranks.stream(0));
    ncclAllReduce(data[1], data[1], 4, ncclFloat, ncclSum, ranks.comms[1], ranks.stream(1));
    REQUIRE(ncclGroupEnd() == ncclSuccess);
    CHECK(ranks.synchronize() == cudaErrorIllegalAddress);
    CHECK(contains(only_report(Finding::unwritten_read), "ncclAllReduce (rank 0 sends)"));
  }
  SUBCASE("more than the buffer holds") {
    CHECK(ranks.grouped([&](int rank, ncclComm_t comm, cudaStream_t stream) {
      ncclBroadcast(data[0], rank == 0 ? nullptr : data[rank], 5, ncclFloat, 0, comm, stream);
    }) == ncclInvalidArgument);
    CHECK(ranks.grouped([&](int rank, ncclComm_t comm, cudaStream_t stream) {
      ncclAllReduce(data[rank], data[rank], 5, ncclFloat, ncclSum, comm, stream);
    }) == ncclSuccess);
    CHECK(ranks.synchronize() == cudaErrorIllegalAddress);
    CHECK(contains(only_report(Finding::out_of_bounds), "ncclAllReduce"));
  }
  cudaGetLastError();
}

// NCCL's operations on simulated devices, for 1 to 8 ranks, in place and not.
#include "../libraries/number.h"
#include "libraries_nccl_support.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <thread>
#include <vector>

using namespace miniparallel::simulator;
using namespace miniparallel::simulator::testing;

namespace {

constexpr std::size_t count = 5;

float value(int rank, std::size_t i) { return static_cast<float>(10 * rank) + static_cast<float>(i) + 1; }

/// The reduction of value(rank, i) over the ranks, rank by rank.
float reduced(ncclRedOp_t op, int ranks, std::size_t i) {
  float result = value(0, i);
  for (int rank = 1; rank < ranks; ++rank) {
    const float x = value(rank, i);
    result = op == ncclProd  ? result * x
             : op == ncclMax ? std::max(result, x)
             : op == ncclMin ? std::min(result, x)
                             : result + x;
  }
  return op == ncclAvg ? result / static_cast<float>(ranks) : result;
}

constexpr ncclRedOp_t operations[] = {ncclSum, ncclProd, ncclMax, ncclMin, ncclAvg};

/// Runs the body for every number of ranks, lazily in several orders and with threads.
template <class Body>
void for_every_machine(Body&& body) {
  for (const int ranks : {1, 2, 3, 4, 8}) {
    for (const std::uint64_t seed : {0, 1, 2}) {
      INFO("ranks " << ranks << ", seed " << seed << " (2: threads)");
      const TestMachine machine(ranks, seed == 2 ? Streams::threaded : Streams::lazy, seed);
      const Ranks group(ranks);
      body(group);
    }
  }
}

}  // namespace

TEST_CASE("libraries: ncclAllReduce for every operation, apart and in place") {
  for_every_machine([](const Ranks& ranks) {
    for (const ncclRedOp_t op : operations) {
      for (const bool in_place : {false, true}) {
        const RankBuffers<float> send(ranks.size(), count, value);
        const RankBuffers<float> receive(ranks.size(), count, [](int, std::size_t) { return -1.f; });
        const auto& target = in_place ? send : receive;
        REQUIRE(ranks.grouped([&](int rank, ncclComm_t comm, cudaStream_t stream) {
          REQUIRE(ncclAllReduce(send[rank], target[rank], count, ncclFloat, op, comm, stream) == ncclSuccess);
        }) == ncclSuccess);
        REQUIRE(ranks.synchronize() == cudaSuccess);
        for (int rank = 0; rank < ranks.size(); ++rank) {
          const auto result = target.download(rank);
          for (std::size_t i = 0; i < count; ++i) REQUIRE(result[i] == reduced(op, ranks.size(), i));
          if (!in_place) REQUIRE(send.download(rank)[0] == value(rank, 0));
        }
      }
    }
  });
}

TEST_CASE("libraries: ncclReduce and ncclBroadcast for every root") {
  for_every_machine([](const Ranks& ranks) {
    for (int root = 0; root < ranks.size(); ++root) {
      for (const bool in_place : {false, true}) {
        const RankBuffers<float> send(ranks.size(), count, value);
        const RankBuffers<float> receive(ranks.size(), count, [](int, std::size_t) { return -1.f; });
        const auto& target = in_place ? send : receive;
        REQUIRE(ranks.grouped([&](int rank, ncclComm_t comm, cudaStream_t stream) {
          // Only the root needs a place for the result.
          ncclReduce(send[rank], rank == root ? target[rank] : nullptr, count, ncclFloat, ncclSum, root, comm,
                     stream);
        }) == ncclSuccess);
        REQUIRE(ranks.grouped([&](int rank, ncclComm_t comm, cudaStream_t stream) {
          ncclBroadcast(target[rank], target[rank], count, ncclFloat, root, comm, stream);
        }) == ncclSuccess);
        REQUIRE(ranks.synchronize() == cudaSuccess);
        for (int rank = 0; rank < ranks.size(); ++rank) {
          const auto result = target.download(rank);
          for (std::size_t i = 0; i < count; ++i) REQUIRE(result[i] == reduced(ncclSum, ranks.size(), i));
        }
      }
    }
  });
}

TEST_CASE("libraries: ncclReduceScatter and ncclAllGather, apart and in place") {
  for_every_machine([](const Ranks& ranks) {
    const auto total = count * static_cast<std::size_t>(ranks.size());
    for (const bool in_place : {false, true}) {
      const RankBuffers<float> whole(ranks.size(), total, value), gathered(ranks.size(), total, value);
      const RankBuffers<float> part(ranks.size(), count, [](int, std::size_t) { return -1.f; });
      const auto block = [&](int rank) {
        return in_place ? whole[rank] + static_cast<std::size_t>(rank) * count : part[rank];
      };
      REQUIRE(ranks.grouped([&](int rank, ncclComm_t comm, cudaStream_t stream) {
        ncclReduceScatter(whole[rank], block(rank), count, ncclFloat, ncclSum, comm, stream);
      }) == ncclSuccess);
      REQUIRE(ranks.grouped([&](int rank, ncclComm_t comm, cudaStream_t stream) {
        ncclAllGather(block(rank), in_place ? whole[rank] : gathered[rank], count, ncclFloat, comm, stream);
      }) == ncclSuccess);
      REQUIRE(ranks.synchronize() == cudaSuccess);
      for (int rank = 0; rank < ranks.size(); ++rank) {
        const auto result = (in_place ? whole : gathered).download(rank);
        for (std::size_t i = 0; i < total; ++i) REQUIRE(result[i] == reduced(ncclSum, ranks.size(), i));
      }
    }
  });
}

TEST_CASE("libraries: ncclSend and ncclRecv pass a value around the ring in one group") {
  for_every_machine([](const Ranks& ranks) {
    const RankBuffers<float> send(ranks.size(), count, value), receive(ranks.size(), count, value);
    const int n = ranks.size();
    REQUIRE(ranks.grouped([&](int rank, ncclComm_t comm, cudaStream_t stream) {
      ncclSend(send[rank], count, ncclFloat, (rank + 1) % n, comm, stream);
      ncclRecv(receive[rank], count, ncclFloat, (rank + n - 1) % n, comm, stream);
    }) == ncclSuccess);
    REQUIRE(ranks.synchronize() == cudaSuccess);
    for (int rank = 0; rank < n; ++rank) CHECK(receive.download(rank)[1] == value((rank + n - 1) % n, 1));
  });
}

TEST_CASE("libraries: several collectives of one communicator in one group") {
  const TestMachine machine(3);
  const Ranks ranks(3);
  const RankBuffers<float> a(3, count, value), b(3, count, value);
  REQUIRE(ranks.grouped([&](int rank, ncclComm_t comm, cudaStream_t stream) {
    ncclAllReduce(a[rank], a[rank], count, ncclFloat, ncclSum, comm, stream);
    ncclAllReduce(b[rank], b[rank], count, ncclFloat, ncclMax, comm, stream);
  }) == ncclSuccess);
  REQUIRE(ranks.synchronize() == cudaSuccess);
  CHECK(a.download(2)[0] == reduced(ncclSum, 3, 0));
  CHECK(b.download(0)[4] == reduced(ncclMax, 3, 4));
}

TEST_CASE_TEMPLATE("libraries: collectives of half, bfloat16, double and integers", T, __half, __nv_bfloat16,
                   double, std::int64_t, std::uint8_t) {
  const auto type = std::is_same_v<T, __half>          ? ncclHalf
                    : std::is_same_v<T, __nv_bfloat16> ? ncclBfloat16
                    : std::is_same_v<T, double>        ? ncclDouble
                    : std::is_same_v<T, std::int64_t>  ? ncclInt64
                                                       : ncclUint8;
  const TestMachine machine(3);
  const Ranks ranks(3);
  const RankBuffers<T> data(3, count, [](int rank, std::size_t i) { return convert<T>(value(rank, i)); });
  REQUIRE(ranks.grouped([&](int rank, ncclComm_t comm, cudaStream_t stream) {
    ncclAllReduce(data[rank], data[rank], count, type, ncclSum, comm, stream);
  }) == ncclSuccess);
  REQUIRE(ranks.synchronize() == cudaSuccess);
  for (std::size_t i = 0; i < count; ++i) {
    CHECK(convert<double>(data.download(1)[i]) == static_cast<double>(reduced(ncclSum, 3, i)));
  }
}

TEST_CASE("libraries: one thread per rank needs no group") {
  for (const auto streams : {Streams::lazy, Streams::threaded}) {
    const TestMachine machine(4, streams);
    ncclUniqueId id;
    REQUIRE(ncclGetUniqueId(&id) == ncclSuccess);
    std::vector<int> right(4);
    std::vector<std::thread> threads;
    for (int rank = 0; rank < 4; ++rank) {
      threads.emplace_back([&, rank] {
        cudaSetDevice(rank);
        ncclComm_t comm;
        cudaStream_t stream;
        if (ncclCommInitRank(&comm, 4, id, rank) != ncclSuccess) return;
        cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
        float* data = nullptr;
        cudaMalloc(reinterpret_cast<void**>(&data), sizeof(float));
        const float mine = value(rank, 0);
        cudaMemcpy(data, &mine, sizeof(float), cudaMemcpyHostToDevice);
        float result = 0;
        for (int i = 0; i < 10; ++i) ncclAllReduce(data, data, 1, ncclFloat, ncclMax, comm, stream);
        cudaMemcpyAsync(&result, data, sizeof(float), cudaMemcpyDeviceToHost, stream);
        right[static_cast<std::size_t>(rank)] =
            cudaStreamSynchronize(stream) == cudaSuccess && result == value(3, 0);
        cudaFree(data);
        cudaStreamDestroy(stream);
        ncclCommDestroy(comm);
      });
    }
    for (auto& thread : threads) thread.join();
    CHECK(right == std::vector<int>{1, 1, 1, 1});
  }
}

TEST_CASE("libraries: a collective waits for somebody to wait for it, and for the streams of all ranks") {
  const TestMachine machine(2);
  const Ranks ranks(2);
  const RankBuffers<float> data(2, 1, value);
  float* seen = nullptr;
  REQUIRE(cudaMallocHost(reinterpret_cast<void**>(&seen), sizeof(float)) == cudaSuccess);
  *seen = -1;
  const float late = 100;  // rank 1's stream has work before the collective, which rank 0's result depends on
  cudaMemcpyAsync(data[1], &late, sizeof(float), cudaMemcpyHostToDevice, ranks.stream(1));
  const auto before = counters();
  REQUIRE(ranks.grouped([&](int rank, ncclComm_t comm, cudaStream_t stream) {
    ncclAllReduce(data[rank], data[rank], 1, ncclFloat, ncclSum, comm, stream);
  }) == ncclSuccess);
  cudaMemcpyAsync(seen, data[0], sizeof(float), cudaMemcpyDeviceToHost, ranks.stream(0));
  CHECK(*seen == -1);
  CHECK((counters() - before).host_synchronizations == 0);
  CHECK((counters() - before).collectives == 2);
  CHECK((counters() - before).collective_bytes == 2 * 4);
  REQUIRE(cudaStreamSynchronize(ranks.stream(0)) == cudaSuccess);
  CHECK(*seen == value(0, 0) + late);
  REQUIRE(ranks.synchronize() == cudaSuccess);
  cudaFreeHost(seen);
}

TEST_CASE("libraries: a collective orders the streams of its ranks") {
  const TestMachine machine(2);
  const Ranks ranks(2);
  const RankBuffers<float> data(2, 1, value), token(2, 1, value);
  cudaSetDevice(1);
  REQUIRE(cudaDeviceEnablePeerAccess(0, 0) == cudaSuccess);
  const float written = 42;
  cudaMemcpyAsync(data[0], &written, sizeof(float), cudaMemcpyHostToDevice, ranks.stream(0));
  REQUIRE(ranks.grouped([&](int rank, ncclComm_t comm, cudaStream_t stream) {
    ncclAllReduce(token[rank], token[rank], 1, ncclFloat, ncclSum, comm, stream);
  }) == ncclSuccess);
  cudaMemcpyPeerAsync(data[1], 1, data[0], 0, sizeof(float), ranks.stream(1));
  REQUIRE(ranks.synchronize() == cudaSuccess);
  CHECK(data.download(1)[0] == written);
  cudaSetDevice(0);
}

TEST_CASE("libraries: the bytes on links are those of a ring") {
  const TestMachine machine(4);
  const Ranks ranks(4);
  const RankBuffers<float> data(4, 16, value), more(4, 64, value);
  const auto bytes = [&](auto call) {
    const auto before = counters();
    REQUIRE(ranks.grouped(call) == ncclSuccess);
    REQUIRE(ranks.synchronize() == cudaSuccess);
    return (counters() - before).collective_bytes;
  };
  CHECK(bytes([&](int r, ncclComm_t comm, cudaStream_t s) {
          ncclAllReduce(data[r], data[r], 16, ncclFloat, ncclSum, comm, s);
        }) == 2 * 3 * 64);
  CHECK(bytes([&](int r, ncclComm_t comm, cudaStream_t s) {
          ncclReduceScatter(more[r], data[r], 16, ncclFloat, ncclSum, comm, s);
        }) == 4 * 3 * 64);
  CHECK(bytes([&](int r, ncclComm_t comm, cudaStream_t s) {
          ncclAllGather(data[r], more[r], 16, ncclFloat, comm, s);
        }) == 4 * 3 * 64);
  CHECK(bytes([&](int r, ncclComm_t comm, cudaStream_t s) {
          ncclBcast(data[r], 16, ncclFloat, 1, comm, s);
        }) == 3 * 64);
}

TEST_CASE("libraries: the table of NCCL functions is complete and leads to the simulator") {
  const TestMachine machine(2);
  const NcclTable& nccl = nccl_functions();
#define CHECK_MEMBER(name) CHECK((nccl.name == &::nccl##name));
  MINIPARALLEL_NCCL_FUNCTIONS(CHECK_MEMBER)
#undef CHECK_MEMBER
  int version = 0;
  CHECK(nccl.GetVersion(&version) == ncclSuccess);
  CHECK(version == NCCL_VERSION_CODE);
}

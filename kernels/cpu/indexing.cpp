#include "kernels/indexing.h"

#include "kernels/cpu/backend.h"
#include "kernels/cpu/check_indices.h"
#include "kernels/cpu/parallel.h"

#include <algorithm>
#include <cstddef>
#include <cstring>

namespace miniparallel::kernels::cpu {
namespace {

constexpr std::int64_t kGrain = 16384;  // elements per thread at least
constexpr std::int64_t kColumns = 64;   // of a row that one thread adds to: a fixed order without atomics

void gather(DType dtype, const IndexArgs& args, const void* whole, void* picked, Stream) {
  check_indices(args.op, "index", args.index, args.index_dtype, args.count, args.rows);
  if (args.inner == 0) return;
  const std::int64_t bytes = args.inner * static_cast<std::int64_t>(size_of(dtype));
  const auto copy_row = [&](std::int64_t i) {
    const std::int64_t outer = i / args.count, row = index_at(args.index, args.index_dtype, i % args.count);
    std::byte* to = static_cast<std::byte*>(picked) + i * bytes;
    const std::byte* from = static_cast<const std::byte*>(whole) + (outer * args.rows + row) * bytes;
    const auto length = static_cast<std::size_t>(bytes);
    row == args.skip ? std::memset(to, 0, length) : std::memcpy(to, from, length);
  };
  parallel_for(args.outer * args.count, std::max<std::int64_t>(kGrain / args.inner, 1),
               [&](std::int64_t begin, std::int64_t end) {
                 for (std::int64_t i = begin; i < end; ++i) copy_row(i);
               });
}

template <class T>
void add_columns(const IndexArgs& args, const T* picked, T* whole, std::int64_t width) {
  for (std::int64_t i = 0; i < args.count; ++i) {
    const std::int64_t row = index_at(args.index, args.index_dtype, i);
    if (row == args.skip) continue;
    const T* from = picked + i * args.inner;
    T* to = whole + row * args.inner;
    for (std::int64_t c = 0; c < width; ++c) to[c] += from[c];
  }
}

template <class T>
void scatter_add_as(const IndexArgs& args, const T* picked, T* whole) {
  const std::int64_t blocks = (args.inner + kColumns - 1) / kColumns;
  const std::int64_t work = std::max<std::int64_t>(args.count * std::min(args.inner, kColumns), 1);
  parallel_for(args.outer * blocks, std::max<std::int64_t>(kGrain / work, 1),
               [&](std::int64_t begin, std::int64_t end) {
                 for (std::int64_t i = begin; i < end; ++i) {
                   const std::int64_t outer = i / blocks, column = i % blocks * kColumns;
                   add_columns(args, picked + outer * args.count * args.inner + column,
                               whole + outer * args.rows * args.inner + column,
                               std::min(kColumns, args.inner - column));
                 }
               });
}

void scatter_add(DType dtype, const IndexArgs& args, const void* picked, void* whole, Stream) {
  check_indices(args.op, "index", args.index, args.index_dtype, args.count, args.rows);
  if (dtype == float32)
    scatter_add_as(args, static_cast<const float*>(picked), static_cast<float*>(whole));
  else
    scatter_add_as(args, static_cast<const double*>(picked), static_cast<double*>(whole));
}

}  // namespace

const Indexing& indexing() {
  static constexpr Indexing launchers{.gather = gather, .scatter_add = scatter_add};
  return launchers;
}

}  // namespace miniparallel::kernels::cpu

#include "kernels/sort.h"

#include "kernels/cpu/backend.h"
#include "kernels/cpu/parallel.h"

#include <algorithm>

namespace miniparallel::kernels::cpu {
namespace {

constexpr std::int64_t kGrain = 2048;  // elements per thread at least

void argsort(DType dtype, const SortArgs& args, std::int64_t* indices, Stream) {
  with_sortable(dtype, [&]<class T>() {
    const auto sort_line = [&](std::int64_t line) {
      SortEntry* const entries = args.scratch + line * args.padded();
      for (std::int64_t i = 0; i < args.n; ++i) entries[i] = sort_entry<T>(args, line, i);
      std::sort(entries, entries + args.n);
      std::int64_t* const to = indices + line / args.inner * args.n * args.inner + line % args.inner;
      for (std::int64_t i = 0; i < args.n; ++i) to[i * args.inner] = entries[i].place;
    };
    parallel_for(args.lines(), std::max<std::int64_t>(kGrain / std::max<std::int64_t>(args.n, 1), 1),
                 [&](std::int64_t begin, std::int64_t end) {
                   for (std::int64_t line = begin; line < end; ++line) sort_line(line);
                 });
  });
}

}  // namespace

const Sort& sort() {
  static constexpr Sort launchers{.argsort = argsort};
  return launchers;
}

}  // namespace miniparallel::kernels::cpu

#include "kernels/sort.h"

#include "kernels/cpu/backend.h"
#include "kernels/cpu/parallel.h"

#include <algorithm>

namespace miniparallel::kernels::cpu {
namespace {

constexpr std::int64_t kGrain = 2048;  // elements per thread at least
constexpr std::int64_t kFewOf = 16;  // one in so many: few elements of a line come into the heap of the first

/// Sorts n entries as far as those of places [begin, end) are there.
void sort_places(SortEntry* entries, std::int64_t begin, std::int64_t end, std::int64_t n) {
  if (begin > 0) std::nth_element(entries, entries + begin, entries + n);
  if (begin > 0 && end == begin + 1) return;
  if (end - begin <= (n - begin) / kFewOf)  // a heap of them
    return std::partial_sort(entries + begin, entries + end, entries + n);
  if (end < n) std::nth_element(entries + begin, entries + end, entries + n);
  std::sort(entries + begin, entries + end);
}

void argsort(DType dtype, const SortArgs& args, std::int64_t* indices, Stream) {
  with_sortable(dtype, [&]<class T>() {
    const auto sort_line = [&](std::int64_t line, SortEntry* entries) {
      for (std::int64_t i = 0; i < args.n; ++i) entries[i] = sort_entry<T>(args, line, i);
      sort_places(entries, args.begin, args.end, args.n);
      std::int64_t* const to = indices + line / args.inner * args.n * args.inner + line % args.inner;
      for (std::int64_t i = args.begin; i < args.end; ++i) to[i * args.inner] = entries[i].place;
    };
    parallel_for(args.lines(), std::max<std::int64_t>(kGrain / std::max<std::int64_t>(args.n, 1), 1),
                 [&](std::int64_t begin, std::int64_t end) {
                   SortEntry* const entries =
                       args.scratch + begin * args.padded();  // one line's stay in cache
                   for (std::int64_t line = begin; line < end; ++line) sort_line(line, entries);
                 });
  });
}

}  // namespace

const Sort& sort() {
  static constexpr Sort launchers{.argsort = argsort};
  return launchers;
}

}  // namespace miniparallel::kernels::cpu

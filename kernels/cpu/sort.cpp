#include "kernels/sort.h"

#include "kernels/cpu/backend.h"
#include "kernels/cpu/parallel.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/sort.cpp"
#include "kernels/cpu/targets.h"

HWY_BEFORE_NAMESPACE();
namespace miniparallel::kernels::cpu::HWY_NAMESPACE {
namespace {

constexpr std::int64_t kGrain = 2048;  // elements per thread at least
constexpr std::int64_t kFewOf = 16;  // one in so many: few elements of a line come into the heap of the first
constexpr std::int64_t kBlock = 64;  // elements that are compared with the worst of the heap at once

/// Puts an entry in place of the greatest one of a heap.
MP_INLINE void replace_greatest(SortEntry* heap, std::int64_t n, const SortEntry& entry) {
  std::int64_t hole = 0;
  for (std::int64_t child = 1; child < n; child = 2 * hole + 1) {
    if (child + 1 < n && heap[child] < heap[child + 1]) ++child;
    if (heap[child] < entry) break;
    heap[hole] = heap[child];
    hole = child;
  }
  heap[hole] = entry;
}

/// The first `args.end` places of a line, sorted, in `entries`: a heap of them through which the line passes.
/// Of equal elements the one before is there already, so only lesser ones come in.
template <class T>
HWY_ATTR void first_places(const SortArgs& args, std::int64_t line, SortEntry* entries) {
  SortEntry* const end = entries + args.end;
  const T* const x =
      static_cast<const T*>(args.x) + line / args.inner * args.n * args.inner + line % args.inner;
  const std::uint64_t mirror = args.descending ? ~std::uint64_t{0} : 0;
  for (std::int64_t i = 0; i < args.end; ++i) entries[i] = sort_entry<T>(args, line, i);
  std::make_heap(entries, end);
  T block[kBlock] = {};
  std::uint64_t keys[kBlock];
  for (std::int64_t first = args.end, n; first < args.n; first += n) {
    n = std::min(kBlock, args.n - first);
    std::uint64_t worst = entries->key;
    if (args.inner == 1)
      std::copy_n(x + first, n, block);
    else
      for (std::int64_t i = 0; i < n; ++i) block[i] = x[(first + i) * args.inner];
    for (std::int64_t i = 0; i < kBlock; ++i) keys[i] = sort_key(block[i]) ^ mirror;
    std::int64_t lesser = 0;
    for (std::int64_t i = 0; i < kBlock; ++i) lesser += keys[i] < worst ? 1 : 0;
    if (lesser == 0) continue;
    for (std::int64_t i = 0; i < n; ++i) {
      if (keys[i] >= worst) continue;
      replace_greatest(entries, args.end, {keys[i], first + i});
      worst = entries->key;
    }
  }
  std::sort_heap(entries, end);
}

/// Sorts n entries as far as those of places [begin, end) are there.
void sort_places(SortEntry* entries, std::int64_t begin, std::int64_t end, std::int64_t n) {
  if (begin > 0) std::nth_element(entries, entries + begin, entries + n);
  if (begin > 0 && end == begin + 1) return;
  if (end - begin <= (n - begin) / kFewOf)
    return std::partial_sort(entries + begin, entries + end, entries + n);
  if (end < n) std::nth_element(entries + begin, entries + end, entries + n);
  std::sort(entries + begin, entries + end);
}

void argsort(DType dtype, const SortArgs& args, std::int64_t* indices, Stream) {
  with_sortable(dtype, [&]<class T>() {
    const auto sort_line = [&](std::int64_t line, SortEntry* entries) {
      if (args.begin == 0 && args.end > 0 && args.end <= args.n / kFewOf) {
        first_places<T>(args, line, entries);
      } else {
        for (std::int64_t i = 0; i < args.n; ++i) entries[i] = sort_entry<T>(args, line, i);
        sort_places(entries, args.begin, args.end, args.n);
      }
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

}  // namespace miniparallel::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace miniparallel::kernels::cpu {

MP_DISPATCH(Sort, sort)

}  // namespace miniparallel::kernels::cpu
#endif

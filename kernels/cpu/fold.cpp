#include "kernels/cpu/fold.h"

#include "kernels/cpu/parallel.h"

#include <algorithm>
#include <vector>

namespace miniparallel::kernels::cpu {
namespace {

constexpr std::int64_t kChunk = 16384;       // elements of one accumulator in a row
constexpr std::int64_t kChunkColumns = 512;  // elements of one accumulator in a column
constexpr std::int64_t kGrain = 32768;       // elements per thread at least

/// How a reduction is cut into pieces: blocks of outputs times chunks of the reduction. The cut depends on
/// the sizes alone, so that results do not depend on the number of threads.
class Pieces {
 public:
  Pieces(const FoldLoops& loops, const ReduceArgs& args)
      : loops_(loops),
        args_(args),
        outputs_(args.kept.numel()),
        reduced_(args.reduced.numel()),
        by_columns_(inner_stride(args.kept) == 1 && inner_stride(args.reduced) != 1) {
    row_ = by_columns_ ? inner_size(args.kept) : outputs_;
    chunk_ = by_columns_ ? kChunkColumns : kChunk;
    block_ = by_columns_
                 ? kColumns
                 : std::clamp<std::int64_t>(chunk_ / std::max<std::int64_t>(reduced_, 1), 1, kColumns);
    blocks_per_row_ = (row_ + block_ - 1) / block_;
    blocks_ = outputs_ / row_ * blocks_per_row_;
    chunks_ = std::max<std::int64_t>((reduced_ + chunk_ - 1) / chunk_, 1);
  }

  void run() {
    if (chunks_ > 1) partials_.resize(static_cast<std::size_t>(chunks_ * outputs_ * loops_.bytes));
    const std::int64_t piece = std::min(block_, row_) * std::min(chunk_, std::max<std::int64_t>(reduced_, 1));
    parallel_for(blocks_ * chunks_, std::max<std::int64_t>(kGrain / piece, 1),
                 [&](std::int64_t begin, std::int64_t end) {
                   for (std::int64_t i = begin; i < end; ++i) run_piece(i / chunks_, i % chunks_);
                 });
    if (chunks_ == 1) return;
    const auto partials = [&](std::int64_t chunk) {
      return partials_.data() + chunk * outputs_ * loops_.bytes;
    };
    for (std::int64_t chunk = 1; chunk < chunks_; ++chunk)
      loops_.merge(partials(0), partials(chunk), outputs_);
    loops_.store(args_, 0, outputs_, partials(0));
  }

 private:
  void run_piece(std::int64_t block, std::int64_t chunk) {
    const std::int64_t start = block / blocks_per_row_ * row_;
    const std::int64_t first = start + block % blocks_per_row_ * block_;
    const std::int64_t last = std::min(first + block_, start + row_);
    const std::int64_t begin = chunk * chunk_, end = std::min(begin + chunk_, reduced_);
    alignas(64) std::byte local[kColumns * 16];
    std::byte* accumulators =
        chunks_ == 1 ? local : partials_.data() + (chunk * outputs_ + first) * loops_.bytes;
    (by_columns_ ? loops_.columns : loops_.rows)(args_, first, last, begin, end, accumulators);
    if (chunks_ == 1) loops_.store(args_, first, last, accumulators);
  }

  const FoldLoops& loops_;
  const ReduceArgs& args_;
  std::int64_t outputs_, reduced_;
  bool by_columns_;
  std::int64_t row_, chunk_, block_, blocks_per_row_, blocks_, chunks_;
  std::vector<std::byte> partials_;
};

}  // namespace

void fold(const FoldLoops& loops, const ReduceArgs& args) {
  if (args.kept.numel() > 0) Pieces(loops, args).run();
}

}  // namespace miniparallel::kernels::cpu

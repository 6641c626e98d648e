#include "kernels/cpu/map.h"

#include "kernels/cpu/copy.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/short_rows.h"
#include "kernels/half.h"

#include <algorithm>
#include <span>

namespace miniparallel::kernels::cpu {
namespace {

constexpr std::int64_t kBlock = 1024;   // elements; four operands of 8 bytes stay in the L1 cache
constexpr std::int64_t kGrain = 16384;  // elements per thread at least: some 10 us of memory traffic

template <class T>
void add_row(void* to, std::int64_t to_stride, const void* from, std::int64_t from_stride, std::int64_t n) {
  T* target = static_cast<T*>(to);
  const T* source = static_cast<const T*>(from);
  if (to_stride == 1 && from_stride == 1)
    for (std::int64_t i = 0; i < n; ++i) target[i] += source[i];
  else
    for (std::int64_t i = 0; i < n; ++i) target[i * to_stride] += source[i * from_stride];
}

void convert_array(DType from_dtype, DType to_dtype, const void* from, void* to, std::int64_t n) {
  convert_loops()[static_cast<std::size_t>(from_dtype)][static_cast<std::size_t>(to_dtype)](
      {to, {from}, n, 0, 0});
}

template <class T>
void widen_row(void* to, std::int64_t to_stride, const void* from, std::int64_t from_stride, std::int64_t n) {
  if (to_stride == 1 && from_stride == 1) return convert_array(dtype_of<T>, float32, from, to, n);
  float* target = static_cast<float*>(to);
  const T* source = static_cast<const T*>(from);
  for (std::int64_t i = 0; i < n; ++i) target[i * to_stride] = to_float(source[i * from_stride]);
}
template <class T, bool accumulate>
void round_row(void* to, std::int64_t to_stride, const void* from, std::int64_t from_stride, std::int64_t n) {
  if (!accumulate && to_stride == 1 && from_stride == 1)
    return convert_array(float32, dtype_of<T>, from, to, n);
  T* target = static_cast<T*>(to);
  const float* source = static_cast<const float*>(from);
  for (std::int64_t i = 0; i < n; ++i) {
    T& y = target[i * to_stride];
    y = convert<T>(accumulate ? to_float(y) + source[i * from_stride] : source[i * from_stride]);
  }
}

/// How elements in memory come to a block in which `computed` is computed with.
CopyRow load_for(DType stored, DType computed) {
  if (stored == computed) return copy_row_for(size_of(stored));
  return stored == float16 ? widen_row<Half> : widen_row<BFloat16>;
}

/// What writes a result that was computed in a block: a copy, or a sum of floating numbers.
CopyRow put_for(DType stored, DType computed, bool accumulate) {
  if (stored != computed && stored == float16)
    return accumulate ? round_row<Half, true> : round_row<Half, false>;
  if (stored != computed) return accumulate ? round_row<BFloat16, true> : round_row<BFloat16, false>;
  if (!accumulate) return copy_row_for(size_of(stored));
  return stored == float32 ? add_row<float> : add_row<double>;
}

DType computed(DType stored, Halves halves) {
  return is_half(stored) && halves == Halves::as_float32 ? float32 : stored;
}

void run_loop(Loop loop, const ElementwiseArgs& args, int operands, std::byte* const* pointers,
              std::int64_t n) {
  LoopArgs loop_args{pointers[0], {}, n, args.p, args.q};
  for (int k = 1; k < operands; ++k) loop_args.in[k - 1] = pointers[k];
  loop(loop_args);
}

/// One call of `map`: walks a range of elements, row by row of the innermost dimension.
class Walk {
 public:
  Walk(Loop loop, const ElementwiseArgs& args, std::span<const DType> dtypes, Halves halves, int one = 0)
      : loop_(loop), args_(args) {
    const Layout& layout = args.layout;
    inner_ = layout.rank - 1;
    row_ = layout.rank == 0 ? 1 : layout.sizes[inner_];
    for (const DType dtype : dtypes) {
      stored_[count_] = dtype;
      computed_[count_] = computed(dtype, halves);
      bytes_[count_] = static_cast<std::int64_t>(size_of(dtype));
      stride_[count_] = layout.rank == 0 ? 1 : layout.strides[count_][inner_];
      direct_[count_] = (stride_[count_] == 1 || (one > 0 && one == count_)) && computed_[count_] == dtype;
      plain_ = plain_ && direct_[count_];
      ++count_;
    }
    plain_ = plain_ && !args.accumulate;
  }

  void operator()(std::int64_t begin, std::int64_t end) const {
    while (begin < end) {
      std::int64_t column = begin % row_;
      const std::int64_t n = std::min(end - begin, row_ - column);
      std::byte* pointers[kMaxOperands] = {};
      locate(begin / row_, column, pointers);
      if (plain_)
        run(pointers, n);
      else
        run_blocks(pointers, n);
      begin += n;
    }
  }

 private:
  /// Pointers to element `column` of row `row`.
  void locate(std::int64_t row, std::int64_t column, std::byte** pointers) const {
    std::int64_t offsets[kMaxOperands] = {};
    for (int k = 0; k < count_; ++k) offsets[k] = column * stride_[k];
    for (int d = inner_ - 1; d >= 0; --d) {
      const std::int64_t index = row % args_.layout.sizes[d];
      row /= args_.layout.sizes[d];
      for (int k = 0; k < count_; ++k) offsets[k] += index * args_.layout.strides[k][d];
    }
    for (int k = 0; k < count_; ++k)
      pointers[k] = static_cast<std::byte*>(args_.operands[k]) + offsets[k] * bytes_[k];
  }

  void run(std::byte* const* pointers, std::int64_t n) const { run_loop(loop_, args_, count_, pointers, n); }

  /// Copies operands that are not plain into blocks, runs the loop, copies (or adds) the result out.
  void run_blocks(std::byte** pointers, std::int64_t n) const {
    alignas(64) std::byte blocks[kMaxOperands][kBlock * 8];
    const bool direct_output = direct_[0] && !args_.accumulate;
    for (std::int64_t done = 0; done < n; done += kBlock) {
      const std::int64_t length = std::min(kBlock, n - done);
      std::byte* operands[kMaxOperands] = {};
      for (int k = 0; k < count_; ++k) {
        operands[k] = pointers[k] + done * stride_[k] * bytes_[k];
        if (k == 0 || direct_[k]) continue;
        if (stride_[k] != 0 || done == 0)
          load_for(stored_[k], computed_[k])(blocks[k], 1, operands[k], stride_[k], length);
        operands[k] = blocks[k];
      }
      std::byte* const output = operands[0];
      if (!direct_output) operands[0] = blocks[0];
      run(operands, length);
      if (!direct_output)
        put_for(stored_[0], computed_[0], args_.accumulate)(output, stride_[0], blocks[0], 1, length);
    }
  }

  Loop loop_;
  const ElementwiseArgs& args_;
  int count_ = 0;
  int inner_ = 0;
  std::int64_t row_ = 1;
  bool plain_ = true;  // every operand of a row is an array
  DType stored_[kMaxOperands] = {}, computed_[kMaxOperands] = {};
  std::int64_t bytes_[kMaxOperands] = {};  // of a stored element
  std::int64_t stride_[kMaxOperands] = {};
  bool direct_[kMaxOperands] = {};  // a row is what the loop takes
};

/// One call of `map` for a layout of short rows, which it joins to blocks.
class ShortRows {
 public:
  ShortRows(Loop loop, const ElementwiseArgs& args, std::initializer_list<DType> dtypes, Halves halves)
      : loop_(loop), args_(args), row_(args.layout.sizes[args.layout.rank - 1]) {
    for (const DType dtype : dtypes) {
      stored_[count_] = dtype;
      computed_[count_] = computed(dtype, halves);
      bytes_[count_] = static_cast<std::int64_t>(size_of(dtype));
      std::int64_t elements = 1;
      array_[count_] = repeats_[count_] = true;
      for (int d = args.layout.rank - 1; d >= 0; --d) {
        const std::int64_t stride = args.layout.strides[count_][d];
        array_[count_] &= stride == elements;
        repeats_[count_] &= stride == 0 || elements == 1;
        elements *= args.layout.sizes[d];
      }
      array_[count_] &= computed_[count_] == dtype;
      ++count_;
    }
    array_[0] = array_[0] && !args.accumulate;
  }

  void operator()(std::int64_t begin, std::int64_t end) const {
    alignas(64) std::byte blocks[kMaxOperands][kBlock * 8];
    const std::int64_t rows = kBlock / row_;
    for (std::int64_t first = begin; first < end; first += rows) {
      const std::int64_t last = std::min(end, first + rows);
      std::byte* operands[kMaxOperands] = {};
      for (int k = 0; k < count_; ++k) {
        operands[k] = blocks[k];
        if (array_[k])
          operands[k] = static_cast<std::byte*>(args_.operands[k]) + first * row_ * bytes_[k];
        else if (k > 0 && (first == begin || !repeats_[k]))
          copy(k, blocks[k], first, last, true);
      }
      run_loop(loop_, args_, count_, operands, (last - first) * row_);
      if (!array_[0]) copy(0, blocks[0], first, last, false);
    }
  }

 private:
  /// Copies rows [first, last) of an operand to the block, or the block to them.
  void copy(int k, std::byte* block, std::int64_t first, std::int64_t last, bool to_block) const {
    const Layout& layout = args_.layout;
    const CopyRow move =
        to_block ? load_for(stored_[k], computed_[k]) : put_for(stored_[k], computed_[k], args_.accumulate);
    const auto block_bytes = static_cast<std::int64_t>(size_of(computed_[k]));
    for_each_run_of_rows(
        layout, first, last, [&](const std::int64_t* offsets, std::int64_t done, std::int64_t count) {
          const Matrix of_block{block + done * row_ * block_bytes, block_bytes, row_, 1};
          const Matrix of_operand{static_cast<std::byte*>(args_.operands[k]) + offsets[k] * bytes_[k],
                                  bytes_[k], layout.strides[k][layout.rank - 2],
                                  layout.strides[k][layout.rank - 1]};
          copy_matrix(move, to_block ? of_block : of_operand, to_block ? of_operand : of_block, count, row_);
        });
  }

  Loop loop_;
  const ElementwiseArgs& args_;
  std::int64_t row_;
  int count_ = 0;
  DType stored_[kMaxOperands] = {}, computed_[kMaxOperands] = {};
  std::int64_t bytes_[kMaxOperands] = {};  // of a stored element
  bool array_[kMaxOperands] = {};          // in row-major order, without gaps, of what is computed with
  bool repeats_[kMaxOperands] = {};        // every row is the same
};

template <class T>
void generate(const Sequence<T>& values, T* y, std::int64_t n) {
  parallel_for(n, kGrain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) y[i] = values(i);
  });
}

}  // namespace

void map(Loop loop, const ElementwiseArgs& args, std::initializer_list<DType> dtypes, Halves halves) {
  const Layout& layout = args.layout;
  if (!has_short_rows(layout))
    return parallel_for(layout.numel(), kGrain, Walk(loop, args, std::span(dtypes), halves));
  const std::int64_t row = layout.sizes[layout.rank - 1];
  if (row > 0) parallel_for(layout.numel() / row, kGrain / row, ShortRows(loop, args, dtypes, halves));
}

void map_with_one(Loop loop, const ElementwiseArgs& args, int operands, int one) {
  constexpr DType dtypes[] = {float32, float32, float32, float32};
  parallel_for(
      args.layout.numel(), kGrain,
      Walk(loop, args, std::span(dtypes, static_cast<std::size_t>(operands)), Halves::as_stored, one));
}

int one_in_rows(const ElementwiseArgs& args, int operands) {
  const Layout& layout = args.layout;
  if (layout.rank < 2 || has_short_rows(layout) || args.accumulate) return 0;
  int one = 0, arrays = 0;
  for (int k = 0; k < operands; ++k) {
    const std::int64_t stride = layout.strides[k][layout.rank - 1];
    if (stride == 1) ++arrays;
    if (stride == 0) one = k;
  }
  return arrays == operands - 1 ? one : 0;
}

void fill(DType dtype, const ElementwiseArgs& args, const void* value, Stream) {
  // A copy of one element that is everywhere.
  ElementwiseArgs copied = args;
  copied.layout.operands = 2;
  copied.operands[1] = const_cast<void*>(value);
  copy(size_of(dtype), copied);
}

void sequence(const Sequence<std::int64_t>& values, std::int64_t* y, std::int64_t n, Stream) {
  generate(values, y, n);
}
void real_sequence(const Sequence<double>& values, double* y, std::int64_t n, Stream) {
  generate(values, y, n);
}

}  // namespace miniparallel::kernels::cpu

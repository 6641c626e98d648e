#include "kernels/cpu/map.h"

#include "kernels/cpu/copy.h"
#include "kernels/cpu/parallel.h"

#include <algorithm>

namespace miniparallel::kernels::cpu {
namespace {

constexpr std::int64_t kBlock = 1024;   // elements; four operands of 8 bytes stay in the L1 cache
constexpr std::int64_t kGrain = 16384;  // elements per thread at least: some 10 us of memory traffic

template <class T>
void add_strided(void* to, std::int64_t stride, const void* from, std::int64_t n) {
  T* target = static_cast<T*>(to);
  const T* source = static_cast<const T*>(from);
  for (std::int64_t i = 0; i < n; ++i) target[i * stride] += source[i];
}

/// One call of `map`: walks a range of elements, row by row of the innermost dimension.
class Walk {
 public:
  Walk(Loop loop, const ElementwiseArgs& args, std::initializer_list<DType> dtypes)
      : loop_(loop), args_(args) {
    const Layout& layout = args.layout;
    inner_ = layout.rank - 1;
    row_ = layout.rank == 0 ? 1 : layout.sizes[inner_];
    for (const DType dtype : dtypes) {
      dtype_[count_] = dtype;
      bytes_[count_] = static_cast<std::int64_t>(size_of(dtype));
      stride_[count_] = layout.rank == 0 ? 1 : layout.strides[count_][inner_];
      plain_ = plain_ && stride_[count_] == 1;
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

  void run(std::byte* const* pointers, std::int64_t n) const {
    LoopArgs loop_args{pointers[0], {}, n, args_.p, args_.q};
    for (int k = 1; k < count_; ++k) loop_args.in[k - 1] = pointers[k];
    loop_(loop_args);
  }

  /// Copies operands that are not plain into blocks, runs the loop, copies (or adds) the result out.
  void run_blocks(std::byte** pointers, std::int64_t n) const {
    alignas(64) std::byte blocks[kMaxOperands][kBlock * 8];
    const bool direct_output = stride_[0] == 1 && !args_.accumulate;
    for (std::int64_t done = 0; done < n; done += kBlock) {
      const std::int64_t length = std::min(kBlock, n - done);
      std::byte* operands[kMaxOperands] = {};
      for (int k = 0; k < count_; ++k) {
        operands[k] = pointers[k] + done * stride_[k] * bytes_[k];
        if (k == 0 || stride_[k] == 1) continue;
        if (stride_[k] != 0 || done == 0)
          copy_row_for(static_cast<std::size_t>(bytes_[k]))(blocks[k], 1, operands[k], stride_[k], length);
        operands[k] = blocks[k];
      }
      std::byte* const output = operands[0];
      if (!direct_output) operands[0] = blocks[0];
      run(operands, length);
      if (direct_output) continue;
      if (!args_.accumulate)
        copy_row_for(static_cast<std::size_t>(bytes_[0]))(output, stride_[0], blocks[0], 1, length);
      else if (dtype_[0] == float32)
        add_strided<float>(output, stride_[0], blocks[0], length);
      else
        add_strided<double>(output, stride_[0], blocks[0], length);
    }
  }

  Loop loop_;
  const ElementwiseArgs& args_;
  int count_ = 0;
  int inner_ = 0;
  std::int64_t row_ = 1;
  bool plain_ = true;  // every operand of a row is an array
  DType dtype_[kMaxOperands] = {};
  std::int64_t bytes_[kMaxOperands] = {};
  std::int64_t stride_[kMaxOperands] = {};
};

template <class T>
void generate(const Sequence<T>& values, T* y, std::int64_t n) {
  parallel_for(n, kGrain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) y[i] = values(i);
  });
}

}  // namespace

void map(Loop loop, const ElementwiseArgs& args, std::initializer_list<DType> dtypes) {
  parallel_for(args.layout.numel(), kGrain, Walk(loop, args, dtypes));
}

void fill(DType dtype, const ElementwiseArgs& args, const void* value, Stream) {
  const Layout& layout = args.layout;
  const std::int64_t bytes = static_cast<std::int64_t>(size_of(dtype));
  const CopyRow copy = copy_row_for(size_of(dtype));
  const std::int64_t row = layout.rank == 0 ? 1 : layout.sizes[layout.rank - 1];
  const std::int64_t stride = layout.rank == 0 ? 1 : layout.strides[0][layout.rank - 1];
  parallel_for(layout.numel(), kGrain, [&](std::int64_t begin, std::int64_t end) {
    while (begin < end) {
      const std::int64_t column = begin % row, n = std::min(end - begin, row - column);
      std::int64_t offset = column * stride, rest = begin / row;
      for (int d = layout.rank - 2; d >= 0; --d) {
        offset += rest % layout.sizes[d] * layout.strides[0][d];
        rest /= layout.sizes[d];
      }
      copy(static_cast<std::byte*>(args.operands[0]) + offset * bytes, stride, value, 0, n);
      begin += n;
    }
  });
}

void sequence(const Sequence<std::int64_t>& values, std::int64_t* y, std::int64_t n, Stream) {
  generate(values, y, n);
}
void real_sequence(const Sequence<double>& values, double* y, std::int64_t n, Stream) {
  generate(values, y, n);
}

}  // namespace miniparallel::kernels::cpu

#include "kernels/cuda/backend.h"
#include "kernels/cuda/elementwise/tables.h"

namespace miniparallel::kernels::cuda {
namespace {

constexpr std::size_t at(auto value) { return static_cast<std::size_t>(value); }

}  // namespace

const Elementwise& elementwise() {
  static const Elementwise launchers{
      .unary = [](Unary function, DType dtype, const ElementwiseArgs& args,
                  Stream stream) { unary_maps[at(function)][at(dtype)](args, stream); },
      .unary_backward = [](Unary function, DType dtype, const ElementwiseArgs& args,
                           Stream stream) { unary_backward_maps[at(function)][at(dtype)](args, stream); },
      .binary = [](Binary function, DType dtype, const ElementwiseArgs& args,
                   Stream stream) { binary_maps[at(function)][at(dtype)](args, stream); },
      .binary_backward =
          [](Binary function, int side, DType dtype, const ElementwiseArgs& args, Stream stream) {
            binary_backward_maps[at(side)][at(function)][at(dtype)](args, stream);
          },
      .ternary = [](Ternary function, DType dtype, const ElementwiseArgs& args,
                    Stream stream) { ternary_maps[at(function)][at(dtype)](args, stream); },
      .compare = [](Compare function, DType dtype, const ElementwiseArgs& args,
                    Stream stream) { compare_maps[at(function)][at(dtype)](args, stream); },
      .where = [](DType dtype, const ElementwiseArgs& args,
                  Stream stream) { where_maps[at(dtype)](args, stream); },
      .convert =
          [](DType from, DType to, const ElementwiseArgs& args, Stream stream) {
            if (from == to) return copy(size_of(from), args, stream);
            convert_maps[at(from)][at(to)](args, stream);
          },
      .fill = fill,
      .sequence = sequence,
      .real_sequence = real_sequence};
  return launchers;
}

}  // namespace miniparallel::kernels::cuda

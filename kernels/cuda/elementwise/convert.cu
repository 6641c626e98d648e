#include "kernels/cuda/device/generate.cuh"
#include "kernels/cuda/elementwise/map.cuh"
#include "kernels/cuda/elementwise/tables.h"
#include "kernels/half.h"

#include <cstring>

namespace miniparallel::kernels::cuda {
namespace {

template <class From, class To>
struct Convert {
  MP_INLINE To operator()(From x) const { return kernels::convert<To>(x); }
};
template <class From, class To>
constexpr Map convert_to =
    [](const ElementwiseArgs& args, Stream stream) { map<To, From>(Convert<From, To>{}, args, stream); };
template <class T>
constexpr Map convert_to<T, T> = nullptr;  // a copy

template <class From>
constexpr MapRow convert_from{convert_to<From, float>,        convert_to<From, double>,
                              convert_to<From, std::int64_t>, convert_to<From, std::int32_t>,
                              convert_to<From, std::uint8_t>, convert_to<From, bool>,
                              convert_to<From, Half>,         convert_to<From, BFloat16>};

/// Elements of any type are filled by their bytes.
template <class Bits>
struct Constant {
  Bits value;
  MP_INLINE Bits operator()() const { return value; }
};
template <class Bits>
void fill_bits(const ElementwiseArgs& args, const void* value, Stream stream) {
  Constant<Bits> constant;
  std::memcpy(&constant.value, value, sizeof(Bits));
  map<Bits>(constant, args, stream);
}

}  // namespace

const std::array<MapRow, 8> convert_maps{
    convert_from<float>,        convert_from<double>, convert_from<std::int64_t>, convert_from<std::int32_t>,
    convert_from<std::uint8_t>, convert_from<bool>,   convert_from<Half>,         convert_from<BFloat16>};

void fill(DType dtype, const ElementwiseArgs& args, const void* value, Stream stream) {
  switch (size_of(dtype)) {
    case 1:
      return fill_bits<std::uint8_t>(args, value, stream);
    case 2:
      return fill_bits<std::uint16_t>(args, value, stream);
    case 4:
      return fill_bits<std::uint32_t>(args, value, stream);
    default:
      return fill_bits<std::uint64_t>(args, value, stream);
  }
}

void sequence(const Sequence<std::int64_t>& values, std::int64_t* y, std::int64_t n, Stream stream) {
  launch_generate(values, y, n, stream);
}
void real_sequence(const Sequence<double>& values, double* y, std::int64_t n, Stream stream) {
  launch_generate(values, y, n, stream);
}

}  // namespace miniparallel::kernels::cuda

#include "kernels/cuda/elementwise/map.cuh"
#include "kernels/cuda/elementwise/tables.h"

namespace miniparallel::kernels::cuda {
namespace {

#define MP_COMPARE_FUNCTOR(name, op)                                                            \
  template <class T>                                                                            \
  struct name##_of {                                                                            \
    MP_INLINE bool operator()(T a, T b) const { return a op b; }                                \
  };                                                                                            \
  template <class T>                                                                            \
  void name(const ElementwiseArgs& args, Stream stream) {                                       \
    map<bool, T, T>(name##_of<T>{}, args, stream);                                              \
  }                                                                                             \
  template <DType dtype>                                                                        \
  void name##_halves(const ElementwiseArgs& args, Stream stream) {                              \
    map_halves_of<bool, dtype, std::uint16_t, std::uint16_t>(name##_of<float>{}, args, stream); \
  }
MP_COMPARE(MP_COMPARE_FUNCTOR)

template <class T>
struct Choose {
  MP_INLINE T operator()(bool condition, T a, T b) const { return condition ? a : b; }
};
template <class T>
void where(const ElementwiseArgs& args, Stream stream) {
  map<T, bool, T, T>(Choose<T>{}, args, stream);
}

}  // namespace

#define MP_ROW(name, op)                                                               \
  MapRow{name<float>,        name<double>, name<std::int64_t>,     name<std::int32_t>, \
         name<std::uint8_t>, name<bool>,   name##_halves<float16>, name##_halves<bfloat16>},
const MapTable<Compare> compare_maps{MP_COMPARE(MP_ROW)};

const MapRow where_maps{where<float>,         where<double>,       where<std::int64_t>,
                        where<std::int32_t>,  where<std::uint8_t>, where<bool>,
                        where<std::uint16_t>, where<std::uint16_t>};  // chosen by their bits

}  // namespace miniparallel::kernels::cuda

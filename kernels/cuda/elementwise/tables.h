#pragma once

#include "kernels/elementwise.h"

#include <array>
#include <cstddef>

namespace miniparallel::kernels::cuda {

using Map = void (*)(const ElementwiseArgs& args, Stream stream);
/// The launchers of one function, by DType; null where it has none.
using MapRow = std::array<Map, 8>;

template <class Enum>
using MapTable = std::array<MapRow, static_cast<std::size_t>(Enum::count)>;

// Each is made by the file of its name.
extern const MapTable<Unary> unary_maps;
extern const MapTable<Unary> unary_backward_maps;
extern const MapTable<Binary> binary_maps;
extern const std::array<MapTable<Binary>, 2> binary_backward_maps;  ///< by side
extern const MapTable<Ternary> ternary_maps;
extern const MapTable<Compare> compare_maps;
extern const MapRow where_maps;
extern const std::array<MapRow, 8> convert_maps;  ///< [from][to]; null where they are equal

/// y = x, elements of `bytes` bytes.
void copy(std::size_t bytes, const ElementwiseArgs& args, Stream stream);

void fill(DType dtype, const ElementwiseArgs& args, const void* value, Stream stream);
void sequence(const Sequence<std::int64_t>& values, std::int64_t* y, std::int64_t n, Stream stream);
void real_sequence(const Sequence<double>& values, double* y, std::int64_t n, Stream stream);

}  // namespace miniparallel::kernels::cuda

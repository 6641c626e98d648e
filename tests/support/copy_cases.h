#pragma once

#include <miniparallel/shape.h>

#include <cstdint>
#include <vector>

namespace miniparallel::testing {

/// A copy between two arrays: strides and first elements of the output, then of the input.
struct CopyCase {
  const char* name;
  Shape shape, y, x;
  std::int64_t y_first = 0, x_first = 0;
};

/// Bytes that hold each side of every case, elements of 8 bytes at most.
inline constexpr std::int64_t kCopyBytes = 200'000;

inline const std::vector<CopyCase>& copy_cases() {
  static const std::vector<CopyCase> list{
      {"no dimensions", {}, {}, {}, 3, 5},
      {"empty", {0, 4}, {4, 1}, {4, 1}},
      {"plain", {1024}, {1}, {1}},
      {"plain, with a tail", {1003}, {1}, {1}},
      {"plain, between packs", {1003}, {1}, {1}, 1, 3},
      {"plain, half a pack off", {1004}, {1}, {1}, 2, 2},
      {"long rows, a little behind", {5, 3001}, {4096, 1}, {4096, 1}, 3, 0},
      {"slices", {9, 12}, {24, 1}, {12, 1}, 12, 0},
      {"odd slices", {7, 13}, {26, 1}, {13, 1}},
      {"gaps", {11, 3}, {8, 2}, {6, 1}},
      {"every second", {500}, {1}, {2}},
      {"repeated", {300}, {1}, {0}},
      {"repeated row", {20, 30}, {30, 1}, {0, 1}},
      {"repeated column", {20, 30}, {30, 1}, {1, 0}},
      {"heads", {2, 3, 5, 8}, {120, 40, 8, 1}, {120, 8, 24, 1}},
      {"both transposed", {20, 30}, {1, 20}, {1, 20}},
      {"transposed", {64, 128}, {128, 1}, {1, 64}},
      {"transposed, ragged", {70, 90}, {90, 1}, {1, 70}},
      {"transposed, ragged, with gaps", {33, 65}, {100, 1}, {1, 37}, 5, 1},
      {"transposed, into the columns", {70, 90}, {1, 70}, {90, 1}},
      {"transposed, the narrowest matrix", {16, 200}, {200, 1}, {1, 16}},
      {"transposed, too narrow", {3, 200}, {200, 1}, {1, 3}},
      {"transposed pairs", {40, 50, 2}, {100, 2, 1}, {2, 80, 1}},
      {"transposed quadruples", {40, 50, 4}, {200, 4, 1}, {4, 160, 1}},
      {"transposed, batched", {3, 40, 50}, {2000, 50, 1}, {2000, 1, 40}},
      {"transposed, around a dimension", {2, 65, 3, 33}, {6435, 99, 33, 1}, {6435, 1, 65, 195}},
      {"transposed, of repeated matrices", {3, 20, 50}, {1000, 50, 1}, {0, 1, 20}},
  };
  return list;
}

}  // namespace miniparallel::testing

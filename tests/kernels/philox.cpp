#include "kernels/philox.h"

#include <doctest/doctest.h>

namespace miniparallel::kernels {
namespace {

// The known answers that the authors publish with Random123 (kat_vectors, philox4x32 10).
TEST_CASE("philox: the published vectors") {
  struct Known {
    std::uint64_t key, low, high;
    std::uint32_t words[4];
  };
  const Known known[] = {
      {0, 0, 0, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
      {~0ULL, ~0ULL, ~0ULL, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
      {0x299f31d0a4093822,
       0x85a308d3243f6a88,
       0x0370734413198a2e,
       {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
  };
  for (const Known& vector : known) {
    const PhiloxBlock block = philox(vector.key, vector.low, vector.high);
    for (int i = 0; i < 4; ++i) CHECK(block.word[i] == vector.words[i]);
  }
}

}  // namespace
}  // namespace miniparallel::kernels

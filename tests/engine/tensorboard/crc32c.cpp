#include "engine/tensorboard/crc32c.h"

#include <doctest/doctest.h>

#include <string>

namespace miniparallel::tensorboard {
namespace {

TEST_CASE("crc32c: the examples of RFC 3720, B.4") {
  CHECK(crc32c("") == 0);
  CHECK(crc32c("123456789") == 0xe3069283);
  CHECK(crc32c(std::string(32, '\0')) == 0x8a9136aa);
  CHECK(crc32c(std::string(32, '\xff')) == 0x62a8ab43);
  std::string rising;
  for (char byte = 0; byte < 32; ++byte) rising += byte;
  CHECK(crc32c(rising) == 0x46dd794e);
}

}  // namespace
}  // namespace miniparallel::tensorboard

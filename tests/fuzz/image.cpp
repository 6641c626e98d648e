#include <miniparallel/image.h>

#include <miniparallel/error.h>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  for (const auto mode : {miniparallel::ImageReadMode::unchanged, miniparallel::ImageReadMode::rgb}) {
    try {
      miniparallel::decode_image(std::as_bytes(std::span(data, size)), mode);
    } catch (const miniparallel::Error&) {
    }
  }
  return 0;
}

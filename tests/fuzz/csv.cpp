#include <miniparallel/data/csv.h>

#include <miniparallel/error.h>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    miniparallel::data::CsvTable(text, {}, "fuzz").numbers();
  } catch (const miniparallel::Error&) {
  }
  return 0;
}

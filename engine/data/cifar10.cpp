#include <miniparallel/data/cifar10.h>

#include "engine/data/cifar10_records.h"
#include "engine/error.h"
#include "engine/files/file.h"

#include <filesystem>

namespace miniparallel::data {
namespace {

std::vector<std::string> file_names(Split split) {
  if (split == Split::test) return {"test_batch.bin"};
  return {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"};
}

ImageDataset read_files(const std::string& folder, Split split, const Normalize& normalize) {
  CifarRecords records;
  for (const std::string& name : file_names(split)) {
    const auto path = std::filesystem::path(folder) / name;
    parse_cifar10(io::read_file(path), path.string(), records);
  }
  const auto count = static_cast<std::int64_t>(records.labels.size());
  return {from_data(records.pixels.data(), {count, 3, 32, 32}, uint8),
          from_data(records.labels.data(), {count}, uint8), normalize};
}

}  // namespace

void parse_cifar10(std::span<const std::byte> file, const std::string& name, CifarRecords& records) {
  constexpr std::size_t record = 1 + kCifarImage;
  check(!file.empty() && file.size() % record == 0, name, ": has ", file.size(),
        " bytes; expected a multiple of the ", record, " of a CIFAR-10 image and its label");
  for (std::size_t at = 0; at < file.size(); at += record) {
    const auto label = std::to_integer<std::uint8_t>(file[at]);
    check(label < Cifar10::kClasses.size(), name, ": image ", at / record, " has the label ", int{label},
          "; expected 0 to 9");
    records.labels.push_back(label);
    const auto* const pixels = reinterpret_cast<const std::uint8_t*>(&file[at + 1]);
    records.pixels.insert(records.pixels.end(), pixels, pixels + kCifarImage);
  }
}

Cifar10::Cifar10(const std::string& folder, Split split, const Normalize& normalize)
    : ImageDataset(read_files(folder, split, normalize)) {}

}  // namespace miniparallel::data

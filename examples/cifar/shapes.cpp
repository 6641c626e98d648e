// Draws a set of pictures in the form of CIFAR-10's files: disks and crosses in five colours, ten classes.
//
//   cifar_shapes FOLDER [IMAGES PER FILE]
//
// The same arguments give the same bytes. A small network tells the colours apart after some dozen steps, the
// shapes a little later.

#include <array>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <random>
#include <stdexcept>
#include <string>

namespace {

constexpr int kSide = 32;
constexpr std::array<std::array<int, 3>, 5> kColours = {
    {{220, 40, 40}, {40, 200, 40}, {50, 70, 230}, {220, 210, 40}, {210, 50, 210}}};

/// From `low` to `high`. The distributions of <random> differ from library to library.
int draw(std::mt19937& random, int low, int high) {
  return low + static_cast<int>(random() % static_cast<unsigned>(high - low + 1));
}

/// A label and three planes of red, green and blue: a disk (0 to 4) or a cross (5 to 9) on noise.
std::string record(int label, std::mt19937& random) {
  const int x0 = draw(random, 11, 20), y0 = draw(random, 11, 20), radius = draw(random, 7, 10);
  const auto& colour = kColours[static_cast<std::size_t>(label % 5)];
  std::string bytes(1, static_cast<char>(label));
  for (const int shade : colour)
    for (int y = 0; y < kSide; ++y)
      for (int x = 0; x < kSide; ++x) {
        const int dx = std::abs(x - x0), dy = std::abs(y - y0);
        const bool is_disk = dx * dx + dy * dy <= radius * radius;
        const bool is_cross = std::max(dx, dy) <= radius && std::min(dx, dy) <= 2;
        const bool is_inside = label < 5 ? is_disk : is_cross;
        bytes += static_cast<char>((is_inside ? shade : 100) + draw(random, -25, 25));
      }
  return bytes;
}

void write(const std::filesystem::path& file, int images, unsigned seed) {
  std::mt19937 random(seed);
  std::ofstream out(file, std::ios::binary);
  for (int i = 0; i < images; ++i) out << record(i % 10, random);
  if (!out.flush()) throw std::runtime_error(file.string() + " cannot be written");
}

}  // namespace

int main(int argc, char** argv) try {
  const int images = argc == 3 ? std::atoi(argv[2]) : 1000;
  if (argc < 2 || argc > 3 || images < 1)
    return std::cerr << "usage: cifar_shapes FOLDER [IMAGES PER FILE]\n", 2;
  const std::filesystem::path folder = argv[1];
  std::filesystem::create_directories(folder);
  for (unsigned i = 1; i <= 5; ++i) write(folder / ("data_batch_" + std::to_string(i) + ".bin"), images, i);
  write(folder / "test_batch.bin", images, 6);
} catch (const std::exception& error) {
  std::cerr << "cifar_shapes: " << error.what() << '\n';
  return 1;
}

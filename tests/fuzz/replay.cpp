// The fuzzers without libFuzzer: each gets every file of its corpus, cut off at every length and with random
// bytes changed. Any compiler builds it, with the sanitizers that the build has.

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>

#define PARSERS(X) X(checkpoint) X(cifar10) X(csv) X(gzip) X(idx) X(image) X(npy) X(npz) X(safetensors)

#define DECLARE(parser) extern "C" int fuzz_##parser(const std::uint8_t* data, std::size_t size);
PARSERS(DECLARE)

namespace {

constexpr std::size_t kMaxCuts = 500, kChanges = 500;

struct Parser {
  const char* name;
  int (*fuzz)(const std::uint8_t*, std::size_t);

  void run(const std::string& bytes) const {
    // A copy of its own size, so that the address sanitizer sees a read past the end.
    const std::basic_string<std::uint8_t> copy(bytes.begin(), bytes.end());
    fuzz(copy.data(), copy.size());
  }

  void run_variants(std::string bytes, std::minstd_rand& random) const {
    run(bytes);
    for (std::size_t size = 0; size < bytes.size(); size += 1 + bytes.size() / kMaxCuts)
      run(bytes.substr(0, size));
    if (bytes.empty()) return;
    for (std::size_t i = 0; i < kChanges; ++i) {
      char& byte = bytes[random() % bytes.size()];
      const char before = byte;
      byte = static_cast<char>(random());
      run(bytes);
      if (i % 8 != 0) byte = before;  // else the changes add up
    }
  }
};

#define ROW(parser) Parser{#parser, fuzz_##parser},
constexpr Parser kParsers[] = {PARSERS(ROW)};

}  // namespace

int main(int, char** argv) {
  const std::filesystem::path corpus = argv[1];
  for (const Parser& parser : kParsers) {
    std::minstd_rand random(1);
    int files = 0;
    for (const auto& entry : std::filesystem::directory_iterator(corpus / parser.name)) {
      std::ifstream file(entry.path(), std::ios::binary);
      parser.run_variants({std::istreambuf_iterator<char>(file), {}}, random);
      ++files;
    }
    std::printf("%s: %d files\n", parser.name, files);
    if (files == 0) return 1;
  }
}

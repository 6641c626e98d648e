#include "engine/io/npy.h"

#include <miniparallel/miniparallel.h>

#include "tests/support/error_of.h"
#include "tests/support/temporary_folder.h"

#include <doctest/doctest.h>

#include <cstdlib>

namespace miniparallel {
namespace {

using testing::error_of;
using Values = std::vector<double>;

const std::string kFiles = MINIPARALLEL_TEST_DATA "/npy/";

std::string with_header(const std::string& header, const std::string& data = {}) {
  return std::string("\x93NUMPY\1\0", 8) + static_cast<char>(header.size()) + '\0' + header + data;
}
std::string error_for(const std::string& file) {
  return error_of([&] { io::parse_npy(testing::as_bytes(file), "a.npy"); });
}
void check_mentions(const std::string& text, const std::string& part) {
  CAPTURE(text);
  CHECK(text.find(part) != std::string::npos);
}

TEST_CASE("npz: arrays of NumPy's, each of its dtype") {
  const StateDict arrays = load_npz(kFiles + "arrays.npz");
  CHECK(arrays.size() == 14);
  for (const auto& [key, dtype] : std::map<std::string, DType>{{"float16", float16},
                                                               {"float32", float32},
                                                               {"float64", float64},
                                                               {"int64", int64},
                                                               {"int32", int32},
                                                               {"int16", int32},
                                                               {"int8", int32}}) {
    const std::string name = key;  // Clang 14 captures no bindings
    CAPTURE(name);
    CHECK(arrays.at(name).dtype() == dtype);
    CHECK(arrays.at(name).shape() == Shape{2, 3});
    CHECK(arrays.at(name).to_vector<double>() == Values{-1, 0, 1, 2, 3, 4});
  }
  CHECK(arrays.at("bool").dtype() == boolean);
  CHECK(arrays.at("bool").to_vector<double>() == Values{1, 0, 1, 1, 1, 1});
  CHECK(arrays.at("uint8").dtype() == uint8);
  CHECK(arrays.at("uint16").to_vector<double>() == Values{1, 2, 3, 4, 5, 6});
  CHECK(arrays.at("uint32").dtype() == int64);
  CHECK(arrays.at("scalar").shape() == Shape{});
  CHECK(arrays.at("scalar").item() == 2.5);
  CHECK(arrays.at("none").shape() == Shape{0, 4});
  CHECK(arrays.at("folder/name").item() == 1.5);
}

TEST_CASE("npz: compressed arrays") {
  const StateDict arrays = load_npz(kFiles + "compressed.npz");
  CHECK(equal(arrays.at("zeros"), zeros({40, 50})));
  CHECK(arrays.at("grid").to_vector<double>() == Values{0, 1, 2, 3, 4, 5});
}

TEST_CASE("npy: column by column is read as row by row") {
  const Tensor read = load_npy(kFiles + "fortran.npy");
  CHECK(equal(read, arange(24).to(float32).view({2, 3, 4})));
  CHECK(read.is_contiguous());
}

TEST_CASE("npy, npz: what is written is read") {
  const testing::TemporaryFolder folder;
  StateDict ours{{"scalar", tensor(2.5)}, {"none", zeros({0, 4})}};
  const Tensor grid = arange(6).view({2, 3}) - 1;
  for (const auto& [name, dtype] : std::map<std::string, DType>{{"float16", float16},
                                                                {"float32", float32},
                                                                {"float64", float64},
                                                                {"int64", int64},
                                                                {"int32", int32},
                                                                {"uint8", uint8},
                                                                {"bool", boolean}})
    ours[name] = dtype == uint8 ? grid.to(int32).to(uint8) : grid.to(dtype);
  save_npz(ours, folder / "ours.npz");
  const StateDict read = load_npz(folder / "ours.npz");
  CHECK(read.size() == ours.size());
  for (const auto& [key, tensor] : ours) {
    const std::string name = key;
    CAPTURE(name);
    CHECK(read.at(name).dtype() == tensor.dtype());
    CHECK(equal(read.at(name).to(float64), tensor.to(float64)));
  }
  // NumPy's own word: python3 tests/data/make_npy.py FILE.
  if (const char* keep = std::getenv("MINIPARALLEL_KEEP_NPZ")) save_npz(ours, keep);

  save_npy(grid.t(), folder / "one.npy");
  CHECK(equal(load_npy(folder / "one.npy"), grid.t()));
  CHECK(testing::read_text(folder / "one.npy").size() == 128 + 48);
  check_mentions(error_of([&] { save_npy(grid.to(bfloat16), folder / "no.npy"); }), "NumPy has no bfloat16");
  CHECK_FALSE(std::filesystem::exists(folder / "no.npy"));
  CHECK_THROWS_AS(save_npy(Tensor(), folder / "no.npy"), Error);
  save_npz({}, folder / "empty.npz");
  CHECK(load_npz(folder / "empty.npz").empty());
}

TEST_CASE("npy: what cannot be read is named") {
  const auto of = [](const char* name) { return error_of([&] { load_npy(kFiles + name); }); };
  check_mentions(of("big_endian.npy"), "big_endian.npy: is big-endian, dtype '>f4'");
  check_mentions(of("objects.npy"), "objects.npy: has dtype '|O'");
  check_mentions(of("structs.npy"), "is an array of structs");
  check_mentions(of("complex.npy"), "has dtype '<c8'");
  check_mentions(of("none.npy"), "No such file");
  check_mentions(error_for("PK"), "does not begin as a .npy file does");
  check_mentions(error_for("\x93NUMPY\x07"), "has version 7");
  const std::string right = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }\n", data(8, '\0');
  CHECK(error_for(with_header(right, data)) == "nothing was thrown");
  check_mentions(error_for(with_header(right, data + "x")), "takes 8 bytes, found 9");
  for (const char* wrong :
       {"{'descr': '<f4', 'shape': (2,)}", "{'descr': '<f4', 'descr': '<f4', 'shape': (2,)}",
        "{'descr': '<f4', 'fortran_order': None, 'shape': (2,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-2,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2,)} + 1",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1, 1, 1, 1, 1, 1, 1, 2)}", ""}) {
    CAPTURE(wrong);
    CHECK(error_for(with_header(wrong, data)).starts_with("a.npy: "));
  }
  const std::string huge =
      "{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296, 4294967296)}";
  check_mentions(error_for(with_header(huge, data)), "does not fit the address space");
}

TEST_CASE("npy, npz: a file cut off at any byte is an error") {
  for (const char* name : {"fortran.npy", "arrays.npz", "compressed.npz"}) {
    const std::string whole = testing::read_text(kFiles + name);
    const bool zip = whole.starts_with("PK");
    for (std::size_t size = 0; size < whole.size(); ++size) {
      CAPTURE(name);
      CAPTURE(size);
      const std::string part = whole.substr(0, size);
      const auto bytes = testing::as_bytes(part);
      CHECK_THROWS_AS(zip ? (void)io::parse_npz(bytes, "cut") : (void)io::parse_npy(bytes, "cut"), Error);
    }
  }
}

TEST_CASE("npz: damage is found by the checksum, and by what entries claim") {
  std::string file = testing::read_text(kFiles + "arrays.npz");
  const auto error = [&] { return error_of([&] { io::parse_npz(testing::as_bytes(file), "a.npz"); }); };
  file[file.find("'<f4'") + 100] ^= 1;
  check_mentions(error(), "its checksum differs");
  file = testing::read_text(kFiles + "compressed.npz");
  const auto entry = file.find("PK\1\2");
  file.replace(entry + 24, 4, "\xff\xff\xff\x7f");
  check_mentions(error(), "compressed ones cannot hold");
  file = testing::read_text(kFiles + "compressed.npz");
  file[entry + 10] = 12;
  check_mentions(error(), "is compressed by method 12");
  file[entry + 8] |= 1;
  check_mentions(error(), "is encrypted");
  file = testing::read_text(kFiles + "compressed.npz");
  file.replace(file.rfind("grid.npy"), 8, "grid.txt");
  check_mentions(error(), "grid.txt: is no .npy file");
}

}  // namespace
}  // namespace miniparallel

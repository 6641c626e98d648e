#include "engine/io/npy.h"

#include <miniparallel/npy.h>

#include "engine/error.h"
#include "engine/files/file.h"
#include "engine/io/safetensors_file.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstring>
#include <optional>
#include <string_view>

namespace miniparallel {
namespace {

static_assert(std::endian::native == std::endian::little, "elements are read as they are");

constexpr std::string_view kMagic = "\x93NUMPY";

/// A dtype of NumPy's without its byte order, and the one that it is read as.
struct Kind {
  std::string_view name;
  std::size_t bytes;
  DType dtype;
};
constexpr Kind kKinds[] = {
    {"f4", 4, float32}, {"f8", 8, float64}, {"f2", 2, float16}, {"i8", 8, int64},
    {"i4", 4, int32},   {"u1", 1, uint8},   {"b1", 1, boolean}, {"i1", 1, int32},
    {"i2", 2, int32},   {"u2", 2, int32},   {"u4", 4, int64},
};

struct Header {
  Kind kind{};
  bool column_major = false;
  Shape shape;
};

/// Reads the dictionary that is a .npy file's header, a text of Python's.
class HeaderReader {
 public:
  HeaderReader(std::string_view text, const std::string& name) : text_(text), name_(name) {}

  Header read() {
    std::optional<Kind> kind;
    std::optional<bool> column_major;
    std::optional<Shape> shape;
    expect('{');
    while (!accept('}')) {
      const std::string_view key = quoted();
      expect(':');
      if (key == "descr" && !kind) {
        kind = dtype();
      } else if (key == "fortran_order" && !column_major) {
        column_major = truth();
      } else if (key == "shape" && !shape) {
        shape = sizes();
      } else {
        fail(name_, ": the header of this .npy file has '", key,
             "'; expected descr, fortran_order and shape once");
      }
      if (accept(',')) continue;
      expect('}');
      break;
    }
    check(kind && column_major && shape && rest().empty(), name_,
          ": the header of this .npy file is damaged; expected descr, fortran_order and shape");
    return {*kind, *column_major, *shape};
  }

 private:
  std::string_view rest() {
    text_.remove_prefix(std::min(text_.find_first_not_of(" \n"), text_.size()));
    return text_;
  }
  bool accept(char c) {
    if (!rest().starts_with(c)) return false;
    text_.remove_prefix(1);
    return true;
  }
  void expect(char c) {
    check(accept(c), name_, ": the header of this .npy file has '", text_.substr(0, 20), "' where '",
          std::string(1, c), "' belongs; write it again with numpy.save");
  }

  std::string_view quoted() {
    const char quote = accept('"') ? '"' : '\'';
    if (quote == '\'') expect(quote);
    const std::string_view word = text_.substr(0, text_.find(quote));
    text_.remove_prefix(word.size());
    expect(quote);
    return word;
  }

  Kind dtype() {
    check(!rest().starts_with('['), name_,
          ": is an array of structs; save its fields as arrays of their own");
    const std::string_view descr = quoted();
    check(!descr.starts_with('>'), name_, ": is big-endian, dtype '", descr,
          "'; write it again with array.astype(array.dtype.newbyteorder('<'))");
    for (const Kind& kind : kKinds) {
      if (descr.ends_with(kind.name) && descr.size() == 3 && (descr[0] == '<' || descr[0] == '|'))
        return kind;
    }
    fail(name_, ": has dtype '", descr,
         "'; expected floats, integers of up to 63 bits or bool, so convert it",
         descr == "|O" ? " from Python's objects" : "");
  }

  bool truth() {
    const bool yes = rest().starts_with("True");
    check(yes || rest().starts_with("False"), name_, ": fortran_order is neither True nor False");
    text_.remove_prefix(yes ? 4 : 5);
    return yes;
  }

  Shape sizes() {
    Shape shape;
    expect('(');
    while (!accept(')')) {
      std::int64_t size = -1;
      const auto [end, error] = std::from_chars(rest().data(), rest().data() + text_.size(), size);
      check(error == std::errc() && size >= 0, name_, ": the shape in its header has a size that is none");
      check(shape.rank() < kMaxRank, name_, ": has more than ", kMaxRank, " dimensions");
      text_.remove_prefix(static_cast<std::size_t>(end - text_.data()));
      shape.push_back(size);
      if (accept(',')) continue;
      expect(')');
      break;
    }
    return shape;
  }

  std::string_view text_;
  const std::string& name_;
};

template <class T>
Tensor widened(const std::byte* bytes, const Shape& shape, DType dtype) {
  std::vector<std::int64_t> values(static_cast<std::size_t>(shape.numel()));
  for (std::size_t i = 0; i < values.size(); ++i) {
    T value;
    std::memcpy(&value, bytes + i * sizeof(T), sizeof(T));
    values[i] = value;
  }
  return from_data(values.data(), shape, int64).to(dtype);
}

Tensor elements(const std::byte* bytes, const Shape& shape, const Kind& kind) {
  if (kind.name == "i1") return widened<std::int8_t>(bytes, shape, int32);
  if (kind.name == "i2") return widened<std::int16_t>(bytes, shape, int32);
  if (kind.name == "u2") return widened<std::uint16_t>(bytes, shape, int32);
  if (kind.name == "u4") return widened<std::uint32_t>(bytes, shape, int64);
  Tensor tensor = empty(shape, {.dtype = kind.dtype});
  const std::span<std::byte> into = io::bytes_of(tensor);
  if (kind.dtype == boolean) {  // any byte but 0 and 1 would not be a bool to C++
    std::transform(bytes, bytes + into.size(), into.begin(),
                   [](std::byte byte) { return std::byte{byte != std::byte{0}}; });
  } else if (!into.empty()) {
    std::memcpy(into.data(), bytes, into.size());
  }
  return tensor;
}

/// The number in `count` little-endian bytes.
std::size_t little_endian(std::span<const std::byte> bytes) {
  std::size_t value = 0;
  for (std::size_t i = bytes.size(); i-- > 0;) value = value << 8 | std::to_integer<std::size_t>(bytes[i]);
  return value;
}

}  // namespace

Tensor io::parse_npy(std::span<const std::byte> bytes, const std::string& name) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  check(text.starts_with(kMagic), name, ": does not begin as a .npy file does; write one with numpy.save");
  const int version = text.size() > 6 ? text[6] : 0;
  check(version >= 1 && version <= 3, name, ": has version ", version,
        " of the .npy format; expected 1 to 3");
  const std::size_t length_bytes = version == 1 ? 2 : 4, begin = 8 + length_bytes;
  const std::size_t length = bytes.size() < begin ? 0 : little_endian(bytes.subspan(8, length_bytes));
  check(bytes.size() >= begin && length <= bytes.size() - begin, name,
        ": ends within the header of a .npy file; copy it again");
  const Header header = HeaderReader(text.substr(begin, length), name).read();

  const std::span<const std::byte> data = bytes.subspan(begin + length);
  std::int64_t wanted = static_cast<std::int64_t>(header.kind.bytes);
  for (const std::int64_t size : header.shape)
    check(!__builtin_mul_overflow(wanted, size, &wanted), name, ": shape ", header.shape,
          " does not fit the address space");
  check(static_cast<std::size_t>(wanted) == data.size(), name, ": shape ", header.shape, " of ",
        header.kind.name, " takes ", wanted, " bytes, found ", data.size(), "; the file may be cut off");
  if (!header.column_major) return elements(data.data(), header.shape, header.kind);
  Shape reversed, order;
  for (int d = header.shape.rank() - 1; d >= 0; --d) {
    reversed.push_back(header.shape[d]);
    order.push_back(d);
  }
  return elements(data.data(), reversed, header.kind).permute(order).contiguous();
}

std::string io::npy_header(const Tensor& tensor, const std::string& name) {
  std::string_view kind;
  for (const Kind& one : kKinds) {
    if (one.dtype == tensor.dtype() && one.bytes == size_of(tensor.dtype())) kind = one.name;
  }
  check(!kind.empty(), name, ": NumPy has no ", tensor.dtype(), "; convert with to(float32)");
  std::string text = message("{'descr': '", size_of(tensor.dtype()) == 1 ? '|' : '<', kind,
                             "', 'fortran_order': False, 'shape': (");
  for (const std::int64_t size : tensor.shape()) text += std::to_string(size) + ", ";
  text += "), }";
  constexpr std::size_t before = 10, alignment = 64;  // magic, version and length
  text.append(alignment - 1 - (before + text.size()) % alignment, ' ');
  text += '\n';
  return std::string(kMagic) + '\1' + '\0' + static_cast<char>(text.size() & 0xff) +
         static_cast<char>(text.size() >> 8) + text;
}

Tensor load_npy(const std::string& path) { return io::parse_npy(io::read_file(path), path); }

void save_npy(const Tensor& tensor, const std::string& path) {
  check(tensor.defined(), "save_npy: the tensor is undefined; assign it first");
  const std::string header = io::npy_header(tensor, "save_npy");
  io::AtomicFile file(path);
  file.write(std::as_bytes(std::span(header)));
  file.write(io::bytes_of(tensor.detach().cpu().contiguous()));
  file.commit();
}

}  // namespace miniparallel

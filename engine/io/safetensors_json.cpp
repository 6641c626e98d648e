#include "engine/io/safetensors_json.h"

#include <miniparallel/error.h>
#include <miniparallel/shape.h>

#include <nlohmann/json.hpp>

#include <set>
#include <utility>

namespace miniparallel::io {
namespace {

using Json = nlohmann::json;

/// Takes the parser's events one by one, so that memory stays in proportion to the header whatever it says,
/// and a repeated name is found (a document tree would keep only the last).
class HeaderEvents : public nlohmann::json_sax<Json> {
 public:
  explicit HeaderEvents(const std::string& file) : file_(file) {}

  SafetensorsHeader take() { return std::move(header_); }

  bool start_object(std::size_t) override {
    if (place_ == Place::start) return enter(Place::header);
    if (place_ != Place::header) fail("a JSON object", "");
    if (key_ == "__metadata__") return enter(Place::metadata);
    header_.entries.push_back({.name = key_, .shape = {}});
    fields_.clear();
    return enter(Place::entry);
  }

  bool key(std::string& name) override {
    key_ = name;
    auto& names = place_ == Place::header ? tensors_ : place_ == Place::entry ? fields_ : metadata_keys_;
    if (!names.insert(name).second) refuse("the name '" + name + "' stands twice; names must differ");
    return true;
  }

  bool end_object() override {
    if (place_ == Place::entry && fields_.size() != 3)
      refuse("dtype, shape or data_offsets is missing; expected all three");
    return enter(place_ == Place::header ? Place::end : Place::header);
  }

  bool start_array(std::size_t) override {
    if (place_ == Place::entry && key_ == "shape") return enter(Place::shape);
    if (place_ != Place::entry || key_ != "data_offsets") fail("a JSON array", "");
    offsets_.clear();
    return enter(Place::offsets);
  }

  bool end_array() override {
    if (place_ == Place::offsets) {
      if (offsets_.size() != 2)
        refuse("data_offsets has " + std::to_string(offsets_.size()) + " numbers; expected 2");
      header_.entries.back().begin = offsets_[0];
      header_.entries.back().end = offsets_[1];
    }
    return enter(Place::entry);
  }

  bool string(std::string& value) override {
    if (place_ == Place::metadata) {
      header_.metadata[key_] = value;
    } else if (place_ == Place::entry && key_ == "dtype") {
      const SafetensorsType* const type = find_type(value);
      if (type == nullptr)
        refuse("dtype " + value.substr(0, 40) + " is not supported; convert the tensor before it is saved");
      header_.entries.back().dtype = type->dtype;
    } else {
      fail("the string ", value);
    }
    return true;
  }

  bool number_unsigned(std::uint64_t value) override {
    if (place_ == Place::shape) {
      auto& shape = header_.entries.back().shape;
      if (shape.size() == kMaxRank)
        refuse("it has more than " + std::to_string(kMaxRank) + " dimensions; save it with fewer");
      if (!std::in_range<std::int64_t>(value))
        refuse("the size " + std::to_string(value) + " is too large; expected less than 2^63");
      shape.push_back(static_cast<std::int64_t>(value));
    } else if (place_ == Place::offsets && offsets_.size() < 3) {
      offsets_.push_back(value);
    } else {
      fail("the number ", std::to_string(value));
    }
    return true;
  }

  bool number_integer(std::int64_t value) override { fail("the number ", std::to_string(value)); }
  bool number_float(double, const std::string& text) override { fail("the number ", text); }
  bool boolean(bool) override { fail("a truth value", ""); }
  bool null() override { fail("null", ""); }
  bool binary(Json::binary_t&) override { fail("binary data", ""); }

  bool parse_error(std::size_t position, const std::string&, const Json::exception& error) override {
    throw Error(file_ + ": the safetensors header is not JSON at its byte " + std::to_string(position) +
                " (" + error.what() + "); the file is damaged or of another format");
  }

 private:
  enum class Place { start, header, metadata, entry, shape, offsets, end };

  bool enter(Place place) {
    place_ = place;
    return true;
  }

  [[noreturn]] void refuse(const std::string& what) const {
    const bool in_entry = place_ == Place::entry || place_ == Place::shape || place_ == Place::offsets;
    throw Error(file_ + ": safetensors header: " +
                (in_entry ? "tensor '" + header_.entries.back().name + "': " : "") + what);
  }

  [[noreturn]] void fail(const std::string& found, const std::string& value) const {
    const char* expected = "an object of tensors";
    switch (place_) {
      case Place::header:
        expected = "an object with dtype, shape and data_offsets";
        break;
      case Place::metadata:
        expected = "a string";
        break;
      case Place::entry:
        expected = "dtype (a string), shape or data_offsets (arrays of numbers)";
        break;
      case Place::shape:
      case Place::offsets:
        expected = "whole numbers from 0 on";
        break;
      default:
        break;
    }
    refuse("found " + found + value.substr(0, 40) + (key_.empty() ? "" : " under '" + key_ + "'") +
           "; expected " + expected);
  }

  std::string file_;
  SafetensorsHeader header_;
  Place place_ = Place::start;
  std::string key_;
  std::set<std::string> tensors_, fields_, metadata_keys_;
  std::vector<std::uint64_t> offsets_;
};

}  // namespace

SafetensorsHeader read_safetensors_json(std::string_view json, const std::string& file) {
  HeaderEvents events(file);
  Json::sax_parse(json, &events);
  return events.take();
}

}  // namespace miniparallel::io

#include <miniparallel/checkpoint.h>

#include "engine/error.h"

namespace miniparallel {

namespace detail {

namespace {

/// The one tensor of a number, text or list.
const Tensor& only_tensor(const StateDict& state, DType dtype, std::int64_t dimensions) {
  const auto found = state.find("");
  check(state.size() == 1 && found != state.end() && found->second.dtype() == dtype &&
            found->second.dim() == dimensions,
        "damaged; expected one ", dtype, dimensions == 0 ? " number" : " list");
  return found->second;
}

}  // namespace

StateDict number_state(std::int64_t value) { return {{"", scalar_tensor(value, {.dtype = int64})}}; }
StateDict number_state(double value) { return {{"", scalar_tensor(value, {.dtype = float64})}}; }
StateDict number_state(bool value) { return {{"", scalar_tensor(value, {.dtype = boolean})}}; }
StateDict text_state(const std::string& text) {
  return {{"", from_data(reinterpret_cast<const std::uint8_t*>(text.data()), {std::ssize(text)}, uint8)}};
}
StateDict list_state(const std::vector<std::int64_t>& values) {
  return {{"", from_data(values.data(), {std::ssize(values)}, int64)}};
}
StateDict list_state(const std::vector<double>& values) {
  return {{"", from_data(values.data(), {std::ssize(values)}, float64)}};
}

std::int64_t checked_whole_number(const StateDict& state) {
  return only_tensor(state, int64, 0).item<std::int64_t>();
}
double checked_number(const StateDict& state) { return only_tensor(state, float64, 0).item(); }
bool checked_flag(const StateDict& state) { return only_tensor(state, boolean, 0).item<std::int64_t>() != 0; }
std::string checked_text(const StateDict& state) {
  const auto bytes = only_tensor(state, uint8, 1).to_vector<std::uint8_t>();
  return {bytes.begin(), bytes.end()};
}
std::vector<std::int64_t> checked_whole_numbers(const StateDict& state) {
  return only_tensor(state, int64, 1).to_vector<std::int64_t>();
}
std::vector<double> checked_numbers(const StateDict& state) {
  return only_tensor(state, float64, 1).to_vector<double>();
}

void fail_does_not_fit(std::int64_t value) {
  fail("the number is ", value, ", which the type of the variable here cannot hold; use a wider one");
}

}  // namespace detail

namespace {

/// `checked` turns a state into what `target` holds.
template <class T>
auto prepare_assignment(T& target, T (*checked)(const StateDict&)) {
  return [&target, checked](const StateDict& state, const LoadOptions&, LoadReport&) -> PreparedLoad {
    return [&target, value = checked(state)]() mutable { target.swap(value); };
  };
}

}  // namespace

CheckpointPart::CheckpointPart(std::string name, std::string& text)
    : name_(std::move(name)),
      kind_("text"),
      state_dict_([&text] { return detail::text_state(text); }),
      prepare_load_(prepare_assignment(text, detail::checked_text)) {}

CheckpointPart::CheckpointPart(std::string name, std::vector<std::int64_t>& numbers)
    : name_(std::move(name)),
      kind_("whole numbers"),
      state_dict_([&numbers] { return detail::list_state(numbers); }),
      prepare_load_(prepare_assignment(numbers, detail::checked_whole_numbers)) {}

CheckpointPart::CheckpointPart(std::string name, std::vector<double>& numbers)
    : name_(std::move(name)),
      kind_("numbers"),
      state_dict_([&numbers] { return detail::list_state(numbers); }),
      prepare_load_(prepare_assignment(numbers, detail::checked_numbers)) {}

}  // namespace miniparallel

#include "machines.h"

#include <doctest/doctest.h>

namespace miniparallel::testing {

void on_machine(int count, const std::function<void(const std::vector<Device>&)>& body) {
  CAPTURE(count);
  body(std::vector<Device>(static_cast<std::size_t>(count)));
}

void on_machines(const std::function<void(const std::vector<Device>&)>& body) {
  for (const int count : {1, 2, 3, 4, 8}) on_machine(count, body);
}

}  // namespace miniparallel::testing

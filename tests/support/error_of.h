#pragma once

#include <miniparallel/error.h>

#include <string>

namespace miniparallel::testing {

/// What `f` throws as an `Error`.
std::string error_of(auto&& f) {
  try {
    f();
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing was thrown";
}

}  // namespace miniparallel::testing

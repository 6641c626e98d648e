#pragma once

#include <stdexcept>
#include <string>

namespace miniparallel {

/// Every failure that the library reports: the message names the operation, what it got and what to do.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Memory of a device is used up; the message says how much was asked for, used and cached.
class OutOfMemoryError : public Error {
 public:
  using Error::Error;
};

}  // namespace miniparallel

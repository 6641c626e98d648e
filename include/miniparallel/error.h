#pragma once

#include <miniparallel/require_cxx20.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>

namespace miniparallel {

/// Every failure that the library reports: the message names the operation, what it got and what to do.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;

  /// Adds a line to the message, such as where in a larger undertaking the failure happened. The object stays
  /// the same, so `catch (Error& error) { error.add_note("epoch 3"); throw; }` keeps its type. As in Python.
  void add_note(std::string_view note);
  /// The message, and each note on a line of its own.
  const char* what() const noexcept override;

 private:
  std::shared_ptr<const std::string> noted_;  // message and notes, shared by copies; null without notes
};

/// Memory of a device is used up; the message says how much was asked for, used and cached.
class OutOfMemoryError : public Error {
 public:
  using Error::Error;
};

}  // namespace miniparallel

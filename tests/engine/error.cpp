#include <miniparallel/error.h>

#include <doctest/doctest.h>

#include <exception>
#include <string>
#include <type_traits>

namespace miniparallel {
namespace {

static_assert(std::is_nothrow_copy_constructible_v<Error>);

TEST_CASE("error: notes follow the message, each on a line of its own") {
  Error error("conv2d: got 3");
  CHECK(std::string(error.what()) == "conv2d: got 3");
  error.add_note("replica 1 on cuda:1, rows [3, 6)");
  error.add_note("epoch 4");
  CHECK(std::string(error.what()) == "conv2d: got 3\n  replica 1 on cuda:1, rows [3, 6)\n  epoch 4");
}

TEST_CASE("error: a note on a caught error leaves the object and its type as they are") {
  const void* thrown = nullptr;
  try {
    try {
      throw OutOfMemoryError("cuda:0: out of memory");
    } catch (Error& error) {
      thrown = &error;
      error.add_note("replica 0");
      throw;
    }
  } catch (const OutOfMemoryError& error) {
    CHECK(static_cast<const Error*>(&error) == thrown);
    CHECK(std::string(error.what()) == "cuda:0: out of memory\n  replica 0");
  }
}

TEST_CASE("error: a note reaches an exception that is held to be rethrown later") {
  const std::exception_ptr held = std::make_exception_ptr(Error("relu: got nothing"));
  try {
    std::rethrow_exception(held);
  } catch (Error& error) {
    error.add_note("replica 2");
  }
  CHECK_THROWS_WITH_AS(std::rethrow_exception(held), "relu: got nothing\n  replica 2", Error);
}

TEST_CASE("error: copies keep their notes to themselves") {
  Error error("add: got 1");
  error.add_note("first");
  Error copy = error;
  copy.add_note("second");
  CHECK(std::string(error.what()) == "add: got 1\n  first");
  CHECK(std::string(copy.what()) == "add: got 1\n  first\n  second");
}

}  // namespace
}  // namespace miniparallel

#pragma once

#include <miniparallel/error.h>

#include <cstddef>
#include <string>

namespace miniparallel::kernels::cuda {

/// Text as a template argument.
template <std::size_t n>
struct Name {
  char text[n];
  consteval Name(const char (&literal)[n]) {
    for (std::size_t i = 0; i < n; ++i) text[i] = literal[i];
  }
};

/// Fills the place of a launcher that CUDA does not have: calling it throws an `Error` that names the op.
template <Name op>
struct Missing {
  template <class... Parameters>
  using Launcher = void (*)(Parameters...);

  template <class... Parameters>
  constexpr operator Launcher<Parameters...>() const {
    return [](Parameters...) {
      throw Error(std::string(op.text) +
                  ": there is no CUDA kernel for it; compute it on the CPU, with cpu()");
    };
  }
};

}  // namespace miniparallel::kernels::cuda

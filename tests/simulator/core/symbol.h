#pragma once
// Names of functions by their address, for reports.

#include <string>

namespace miniparallel::simulator {

/// "saxpy<float>": read from the symbol table of the program
/// (kernels need not be exported), an address if it was stripped.
std::string symbol_name(const void* function);
/// The same as the linker knows it: "_Z5saxpyIfEvPT_".
std::string mangled_symbol(const void* function);

}  // namespace miniparallel::simulator

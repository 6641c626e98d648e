#pragma once
// Host code that touches device memory: caught by page protection,
// and by the callbacks if the host code is instrumented.

#include <cstdint>

namespace miniparallel::simulator {

/// Takes over SIGSEGV: an access to protected device memory is reported and let through, any other goes to
/// the old handler.
void install_host_guard();

/// True while the calling thread runs a copy or a library's work, whose code may be instrumented by accident:
/// small functions of the standard library exist once in a program.
inline thread_local bool in_device_work = false;

void report_host_access(std::uintptr_t address);

}  // namespace miniparallel::simulator

#pragma once

namespace miniparallel::testing {

/// The n-th thread that the program starts from now on (1 = the next) is refused once, as by a system that
/// has no more. Never under a sanitizer, which starts threads in its own way.
void fail_thread_start(int nth);
/// It will not be refused any more. Returns whether it was still to come.
bool forget_thread_start();

}  // namespace miniparallel::testing

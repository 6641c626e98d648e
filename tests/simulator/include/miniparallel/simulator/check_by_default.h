#pragma once
// A program in which a file includes this checks unless MINIPARALLEL_SIMULATED_CHECK=0. Kernel files that are
// CHECKED do, by the compiler's option -include.

namespace miniparallel::simulator {

void check_by_default();

namespace {
[[maybe_unused]] const bool checks = (check_by_default(), true);
}

}  // namespace miniparallel::simulator

#pragma once
// How often each kernel was launched in this process, whatever machines it ran on.

namespace miniparallel::simulator {

void count_launch(const void* kernel);
/// Writes them to the file that MINIPARALLEL_SIMULATED_LAUNCHES names, if it does: a line for each kernel,
/// its symbol and the count.
void write_launch_counts();

}  // namespace miniparallel::simulator

#pragma once

/// The threads that help with large operations. They are the library's own: OpenMP's wait for one another by
/// spinning for milliseconds, which on a machine that other programs keep busy makes two threads many times
/// slower than one.

namespace miniparallel::kernels::cpu {

/// Calls part(context, i) for every i below `parts`, on the calling thread and on up to parts - 1 others, and
/// returns when all calls have ended. A thread takes the next part when it has ended one, so that the caller
/// waits for no thread that has not begun. Parts must not throw. Several threads may call at the same time;
/// they share the others.
void run_parts(int parts, void (*part)(void* context, int i), void* context);

}  // namespace miniparallel::kernels::cpu

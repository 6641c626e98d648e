#pragma once

namespace miniparallel::profiler {

struct Event;  // of span.h

/// The innermost span that the calling thread is in, as far as it is known by now; null outside of all and
/// while no profiler records.
const Event* current_event();

}  // namespace miniparallel::profiler

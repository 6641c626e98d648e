#pragma once

#include <functional>
#include <string_view>

namespace miniparallel {

enum class LogLevel : unsigned char { info, warning };

using LogHandler = std::function<void(LogLevel level, std::string_view message)>;

/// Replaces where the library's messages go (stderr at the start) and returns the previous handler.
/// The handler may be called from any thread, one call at a time. An empty handler silences the library.
LogHandler set_log_handler(LogHandler handler);

/// Hands one message to the handler.
void log(LogLevel level, std::string_view message);

}  // namespace miniparallel

// Messages for the operator: stderr in the foreground, syslog in the background. Data never goes here.
#pragma once

#include <string>
#include <string_view>

namespace tidemark {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

// Before the first message; "tidemark" lines on stderr with time and level are the default. Not thread-safe.
void log_to_stderr(LogLevel least);
void log_to_syslog(LogLevel least);

// Thread-safe.
void log_message(LogLevel level, std::string_view text);
inline void log_debug(std::string_view text) { log_message(LogLevel::kDebug, text); }
inline void log_info(std::string_view text) { log_message(LogLevel::kInfo, text); }
inline void log_warning(std::string_view text) { log_message(LogLevel::kWarning, text); }
inline void log_error(std::string_view text) { log_message(LogLevel::kError, text); }

}  // namespace tidemark

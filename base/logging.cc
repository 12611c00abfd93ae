#include "base/logging.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/sinks/syslog_sink.h>
#include <spdlog/spdlog.h>
#include <syslog.h>

#include <memory>

namespace tidemark {
namespace {

spdlog::level::level_enum to_spdlog(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug: return spdlog::level::debug;
    case LogLevel::kInfo: return spdlog::level::info;
    case LogLevel::kWarning: return spdlog::level::warn;
    case LogLevel::kError: return spdlog::level::err;
  }
  return spdlog::level::err;
}

std::shared_ptr<spdlog::logger>& logger() {
  static std::shared_ptr<spdlog::logger> instance = [] {
    auto made = std::make_shared<spdlog::logger>("tidemark", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    made->set_pattern("%Y-%m-%dT%H:%M:%S.%e%z %l tidemark[%P]: %v");
    return made;
  }();
  return instance;
}

}  // namespace

void log_to_stderr(LogLevel least) { logger()->set_level(to_spdlog(least)); }

void log_to_syslog(LogLevel least) {
  auto sink = std::make_shared<spdlog::sinks::syslog_sink_mt>("tidemark", LOG_PID, LOG_DAEMON, true);
  auto made = std::make_shared<spdlog::logger>("tidemark", sink);
  made->set_pattern("%v");
  made->set_level(to_spdlog(least));
  logger() = made;
}

void log_message(LogLevel level, std::string_view text) {
  logger()->log(to_spdlog(level), spdlog::string_view_t(text.data(), text.size()));
}

}  // namespace tidemark

// Warnings that strangers can cause: only so many are written, the others counted. Of one thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "base/logging.h"

namespace tidemark {

class LogBudget {
 public:
  static constexpr uint32_t kLinesMax = 20;  // in one kPeriod
  static constexpr std::chrono::seconds kPeriod{60};

  // Whether a line may be written at `now_ns` (steady). `left_out`: how many were not since the last one that was.
  bool take(int64_t now_ns, uint64_t& left_out) {
    if (lines_ == 0 || now_ns - began_ns_ >= std::chrono::nanoseconds(kPeriod).count()) {
      began_ns_ = now_ns;
      lines_ = 0;
    }
    if (lines_ == kLinesMax) {
      ++left_out_;
      return false;
    }
    ++lines_;
    left_out = left_out_;
    left_out_ = 0;
    return true;
  }
  void warn(int64_t now_ns, const std::string& text) {
    uint64_t left_out = 0;
    if (!take(now_ns, left_out)) return;
    if (left_out != 0) log_warning(std::to_string(left_out) + " more warnings of this kind were suppressed");
    log_warning(text);
  }

 private:
  int64_t began_ns_ = 0;
  uint32_t lines_ = 0;
  uint64_t left_out_ = 0;
};

}  // namespace tidemark

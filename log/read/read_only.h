// What logs that are only read have in common: nothing is appended, and nothing new ever comes.
#pragma once

#include <thread>

#include "log/log.h"

namespace tidemark {

class ReadOnlyLog : public Log {
 public:
  ReadOnlyLog(FileSystem& files, const std::string& directory, const GroupId& group)
      : Log(files, directory, group), directory_(directory) {}

  [[nodiscard]] Seq appended() const override { return tail_.seq; }
  [[nodiscard]] Seq durable() const override { return tail_.seq; }
  [[nodiscard]] Position tail_position() const override { return tail_; }
  [[nodiscard]] Status health() const override { return Status(); }
  bool wait_durable(Seq above, std::chrono::milliseconds timeout) override {
    if (tail_.seq > above) return true;
    std::this_thread::sleep_for(timeout);
    return false;
  }

 protected:
  const std::string directory_;
  Position tail_;
};

}  // namespace tidemark

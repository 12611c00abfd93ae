// What logs that are only read have in common: nothing is appended, and nothing new ever comes.
#pragma once

#include <thread>

#include "log/read/reader.h"

namespace tidemark {

class ReadOnlyLog : public LogReader {
 public:
  ReadOnlyLog(FileSystem& files, const std::string& directory, const GroupId& group)
      : LogReader(files, directory, group), directory_(directory) {}

  Result<std::vector<Appended>> append(std::span<const RecordDraft>, Epoch) override { return read_only(); }
  Result<std::vector<Location>> append_verified(Bytes) override { return read_only(); }
  Status sync(Seq) override { return read_only(); }
  Result<RetireReport> retire(const RetireOrder&) override { return read_only(); }
  Status cross(const CrossOrder&) override { return read_only(); }
  [[nodiscard]] Seq appended() const override { return tail_.seq; }
  [[nodiscard]] Seq durable() const override { return tail_.seq; }
  [[nodiscard]] Position tail_position() const override { return tail_; }
  [[nodiscard]] Status health() const override { return Status(); }
  bool wait_durable(Seq above, std::chrono::milliseconds timeout) override {
    if (tail_.seq > above) return true;
    std::this_thread::sleep_for(timeout);
    return false;
  }

  std::chrono::nanoseconds note_now_and_then() override { return {}; }

 protected:
  [[nodiscard]] Status read_only() const {
    return Status(Code::kReadOnly, "the log in " + directory_ + " is open for reading only");
  }

  const std::string directory_;
  Position tail_;
};

}  // namespace tidemark

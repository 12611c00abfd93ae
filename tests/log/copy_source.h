// Another copy of a log, from which what is damaged is put right.
#pragma once

#include <map>

#include "log/read/cursor.h"
#include "log/repair/mend.h"
#include "tests/log/log_fixture.h"

namespace tidemark::test {

// The log as it was before anything happened to it.
class Copy final : public RecordSource {
 public:
  explicit Copy(const FaultFileSystem& files) : files_(files.after_exit()) {
    log_ = must(Log::open_read_only(*files_, kDirectory, kLatest));
  }
  [[nodiscard]] std::string name() const override { return "the copy"; }
  Result<std::string> fetch(Seq next, size_t bytes_max) override {
    ++asked;
    if (next > log_->appended()) return std::string();
    LogCursor cursor(*log_, next);
    TM_ASSIGN(const auto run, cursor.read(bytes_max, kLatest));
    std::string records(as_text(run.bytes));
    if (spoil) spoil(records);
    return records;
  }
  Result<std::string> fetch_packed(Seq from, size_t bytes_max) override {
    ++asked;
    TM_ASSIGN(std::string records, log_->read_packed(from, bytes_max));
    if (spoil) spoil(records);
    return records;
  }
  std::function<void(std::string&)> spoil;
  int asked = 0;

 private:
  std::unique_ptr<FaultFileSystem> files_;
  std::unique_ptr<Log> log_;
};

struct Outcome {
  size_t mended = 0;
  size_t left = 0;
};

inline Outcome mend(FaultFileSystem& files, RecordSource& source, const Position& newest = {}, bool in_use = false) {
  Outcome outcome;
  must(mend_log(files, kDirectory, test_group(), newest, in_use, source, [&](const std::string&, const MendReport& report) {
    outcome.mended += report.mended.size();
    outcome.left += report.left.ok() ? 0 : 1;
  }));
  return outcome;
}

// Of the segments and packs. The note of how far the log was durable is no content: a damaged one counts as none.
inline std::map<std::string, std::string> contents(FaultFileSystem& files) {
  std::map<std::string, std::string> all;
  for (const std::string& name : must(files.list(kDirectory))) {
    if (name != "durable") all[name] = files.content(kDirectory + "/" + name);
  }
  return all;
}

}  // namespace tidemark::test

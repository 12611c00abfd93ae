// What the log's tests share: a clock they can move, drafts with a content they can recognise, a log on simulated files.
#pragma once

#include <catch2/catch.hpp>

#include <atomic>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "log/format/record_walker.h"
#include "log/format/segment.h"
#include "log/log.h"
#include "log/read/cursor.h"
#include "log/write/writer.h"
#include "tests/support/fault_file.h"

namespace tidemark::test {

inline const std::string kDirectory = "/log";

class TestClock final : public Clock {
 public:
  std::atomic<int64_t> now{1'700'000'000'000'000'000};
  int64_t wall_ns() override { return now.fetch_add(1000); }
  int64_t steady_ns() override { return now; }
};

inline GroupId test_group() {
  GroupId id{};
  for (size_t i = 0; i < id.size(); ++i) id[i] = static_cast<std::byte>(i + 1);
  return id;
}

// A payload that says which it is: "NUMBER:" and filler that depends on the number.
inline std::string numbered(uint64_t number, size_t size) {
  std::string text = std::to_string(number) + ":";
  std::mt19937_64 random(number);
  while (text.size() < size) text += static_cast<char>(random());
  return text;
}

inline RecordDraft numbered_draft(uint64_t number, size_t size) {
  return make_draft(RecordType::kSetXattr, 1, Ino(number), numbered(number, size));
}

template <class T>
T must(Result<T> result) {
  INFO(result.status().text());
  REQUIRE(result.ok());
  return std::move(result).value();
}
inline void must(const Status& status) {
  INFO(status.text());
  REQUIRE(status.ok());
}

// Only sync() makes durable, and segments are small.
inline LogOptions quiet_options(uint32_t segment_bytes = 8192) {
  LogOptions options;
  options.segment_bytes = segment_bytes;
  options.commit_interval = std::chrono::milliseconds(0);
  options.reserve_bytes = 0;
  return options;
}

struct TestLog {
  FaultFileSystem files;
  TestClock clock;
  std::unique_ptr<LogWriter> log;
  uint64_t count = 0;

  explicit TestLog(const LogOptions& options = quiet_options()) {
    must(files.make_directory(kDirectory));
    must(LogWriter::create(files, kDirectory, test_group()));
    log = must(LogWriter::open(files, clock, kDirectory, options, Seq(), nullptr));
  }
  std::vector<Appended> add(size_t records, size_t size = 500) {
    std::vector<Appended> all;
    for (size_t i = 0; i < records; ++i) {
      const RecordDraft draft = numbered_draft(++count, size);
      for (Appended& each : must(log->append({&draft, 1}, Epoch(1)))) all.push_back(each);
    }
    return all;
  }
};

// Takes a run of records as a copy does.
inline Result<std::vector<Location>> append_run(LogWriter& log, Bytes run) {
  TM_ASSIGN(const VerifiedRun verified, VerifiedRun::verify(run, log.tail_position()));
  return log.append_verified(verified);
}
inline Status put_back_run(LogWriter& log, Bytes run) {
  RecordHeader first;
  REQUIRE(decode_header(run, first) == RecordFault::kNone);
  TM_ASSIGN(const Position before, log.position_at(first.seq.prev()));
  TM_ASSIGN(const VerifiedRun verified, VerifiedRun::verify(run, before));
  return log.put_back(verified);
}

// Every record from `from` on, as whole bytes, each checked.
inline std::vector<std::string> read_all(Log& log, Seq from, size_t bytes_max = 3000) {
  LogCursor cursor(log, from);
  std::vector<std::string> records;
  for (;;) {
    const LogCursor::Run run = must(cursor.read(bytes_max, kLatest));
    if (run.bytes.empty()) return records;
    Position position = must(log.position_at(run.first.prev()));
    must(walk_records(run.bytes, position, [&](const RecordView& record) {
      records.emplace_back(as_text(record.whole));
      return Status();
    }));
    REQUIRE(position.seq == run.last);
    REQUIRE(must(cursor.position()) == position);
  }
}

// --- pruning

// Needed: every third record, as a prune of some volume might find.
inline bool needed(Seq seq) { return seq.value() % 3 == 0; }

struct Written {
  Location location;
  std::string whole;
};
using Content = std::map<Seq, Written>;

inline void note(Log& log, const std::vector<Appended>& appended, Content& content) {
  for (const Appended& each : appended) {
    Buffer storage;
    content[each.header.seq] = {each.location, std::string(as_text(must(log.read_record(each.location, storage)).whole))};
  }
}

inline RetireOrder order_to(Seq base, const Content& content) {
  RetireOrder order;
  order.base = base;
  order.live = [&content](uint64_t from, uint64_t end) -> Result<LiveWindow> {
    LiveWindow window;
    for (const auto& [seq, written] : content) {
      if (needed(seq) && written.location.segment >= from && written.location.segment < end)
        window.offsets[written.location.segment].push_back(written.location.offset);
    }
    return window;
  };
  return order;
}

}  // namespace tidemark::test

// Recovery, reading, verification, salvage and repair of whatever a log's directory holds. The input is a small program that builds the
// segments out of sound records and rubbish, so that checksums are no wall.
#include "log/format/segment.h"
#include "log/read/cursor.h"
#include "log/repair/mend.h"
#include "log/repair/recovery.h"
#include "log/repair/verify.h"
#include "log/write/writer.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/fault_file.h"

namespace tidemark::fuzz {
namespace {

const std::string kWhere = "/log";
constexpr int kSegmentsMax = 4;
constexpr size_t kFileMax = 64 * 1024;

class Builder {
 public:
  Builder(test::FaultFileSystem& files, Input& input) : files_(files), input_(input) {}

  void run() {
    for (int i = 0; i < kSegmentsMax && !input_.empty(); ++i) segment();
  }

 private:
  void segment() {
    std::string content;
    const uint8_t kind = input_.byte();
    SegmentHeader header;
    header.flags = kind & 1;
    header.before = position_;
    header.previous_bytes = previous_bytes_;
    header.previous_records = previous_records_;
    const Seq first = (kind & 2) != 0 ? Seq(input_.byte() + 1u) : position_.seq.next();
    content = as_text(encode_segment_header(header));
    if ((kind & 4) != 0) content.assign(kSegmentHeaderSize, '\0');
    if ((kind & 8) != 0) spoil(content);
    previous_records_ = 0;
    for (int steps = input_.byte() % 16; steps > 0 && content.size() < kFileMax; --steps) step(content);
    previous_bytes_ = static_cast<uint32_t>(content.size());
    auto file = files_.open(segment_path(kWhere, first), FileSystem::Open::kCreateNew);
    if (file.ok()) files_.set_content(segment_path(kWhere, first), content);
  }

  void step(std::string& content) {
    const uint8_t kind = input_.byte();
    if (kind < 160) {
      record(content, kind);
    } else if (kind < 190) {
      content.append(input_.byte(), '\0');
    } else if (kind < 220) {
      content += as_text(input_.take(input_.byte()));
    } else if (kind < 240) {
      spoil(content);
    } else {
      content.resize(content.size() - std::min<size_t>(content.size(), input_.byte()));
    }
  }

  void record(std::string& content, uint8_t kind) {
    RecordHeader header;
    const std::string payload(as_text(input_.take(input_.byte())));
    header.type = static_cast<RecordType>(1 + kind % 16);
    header.flags = (kind & 32) != 0 ? kFlagAfterSync : 0;
    header.epoch = Epoch(1);
    header.seq = position_.seq.next();
    header.time_ns = static_cast<int64_t>(header.seq.value());
    if ((kind & 64) != 0) header.seq = Seq(input_.byte());
    header.raw_length = header.stored_length = static_cast<uint32_t>(payload.size());
    header.payload_check = make_draft(header.type, 0, Ino(), payload).payload_check;
    const HeaderBytes head = seal_header(header, position_.chain);
    content += as_text(head);
    content += payload;
    content.append(header.size_in_log() - kRecordHeaderSize - payload.size(), '\0');
    position_ = header.position();
    ++previous_records_;
  }

  void spoil(std::string& content) {
    if (content.empty()) return;
    const size_t at = (content.size() * input_.byte()) >> 8;
    content[at] = static_cast<char>(content[at] ^ (1 << (input_.byte() & 7)));
  }

  test::FaultFileSystem& files_;
  Input& input_;
  Position position_;
  uint32_t previous_bytes_ = 0;
  uint32_t previous_records_ = 0;
};

class StillClock final : public Clock {
 public:
  int64_t wall_ns() override { return 1000; }
  int64_t steady_ns() override { return 0; }
};

// Answers with the input: nothing of it may end in the log unless it belongs there.
class Hostile final : public RecordSource {
 public:
  explicit Hostile(Bytes bytes) : bytes_(as_text(bytes)) {}
  [[nodiscard]] std::string name() const override { return "a hostile site"; }
  Result<std::string> fetch(Seq, size_t) override { return bytes_; }
  Result<std::string> fetch_packed(Seq, size_t) override { return bytes_; }

 private:
  const std::string bytes_;
};

void read_everything(Log& log) {
  if (log.appended() < log.first()) return;
  LogCursor cursor(log, log.first());
  for (int i = 0; i < 10'000; ++i) {
    const auto run = cursor.read(1000, kLatest);
    if (!run.ok() || run->bytes.empty()) break;
  }
  (void)log.position_at(log.appended());
  (void)log.seq_at_time(2);
}

}  // namespace

void fuzz_one(Bytes bytes) {
  Input input(bytes);
  test::FaultFileSystem files;
  CHECK_INVARIANT(files.make_directory(kWhere).ok());
  const Seq known(input.byte() % 8);
  Builder(files, input).run();
  (void)verify_log(files, kWhere, kLatest, nullptr);
  if (auto log = Log::open_read_only(files, kWhere, kLatest); log.ok()) read_everything(**log);
  if (auto log = Log::open_damaged(files, kWhere, {Epoch(1), known, 0}); log.ok()) read_everything(**log);
  Hostile hostile(bytes);
  (void)mend_log(files, kWhere, GroupId{}, {Epoch(1), known, 0}, false, hostile,
                 [](const std::string&, const MendReport&) {});

  StillClock clock;
  LogOptions options;
  options.commit_interval = std::chrono::milliseconds(0);
  options.reserve_bytes = 0;
  const auto found = examine_log(files, kWhere, known);
  auto log = LogWriter::open(files, clock, kWhere, options, known, nullptr);
  if (!log.ok()) return;
  // A received log ends before what was durable where its order is broken, and says so: that is sent again.
  CHECK_INVARIANT((*log)->appended() >= known || (found.ok() && found->lost_to >= known));
  // What opened can be appended to, and opens again with the same end.
  const RecordDraft draft = make_draft(RecordType::kEpoch, 0, Ino(), "x");
  const auto appended = (*log)->append({&draft, 1}, std::max((*log)->tail_position().epoch, Epoch(1)));
  read_everything(**log);
  const Position end = (*log)->tail_position();
  if (!appended.ok() || !(*log)->sync(kLatest).ok()) return;
  log->reset();
  auto again = LogWriter::open(files, clock, kWhere, options, end.seq, nullptr);
  if (again.ok()) CHECK_INVARIANT((*again)->tail_position() == end);
}

std::vector<std::string> fuzz_seeds() {
  const std::string record = std::string("\x02\x05hello", 7) + std::string(
                                                                   "\x23\x03"
                                                                   "abc",
                                                                   5);
  std::string sound = std::string("\x00\x00\x04", 3) + record + record;
  std::string two = sound + std::string("\x00\x02", 2) + record;
  std::string unborn = sound + std::string("\x04\x02", 2) + record;
  std::string torn = sound + std::string("\x00\x03", 2) + record + std::string("\xe8\x80\x03", 3);
  return {sound, two, unborn, torn, two + unborn};
}

}  // namespace tidemark::fuzz

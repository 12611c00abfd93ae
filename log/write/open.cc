// Making a log, and opening one for appending.
#include <algorithm>

#include "log/repair/recovery.h"
#include "log/write/writer.h"

namespace tidemark {
namespace {

constexpr size_t kRecordsTold = 5;  // in one line

void add_line(std::string& text, const std::string& more) { text += (text.empty() ? "" : "; ") + more; }

std::string describe(const Recovered& recovered) {
  std::string text;
  if (recovered.torn_bytes > 0) {
    text = "cut a torn tail of " + std::to_string(recovered.torn_bytes) + " bytes after record " +
           std::to_string(recovered.end.seq.value());
  }
  if (!recovered.removed.empty()) {
    add_line(text, "removed " + std::to_string(recovered.removed.size()) + " segments that had not become durable");
  }
  for (size_t i = 0; i < recovered.fixes.size() && i < kRecordsTold; ++i) {
    const BitFix& fix = recovered.fixes[i];
    add_line(text, "one flipped bit in record " + std::to_string(fix.seq.value()) + " was corrected (segment " +
                       segment_name(fix.segment) + ", byte " + std::to_string(fix.at) + ")");
  }
  for (size_t i = 0; i < recovered.damaged.size() && i < kRecordsTold; ++i) {
    const DamagedRecord& each = recovered.damaged[i];
    add_line(text, "record " + std::to_string(each.header.seq.value()) + " is damaged (segment " +
                       segment_name(Seq(each.location.segment)) + ", byte " + std::to_string(each.location.offset) +
                       "): its content cannot be read until it is repaired");
  }
  const size_t told = std::min(recovered.fixes.size(), kRecordsTold) + std::min(recovered.damaged.size(), kRecordsTold);
  if (const size_t all = recovered.fixes.size() + recovered.damaged.size(); all > told)
    add_line(text, "and " + std::to_string(all - told) + " more damaged records");
  if (recovered.lost_to) {
    add_line(text, recovered.lost_text + "; records from " + std::to_string(recovered.end.seq.next().value()) + " to " +
                       std::to_string(recovered.lost_to->value()) +
                       " cannot be used until the source has sent them again; none of them was cut");
  }
  return text;
}

}  // namespace

Status LogWriter::create(FileSystem& files, const std::string& directory, const GroupId& group) {
  TM_ASSIGN(const auto names, files.list(directory));
  const std::string path = segment_path(directory, Seq(1));
  for (const std::string& name : names) {
    // What an earlier attempt left behind when it was interrupted is no content.
    if (directory + "/" + name != path + ".new") return Status(Code::kNotEmpty, directory + " is not empty");
  }
  SegmentHeader header;
  header.group = group;
  return write_file_atomically(files, path, as_text(encode_segment_header(header)));
}

Result<std::unique_ptr<LogWriter>> LogWriter::open(FileSystem& files, Clock& clock, const std::string& directory,
                                                   const LogOptions& options, Seq indexed, RecoveryReport* report) {
  LogOptions sane = options;
  sane.segment_bytes = std::clamp(options.segment_bytes, kSegmentBytesMin, kSegmentBytesMax);
  TM_ASSIGN(std::shared_ptr<SegmentPool> pool, SegmentPool::open(files, directory, sane));
  TM_ASSIGN(const Floor floor, heal_floor(files, directory));
  TM_TRY(finish_retirement(*pool, directory, floor));
  TM_ASSIGN(const Recovered recovered, examine_log(files, directory, std::max(indexed, floor.base.seq)));
  TM_TRY(repair_log(*pool, directory, recovered));
  const std::string last = segment_path(directory, recovered.segments.back().known.first_seq);
  TM_ASSIGN(std::shared_ptr<File> tail, files.open(last, FileSystem::Open::kReadWrite));
  if (report != nullptr) {
    const bool alarm = !recovered.damaged.empty() || recovered.lost_to;
    *report = {recovered.end.seq, recovered.torn_bytes, recovered.removed.size(), describe(recovered), alarm, Status()};
  }
  return std::unique_ptr<LogWriter>(
      new LogWriter(std::move(pool), clock, directory, sane, recovered, floor, std::move(tail)));
}

}  // namespace tidemark

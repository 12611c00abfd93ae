#include "cli/check/examine.h"

#include <algorithm>

#include "cli/output/output.h"
#include "cli/service/signals.h"
#include "log/repair/verify.h"
#include "volume/group/directory.h"
#include "volume/history/base_image.h"

namespace tidemark::cli {
namespace {

Result<LogVerdict> check_local_log(const std::string& directory, Seq last) {
  ProgressLine line("checking the log");
  TM_ASSIGN(LogVerdict verdict, verify_log(posix_file_system(), log_directory(directory), last,
                                           [&](uint64_t done, uint64_t total) { line.show(done, total); }));
  TM_TRY(verify_base_image(posix_file_system(), directory, verdict));
  return verdict;
}

Result<LogVerdict> check_remote_log(Reader& reader, Seq last) {
  LogVerdict verdict;
  ProgressLine line("checking the log");
  TM_ASSIGN(RemoteGroupInfo info, reader.remote()->info());
  Status walked = reader.walk_log(Seq{1}, last, [&](const RecordView& record) {
    ++verdict.records;
    verdict.bytes += record.whole.size();
    verdict.end = record.header.position();
    line.show(verdict.bytes, info.log_bytes);
    return interrupted_flag()->load() ? Status(Code::kInterrupted, "interrupted") : Status();
  });
  if (walked.code() == Code::kCorrupt) {
    verdict.damage.push_back({"", 0, verdict.end.seq.next(), Ino{}, RecordFault::kPayloadDamaged});
    return verdict;
  }
  TM_TRY(walked);
  return verdict;
}

Status check_files(TreeView& view, Findings& findings) {
  ProgressLine line("checking files");
  TM_ASSIGN(findings.tree, check_tree(view, interrupted_flag(), [&](const TreeVerdict& so_far) {
              line.show(so_far.bytes, so_far.bytes, human_count(so_far.entries) + " entries");
            }));
  findings.tree_checked = true;
  return Status();
}

// Which files the damaged records mean: now, and at any point.
Status name_damage(Reader& reader, TreeView& view, Findings& findings) {
  std::vector<Ino> inodes;
  std::vector<Seq> records;
  for (const LogDamage& damage : findings.log.damage) {
    if (damage.ino != Ino{}) inodes.push_back(damage.ino);
    if (damage.seq != Seq{}) records.push_back(damage.seq);
  }
  if (!inodes.empty()) {
    TM_ASSIGN(auto found, find_paths(view, inodes));
    findings.paths.insert(found.begin(), found.end());
  }
  if (records.empty() || reader.group() == nullptr) return Status();
  TM_ASSIGN(auto shown, reader.group()->where_shown(records));
  TM_ASSIGN(auto marks, reader.marks());
  for (ShownDamage& where : shown) {
    ShownAt at{std::move(where), {}};
    for (const Mark& mark : marks) {
      if (mark.seq >= at.where.from && mark.seq < at.where.until) at.marks.push_back(mark.name);
    }
    findings.shown.push_back(std::move(at));
  }
  return Status();
}

Status check_tree_at(Reader& reader, Findings& findings) {
  TM_ASSIGN(Seq point, reader.point());
  TM_ASSIGN(auto view, reader.view(point));
  TM_TRY(check_files(*view, findings));
  return name_damage(reader, *view, findings);
}

Status examine_local(const Source& source, const RemoteKeys& keys, bool log_only, Findings& findings) {
  // First, because opening the volume rebuilds an index that does not open; and cuts a torn tail, which is no damage.
  TM_ASSIGN(findings.files, check_directory(source.directory));
  Result<Reader> reader = Reader::open(source, keys, true);
  if (!reader.ok()) {
    if (reader.status().code() != Code::kCorrupt) return reader.status();
    findings.not_opened = reader.status().text();
    TM_ASSIGN(findings.log, check_local_log(source.directory, kLatest));
    return Status();
  }
  const Result<Position> newest = reader->newest();
  if (!reader->damage().ok()) findings.not_opened = reader->damage().text();
  if (reader->damage().ok()) TM_TRY(newest.status());
  TM_ASSIGN(findings.log, check_local_log(source.directory, reader->damage().ok() ? newest->seq : kLatest));
  if (log_only || !newest.ok()) return Status();
  Status checked = check_tree_at(*reader, findings);
  if (checked.code() == Code::kNoSuchPoint && !findings.not_opened.empty()) return Status();  // nothing is left to be shown
  if (checked.code() != Code::kCorrupt) return checked;
  findings.files.push_back({"index", checked.text(), true});
  return Status();
}

}  // namespace

Result<Findings> examine(const Source& source, const RemoteKeys& keys, bool log_only) {
  Findings findings;
  if (!source.remote) {
    TM_TRY(examine_local(source, keys, log_only, findings));
    return findings;
  }
  TM_ASSIGN(Reader reader, Reader::open(source, keys));
  TM_ASSIGN(Position newest, reader.newest());
  TM_ASSIGN(findings.log, check_remote_log(reader, newest.seq));
  if (!log_only) TM_TRY(check_tree_at(reader, findings));
  return findings;
}

}  // namespace tidemark::cli

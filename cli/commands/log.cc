// tidemark log SOURCE [--from POINT] [--to POINT] [--path PATH]
#include <cstdio>
#include <memory>
#include <optional>

#include "base/clock.h"
#include "cli/commands/command.h"
#include "cli/output/output.h"
#include "cli/output/record_text.h"
#include "cli/reader.h"
#include "cli/service/signals.h"

namespace tidemark::cli {
namespace {

struct LogFlags {
  std::string source;
  std::string at;
  std::string from;
  std::string to;
  std::string path;
  bool json = false;
  RemoteKeys keys;
};

// The inode that had the path at `last`; where it is gone by then, the one that had it at `first`.
Result<Ino> inode_of(Reader& reader, const std::string& path, Seq first, Seq last) {
  TM_ASSIGN(auto view, reader.view(last));
  Result<Attr> found = resolve_path(*view, path);
  if (found.ok()) return found->ino;
  Result<std::shared_ptr<TreeView>> earlier = reader.view(first);
  Result<Attr> then = earlier.ok() ? resolve_path(**earlier, path) : Result<Attr>(earlier.status());
  if (then.ok()) return then->ino;
  return found.status().within("no '" + path + "' at seq " + std::to_string(last.value()) + " or at seq " +
                               std::to_string(first.value()) + " (give --to a point at which it existed)");
}

// One end of the list. A time or a seq beyond what is held there stands for its end, and that is said: to ask for the last hour of a volume
// that is younger is no mistake.
Result<Seq> end_of_list(Reader& reader, const std::string& flag, const std::string& text, bool first) {
  Result<Seq> found = reader.resolve(text);
  if (found.ok() || found.status().code() != Code::kNoSuchPoint) return found;
  TM_ASSIGN(const PointText point, parse_point(text, system_clock().wall_ns()));
  if (point.kind != PointText::Kind::kTime && point.kind != PointText::Kind::kSeq) return found;
  Seq end;
  if (first) {
    TM_ASSIGN(end, reader.oldest());
  } else {
    TM_ASSIGN(const Position newest, reader.newest());
    end = newest.seq;
  }
  TM_ASSIGN(const int64_t time_ns, reader.time_of(end));
  const bool before = point.kind == PointText::Kind::kSeq ? point.seq < end : point.time_ns < time_ns;
  const bool after = point.kind == PointText::Kind::kSeq ? point.seq > end : point.time_ns > time_ns;
  if (first ? !before : !after) return found;
  print_note(flag + " " + text +
             (first ? " is before the oldest record here: the list begins with seq "
                    : " is after the newest record here: the list ends with seq ") +
             std::to_string(end.value()) + " of " + format_time(time_ns));
  return end;
}

void print_record(const RecordView& record, bool json) {
  Json shown = record_json(record);
  if (json) {
    print_json(shown);
    return;
  }
  char fixed[128];
  std::snprintf(fixed, sizeof fixed, "%10llu  %-30s  %-12.*s %8llu  ",
                static_cast<unsigned long long>(record.header.seq.value()), format_time(record.header.time_ns).c_str(),
                static_cast<int>(record_type_name(record.header.type).size()), record_type_name(record.header.type).data(),
                static_cast<unsigned long long>(record.header.ino.value()));
  print_line(fixed + detail_text(shown["detail"]));
}

Outcome run(const LogFlags& flags) {
  TM_ASSIGN(Source source, find_source(flags.source, flags.at));
  if (!source.point.empty() && !flags.to.empty()) {
    return Status(Code::kInvalid, "SOURCE@" + source.point + " already ends the list there; omit --to");
  }
  TM_ASSIGN(Reader reader, Reader::open(source, flags.keys));
  TM_ASSIGN(Seq last, flags.to.empty() ? reader.point() : end_of_list(reader, "--to", flags.to, false));
  Seq first{1};
  if (!flags.from.empty()) {
    TM_ASSIGN(first, end_of_list(reader, "--from", flags.from, true));
  }
  std::optional<Ino> only;
  if (!flags.path.empty()) {
    TM_ASSIGN(only, inode_of(reader, flags.path, first, last));
  }
  const std::atomic<bool>* interrupted = interrupted_flag();
  TM_TRY(reader.walk_log(first, last, [&](const RecordView& record) -> Status {
    if (interrupted->load()) return Status(Code::kInterrupted, "interrupted");
    if (std::ferror(stdout) != 0) return Status(Code::kIo, "cannot write the output");
    if (!only || record_concerns(record, *only)) print_record(record, flags.json);
    return Status();
  }));
  return 0;
}

}  // namespace

void add_log(Command& app, Invocation& invocation) {
  auto flags = std::make_shared<LogFlags>();
  Command* command = app.add_subcommand("log", "List records: what changed, and when");
  command->add_option("SOURCE", flags->source, "DIR[@POINT], a path in a mount, or tcp://HOST:PORT/GROUP[@POINT]")
      ->required();
  add_at_option(*command, flags->at);
  command->add_option("--from", flags->from, "First record to show (inclusive)")->option_text("POINT");
  command->add_option("--to", flags->to, "Last record to show (inclusive); default: the newest")->option_text("POINT");
  command->add_option("--path", flags->path, "Only records of the file or directory that has this path at --to")
      ->option_text("PATH");
  add_key_options(*command, flags->keys);
  add_json_flag(*command, flags->json);
  command->footer("With --json: one object per line.");
  command->callback([&invocation, flags] { invocation.run = [flags] { return finish([&] { return run(*flags); }); }; });
}

}  // namespace tidemark::cli

// tidemark verify SOURCE [--against SOURCE2]: reads and checks every byte.
#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <algorithm>
#include <map>
#include <memory>

#include "cli/command.h"
#include "cli/exit_map.h"
#include "cli/json.h"
#include "cli/output.h"
#include "cli/reader.h"
#include "cli/signals.h"
#include "cli/tree_check.h"
#include "log/log.h"
#include "volume/base_image.h"

namespace tidemark::cli {
namespace {

struct VerifyFlags {
  std::string source;
  std::string at;
  std::string against;
  bool log_only = false;
  bool json = false;
  RemoteKeys keys;
};

struct Findings {
  LogVerdict log;
  TreeVerdict tree;
  bool tree_checked = false;
  std::string not_opened;            // why the index or the remote group could not be read, where damage is the reason
  std::map<Ino, std::string> paths;  // of inodes in log.damage, as far as they have one
  [[nodiscard]] bool damaged() const { return !log.damage.empty() || !tree.damage.empty() || !not_opened.empty(); }
};

Result<LogVerdict> check_local_log(const std::string& directory, Seq last) {
  ProgressLine line("checking the log");
  TM_ASSIGN(LogVerdict verdict, verify_log(posix_file_system(), directory + "/log", last,
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

Status name_damage(TreeView& view, Findings& findings) {
  std::vector<Ino> inodes;
  for (const LogDamage& damage : findings.log.damage) {
    if (damage.ino != Ino{}) inodes.push_back(damage.ino);
  }
  if (inodes.empty()) return Status();
  TM_ASSIGN(auto found, find_paths(view, inodes));
  findings.paths.insert(found.begin(), found.end());
  return Status();
}

// The volume is opened first: that cuts a torn tail, which is not damage. Where damage keeps it from opening, the log is
// checked all the same.
Result<Findings> examine(const Source& source, const VerifyFlags& flags) {
  Findings findings;
  Result<Reader> reader = Reader::open(source, flags.keys);
  bool damage_at_open = !reader.ok() && reader.status().code() == Code::kCorrupt && !source.remote;
  if (!reader.ok() && !damage_at_open) return reader.status();
  if (damage_at_open) {
    findings.not_opened = reader.status().text();
    TM_ASSIGN(findings.log, check_local_log(source.directory, kLatest));
    return findings;
  }
  TM_ASSIGN(Position newest, reader->newest());
  if (source.remote) {
    TM_ASSIGN(findings.log, check_remote_log(*reader, newest.seq));
  } else {
    TM_ASSIGN(findings.log, check_local_log(source.directory, newest.seq));
  }
  if (flags.log_only) return findings;
  TM_ASSIGN(Seq point, reader->point());
  TM_ASSIGN(auto view, reader->view(point));
  TM_TRY(check_files(*view, findings));
  TM_TRY(name_damage(*view, findings));
  return findings;
}

Json findings_json(const Findings& findings) {
  Json made = {
      {"records", findings.log.records}, {"log_bytes", findings.log.bytes}, {"end", position_json(findings.log.end)}};
  if (findings.tree_checked) {
    made["entries"] = findings.tree.entries;
    made["bytes"] = findings.tree.bytes;
  }
  made["sound"] = !findings.damaged();
  if (!findings.not_opened.empty()) made["not_opened"] = findings.not_opened;
  made["log_damage"] = Json::array();
  for (const LogDamage& damage : findings.log.damage) {
    Json one = {{"segment", damage.segment},
                {"byte", damage.offset},
                {"seq", damage.seq.value()},
                {"ino", damage.ino.value()},
                {"fault", record_fault_name(damage.fault)}};
    if (auto path = findings.paths.find(damage.ino); path != findings.paths.end()) one["path"] = path->second;
    made["log_damage"].push_back(one);
  }
  made["file_damage"] = Json::array();
  for (const TreeDamage& damage : findings.tree.damage) {
    made["file_damage"].push_back(
        {{"path", damage.path}, {"ino", damage.ino.value()}, {"byte", damage.at}, {"what", damage.what}});
  }
  return made;
}

void print_findings(const Findings& findings) {
  for (const LogDamage& damage : findings.log.damage) {
    std::string line = "damage: segment " + damage.segment + " byte " + std::to_string(damage.offset);
    line += damage.seq == Seq{} ? ", seq unknown" : ", seq " + std::to_string(damage.seq.value());
    if (damage.ino != Ino{}) line += ", inode " + std::to_string(damage.ino.value());
    if (auto path = findings.paths.find(damage.ino); path != findings.paths.end()) line += ", " + printable(path->second);
    print_line(line + ": " + std::string(record_fault_name(damage.fault)));
  }
  for (const TreeDamage& damage : findings.tree.damage) {
    print_line("damage: file " + printable(damage.path) + " (inode " + std::to_string(damage.ino.value()) + ") byte " +
               std::to_string(damage.at) + ": " + damage.what);
  }
  if (!findings.not_opened.empty()) print_line("damage: the volume does not open: " + findings.not_opened);
  std::string sum = human_count(findings.log.records) + " records, " + human_bytes(findings.log.bytes) + " of log";
  if (findings.tree_checked) {
    sum += "; " + human_count(findings.tree.entries) + " entries, " + human_bytes(findings.tree.bytes) + " of files";
  }
  print_line((findings.damaged() ? "DAMAGED: " : "sound: ") + sum);
}

// How two histories relate. "behind": ours is a beginning of the other's.
Result<std::string> relate(Reader& ours, Reader& theirs, Position& our_end, Position& their_end) {
  TM_ASSIGN(our_end, ours.newest());
  TM_ASSIGN(their_end, theirs.newest());
  if (our_end == their_end) return std::string("equal");
  Seq common = std::min(our_end.seq, their_end.seq);
  TM_ASSIGN(Position a, ours.position_at(common));
  TM_ASSIGN(Position b, theirs.position_at(common));
  if (a != b) return std::string("diverged");
  return std::string(our_end.seq < their_end.seq ? "behind" : "ahead");
}

Outcome compare(const Source& source, const VerifyFlags& flags) {
  TM_ASSIGN(Source other, find_source(flags.against, ""));
  TM_ASSIGN(Reader ours, Reader::open(source, flags.keys));
  TM_ASSIGN(Reader theirs, Reader::open(other, flags.keys));
  Position our_end;
  Position their_end;
  TM_ASSIGN(std::string relation, relate(ours, theirs, our_end, their_end));
  if (flags.json) {
    print_json({{"relation", relation}, {"position", position_json(our_end)}, {"against", position_json(their_end)}});
  } else {
    auto text = [](const Position& at) {
      return "epoch " + std::to_string(at.epoch.value()) + ", seq " + std::to_string(at.seq.value()) + ", chain " +
             chain_text(at.chain);
    };
    print_line(source.text + ": " + text(our_end));
    print_line(other.text + ": " + text(their_end));
    print_line(relation);
  }
  if (relation == "equal") return 0;
  return relation == "diverged" ? TIDEMARK_EXIT_FAILURE : TIDEMARK_EXIT_PARTIAL;
}

Outcome run(const VerifyFlags& flags) {
  TM_ASSIGN(Source source, find_source(flags.source, flags.at));
  if (!flags.against.empty()) return compare(source, flags);
  interrupted_flag();
  TM_ASSIGN(Findings findings, examine(source, flags));
  if (flags.json) {
    print_json(findings_json(findings));
  } else {
    print_findings(findings);
  }
  return findings.damaged() ? TIDEMARK_EXIT_CORRUPTION : TIDEMARK_EXIT_OK;
}

}  // namespace

void add_verify(CLI::App& app, Invocation& invocation) {
  auto flags = std::make_shared<VerifyFlags>();
  CLI::App* command = app.add_subcommand("verify", "Read and check every byte, or compare two copies");
  command->add_option("SOURCE", flags->source, "DIR[@POINT], a path in a mount, or tcp://HOST:PORT/GROUP[@POINT]")
      ->required();
  add_at_option(*command, flags->at);
  command->add_option("--against", flags->against, "Compare (epoch, seq, chain) with this copy instead of reading")
      ->option_text("SOURCE2");
  command->add_flag("--log-only", flags->log_only, "Check the log's records, but do not read the files through the index");
  add_key_options(*command, flags->keys);
  add_json_flag(*command, flags->json);
  command->footer(
      "Exit code 0: sound, 13: damaged. With --against: 0 equal, 3 one is a beginning of the other, 1 diverged.");
  command->callback([&invocation, flags] { invocation.run = [flags] { return finish([&] { return run(*flags); }); }; });
}

}  // namespace tidemark::cli

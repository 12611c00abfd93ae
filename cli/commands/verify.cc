// tidemark verify SOURCE [--repair [--from COPY]] [--against SOURCE2 [--deep]]: reads and checks every byte.
#include <algorithm>
#include <memory>
#include <optional>

#include "cli/check/examine.h"
#include "cli/check/findings.h"
#include "cli/check/repair.h"
#include "cli/commands/command.h"
#include "cli/output/exit_map.h"
#include "cli/output/output.h"
#include "cli/reader.h"
#include "cli/service/signals.h"
#include "volume/check/tree_compare.h"

namespace tidemark::cli {
namespace {

struct VerifyFlags {
  std::string source;
  std::string at;
  std::string against;
  bool deep = false;
  bool log_only = false;
  bool repair = false;
  std::string from;
  bool json = false;
  RemoteKeys keys;
};

// How two histories relate. "behind": ours is a beginning of the other's.
Result<std::string> relate(Reader& ours, Reader& theirs, Position& our_end, Position& their_end) {
  TM_ASSIGN(our_end, ours.newest_durable());
  TM_ASSIGN(their_end, theirs.newest_durable());
  if (our_end == their_end) return std::string("equal");
  Seq common = std::min(our_end.seq, their_end.seq);
  TM_ASSIGN(Position a, ours.position_at(common));
  TM_ASSIGN(Position b, theirs.position_at(common));
  if (a != b) return std::string("diverged");
  return std::string(our_end.seq < their_end.seq ? "behind" : "ahead");
}

// Both trees at the newest seq that both have, or at the point asked for.
Result<TreeComparison> compare_deep(Reader& ours, Reader& theirs, Seq common) {
  TM_ASSIGN(auto here, ours.view(common));
  TM_ASSIGN(auto there, theirs.view(common));
  ProgressLine line("comparing");
  return compare_trees(*here, *there, interrupted_flag(), [&](const TreeComparison& so_far) {
    line.show(so_far.bytes, so_far.bytes, human_count(so_far.entries) + " entries");
  });
}

Json comparison_json(const TreeComparison& made, Seq point) {
  Json json = {{"point", point.value()}, {"entries", made.entries}, {"bytes", made.bytes}, {"left_out", made.left_out}};
  json["differences"] = Json::array();
  for (const TreeDifference& each : made.differences) {
    Json one = {{"path", each.path}, {"ino", each.ino.value()}, {"what", each.what}};
    if (each.bytes != 0) one.update({{"byte", each.at}, {"bytes", each.bytes}});
    json["differences"].push_back(one);
  }
  return json;
}

void print_comparison(const TreeComparison& made, Seq point) {
  for (const TreeDifference& each : made.differences) {
    std::string line = "different: " + (each.path.empty() ? "the root" : printable(each.path)) + ": " + printable(each.what);
    if (each.bytes != 0) line += ", bytes " + std::to_string(each.at) + " to " + std::to_string(each.at + each.bytes);
    print_line(line);
  }
  if (made.left_out != 0) print_line("and " + human_count(made.left_out) + " more differences");
  print_line(std::string(made.differences.empty() ? "the same" : "DIFFERENT") + " at seq " + human_count(point.value()) +
             ": " + human_count(made.entries) + " entries, " + human_bytes(made.bytes) + " of blocks compared");
}

Outcome compare(const Source& source, const VerifyFlags& flags) {
  TM_ASSIGN(Source other, find_source(flags.against, ""));
  TM_ASSIGN(Reader ours, Reader::open(source, flags.keys));
  TM_ASSIGN(Reader theirs, Reader::open(other, flags.keys));
  Position our_end;
  Position their_end;
  TM_ASSIGN(std::string relation, relate(ours, theirs, our_end, their_end));
  Seq common = std::min(our_end.seq, their_end.seq);
  std::optional<TreeComparison> deep;
  if (flags.deep) {
    for (Reader* reader : {&ours, &theirs}) {
      if (reader->group() != nullptr) common = std::min(common, reader->group()->newest());
    }
    if (!source.point.empty()) {
      TM_ASSIGN(common, ours.point());
    }
    TM_ASSIGN(deep, compare_deep(ours, theirs, common));
  }
  if (flags.json) {
    Json json = {{"relation", relation}, {"position", position_json(our_end)}, {"against", position_json(their_end)}};
    if (deep) json["deep"] = comparison_json(*deep, common);
    print_json(json);
  } else {
    auto text = [](const Position& at) {
      return "epoch " + std::to_string(at.epoch.value()) + ", seq " + std::to_string(at.seq.value()) + ", chain " +
             chain_text(at.chain);
    };
    print_line(source.text + ": " + text(our_end));
    print_line(other.text + ": " + text(their_end));
    print_line(relation);
    if (deep) print_comparison(*deep, common);
  }
  if (deep && !deep->differences.empty()) return TIDEMARK_EXIT_CORRUPTION;
  if (deep && relation != "diverged") return 0;  // one that is in use may be ahead
  if (relation == "equal") return 0;
  return relation == "diverged" ? TIDEMARK_EXIT_FAILURE : TIDEMARK_EXIT_PARTIAL;
}

Outcome run(const VerifyFlags& flags) {
  TM_ASSIGN(Source source, find_source(flags.source, flags.at));
  if (!flags.against.empty()) return compare(source, flags);
  interrupted_flag();
  Repairs repairs;
  if (flags.repair) {
    if (source.remote)
      return Status(Code::kInvalid, "--repair needs a directory on this machine; repair a site's copy at the site");
    TM_TRY(repair(source, flags.from, flags.keys, repairs));
  }
  TM_ASSIGN(Findings findings, examine(source, flags.keys, flags.log_only));
  findings.repairs = std::move(repairs);
  if (flags.json) {
    print_json(findings_json(findings));
  } else {
    print_findings(findings);
  }
  return findings.damaged() ? TIDEMARK_EXIT_CORRUPTION : TIDEMARK_EXIT_OK;
}

}  // namespace

void add_verify(Command& app, Invocation& invocation) {
  auto flags = std::make_shared<VerifyFlags>();
  Command* command = app.add_subcommand("verify", "Read and check every byte, or compare two copies");
  command->add_option("SOURCE", flags->source, "DIR[@POINT], a path in a mount, or tcp://HOST:PORT/GROUP[@POINT]")
      ->required();
  add_at_option(*command, flags->at);
  command->add_option("--against", flags->against, "Compare (epoch, seq, chain) with this copy instead of reading")
      ->option_text("SOURCE2");
  command
      ->add_flag("--deep", flags->deep,
                 "With --against: compare every name, attribute and block, at the newest seq both have")
      ->needs("--against");
  command->add_flag("--log-only", flags->log_only, "Check the log's records, but do not read the files through the index");
  auto* repair =
      command->add_flag("--repair", flags->repair, "Repair damage from a site that has the records, and check again");
  command->add_option("--from", flags->from, "With --repair: fetch from this copy, not from the sites of the volume's pairs")
      ->option_text("tcp://HOST:PORT/GROUP")
      ->needs(repair);
  add_key_options(*command, flags->keys);
  add_json_flag(*command, flags->json);
  command->footer("Exit code 0: sound, 13: damaged. With --against: 0 equal, 3 one is a prefix of the other, 1 diverged.");
  command->callback([&invocation, flags] { invocation.run = [flags] { return finish([&] { return run(*flags); }); }; });
}

}  // namespace tidemark::cli

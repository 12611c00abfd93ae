#include "cli/check/findings.h"

#include "cli/output/output.h"

namespace tidemark::cli {
namespace {

std::string number(Seq seq) { return std::to_string(seq.value()); }

Json log_damage_json(const Findings& findings) {
  Json list = Json::array();
  for (const LogDamage& damage : findings.log.damage) {
    Json one = {{"segment", damage.segment},
                {"byte", damage.offset},
                {"seq", damage.seq.value()},
                {"ino", damage.ino.value()},
                {"fault", record_fault_name(damage.fault)}};
    if (auto path = findings.paths.find(damage.ino); path != findings.paths.end()) one["path"] = path->second;
    list.push_back(one);
  }
  return list;
}

Json shown_json(const Findings& findings) {
  Json list = Json::array();
  for (const ShownAt& shown : findings.shown) {
    const ShownDamage& where = shown.where;
    list.push_back({{"path", where.path},
                    {"ino", where.ino.value()},
                    {"seq", where.record.value()},
                    {"byte", where.at},
                    {"bytes", where.bytes},
                    {"from", where.from.value()},
                    {"until", where.until == kLatest ? Json() : Json(where.until.value())},
                    {"marks", shown.marks}});
  }
  return list;
}

std::string kind_of_file(const std::string& name) {
  return name.ends_with(".seg") ? "segment " : name.ends_with(".pack") ? "pack " : "";
}

void print_log_damage(const Findings& findings) {
  for (const LogDamage& damage : findings.log.damage) {
    std::string line = "damage: " + kind_of_file(damage.segment) + damage.segment + " byte " + std::to_string(damage.offset);
    line += damage.seq == Seq{} ? ", seq unknown" : ", seq " + number(damage.seq);
    if (damage.ino != Ino{}) line += ", inode " + std::to_string(damage.ino.value());
    if (auto path = findings.paths.find(damage.ino); path != findings.paths.end()) line += ", " + printable(path->second);
    print_line(line + ": " + std::string(record_fault_name(damage.fault)));
  }
}

void print_shown(const Findings& findings) {
  for (const ShownAt& shown : findings.shown) {
    const ShownDamage& where = shown.where;
    std::string line = "affected: " + (where.path.empty() ? "a file" : "file " + printable(where.path)) + " (inode " +
                       std::to_string(where.ino.value()) + ") within bytes " + std::to_string(where.at) + " to " +
                       std::to_string(where.at + where.bytes) + " by record " + number(where.record) +
                       ", at points from seq:" + number(where.from);
    line += where.until == kLatest ? " on" : " to seq:" + number(where.until.prev());
    for (size_t i = 0; i < shown.marks.size(); ++i) line += (i == 0 ? "; marks " : ", ") + shown.marks[i];
    print_line(line);
  }
}

void print_advice(const Findings& findings) {
  bool index = false, other = !findings.log.damage.empty() || !findings.not_opened.empty();
  for (const Finding& each : findings.files) (each.index ? index : other) = true;
  if (index) {
    print_note(other ? "keep DIR/index until the log is repaired: it may hold what the damaged log has lost"
                     : "damage in the index alone loses nothing: `verify --repair`, or deleting DIR/index, rebuilds it");
  }
  if (other) {
    print_note(
        "`tidemark verify --repair` fetches damaged records from a site; `tidemark restore --salvage` saves the rest");
  }
}

}  // namespace

Json findings_json(const Findings& findings) {
  Json made = {
      {"records", findings.log.records}, {"log_bytes", findings.log.bytes}, {"end", position_json(findings.log.end)}};
  if (findings.tree_checked) {
    made["entries"] = findings.tree.entries;
    made["bytes"] = findings.tree.bytes;
  }
  made["sound"] = !findings.damaged();
  if (!findings.not_opened.empty()) made["not_opened"] = findings.not_opened;
  made["damaged_files"] = Json::array();
  for (const Finding& each : findings.files) {
    made["damaged_files"].push_back({{"file", each.file}, {"what", each.what}, {"rebuildable", each.index}});
  }
  made["log_damage"] = log_damage_json(findings);
  made["file_damage"] = Json::array();
  for (const TreeDamage& damage : findings.tree.damage) {
    made["file_damage"].push_back(
        {{"path", damage.path}, {"ino", damage.ino.value()}, {"byte", damage.at}, {"what", damage.what}});
  }
  made["affected"] = shown_json(findings);
  made["repaired"] = findings.repairs.repaired;
  made["not_repaired"] = findings.repairs.not_repaired;
  return made;
}

void print_findings(const Findings& findings) {
  for (const std::string& line : findings.repairs.repaired) print_line("repaired: " + line);
  for (const std::string& line : findings.repairs.not_repaired) print_line("not repaired: " + line);
  for (const Finding& each : findings.files) print_line("damage: " + each.file + ": " + each.what);
  print_log_damage(findings);
  for (const TreeDamage& damage : findings.tree.damage) {
    print_line("damage: file " + printable(damage.path) + " (inode " + std::to_string(damage.ino.value()) + ") byte " +
               std::to_string(damage.at) + ": " + damage.what);
  }
  print_shown(findings);
  if (!findings.not_opened.empty()) print_line("damage: the volume cannot be opened: " + findings.not_opened);
  std::string sum = human_count(findings.log.records) + " records, " + human_bytes(findings.log.bytes) + " of log";
  if (findings.tree_checked) {
    sum += "; " + human_count(findings.tree.entries) + " entries, " + human_bytes(findings.tree.bytes) + " of files";
  }
  print_line((findings.damaged() ? "DAMAGED: " : "sound: ") + sum);
  print_advice(findings);
}

}  // namespace tidemark::cli

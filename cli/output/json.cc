#include "cli/output/json.h"

#include <sys/stat.h>

#include <cstdio>

#include "cli/output/output.h"

namespace tidemark::cli {

std::string json_text(const Json& value) { return value.dump(-1, ' ', false, Json::error_handler_t::replace); }

void print_json(const Json& value) { print_line(json_text(value)); }

std::string chain_text(uint64_t chain) {
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(chain));
  return text;
}

Json mark_json(const Mark& mark) {
  return {{"id", mark.id.value()},   {"name", mark.name},
          {"seq", mark.seq.value()}, {"time", format_time(mark.time_ns)},
          {"held", mark.held},       {"application", mark.application},
          {"pid", mark.pid},         {"uid", mark.uid},
          {"note", mark.note}};
}

Json position_json(const Position& position) {
  return {{"epoch", position.epoch.value()}, {"seq", position.seq.value()}, {"chain", chain_text(position.chain)}};
}

namespace {

const char* type_name(uint32_t mode) {
  switch (mode & S_IFMT) {
    case S_IFREG: return "file";
    case S_IFDIR: return "directory";
    case S_IFLNK: return "symlink";
    case S_IFCHR: return "character-device";
    case S_IFBLK: return "block-device";
    case S_IFIFO: return "fifo";
    case S_IFSOCK: return "socket";
    default: return "unknown";
  }
}

std::string time_text(const FileTime& time) {
  char text[48];
  std::snprintf(text, sizeof text, "%lld.%09u", static_cast<long long>(time.seconds), time.nanoseconds);
  return text;
}

}  // namespace

Json plan_entry_json(const PlanEntry& entry) {
  char mode[8];
  std::snprintf(mode, sizeof mode, "%04o", entry.attr.mode & 07777u);
  Json made = {{"path", entry.path.empty() ? "." : entry.path},
               {"type", type_name(entry.attr.mode)},
               {"mode", mode},
               {"uid", entry.attr.uid},
               {"gid", entry.attr.gid},
               {"size", entry.attr.size},
               {"mtime", time_text(entry.attr.mtime)}};
  if (!entry.symlink_target.empty()) made["symlink_target"] = entry.symlink_target;
  if (!entry.link_to.empty()) made["link_to"] = entry.link_to;
  if (!entry.xattrs.empty()) made["xattrs"] = entry.xattrs.size();
  return made;
}

Json plan_summary_json(const RestorePlan& plan) {
  return {{"point", plan.point.value()},   {"entries", plan.entries.size()},
          {"files", plan.files},           {"directories", plan.directories},
          {"symlinks", plan.symlinks},     {"others", plan.others},
          {"hard_links", plan.hard_links}, {"bytes", plan.bytes},
          {"data_bytes", plan.data_bytes}};
}

std::string text_field(const Json& object, const char* name, const std::string& fallback) {
  auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : fallback;
}

uint64_t number_field(const Json& object, const char* name, uint64_t fallback) {
  auto found = object.find(name);
  if (found == object.end() || !found->is_number_integer()) return fallback;
  if (found->is_number_unsigned()) return found->get<uint64_t>();
  int64_t number = found->get<int64_t>();
  return number < 0 ? fallback : static_cast<uint64_t>(number);
}

bool flag_field(const Json& object, const char* name, bool fallback) {
  auto found = object.find(name);
  return found != object.end() && found->is_boolean() ? found->get<bool>() : fallback;
}

}  // namespace tidemark::cli

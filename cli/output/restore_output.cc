#include "cli/output/restore_output.h"

#include <sys/stat.h>

#include <cctype>
#include <cstdio>
#include <filesystem>

namespace tidemark::cli {
namespace {

constexpr size_t kWarningsShown = 40;
constexpr size_t kGroupNameMax = 63;

char type_letter(const PlanEntry& entry) {
  if (!entry.link_to.empty()) return 'h';
  switch (entry.attr.mode & S_IFMT) {
    case S_IFREG: return '-';
    case S_IFDIR: return 'd';
    case S_IFLNK: return 'l';
    case S_IFCHR: return 'c';
    case S_IFBLK: return 'b';
    case S_IFIFO: return 'p';
    case S_IFSOCK: return 's';
    default: return '?';
  }
}

std::string counted(uint64_t count, const char* one, const char* many) {
  return human_count(count) + " " + (count == 1 ? one : many);
}

}  // namespace

void show_progress(ProgressLine& line, const RestoreProgress& progress) {
  line.show(progress.bytes_done, progress.bytes_total,
            human_count(progress.entries_done) + " of " + human_count(progress.entries_total) + " entries");
}

std::string plan_text(const RestorePlan& plan) {
  std::string text = counted(plan.files, "file", "files") + ", " + counted(plan.directories, "directory", "directories");
  if (plan.symlinks > 0) text += ", " + counted(plan.symlinks, "symlink", "symlinks");
  if (plan.hard_links > 0) text += ", " + counted(plan.hard_links, "hard link", "hard links");
  if (plan.others > 0) text += ", " + counted(plan.others, "other", "others");
  text += ", " + human_bytes(plan.data_bytes) + " of data";
  if (plan.data_bytes < plan.bytes) text += " (" + human_bytes(plan.bytes) + " with holes)";
  return text;
}

std::string report_text(const RestoreReport& report) {
  std::string text = plan_text(report.plan) + " in " + human_seconds(report.seconds);
  if (report.seconds > 0.001) {
    text += ", " + human_bytes(static_cast<uint64_t>(static_cast<double>(report.plan.data_bytes) / report.seconds)) + "/s";
  }
  return text;
}

Json report_json(const RestoreReport& report) {
  Json made = plan_summary_json(report.plan);
  made["seconds"] = report.seconds;
  made["damaged"] = report.damaged;
  made["warnings"] = report.warnings;
  return made;
}

void print_warnings(const RestoreReport& report) {
  for (const std::string& damaged : report.damaged) print_warning("left out, damaged: " + printable(damaged));
  for (size_t i = 0; i < report.warnings.size() && i < kWarningsShown; ++i) print_warning(printable(report.warnings[i]));
  if (report.warnings.size() > kWarningsShown) {
    print_warning("… and " + human_count(report.warnings.size() - kWarningsShown) + " more (--json lists all of them)");
  }
}

void print_plan(const RestorePlan& plan) {
  char fixed[96];
  for (const PlanEntry& entry : plan.entries) {
    std::snprintf(fixed, sizeof fixed, "%c %04o %5u %5u %14llu  ", type_letter(entry), entry.attr.mode & 07777u,
                  entry.attr.uid, entry.attr.gid, static_cast<unsigned long long>(entry.attr.size));
    std::string line = fixed + printable(entry.path.empty() ? "." : entry.path);
    if (!entry.symlink_target.empty()) line += " -> " + printable(entry.symlink_target);
    if (!entry.link_to.empty()) line += " = " + printable(entry.link_to);
    print_line(line);
  }
}

std::string group_name_for(const std::string& directory) {
  std::filesystem::path path(directory);
  std::string name = path.has_filename() ? path.filename().string() : path.parent_path().filename().string();
  name = name.substr(0, kGroupNameMax);
  for (char& c : name) {
    bool allowed = std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '.' || c == '_' || c == '-';
    if (!allowed || static_cast<unsigned char>(c) >= 0x80) c = '-';
  }
  bool only_dots = name.find_first_not_of('.') == std::string::npos;
  return name.empty() || only_dots ? "volume" : name;
}

}  // namespace tidemark::cli

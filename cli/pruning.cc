#include "cli/pruning.h"

#include "cli/output/output.h"

namespace tidemark::cli {
namespace {

constexpr size_t kMarksShown = 10;

}  // namespace

Json prune_report_json(const PruneReport& report, bool dry_run, int64_t base_time_ns) {
  Json marks = Json::array();
  for (const Mark& mark : report.marks) marks.push_back({{"name", mark.name}, {"seq", mark.seq.value()}});
  Json made = {{"dry_run", dry_run},
               {"base_before", report.base_before.value()},
               {"base", report.base.value()},
               {"wanted", report.wanted.value()},
               {"stopped_by", report.stopped_by},
               {"segments", report.segments},
               {"segment_bytes", report.segment_bytes},
               {"log_bytes", report.log_bytes},
               {"pack_bytes", report.pack_bytes},
               {"marks", marks}};
  if (base_time_ns != 0) made["base_time"] = format_time(base_time_ns);
  return made;
}

Json prune_order_json(const PruneOrder& order) {
  return {{"to", order.to},
          {"keep_seconds", order.policy.age.count()},
          {"keep_bytes", order.policy.log_bytes},
          {"dry_run", order.dry_run}};
}

PruneOrder prune_order_from_json(const Json& json) {
  PruneOrder order;
  order.to = text_field(json, "to");
  order.policy.age = std::chrono::seconds(number_field(json, "keep_seconds"));
  order.policy.log_bytes = number_field(json, "keep_bytes");
  order.dry_run = flag_field(json, "dry_run");
  return order;
}

Result<Json> prune_group(Group& group, const std::vector<Pair>& pairs, const PruneOrder& order) {
  PruneRequest request;
  if (!order.to.empty()) {
    TM_ASSIGN(request.to, group.resolve(order.to));
  }
  request.policy = order.policy;
  request.dry_run = order.dry_run;
  keep_what_pairs_need(request, group, pairs);
  TM_ASSIGN(const PruneReport report, group.prune(request));
  int64_t base_time_ns = group.base_time_ns();
  if (order.dry_run && report.base != report.base_before) {
    TM_ASSIGN(base_time_ns, group.log().time_of(report.base));
  }
  return prune_report_json(report, order.dry_run, base_time_ns);
}

std::string prune_text(const std::string& of, const Json& plan) {
  std::string time = text_field(plan, "base_time");
  if (const size_t dot = time.find('.'); dot != std::string::npos) time = time.substr(0, dot) + "Z";
  std::string text = "This permanently removes the history of " + of + " before " + (time.empty() ? "" : time + " ") +
                     "(seq " + human_count(number_field(plan, "base")) + "): ";
  const Json marks = plan.value("marks", Json::array());
  text += marks.empty() ? "no mark" : human_count(marks.size()) + (marks.size() == 1 ? " mark: " : " marks: ");
  for (size_t i = 0; i < marks.size() && i < kMarksShown; ++i) {
    text += (i == 0 ? "" : ", ") + printable(text_field(marks[i], "name"));
  }
  if (marks.size() > kMarksShown) text += " …";
  return text + "; " + human_count(number_field(plan, "segments")) + " segments with " +
         human_bytes(number_field(plan, "segment_bytes")) + ".";
}

void print_prune(const Json& report) {
  const bool dry_run = flag_field(report, "dry_run");
  const uint64_t base = number_field(report, "base");
  if (base == number_field(report, "base_before")) {
    print_line("nothing to prune: the base stays at seq " + human_count(base));
  } else {
    std::string line = dry_run ? "the base would move" : "the base has moved";
    line += " from seq " + human_count(number_field(report, "base_before")) + " to seq " + human_count(base);
    if (std::string time = text_field(report, "base_time"); !time.empty()) line += " of " + time;
    print_line(line);
    const std::string segments = human_count(number_field(report, "segments")) + " segments with " +
                                 human_bytes(number_field(report, "segment_bytes"));
    print_line(segments + (dry_run ? " would be removed; records still needed would move into packs" : " were removed"));
  }
  if (!dry_run) {
    print_line("log " + human_bytes(number_field(report, "log_bytes")) + ", packs " +
               human_bytes(number_field(report, "pack_bytes")));
  }
  const Json marks = report.value("marks", Json::array());
  for (size_t i = 0; i < marks.size() && i < kMarksShown; ++i) {
    print_line((dry_run ? "this mark would be removed: " : "this mark was removed: ") +
               printable(text_field(marks[i], "name")));
  }
  if (marks.size() > kMarksShown) print_line("and " + human_count(marks.size() - kMarksShown) + " more marks");
  if (std::string by = text_field(report, "stopped_by"); !by.empty()) {
    print_line("stopped by " + printable(by) + " (wanted: seq " + human_count(number_field(report, "wanted")) + ")");
  }
}

}  // namespace tidemark::cli

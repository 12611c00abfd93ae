#include "cli/pruning.h"

#include "cli/output.h"

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
  if (!dry_run && base_time_ns != 0) made["base_time"] = format_time(base_time_ns);
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

std::vector<BaseLimit> needed_by_pairs(Group& group, const std::vector<Pair>& pairs) {
  std::vector<BaseLimit> limits;
  const auto progress = group.watermarks().snapshot();
  for (const Pair& pair : pairs) {
    const std::string& site = pair.config.site;
    const auto known = progress.find(site);
    const Seq durable = std::max(pair.status.durable, known == progress.end() ? Seq() : known->second.durable);
    const std::string who = "the pair with site '" + site + "', ";
    if (durable == Seq()) {
      limits.push_back({group.base(), who + "whose position is not known until it connects"});
    } else {
      limits.push_back({durable.next(), who + "which has records up to " + std::to_string(durable.value())});
    }
  }
  return limits;
}

Result<PruneReport> carry_out_prune(Group& group, const std::vector<Pair>& pairs, const PruneOrder& order) {
  PruneRequest request;
  if (!order.to.empty()) {
    TM_ASSIGN(request.to, group.resolve(order.to));
  }
  request.policy = order.policy;
  request.dry_run = order.dry_run;
  request.keep = needed_by_pairs(group, pairs);
  return group.prune(request);
}

Result<Json> prune_group(Group& group, const std::vector<Pair>& pairs, const PruneOrder& order) {
  TM_ASSIGN(const PruneReport report, carry_out_prune(group, pairs, order));
  return prune_report_json(report, order.dry_run, group.base_time_ns());
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
    print_line(segments + (dry_run ? " would go; what is still needed of them would move into packs" : " are gone"));
  }
  if (!dry_run) {
    print_line("log " + human_bytes(number_field(report, "log_bytes")) + ", packs " +
               human_bytes(number_field(report, "pack_bytes")));
  }
  const Json marks = report.value("marks", Json::array());
  for (size_t i = 0; i < marks.size() && i < kMarksShown; ++i) {
    print_line((dry_run ? "this mark would go: " : "this mark is gone: ") + printable(text_field(marks[i], "name")));
  }
  if (marks.size() > kMarksShown) print_line("and " + human_count(marks.size() - kMarksShown) + " more marks");
  if (std::string by = text_field(report, "stopped_by"); !by.empty()) {
    print_line("it went no further than " + printable(by) + " (wanted: seq " + human_count(number_field(report, "wanted")) +
               ")");
  }
}

}  // namespace tidemark::cli

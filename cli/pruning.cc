#include "cli/pruning.h"

#include "base/logging.h"
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

namespace {

// Newest seq known to be durable at the site; 0: nothing is known.
Seq durable_there(Group& group, const Pair& pair) {
  const auto progress = group.watermarks().snapshot();
  const auto known = progress.find(pair.config.site);
  return std::max(pair.status.durable, known == progress.end() ? Seq() : known->second.durable);
}

// Saved as dropped, and logged, before it returns: nothing is pruned that a pair counts on.
bool drop_most_behind(Group& group, Shipper& shipper) {
  const std::vector<Pair> pairs = shipper.list();
  const Pair* last = nullptr;
  for (const Pair& pair : pairs) {
    if (pair.status.parked) continue;
    if (last == nullptr || durable_there(group, pair) < durable_there(group, *last)) last = &pair;
  }
  if (last == nullptr) return false;
  const std::string needs = std::to_string(durable_there(group, *last).next().value());
  const std::string cause = "dropped by the log limit: it needs records from seq " + needs + " on, and the log has " +
                            std::to_string(group.log().bytes() >> 20) + " MiB of " +
                            std::to_string(group.log_limit().max_bytes >> 20);
  const Status parked = shipper.park(last->config.site, cause);
  if (!parked.ok()) log_error("group " + group.identity().name + ": a pair cannot be dropped: " + parked.text());
  return parked.ok();
}

}  // namespace

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

void respect_pairs(PruneRequest& request, Group& group, const std::vector<Pair>& pairs) {
  for (const Pair& pair : pairs) {
    const Seq durable = durable_there(group, pair);
    request.tombstones_from = std::min(request.tombstones_from, durable);
    request.standing.emplace_back(durable, std::max(durable, pair.status.reached));
    if (pair.status.parked) continue;
    const std::string who = "the pair with site '" + pair.config.site + "', ";
    if (durable == Seq()) {
      request.keep.push_back({group.base(), who + "whose position is not known until it connects"});
    } else {
      request.keep.push_back({durable.next(), who + "which has records up to " + std::to_string(durable.value())});
    }
  }
}

HistoryKeeperOptions look_after_pairs(Group& group, std::function<Shipper*()> shipper) {
  HistoryKeeperOptions options;
  options.needs = [&group, shipper](PruneRequest& request) {
    Shipper* found = shipper();
    if (found != nullptr) return respect_pairs(request, group, found->list());
    request.keep.push_back({group.base(), "its pairs, which could not be read"});
  };
  options.give_up_one = [&group, shipper] {
    Shipper* found = shipper();
    return found != nullptr && drop_most_behind(group, *found);
  };
  return options;
}

Result<PruneReport> carry_out_prune(Group& group, const std::vector<Pair>& pairs, const PruneOrder& order) {
  PruneRequest request;
  if (!order.to.empty()) {
    TM_ASSIGN(request.to, group.resolve(order.to));
  }
  request.policy = order.policy;
  request.dry_run = order.dry_run;
  respect_pairs(request, group, pairs);
  return group.prune(request);
}

Result<Json> prune_group(Group& group, const std::vector<Pair>& pairs, const PruneOrder& order) {
  TM_ASSIGN(const PruneReport report, carry_out_prune(group, pairs, order));
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

// tidemark prune SOURCE [--to POINT] [--keep 7d] [--keep-bytes 10GiB] [-n] [--yes]: lets old history go.
#include <memory>
#include <optional>

#include "cli/commands/command.h"
#include "cli/output/confirm.h"
#include "cli/output/json.h"
#include "cli/output/output.h"
#include "cli/pruning.h"
#include "cli/reader.h"
#include "cli/service/closing.h"
#include "cli/service/control.h"
#include "cli/settings/duration.h"
#include "cli/settings/size.h"
#include "cli/source.h"

namespace tidemark::cli {
namespace {

constexpr std::chrono::hours kPruneTimeout{24};

struct PruneFlags {
  std::string source;
  std::string to;
  std::string keep;
  std::string keep_bytes;
  bool dry_run = false;
  bool yes = false;
  bool json = false;
  RemoteKeys keys;
};

Result<PruneOrder> order_of(const PruneFlags& flags, const Source& source) {
  PruneOrder order;
  order.to = flags.to;
  order.dry_run = flags.dry_run;
  if (!source.point.empty())
    return Status(Code::kInvalid, "prune needs a volume without '@POINT'; name the new base with --to POINT");
  if (!flags.keep.empty()) {
    TM_ASSIGN(const auto age, parse_duration(flags.keep));
    order.policy.age = std::chrono::duration_cast<std::chrono::seconds>(age);
    if (order.policy.age.count() == 0)
      return Status(Code::kInvalid, "--keep must be at least 1s; use --to latest to remove all history");
  }
  if (!flags.keep_bytes.empty()) {
    TM_ASSIGN(order.policy.log_bytes, parse_size(flags.keep_bytes));
    if (order.policy.log_bytes == 0) return Status(Code::kInvalid, "--keep-bytes must be at least 1");
  }
  if (order.to.empty() && order.policy.keeps_everything()) {
    return Status(Code::kInvalid, "say what to keep: --keep 7d, --keep-bytes 10GiB, or --to POINT");
  }
  return order;
}

// By the process that holds the volume; where nobody does, here.
Result<Json> prune_local(const std::string& directory, const PruneOrder& order) {
  Json request = {{"op", "prune"}, {"order", prune_order_json(order)}};
  Result<Json> asked = control_call(directory, request, kPruneTimeout);
  if (asked.ok()) return asked->value("report", Json::object());
  if (asked.status().code() != Code::kNotFound) return asked.status();
  TM_TRY(wait_until_closed(directory));
  TM_ASSIGN(const GroupIdentity identity, Group::identify(directory));
  GroupOptions options;
  options.purpose = "tidemark prune";
  const OpenMode mode = identity.role == Role::kPrimary ? OpenMode::kPrimary : OpenMode::kReplica;
  TM_ASSIGN(auto group, Group::open(directory, mode, options));
  TM_ASSIGN(const std::vector<Pair> pairs, load_pairs(directory));
  TM_ASSIGN(Json report, prune_group(*group, pairs, order));
  TM_TRY(group->close());
  return report;
}

// Wall time of a record at a site; 0 where that cannot be learnt: our key may have the right to prune and none to read.
int64_t time_there(Reader& reader, Seq seq) {
  const Result<int64_t> time = reader.time_of(seq);
  return time.ok() ? *time : 0;
}

// By the site, if its allow-list gives our key the right. The point is resolved first: it means one record, however often it is asked.
Result<Json> prune_remote(const Source& source, const PruneOrder& order, const RemoteKeys& keys) {
  if (order.to.empty() || !order.policy.keeps_everything()) {
    return Status(Code::kInvalid, "at a site only --to POINT is allowed: the site itself decides how long it keeps history");
  }
  TM_ASSIGN(Reader reader, Reader::open(source, keys));
  TM_ASSIGN(const Seq to, reader.resolve(order.to));
  TM_ASSIGN(const RemotePrune pruned, reader.remote()->prune(to, order.dry_run));
  int64_t base_time_ns = pruned.base_time_ns;
  if (order.dry_run && pruned.report.base != pruned.report.base_before) {
    base_time_ns = time_there(reader, pruned.report.base);
  }
  return prune_report_json(pruned.report, order.dry_run, base_time_ns);
}

Result<Json> prune(const Source& source, const PruneOrder& order, const RemoteKeys& keys) {
  return source.remote ? prune_remote(source, order, keys) : prune_local(source.directory, order);
}

// What was asked for, found out without changing anything; then, once that was agreed to, exactly that. Nothing: a "no".
Result<std::optional<Json>> prune_if_agreed(const Source& source, PruneOrder order, const RemoteKeys& keys) {
  order.dry_run = true;
  TM_ASSIGN(Json plan, prune(source, order, keys));
  const uint64_t base = number_field(plan, "base");
  if (base == number_field(plan, "base_before")) {
    plan["dry_run"] = false;  // there is nothing to do
    plan.erase("base_time");
    return std::optional<Json>(std::move(plan));
  }
  TM_ASSIGN(const bool agreed, confirm(prune_text(source.text, plan), false));
  if (!agreed) return std::optional<Json>();
  PruneOrder agreed_to;
  agreed_to.to = "seq:" + std::to_string(base);
  TM_ASSIGN(Json report, prune(source, agreed_to, keys));
  for (const char* field : {"wanted", "stopped_by"}) report[field] = plan[field];
  return std::optional<Json>(std::move(report));
}

Outcome run(const PruneFlags& flags) {
  TM_ASSIGN(const Source source, find_source(flags.source, ""));
  TM_ASSIGN(const PruneOrder order, order_of(flags, source));
  std::optional<Json> report;
  if (flags.yes || order.dry_run) {
    TM_ASSIGN(report, prune(source, order, flags.keys));
  } else {
    TM_ASSIGN(report, prune_if_agreed(source, order, flags.keys));
  }
  if (!report) return not_confirmed();
  if (flags.json) {
    print_json(*report);
  } else {
    print_prune(*report);
  }
  return 0;
}

}  // namespace

void add_prune(Command& app, Invocation& invocation) {
  auto flags = std::make_shared<PruneFlags>();
  Command* command = app.add_subcommand("prune", "Remove old history and free its space");
  command
      ->add_option("SOURCE", flags->source,
                   "A volume's DIR (or a site's DIR/GROUP), mounted or not, a path in a mount, or tcp://HOST:PORT/GROUP")
      ->required();
  command->add_option("--to", flags->to, "The oldest point that can be restored afterwards")->option_text("POINT");
  command->add_option("--keep", flags->keep, "Keep every moment younger than this: 12h, 7d")->option_text("AGE");
  command->add_option("--keep-bytes", flags->keep_bytes, "Keep at most about this much log: 10GiB")->option_text("SIZE");
  command->add_flag("-n,--dry-run", flags->dry_run, "Show what would be removed; change nothing");
  command->add_flag("-y,--yes", flags->yes, "Do not ask for confirmation; required without a terminal");
  add_key_options(*command, flags->keys);
  add_json_flag(*command, flags->json);
  command->footer(
      "Held marks, open views and what pairs still need are never pruned; the answer says what stopped it.\n"
      "At a site only --to is allowed, with a key that has the right 'prune' in the site's allow-list.\n"
      "Every point from the new base on reads as before. Older points are gone for good.");
  command->callback([&invocation, flags] { invocation.run = [flags] { return finish([&] { return run(*flags); }); }; });
}

}  // namespace tidemark::cli

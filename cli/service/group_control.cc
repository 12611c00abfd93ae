#include "cli/service/group_control.h"

#include <unistd.h>

#include "cli/output/status_report.h"
#include "cli/pruning.h"

namespace tidemark::cli {
namespace {

constexpr uint64_t kMarkTimeoutMsMax = 24ull * 3600 * 1000;

using Operation = Result<Json> (*)(const ControlledGroup&, const Json&, const ControlPeer&);

Result<Json> do_checkpoint(const ControlledGroup& controlled, const Json&, const ControlPeer&) {
  TM_TRY(controlled.group->checkpoint());
  return Json{{"newest", controlled.group->newest().value()}};
}

Result<Json> do_status(const ControlledGroup& controlled, const Json&, const ControlPeer&) {
  std::vector<Pair> pairs = controlled.shipper != nullptr ? controlled.shipper->list() : std::vector<Pair>();
  Json status = status_json(*controlled.group, pairs);
  if (controlled.site != nullptr) add_source(status, controlled.site->source(controlled.group->identity().name));
  add_holder(status, controlled.mountpoint, Holder{::getpid(), controlled.mount != nullptr ? "mount" : "site"});
  return Json{{"status", status}};
}

Result<Json> do_mark(const ControlledGroup& controlled, const Json& request, const ControlPeer& peer) {
  MarkRequest mark;
  mark.name = text_field(request, "name");
  mark.note = text_field(request, "note");
  mark.application = text_field(request, "application", "tidemark");
  mark.pid = static_cast<uint32_t>(peer.pid);
  mark.uid = peer.uid;
  TM_TRY(check_mark_name(mark.name));
  std::string wait = text_field(request, "wait");
  std::chrono::milliseconds timeout(std::min(number_field(request, "timeout_ms", 30000), kMarkTimeoutMsMax));
  if (controlled.mount == nullptr) {  // a replica: says so itself
    TM_ASSIGN(Mark made, controlled.group->create_mark(mark));
    return Json{{"mark", mark_json(made)}};
  }
  TM_ASSIGN(MarkOutcome outcome, controlled.mount->mark(mark, wait, timeout));
  Json answer = {{"mark", mark_json(outcome.mark)}};
  if (!outcome.wait.ok()) {
    answer["wait_code"] = code_name(outcome.wait.code());
    answer["wait_error"] = outcome.wait.text();
  }
  return answer;
}

Result<Json> do_hold(const ControlledGroup& controlled, const Json& request, const ControlPeer&) {
  TM_TRY(controlled.group->hold_mark(text_field(request, "name"), flag_field(request, "held")));
  return Json::object();
}

Result<Shipper*> shipper_of(const ControlledGroup& controlled) {
  if (controlled.shipper != nullptr) return controlled.shipper;
  return Status(Code::kIo, "the pairs of " + controlled.group->directory() + " could not be read; the log says why");
}

Result<Json> do_prune(const ControlledGroup& controlled, const Json& request, const ControlPeer&) {
  TM_ASSIGN(Shipper * shipper, shipper_of(controlled));
  const PruneOrder order = prune_order_from_json(request.value("order", Json::object()));
  TM_ASSIGN(Json report, prune_group(*controlled.group, shipper->list(), order));
  return Json{{"report", report}};
}

Result<Json> do_pair_add(const ControlledGroup& controlled, const Json& request, const ControlPeer&) {
  TM_ASSIGN(Shipper * shipper, shipper_of(controlled));
  TM_ASSIGN(PairConfig pair, pair_from_json(request.value("pair", Json::object())));
  TM_TRY(shipper->create(pair));
  return Json::object();
}

using PairCommand = Status (Shipper::*)(const std::string& site);

template <PairCommand command>
Result<Json> do_pair(const ControlledGroup& controlled, const Json& request, const ControlPeer&) {
  TM_ASSIGN(Shipper * shipper, shipper_of(controlled));
  TM_TRY((shipper->*command)(text_field(request, "site")));
  return Json::object();
}

Result<Json> do_stop(const ControlledGroup& controlled, const Json&, const ControlPeer&) {
  if (controlled.mount == nullptr) return Status(Code::kUnsupported, "stop a site with SIGTERM; that stops all its groups");
  controlled.mount->stop();
  return Json::object();
}

constexpr std::pair<std::string_view, Operation> kOperations[] = {
    {"checkpoint", do_checkpoint},
    {"status", do_status},
    {"mark", do_mark},
    {"mark-hold", do_hold},
    {"pair-add", do_pair_add},
    {"pair-remove", do_pair<&Shipper::remove>},
    {"pair-suspend", do_pair<&Shipper::suspend>},
    {"pair-resume", do_pair<&Shipper::resume>},
    {"stop", do_stop},
    {"prune", do_prune},
};

}  // namespace

ControlHandler control_handler(const ControlledGroup& controlled) {
  return [controlled](const std::string& op, const Json& request, const ControlPeer& peer) -> Result<Json> {
    for (const auto& [name, operation] : kOperations) {
      if (name == op) return operation(controlled, request, peer);
    }
    return Status(Code::kUnsupported, "unknown operation '" + op + "'; is this another version of tidemark?");
  };
}

Json pair_to_json(const PairConfig& pair) {
  return {{"site", pair.site},
          {"endpoint", pair.endpoint},
          {"server_key", pair.server_key},
          {"own_key", pair.own_key},
          {"mode", pair_mode_name(pair.mode)},
          {"fence", pair_fence_name(pair.fence)},
          {"bytes_per_second", pair.bytes_per_second}};
}

Result<PairConfig> pair_from_json(const Json& json) {
  PairConfig pair{text_field(json, "site"), text_field(json, "endpoint"), text_field(json, "server_key"),
                  text_field(json, "own_key")};
  auto mode = pair_mode_from_name(text_field(json, "mode", "async"));
  auto fence = pair_fence_from_name(text_field(json, "fence", "never"));
  if (!mode || !fence) return Status(Code::kInvalid, "the mode must be async or sync, and the fence never or data");
  pair.mode = *mode;
  pair.fence = *fence;
  pair.bytes_per_second = number_field(json, "bytes_per_second");
  return pair;
}

}  // namespace tidemark::cli

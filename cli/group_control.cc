#include "cli/group_control.h"

#include <unistd.h>

#include <algorithm>

#include "cli/status_report.h"

namespace tidemark::cli {
namespace {

constexpr uint64_t kMarkTimeoutMsMax = 24ull * 3600 * 1000;

using Operation = Result<Json> (*)(const ControlledGroup&, const Json&, const ControlPeer&);

Result<Json> do_checkpoint(const ControlledGroup& controlled, const Json&, const ControlPeer&) {
  TM_TRY(controlled.group->checkpoint());
  return Json{{"newest", controlled.group->newest().value()}};
}

Result<Json> do_status(const ControlledGroup& controlled, const Json&, const ControlPeer&) {
  std::vector<PairConfig> pairs = controlled.pairs != nullptr ? controlled.pairs->list() : std::vector<PairConfig>();
  Json status = status_json(*controlled.group, pairs);
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

Result<PairKeeper*> pairs_of(const ControlledGroup& controlled) {
  if (controlled.pairs != nullptr) return controlled.pairs;
  return Status(Code::kReadOnly, "this is a site's copy: pairs belong to the primary");
}

Result<Json> do_pair_add(const ControlledGroup& controlled, const Json& request, const ControlPeer&) {
  TM_ASSIGN(PairKeeper * pairs, pairs_of(controlled));
  TM_TRY(pairs->add(pair_from_json(request.value("pair", Json::object()))));
  return Json::object();
}

Result<Json> do_pair_remove(const ControlledGroup& controlled, const Json& request, const ControlPeer&) {
  TM_ASSIGN(PairKeeper * pairs, pairs_of(controlled));
  TM_TRY(pairs->remove(text_field(request, "site")));
  return Json::object();
}

Result<Json> do_stop(const ControlledGroup& controlled, const Json&, const ControlPeer&) {
  if (controlled.mount == nullptr) return Status(Code::kUnsupported, "a site is stopped by SIGTERM, for all its groups");
  controlled.mount->stop();
  return Json::object();
}

constexpr std::pair<std::string_view, Operation> kOperations[] = {
    {"checkpoint", do_checkpoint}, {"status", do_status},           {"mark", do_mark}, {"mark-hold", do_hold},
    {"pair-add", do_pair_add},     {"pair-remove", do_pair_remove}, {"stop", do_stop},
};

Status no_such_pair(const std::string& directory, const std::string& site) {
  return Status(Code::kNotFound,
                directory + " has no pair with a site '" + site + "'; `tidemark pair list " + directory + "`");
}

bool names(const PairConfig& pair, const std::string& site) { return pair.site == site; }

}  // namespace

Status PairKeeper::add(const PairConfig& pair) {
  TM_TRY(check_pair(pair));
  MutexLock lock(mutex_);
  TM_TRY(shipper_.add(pair));
  std::vector<PairConfig> wanted = pairs_;
  wanted.push_back(pair);
  Status saved = save_pairs(directory_, wanted);
  if (saved.ok()) {
    pairs_ = std::move(wanted);
  } else if (Status undone = shipper_.remove(pair.site); !undone.ok()) {
    return saved.within("the pair runs, but is not saved");
  }
  return saved;
}

Status PairKeeper::remove(const std::string& site) {
  MutexLock lock(mutex_);
  std::vector<PairConfig> wanted = pairs_;
  if (std::erase_if(wanted, [&](const PairConfig& pair) { return names(pair, site); }) == 0)
    return no_such_pair(directory_, site);
  TM_TRY(save_pairs(directory_, wanted));
  pairs_ = std::move(wanted);
  return shipper_.remove(site);
}

std::vector<PairConfig> PairKeeper::list() const {
  MutexLock lock(mutex_);
  return pairs_;
}

Status add_pair_to_file(const std::string& directory, const PairConfig& pair) {
  TM_TRY(check_pair(pair));
  TM_ASSIGN(std::vector<PairConfig> pairs, load_pairs(directory));
  if (std::any_of(pairs.begin(), pairs.end(), [&](const PairConfig& other) { return names(other, pair.site); })) {
    return Status(Code::kExists,
                  directory + " has a pair with site '" + pair.site + "' already; delete it first to change it");
  }
  pairs.push_back(pair);
  return save_pairs(directory, pairs);
}

Status remove_pair_from_file(const std::string& directory, const std::string& site) {
  TM_ASSIGN(std::vector<PairConfig> pairs, load_pairs(directory));
  if (std::erase_if(pairs, [&](const PairConfig& pair) { return names(pair, site); }) == 0)
    return no_such_pair(directory, site);
  return save_pairs(directory, pairs);
}

ControlHandler control_handler(const ControlledGroup& controlled) {
  return [controlled](const std::string& op, const Json& request, const ControlPeer& peer) -> Result<Json> {
    for (const auto& [name, operation] : kOperations) {
      if (name == op) return operation(controlled, request, peer);
    }
    return Status(Code::kUnsupported, "no operation '" + op + "' here; is this another version of tidemark?");
  };
}

Json pair_to_json(const PairConfig& pair) {
  return {{"site", pair.site}, {"endpoint", pair.endpoint}, {"server_key", pair.server_key}, {"own_key", pair.own_key}};
}

PairConfig pair_from_json(const Json& json) {
  return {text_field(json, "site"), text_field(json, "endpoint"), text_field(json, "server_key"),
          text_field(json, "own_key")};
}

}  // namespace tidemark::cli

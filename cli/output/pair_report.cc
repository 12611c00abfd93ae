#include "cli/output/pair_report.h"

#include <algorithm>

#include "base/clock.h"
#include "replicator/source/copy_word.h"

namespace tidemark::cli {
namespace {

// True where a pair is not as an operator wants it.
bool differs(const Json& pair) {
  return (text_field(pair, "wanted") == "suspended") != (text_field(pair, "state") == "suspended");
}

int64_t wall_now() { return system_clock().wall_ns(); }

// How long something has lasted that began at wall time `since_ns`.
double seconds_since(int64_t since_ns, int64_t now_ns) {
  return since_ns == 0 ? 0 : std::max(0.0, static_cast<double>(now_ns - since_ns) / 1e9);
}

std::string time_or_none(int64_t time_ns) { return time_ns == 0 ? "" : format_time(time_ns); }

void add_exposure(Json& made, const Exposure& exposure, int64_t now_ns) {
  made["exposed_records"] = exposure.records;
  if (exposure.records != 0 && exposure.since_ns == 0) return;  // nobody knows since when
  made["exposed_seconds"] = exposure.records == 0 ? 0.0 : seconds_since(exposure.since_ns, now_ns);
  made["exposed_since"] = exposure.records == 0 ? "" : format_time(exposure.since_ns);
  if (exposure.at_least) made["exposed_at_least"] = true;
}

// The word for the copy, and since when it is not up to date: as far as anybody knows, since it was last heard.
void add_copy(Json& made, CopyWord word, int64_t since_ns) {
  made["copy"] = copy_word_name(word);
  made["copy_since"] = word == CopyWord::kUpToDate ? "" : time_or_none(since_ns);
}

// When a copy was last known to be what it was: where it is not heard that is when it last was.
int64_t copy_since(const SiteProgress& site, CopyWord word) {
  return word == CopyWord::kUnknown && site.acked_ns != 0 ? site.acked_ns : site.since_ns;
}

// What an operator can do about a pair in this state; "" where all is well.
std::string advice(const Json& pair) {
  std::string site = text_field(pair, "site");
  std::string state = text_field(pair, "state");
  const std::string resume = "`tidemark pair resume DIR " + site + "`";
  if (flag_field(pair, "parked")) {
    return "the log no longer keeps the records it needs; run " + resume + " to copy what is missing" +
           (flag_field(pair, "fenced")
                ? "; until then, or until `tidemark pair suspend DIR " + site + "`, writes are refused (fence=data)"
                : "");
  }
  if (flag_field(pair, "fenced")) {
    return "writes are refused (fence=data): bring the site back, or run `tidemark pair suspend DIR " + site +
           "` to continue without it";
  }
  if (flag_field(pair, "withholds")) {
    return "fsync waits (fence=data) until the pair is duplex again; run `tidemark pair suspend DIR " + site +
           "` to continue without it";
  }
  if (state == "suspended") return "run " + resume + " to copy what is missing";
  if (!flag_field(pair, "running")) {
    return text_field(pair, "copy") == "up to date" ? "" : "mount the volume; nothing is copied until then";
  }
  if (state == "duplex" && !flag_field(pair, "connected")) return "it is connecting";
  if (text_field(pair, "copy") == "diverged") {
    return "decide which history is right: move the group's directory at the site aside to copy this one again, or restore "
           "from the site";
  }
  if (state == "failure-suspended") return "it is retried automatically; see the last error";
  if (state == "copying" || state == "resyncing") return "wait; it becomes duplex automatically";
  if (state == "simplex") return "start the site (`tidemark serve`), or check the endpoint";
  return "";
}

// Fraction done and seconds left of a copy on its way.
void add_progress(Json& made, const SiteProgress& site) {
  if (site.copy_bytes == 0 || !site.lag_bytes || *site.lag_bytes > site.copy_bytes) return;
  double done = static_cast<double>(site.copy_bytes - *site.lag_bytes);
  double seconds = static_cast<double>(system_clock().wall_ns() - site.copy_since_ns) / 1e9;
  made["copy_bytes"] = site.copy_bytes;
  made["copied_bytes"] = site.copy_bytes - *site.lag_bytes;
  if (done > 0 && seconds > 0) made["remaining_seconds"] = static_cast<double>(*site.lag_bytes) / (done / seconds);
}

// What a person can do about a site that somebody else forwards to.
std::string downstream_advice(const std::string& name, const SiteProgress& site, CopyWord word) {
  if (word == CopyWord::kUpToDate) return "";
  const std::string before = name.substr(0, name.rfind('/'));
  if (site.cut_off) return "bring site '" + before + "' back; only it reports on this one";
  return "run `tidemark status` at site '" + before + "', which forwards to it";
}

Json copy_json(const std::string& name, const SiteProgress& site, CopyWord word, int64_t since_ns) {
  Json made = {{"site", name},
               {"state", site.state},
               {"mode", site.mode},
               {"connected", site.connected},
               {"durable", site.durable.value()},
               {"acked", time_or_none(site.acked_ns)}};
  add_copy(made, word, since_ns);
  return made;
}

}  // namespace

Exposure exposure_of(Group& group, Seq durable, int64_t saved_ns) {
  Exposure exposure;
  const Seq newest = group.log().durable();
  if (durable >= newest) return exposure;
  exposure.records = newest.value() - durable.value();
  const Result<int64_t> written = group.log().time_of(durable.next());
  if (written.ok() || saved_ns != 0) {
    exposure.since_ns = written.ok() ? *written : saved_ns;
    return exposure;
  }
  exposure.since_ns = group.base_time_ns();
  exposure.at_least = exposure.since_ns != 0;
  return exposure;
}

Json running_json(Group& group, const Pair& pair, const SiteProgress& site) {
  Json made = pair_status_json(pair);
  const CopyWord word = copy_word(site, group.log().durable());
  made["running"] = true;
  made["state"] = site.state;
  made["wanted"] = site.wanted;
  made["cause"] = site.cause;
  made["fenced"] = site.fenced;
  made["withholds"] = site.withholds;
  made["connected"] = site.connected;
  made["sent"] = site.sent.value();
  made["received"] = site.received.value();
  made["shipped_bytes"] = site.shipped_bytes;
  made["resent_bytes"] = site.resent_bytes;
  made["durable"] = site.durable.value();
  add_exposure(made, exposure_of(group, site.durable, pair.status.exposed_since_ns), wall_now());
  add_copy(made, word, copy_since(site, word));
  if (site.lag_bytes) made["exposed_bytes"] = *site.lag_bytes;
  made["since"] = time_or_none(site.since_ns);
  made["state_seconds"] = seconds_since(site.since_ns, wall_now());
  made["acked"] = time_or_none(site.acked_ns);
  made["last_error"] = site.last_error;
  add_progress(made, site);
  made["advice"] = advice(made);
  return made;
}

Json pair_status_json(const Pair& pair, Group* group) {
  const PairStatus& status = pair.status;
  Json made = {{"site", pair.config.site},
               {"endpoint", pair.config.endpoint},
               {"mode", pair_mode_name(pair.config.mode)},
               {"fence", pair_fence_name(pair.config.fence)},
               {"bytes_per_second", pair.config.bytes_per_second},
               {"running", false},
               {"connected", false},
               {"state", pair_state_name(status.state)},
               {"wanted", pair_wanted_name(status.wanted)},
               {"since", time_or_none(status.since_ns)},
               {"state_seconds", seconds_since(status.since_ns, wall_now())},
               {"cause", status.cause},
               {"fenced", status.fenced},
               {"withholds", withholds(status)},
               {"parked", status.parked},
               {"durable", status.durable.value()}};
  if (pair.config.mode == PairMode::kAsync) made["duplex_lag_max_seconds"] = kDuplexLagMax.count();
  if (group != nullptr) {
    add_exposure(made, exposure_of(*group, status.durable, status.exposed_since_ns), wall_now());
    add_copy(made, copy_word(status, group->log().durable()), status.since_ns);
  }
  made["advice"] = advice(made);
  return made;
}

Json downstream_json(Group& group, const std::string& name, const SiteProgress& site) {
  const CopyWord word = copy_word(site, group.log().durable());
  Json made = copy_json(name, site, word, copy_since(site, word));
  add_exposure(made, exposure_of(group, site.durable, 0), wall_now());
  made["advice"] = downstream_advice(name, site, word);
  return made;
}

Json remote_copy_json(const std::string& name, const SiteProgress& site, Seq newest, int64_t wall_ns) {
  const CopyWord word = copy_word(site, newest);
  Json made = copy_json(name, site, word, copy_since(site, word));
  made["running"] = true;
  made["fenced"] = site.fenced;
  made["since"] = time_or_none(site.since_ns);
  made["state_seconds"] = seconds_since(site.since_ns, wall_ns);
  made["cause"] = site.cause;
  made["last_error"] = site.last_error;
  made["exposed_records"] = newest > site.durable ? newest.value() - site.durable.value() : 0;
  if (newest <= site.durable) made["exposed_seconds"] = 0.0;
  made["advice"] = word == CopyWord::kUpToDate ? "" : "run `tidemark status` at the site itself";
  return made;
}

Json source_json(const SourceRecord& source, Seq held, int64_t wall_ns) {
  const CopyWord word = copy_word(source, held, wall_ns);
  Json made = {{"source", source.news.source},
               {"mode", pair_mode_name(source.news.mode)},
               {"fence", pair_fence_name(source.news.fence)},
               {"state", pair_state_name(source.state)},
               {"since", format_time(source.since_ns)},
               {"state_seconds", seconds_since(source.since_ns, wall_ns)},
               {"cause", source.cause},
               {"said_state", pair_state_name(source.news.state)},
               {"said_since", format_time(source.news.since_ns)},
               {"connected", source.connected},
               {"ended", source.ended},
               {"newest", source.newest.value()},
               {"heard", time_or_none(source.heard_ns)}};
  if (source.heard_ns != 0) made["heard_seconds"] = seconds_since(source.heard_ns, wall_ns);
  add_copy(made, word, word == CopyWord::kUnknown && source.heard_ns != 0 ? source.heard_ns : source.since_ns);
  return made;
}

std::string state_text(const Json& pair) {
  return text_field(pair, "state") + (differs(pair) ? " (wanted: " + text_field(pair, "wanted") + ")" : "");
}

}  // namespace tidemark::cli

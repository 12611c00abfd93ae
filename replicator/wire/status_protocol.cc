#include "replicator/wire/status_protocol.h"

#include <algorithm>

namespace tidemark {
namespace {

Status malformed() { return Status(Code::kCorrupt, "malformed STATUS answer"); }

enum SiteFlag : uint8_t { kConnected = 1, kBehind = 2, kCutOff = 4, kDiverged = 8, kParked = 16, kFenced = 32 };
constexpr uint8_t kSiteFlags = 63;
enum SourceFlag : uint8_t { kSourceConnected = 1, kSourceEnded = 2 };
constexpr uint8_t kSourceFlags = 3;
constexpr size_t kSiteLeast = 2 + 4 + 3 * 8 + 2 * 2;  // bytes of the shortest one: bounds a count before memory is taken

std::string_view cut(std::string_view text, size_t max) { return text.substr(0, max); }

void put_source(Encoder& to, const SourceRecord& source) {
  to.put(static_cast<uint8_t>(source.news.mode)).put(static_cast<uint8_t>(source.news.fence));
  to.put(static_cast<uint8_t>(source.news.state)).put(static_cast<uint8_t>(source.state));
  to.put(static_cast<uint8_t>((source.connected ? kSourceConnected : 0) | (source.ended ? kSourceEnded : 0)));
  to.put(source.news.since_ns).put(source.since_ns).put(source.heard_ns).put(source.newest.value());
  to.put_text16(cut(source.news.source, kIdentityMax)).put_text16(cut(source.cause, kCauseMax));
}

bool is_state(uint8_t value) {
  return value >= static_cast<uint8_t>(PairState::kSimplex) && value <= static_cast<uint8_t>(PairState::kResyncing);
}
bool is_one_or_two(uint8_t value) { return value == 1 || value == 2; }

bool get_source(Decoder& from, SourceRecord& source) {
  const uint8_t mode = from.get<uint8_t>(), fence = from.get<uint8_t>(), said = from.get<uint8_t>(),
                state = from.get<uint8_t>(), flags = from.get<uint8_t>();
  source.news.since_ns = from.get<int64_t>();
  source.since_ns = from.get<int64_t>();
  source.heard_ns = from.get<int64_t>();
  source.newest = Seq(from.get<uint64_t>());
  const std::string_view name = from.get_text16(), cause = from.get_text16();
  const bool fits =
      is_one_or_two(mode) && is_one_or_two(fence) && is_state(said) && is_state(state) && flags <= kSourceFlags;
  if (from.failed() || !fits || name.size() > kIdentityMax || cause.size() > kCauseMax) return false;
  source.news.mode = static_cast<PairMode>(mode);
  source.news.fence = static_cast<PairFence>(fence);
  source.news.state = static_cast<PairState>(said);
  source.state = static_cast<PairState>(state);
  source.connected = (flags & kSourceConnected) != 0;
  source.ended = (flags & kSourceEnded) != 0;
  source.news.source = name;
  source.cause = cause;
  return true;
}

void put_site(Encoder& to, const std::string& name, const SiteProgress& site) {
  to.put_text16(name);
  to.put(static_cast<uint8_t>(pair_mode_from_name(site.mode).value_or(PairMode::kAsync)));
  to.put(static_cast<uint8_t>(pair_state_from_name(site.state).value_or(PairState::kSimplex)));
  to.put(static_cast<uint8_t>((site.connected ? kConnected : 0) | (site.downstream ? kBehind : 0) |
                              (site.cut_off ? kCutOff : 0) | (site.diverged ? kDiverged : 0) | (site.parked ? kParked : 0) |
                              (site.fenced ? kFenced : 0)));
  to.put(uint8_t{0}).put(site.durable.value()).put(site.since_ns).put(site.acked_ns);
  to.put_text16(cut(site.cause, kCauseMax)).put_text16(cut(site.last_error, kCauseMax));
}

bool get_site(Decoder& from, std::string& name, SiteProgress& site) {
  name = from.get_text16();
  const uint8_t mode = from.get<uint8_t>(), state = from.get<uint8_t>(), flags = from.get<uint8_t>(),
                zero = from.get<uint8_t>();
  site.durable = Seq(from.get<uint64_t>());
  site.since_ns = from.get<int64_t>();
  site.acked_ns = from.get<int64_t>();
  site.cause = from.get_text16();
  site.last_error = from.get_text16();
  const bool fits = is_one_or_two(mode) && is_state(state) && flags <= kSiteFlags && zero == 0;
  const bool short_enough =
      name.size() <= kDownstreamNameMax && site.cause.size() <= kCauseMax && site.last_error.size() <= kCauseMax;
  if (from.failed() || !fits || !short_enough || name.empty()) return false;
  site.mode = pair_mode_name(static_cast<PairMode>(mode));
  site.state = pair_state_name(static_cast<PairState>(state));
  site.connected = (flags & kConnected) != 0;
  site.downstream = (flags & kBehind) != 0;
  site.cut_off = (flags & kCutOff) != 0;
  site.diverged = (flags & kDiverged) != 0;
  site.parked = (flags & kParked) != 0;
  site.fenced = (flags & kFenced) != 0;
  return true;
}

}  // namespace

void encode_report(Encoder to, const SiteReport& report) {
  to.put(report.wall_ns).put(report.base_time_ns).put(report.damaged_from.value());
  to.put_text16(cut(report.refusal, kErrorTextMax));
  to.put(static_cast<uint8_t>(report.source ? 1 : 0));
  if (report.source) put_source(to, *report.source);
  const size_t count = std::min<size_t>(report.sites.size(), kReportSitesMax);
  to.put(static_cast<uint32_t>(count));
  for (size_t i = 0; i < count; ++i) put_site(to, report.sites[i].first, report.sites[i].second);
}

Result<SiteReport> decode_report(Bytes bytes) {
  Decoder body(bytes);
  SiteReport report;
  report.wall_ns = body.get<int64_t>();
  report.base_time_ns = body.get<int64_t>();
  report.damaged_from = Seq(body.get<uint64_t>());
  report.refusal = body.get_text16();
  const uint8_t has_source = body.get<uint8_t>();
  if (body.failed() || has_source > 1 || report.refusal.size() > kErrorTextMax) return malformed();
  if (has_source == 1 && !get_source(body, report.source.emplace())) return malformed();
  const uint32_t count = body.get<uint32_t>();
  if (body.failed() || count > kReportSitesMax || count > body.rest().size() / kSiteLeast) return malformed();
  report.sites.resize(count);
  for (auto& [name, site] : report.sites) {
    if (!get_site(body, name, site)) return malformed();
  }
  if (!body.finished()) return malformed();
  return report;
}

}  // namespace tidemark

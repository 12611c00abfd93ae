// The message STATUS: how a group stands at a site, as far as the site knows. docs/PROTOCOL.md is the other half of this file.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "replicator/site/source_record.h"
#include "replicator/wire/protocol.h"
#include "volume/group/watermarks.h"

namespace tidemark {

inline constexpr uint32_t kReportSitesMax = 2 * kDownstreamMax;  // pairs of its own, and what is behind them

struct SiteReport {
  int64_t wall_ns = 0;       // there, when this was said
  int64_t base_time_ns = 0;  // of the base's record; 0: nothing was ever pruned
  Seq damaged_from;          // first record that is damaged there; zero: none is known
  std::string refusal;       // why nothing more is taken there; "": it is. At most kErrorTextMax
  std::optional<SourceRecord> source;
  // What it forwards to, and what is behind those ("FAR", "FAR/FURTHER"). Not every field of the progress travels.
  std::vector<std::pair<std::string, SiteProgress>> sites;
};
// Longer texts are cut, further sites left out.
void encode_report(Encoder to, const SiteReport& report);
Result<SiteReport> decode_report(Bytes body);

}  // namespace tidemark

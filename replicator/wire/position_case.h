// Two histories compared: what a site may be sent. Pure, so that every case is a test.
#pragma once

#include <functional>

#include "replicator/wire/protocol.h"

namespace tidemark {

// The site's side: its own position against the one in HELLO. It cannot look into the shipper's log, so where it holds less it
// says kBehind and leaves the proof to the shipper. `own_at(seq)`: the site's position at a seq it holds (an error: not held).
using PositionLookup = std::function<Result<Position>(Seq)>;
PositionCase classify_at_site(const Position& site, const Position& shipper, const PositionLookup& own_at);

// The shipper's side: the site's position against its own log. `newest`: its newest durable record; `own_at` as above.
// kEmpty, kBehind, kEqual: ship from site.seq + 1. kDiverged, kAhead: ship nothing. An error: the log no longer holds what
// would prove it (kNotFound), or cannot be read.
Result<PositionCase> classify_at_shipper(const Position& newest, const Position& site, const PositionLookup& own_at);

// ok, or why nothing may be shipped, with what to do: kDiverged for both kDiverged and kAhead.
Status refuse_position(PositionCase which, const Position& own, const Position& site, std::string_view site_name,
                       std::string_view group);

}  // namespace tidemark

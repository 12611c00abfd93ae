#include "replicator/wire/position_case.h"

namespace tidemark {
namespace {

std::string describe(const Position& position) {
  return "seq " + std::to_string(position.seq.value()) + " of epoch " + std::to_string(position.epoch.value());
}

}  // namespace

PositionCase classify_at_site(const Position& site, const Position& shipper, const PositionLookup& own_at) {
  if (site.seq == Seq(0)) return PositionCase::kEmpty;
  if (shipper.seq == site.seq) return shipper == site ? PositionCase::kEqual : PositionCase::kDiverged;
  if (shipper.seq > site.seq) return PositionCase::kBehind;
  if (shipper.seq == Seq(0)) return PositionCase::kAhead;
  Result<Position> here = own_at(shipper.seq);
  if (here.ok() && *here != shipper) return PositionCase::kDiverged;
  return PositionCase::kAhead;
}

Result<PositionCase> classify_at_shipper(const Position& newest, const Position& site, const PositionLookup& own_at) {
  if (site.seq == Seq(0)) return PositionCase::kEmpty;
  if (site.seq > newest.seq) return PositionCase::kAhead;
  if (site.seq == newest.seq) return site == newest ? PositionCase::kEqual : PositionCase::kDiverged;
  TM_ASSIGN(Position here, own_at(site.seq));
  return here == site ? PositionCase::kBehind : PositionCase::kDiverged;
}

Status refuse_position(PositionCase which, const Position& own, const Position& site, std::string_view site_name,
                       std::string_view group) {
  std::string who = "site '" + std::string(site_name) + "'";
  if (which == PositionCase::kDiverged) {
    return Status(Code::kDiverged,
                  who + " holds another history of group '" + std::string(group) + "': its " + describe(site) +
                      " differs from this log (newest here: " + describe(own) +
                      "). Nothing was sent. Decide which history is right: remove or rename the group's directory at the "
                      "site to copy this one again, or restore from the site");
  }
  if (which == PositionCase::kAhead) {
    return Status(Code::kDiverged,
                  who + " is ahead: it holds " + describe(site) + ", this log ends at " + describe(own) +
                      ". Nothing was sent. Records were lost here, or this is an older copy: restore from the site, or "
                      "remove or rename the group's directory at the site to copy this one again");
  }
  return Status();
}

}  // namespace tidemark

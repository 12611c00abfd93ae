// Every position case, from both sides.
#include <catch2/catch.hpp>

#include "replicator/wire/position_case.h"

using namespace tidemark;

namespace {

// A history whose chain at seq N is 1000 + N up to a fork and 2000 + N above it.
Position at(uint64_t seq, uint64_t fork = UINT64_MAX, uint64_t epoch = 1) {
  if (seq == 0) return {};
  return {Epoch(epoch), Seq(seq), (seq > fork ? 2000 : 1000) + seq};
}
PositionLookup log_of(uint64_t newest, uint64_t fork = UINT64_MAX, uint64_t first = 1) {
  return [=](Seq seq) -> Result<Position> {
    if (seq.value() > newest || seq.value() < first) return Status(Code::kNotFound, "not held");
    return at(seq.value(), fork);
  };
}

}  // namespace

TEST_CASE("what a site says of a shipper's position") {
  auto said = [](Position site, Position shipper, PositionLookup log) { return classify_at_site(site, shipper, log); };
  CHECK(said(at(0), at(0), log_of(0)) == PositionCase::kEmpty);
  CHECK(said(at(0), at(9), log_of(0)) == PositionCase::kEmpty);
  CHECK(said(at(5), at(9), log_of(5)) == PositionCase::kBehind);
  CHECK(said(at(5), at(5), log_of(5)) == PositionCase::kEqual);
  CHECK(said(at(5), at(5, 3), log_of(5)) == PositionCase::kDiverged);
  CHECK(said(at(5), at(5, 9, 2), log_of(5)) == PositionCase::kDiverged);  // same chain, another epoch
  CHECK(said(at(5), at(3), log_of(5)) == PositionCase::kAhead);
  CHECK(said(at(5), at(3, 1), log_of(5)) == PositionCase::kDiverged);
  CHECK(said(at(5), at(0), log_of(5)) == PositionCase::kAhead);
  CHECK(said(at(5), at(2), log_of(5, 99, 3)) == PositionCase::kAhead);  // trimmed: it cannot tell
}

TEST_CASE("what a shipper makes of a site's position") {
  auto made = [](Position newest, Position site, PositionLookup log) { return classify_at_shipper(newest, site, log); };
  CHECK(*made(at(9), at(0), log_of(9)) == PositionCase::kEmpty);
  CHECK(*made(at(9), at(5), log_of(9)) == PositionCase::kBehind);
  CHECK(*made(at(9), at(9), log_of(9)) == PositionCase::kEqual);
  CHECK(*made(at(9), at(5, 3), log_of(9)) == PositionCase::kDiverged);
  CHECK(*made(at(9), at(9, 3), log_of(9)) == PositionCase::kDiverged);
  CHECK(*made(at(9), at(5, 99, 2), log_of(9)) == PositionCase::kDiverged);
  CHECK(*made(at(9), at(10), log_of(9)) == PositionCase::kAhead);
  CHECK(*made(at(0), at(1), log_of(0)) == PositionCase::kAhead);
  CHECK(made(at(9), at(2), log_of(9, 99, 3)).status().code() == Code::kNotFound);
}

TEST_CASE("only diverged and ahead are refused, and the message says what to do") {
  for (PositionCase which :
       {PositionCase::kUnknownGroup, PositionCase::kEmpty, PositionCase::kBehind, PositionCase::kEqual}) {
    CHECK(refuse_position(which, at(9), at(5), "away", "shop").ok());
  }
  for (PositionCase which : {PositionCase::kDiverged, PositionCase::kAhead}) {
    Status status = refuse_position(which, at(9), at(5), "away", "shop");
    CHECK(status.code() == Code::kDiverged);
    for (const char* word : {"away", "seq 5", "seq 9", "Nothing was sent", "restore"}) {
      CHECK(status.text().find(word) != std::string::npos);
    }
  }
}

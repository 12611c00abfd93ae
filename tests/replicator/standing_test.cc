// How copies stand: the words, what is kept of it, and what is said of it over the wire.
#include <catch2/catch.hpp>

#include "replicator/site/heard_note.h"
#include "replicator/site/source_record.h"
#include "replicator/source/copy_word.h"
#include "replicator/source/shipped_bytes.h"
#include "replicator/wire/protocol.h"
#include "replicator/wire/status_protocol.h"
#include "tests/replicator/support.h"
#include "volume/group/sealed_json.h"

using namespace tidemark;
using namespace tidemark::test;

namespace {

SiteProgress progress_in(PairState state, uint64_t durable, bool connected) {
  SiteProgress site;
  site.state = pair_state_name(state);
  site.mode = "async";
  site.durable = Seq(durable);
  site.connected = connected;
  return site;
}

constexpr int64_t kNow = 1'800'000'000'000'000'000;
constexpr int64_t kSecond = 1'000'000'000;

SourceRecord source_heard(PairState state, int64_t seconds_ago) {
  SourceRecord source;
  source.news.state = source.state = state;
  source.news.source = "vm/1";
  source.heard_ns = kNow - seconds_ago * kSecond;
  source.newest = Seq(9);
  source.connected = true;
  return source;
}

}  // namespace

TEST_CASE("a copy is up to date only where it is heard, or rests with everything") {
  using enum PairState;
  const Seq newest(9);
  CHECK(copy_word(progress_in(kDuplex, 8, true), newest) == CopyWord::kUpToDate);
  CHECK(copy_word(progress_in(kDuplex, 9, false), newest) == CopyWord::kUnknown);
  for (const PairState state : {kCopying, kResyncing, kSuspending}) {
    CHECK(copy_word(progress_in(state, 3, true), newest) == CopyWord::kBehind);
    CHECK(copy_word(progress_in(state, 3, false), newest) == CopyWord::kUnknown);
  }
  CHECK(copy_word(progress_in(kFailed, 9, false), newest) == CopyWord::kUnknown);
  CHECK(copy_word(progress_in(kSimplex, 0, false), newest) == CopyWord::kUnknown);
  CHECK(copy_word(progress_in(kSuspended, 8, false), newest) == CopyWord::kBehind);
  CHECK(copy_word(progress_in(kSuspended, 9, false), newest) == CopyWord::kUpToDate);
  SiteProgress site = progress_in(kFailed, 8, false);
  site.parked = true;
  CHECK(copy_word(site, newest) == CopyWord::kBehind);
  site.diverged = true;
  CHECK(copy_word(site, newest) == CopyWord::kDiverged);
  site = progress_in(kDuplex, 9, true);
  site.cut_off = true;  // the site that told of it is gone
  CHECK(copy_word(site, newest) == CopyWord::kUnknown);
}

TEST_CASE("a pair that nobody runs is up to date only where it ended with everything") {
  PairStatus saved;
  saved.state = PairState::kDuplex;
  saved.durable = Seq(9);
  CHECK(copy_word(saved, Seq(9)) == CopyWord::kUpToDate);
  CHECK(copy_word(saved, Seq(10)) == CopyWord::kUnknown);
  saved.state = PairState::kFailed;
  CHECK(copy_word(saved, Seq(9)) == CopyWord::kUnknown);
  saved.state = PairState::kSuspended;
  CHECK(copy_word(saved, Seq(10)) == CopyWord::kBehind);
}

TEST_CASE("a site claims nothing of a source that it does not hear") {
  using enum PairState;
  CHECK(copy_word(source_heard(kDuplex, 1), Seq(8), kNow) == CopyWord::kUpToDate);
  CHECK(copy_word(source_heard(kResyncing, 1), Seq(8), kNow) == CopyWord::kBehind);
  CHECK(copy_word(source_heard(kDuplex, 5), Seq(9), kNow) == CopyWord::kUnknown);
  SourceRecord source = source_heard(kDuplex, 1);
  source.connected = false;  // its connection is gone, and the silence is not long enough to count
  CHECK(copy_word(source, Seq(9), kNow) == CopyWord::kUnknown);
  source.ended = true;
  CHECK(copy_word(source, Seq(9), kNow) == CopyWord::kUpToDate);
  CHECK(copy_word(source, Seq(8), kNow) == CopyWord::kUnknown);
  source.news.state = kSuspended;
  CHECK(copy_word(source, Seq(9), kNow) == CopyWord::kBehind);
}

TEST_CASE("what is sent again is not shipped twice") {
  ShippedBytes shipped;
  shipped.begin(Seq(0));
  shipped.sent(100, Seq(10));
  shipped.sent(50, Seq(15));
  CHECK(shipped.once() == 0);  // nobody has taken it
  shipped.consumed(1);
  CHECK(shipped.once() == 100);
  CHECK(shipped.again() == 0);
  SECTION("the site has it, but its word for that was lost") { shipped.begin(Seq(15)); }
  SECTION("it was lost on the way") {
    shipped.begin(Seq(10));
    shipped.sent(50, Seq(15));
    CHECK(shipped.again() == 50);
    shipped.consumed(1);
  }
  SECTION("the site has lost what it had taken") {
    shipped.consumed(2);
    shipped.begin(Seq(0));
    shipped.sent(100, Seq(10));
    shipped.sent(50, Seq(15));
    shipped.consumed(2);
    CHECK(shipped.again() == 150);
  }
  CHECK(shipped.once() == 150);
  shipped.sent(7, Seq());  // a piece of a difference
  shipped.consumed(99);
  CHECK(shipped.once() == 157);
}

TEST_CASE("when a source was heard is kept in place, and damage of it counts as nothing known") {
  Scratch work;
  FileSystem& files = posix_file_system();
  CHECK(read_heard(files, work / "").time_ns == 0);
  {
    HeardNote note(files, work / "");
    REQUIRE(note.write({17, Seq(4)}).ok());
    REQUIRE(note.write({18, Seq(5)}).ok());
  }
  REQUIRE(HeardNote(files, work / "").write({19, Seq(6)}).ok());
  CHECK(read_heard(files, work / "").time_ns == 19);
  CHECK(read_heard(files, work / "").newest == Seq(6));
  std::string content = read_file(files, work / "heard").value();
  content[12] ^= 1;
  REQUIRE(write_file_atomically(files, work / "heard", content).ok());
  CHECK(read_heard(files, work / "").time_ns == 0);
}

TEST_CASE("what is known of a source is read from its files; the newer of the two times counts") {
  Scratch work;
  FileSystem& files = posix_file_system();
  CHECK(!load_source_record(work / "").value());
  SourceRecord source = source_heard(PairState::kDuplex, 30);
  source.ended = true;
  REQUIRE(
      write_file_atomically(files, work / "site.json", seal_json({{"epoch", 1}, {"pair", source_to_json(source)}})).ok());
  auto read = load_source_record(work / "").value();
  REQUIRE(read);
  CHECK(read->news.source == "vm/1");
  CHECK(read->heard_ns == source.heard_ns);
  CHECK(read->ended);
  CHECK(!read->connected);  // nobody serves it
  REQUIRE(HeardNote(files, work / "").write({kNow, Seq(11)}).ok());
  read = load_source_record(work / "").value();
  CHECK(read->heard_ns == kNow);
  CHECK(read->newest == Seq(11));
}

TEST_CASE("STATUS carries what a site knows, and nothing that cannot be is taken from a wire") {
  SiteReport report;
  report.wall_ns = 5;
  report.base_time_ns = 6;
  report.damaged_from = Seq(7);
  report.refusal = "full";
  report.source = source_heard(PairState::kSuspended, 3);
  report.source->cause = std::string(3000, 'x');
  report.sites.emplace_back("far", progress_in(PairState::kDuplex, 8, true));
  report.sites.emplace_back("far/further", progress_in(PairState::kFailed, 2, false));
  report.sites[1].second.downstream = report.sites[1].second.cut_off = report.sites[1].second.diverged = true;
  std::string body;
  encode_report(Encoder(body), report);
  auto read = decode_report(as_bytes(body));
  REQUIRE(read.ok());
  CHECK(read->refusal == "full");
  CHECK(read->damaged_from == Seq(7));
  CHECK(read->source->heard_ns == report.source->heard_ns);
  CHECK(read->source->cause.size() == kCauseMax);
  CHECK(read->source->news.state == PairState::kSuspended);
  REQUIRE(read->sites.size() == 2);
  CHECK(read->sites[0].second.state == "duplex");
  CHECK(read->sites[1].second.diverged);
  CHECK(copy_word(read->sites[0].second, Seq(9)) == CopyWord::kUpToDate);
  for (size_t size = 0; size < body.size(); ++size) CHECK(!decode_report(as_bytes(body).first(size)).ok());
  body += "x";
  CHECK(!decode_report(as_bytes(body)).ok());
  report.sites.resize(1000, report.sites[0]);
  report.source.reset();
  body.clear();
  encode_report(Encoder(body), report);
  CHECK(body.size() < kWireMax);
  CHECK(decode_report(as_bytes(body))->sites.size() == kReportSitesMax);
}

TEST_CASE("a site answers STATUS: its source, its pairs, and when its source was heard") {
  Scratch work;
  auto primary = make_primary(work / "vol");
  LocalSite near(work / "near");
  LocalSite far(work / "far");
  auto shipper = start_shipping(*primary, {{"near", near.endpoint(), "", ""}});
  touch(*primary, "one", "content");
  REQUIRE(caught_up(*primary, "near"));
  REQUIRE(near->shipper("shop")->create({"far", far.endpoint(), "", ""}).ok());
  auto remote = RemoteGroup::connect({near.endpoint(), "shop"}, {});
  REQUIRE(remote.ok());
  SiteReport report;
  CHECK(eventually([&] {
    report = (*remote)->report().value();
    return report.source && report.source->state == PairState::kDuplex && report.sites.size() == 1 &&
           copy_word(report.sites[0].second, primary->log().durable()) == CopyWord::kUpToDate;
  }));
  CHECK(report.source->connected);
  CHECK(report.wall_ns - report.source->heard_ns < 4 * kSecond);
  CHECK(report.source->newest == primary->log().durable());
  CHECK(report.refusal.empty());
  CHECK(report.sites[0].first == "far");
  // What is behind a site is shown at the primary, and how it stands is unknown once the site is gone.
  CHECK(eventually([&] { return progress(*primary, "near/far").connected; }));
  near->shipper("shop")->stop();
}

// One pair's state machine, with the site's half played by hand and a clock that only moves when told.
#include <atomic>
#include <catch2/catch.hpp>
#include <future>
#include <thread>

#include "log/read/cursor.h"
#include "log/write/writer.h"
#include "replicator/source/pair_core.h"
#include "tests/replicator/support.h"
#include "tests/support/clocks.h"
#include "volume/group/sealed_json.h"

using namespace tidemark;
using namespace tidemark::test;
using namespace std::chrono_literals;

namespace {

PairConfig pair_with(PairMode mode, PairFence fence = PairFence::kNever) {
  return {"away", "tcp://127.0.0.1:1", "", "", mode, fence, 0};
}

// The pair, and a site that holds whatever it is sent.
class Play {
 public:
  Play(Group& group, const PairConfig& config, const PairStatus& status = {})
      : group_(group), config_(config), saved_(status) {
    restart();
  }

  // The source's process begins anew, from what was saved.
  void restart() {
    core_.reset();
    core_ = std::make_unique<PairCore>(group_, Pair{config_, saved_}, clock, [this](const PairStatus& next) {
      saved_ = next;
      return Status();
    });
  }

  Status connect(Epoch highest = Epoch(1)) {
    TM_TRY(core_->greet());
    frames_ = bytes_ = 0;
    received_ = holds_.seq;
    TM_TRY(pump());
    return welcome(group_.identity().id, highest);
  }
  Status welcome(const GroupId& group, Epoch highest) {
    Welcome welcome;
    welcome.role = WireRole::kShip;
    welcome.window_bytes = kWindowBytes;
    welcome.window_frames = kWindowFrames;
    welcome.group_id = group;
    welcome.highest = highest;
    welcome.position = holds_;
    welcome.durable = holds_.seq;
    TM_TRY(say(encode_welcome(welcome, kSession, 0)));
    TM_TRY(pump());
    return Status();
  }
  Status say(const std::string& message) { return core_->receive(Message::copy_of(as_bytes(message))); }
  Status say_error(const Status& status) { return say(encode_error(status, Retry::kNever, kSession, 0)); }
  Status say_behind(const std::vector<DownstreamSite>& sites) { return say(encode_downstream(sites, kSession)); }

  // Sends what may be sent. A failure ends the session, as PairLink does it.
  Status pump() {
    Status sent = send_all();
    if (!sent.ok()) core_->disconnected(sent);
    return sent;
  }
  Status send_all() {
    TM_TRY(send());
    while (const std::optional<PairReading> wanted = core_->wants_reading()) {
      TM_ASSIGN(PairMessage read, read_for(*wanted, group_));
      core_->take_reading(std::move(read));
      TM_TRY(send());
    }
    return Status();
  }
  Status send() {
    return core_->send([this](Message& message) -> Result<bool> {
      Bytes body;
      auto header = open_message(message.bytes(), body);
      REQUIRE(header.ok());
      if (header->type == MessageType::kData) {
        ++frames_;
        bytes_ += message.bytes().size();
        received_ = decode_data_message(body).value().last;
        one_line_.push_back(core_->one_line());
      }
      return true;
    });
  }
  // The site has taken all that was sent; everything up to `durable` is durable there.
  Status acknowledge(Seq durable) {
    Ack ack;
    ack.received = received_;
    ack.durable = durable;
    ack.consumed_bytes = bytes_;
    ack.consumed_frames = frames_;
    TM_ASSIGN(holds_, group_.log().position_at(durable));
    return say(encode_ack(ack, kSession));
  }
  Status acknowledge_all() {
    TM_TRY(pump());
    return acknowledge(group_.log().durable());
  }
  // Time goes by; the site answers heartbeats, and no more of it becomes durable there.
  Status wait(std::chrono::seconds time, Seq durable) {
    for (auto gone = 0s; gone < time; gone += 1s) {
      clock.advance(1s);
      TM_TRY(pump());
      TM_TRY(acknowledge(durable));
    }
    return pump();
  }
  Seq write(const std::string& name) {
    touch(group_, name, "content");
    REQUIRE(group_.log_writer().sync(kLatest).ok());
    return group_.log().durable();
  }
  void lose() { core_->disconnected(Status(Code::kUnreachable, "the connection is gone")); }

  [[nodiscard]] PairCore& core() { return *core_; }
  [[nodiscard]] const PairStatus& saved() const { return saved_; }
  [[nodiscard]] PairState state() const { return saved_.state; }
  [[nodiscard]] const std::vector<bool>& one_line() const { return one_line_; }
  ManualClock clock;

 private:
  static constexpr uint64_t kSession = 7;
  Group& group_;
  const PairConfig config_;
  PairStatus saved_;
  std::unique_ptr<PairCore> core_;
  Position holds_;
  Seq received_;
  uint64_t frames_ = 0, bytes_ = 0;
  std::vector<bool> one_line_;  // for each DATA: whether it had to go over the first line
};

}  // namespace

TEST_CASE("async: duplex is what was durable 5 s ago, and is lost with a lag of 30 s") {
  Scratch work;
  auto primary = make_primary(work / "vol");
  Play play(*primary, pair_with(PairMode::kAsync));
  const Seq first = play.write("first");
  REQUIRE(play.connect().ok());
  REQUIRE(play.acknowledge(Seq(1)).ok());
  REQUIRE(play.state() == PairState::kCopying);
  REQUIRE(play.wait(6s, Seq(1)).ok());
  const Seq second = play.write("second");
  REQUIRE(play.pump().ok());
  REQUIRE(play.acknowledge(first).ok());  // the goal of the greeting: more was written since
  CHECK(play.state() == PairState::kCopying);
  REQUIRE(play.wait(2s, first).ok());
  REQUIRE(play.acknowledge(second).ok());
  CHECK(play.state() == PairState::kDuplex);

  REQUIRE(play.wait(60s, second).ok());  // nothing is missing, however long nothing is written
  CHECK(play.state() == PairState::kDuplex);
  const Seq third = play.write("third");
  REQUIRE(play.wait(12s, second).ok());
  CHECK(play.state() == PairState::kDuplex);
  REQUIRE(play.wait(5s, second).ok());
  CHECK(play.state() == PairState::kResyncing);
  CHECK(play.saved().cause.find("behind") != std::string::npos);
  REQUIRE(play.acknowledge(third).ok());
  CHECK(play.state() == PairState::kDuplex);
}

TEST_CASE("sync: a site has 10 s to make something durable, and as much again for each that it waits for") {
  Scratch work;
  auto primary = make_primary(work / "vol");
  Play play(*primary, pair_with(PairMode::kSync));
  REQUIRE(play.connect().ok());
  REQUIRE(play.acknowledge_all().ok());
  REQUIRE(play.state() == PairState::kDuplex);
  auto behind = [](const std::string& name, PairMode mode, PairState state) {
    DownstreamSite site;
    site.name = name;
    site.mode = mode;
    site.state = state;
    return site;
  };
  using enum PairState;
  std::vector<DownstreamSite> chain;
  int patience = 10;
  SECTION("nobody is behind it") {}
  SECTION("one that it waits for") {
    chain = {behind("far", PairMode::kSync, kDuplex), behind("other", PairMode::kSync, kDuplex)};
    patience = 20;
  }
  SECTION("two, one behind the other") {
    chain = {behind("far", PairMode::kSync, kDuplex), behind("far/further", PairMode::kSync, kDuplex)};
    patience = 30;
  }
  SECTION("one that it does not wait for, and what is behind that") {
    chain = {behind("far", PairMode::kAsync, kDuplex), behind("far/further", PairMode::kSync, kDuplex)};
  }
  SECTION("one that was given up") { chain = {behind("far", PairMode::kSync, kFailed)}; }
  SECTION("more than can be") {
    std::string name = "far";
    for (int i = 0; i < 40; ++i, name += "/far") chain.push_back(behind(name, PairMode::kSync, kDuplex));
    patience = 90;
  }
  REQUIRE(play.say_behind(chain).ok());
  const Seq before = primary->log().durable();
  play.write("more");
  REQUIRE(play.wait(std::chrono::seconds(patience - 1), before).ok());
  CHECK(play.state() == kDuplex);
  if (!chain.empty() && patience > 10) {
    // The hop behind gives up: what waited for it has a moment to come.
    CHECK(play.say_behind({behind("far", PairMode::kSync, kFailed)}).ok());
    CHECK(play.wait(3s, before).ok());
    CHECK(play.acknowledge_all().ok());
    CHECK(play.state() == kDuplex);
    return;
  }
  CHECK(play.wait(3s, before).code() == Code::kTimeout);
  CHECK(play.state() == kFailed);
}

TEST_CASE("no DATA overtakes what the site is told of the pair's state") {
  Scratch work;
  auto primary = make_primary(work / "vol");
  Play play(*primary, pair_with(PairMode::kAsync));
  play.write("first");
  REQUIRE(play.connect().ok());
  CHECK(play.one_line() == std::vector<bool>{true});  // "copying" is on its way
  play.write("second");
  REQUIRE(play.pump().ok());
  CHECK(play.one_line().back());
  REQUIRE(play.acknowledge(Seq(1)).ok());
  CHECK(!play.core().one_line());
  play.write("third");
  REQUIRE(play.acknowledge_all().ok());
  CHECK(!play.one_line().back());
  REQUIRE(play.state() == PairState::kDuplex);
  CHECK(play.core().one_line());  // "duplex" is
  play.write("fourth");
  REQUIRE(play.acknowledge_all().ok());
  CHECK(play.one_line().back());
  CHECK(!play.core().one_line());
}

TEST_CASE(
    "fence=data: once it was duplex nothing is acknowledged unless it is, after any restart, until an operator says so") {
  Scratch work;
  auto primary = make_primary(work / "vol");
  Play play(*primary, pair_with(PairMode::kSync, PairFence::kData));
  auto withheld = [&] { return !primary->watermarks().may_acknowledge(Seq(1)); };
  auto may_write = [&] { return primary->watermarks().may_write().ok(); };
  CHECK(!withheld());  // the initial copy
  REQUIRE(play.connect().ok());
  CHECK(!withheld());
  play.lose();
  CHECK(may_write());  // it was never duplex
  REQUIRE(play.connect().ok());
  REQUIRE(play.acknowledge_all().ok());
  REQUIRE(play.state() == PairState::kDuplex);
  CHECK(!withheld());

  play.restart();
  const Seq before = primary->log().durable();
  play.write("early");
  REQUIRE(play.connect().ok());
  SECTION("the site dies while it resynchronises") {
    REQUIRE(play.state() == PairState::kResyncing);
    CHECK(withheld());
    CHECK(may_write());  // it may be back in a moment: an fsync waits
    play.lose();
    CHECK(!may_write());
    CHECK(primary->sync().code() == Code::kReadOnly);
    play.restart();
    CHECK(!may_write());
    REQUIRE(play.connect().ok());
    CHECK(withheld());
    CHECK(!may_write());
  }
  SECTION("so does the source") {
    REQUIRE(play.state() == PairState::kResyncing);
    play.restart();
    CHECK(withheld());
    // A site that forwards looks at this alone.
    CHECK(primary->watermarks().copied() <= before);
    play.lose();
    CHECK(!may_write());
  }
  SECTION("the site's disk hangs meanwhile") {
    CHECK(play.wait(15s, before).code() == Code::kTimeout);
    CHECK(!may_write());
  }
  SECTION("an operator suspends it") {
    REQUIRE(play.core().suspend().ok());
    CHECK(!withheld());
    REQUIRE(play.core().resume().ok());
    REQUIRE(play.connect().ok());
    CHECK(!withheld());  // he has said so; from the next duplex on it holds again
    REQUIRE(play.acknowledge_all().ok());
    REQUIRE(play.state() == PairState::kDuplex);
    play.lose();
    CHECK(!may_write());
    return;
  }
  REQUIRE(play.connect().ok());
  REQUIRE(play.acknowledge_all().ok());
  CHECK(play.state() == PairState::kDuplex);
  CHECK(may_write());
  CHECK(!withheld());
}

TEST_CASE("what an operator suspends ends suspended, whatever becomes of the connection") {
  Scratch work;
  auto primary = make_primary(work / "vol");
  Play play(*primary, pair_with(PairMode::kAsync));
  REQUIRE(play.connect().ok());
  REQUIRE(play.acknowledge_all().ok());
  REQUIRE(play.state() == PairState::kDuplex);
  const Seq before = primary->log().durable();
  play.write("goes over");
  REQUIRE(play.core().suspend().ok());
  REQUIRE(play.state() == PairState::kSuspending);
  CHECK(play.saved().wanted == PairWanted::kSuspended);
  play.lose();
  CHECK(play.state() == PairState::kSuspending);
  CHECK(play.core().wants_connection());
  play.write("stays here");
  SECTION("it is back in time: it drains") {
    play.clock.advance(20s);
    play.lose();  // another attempt that fails
    REQUIRE(play.connect().ok());
    CHECK(play.state() == PairState::kSuspending);
    REQUIRE(play.acknowledge(play.saved().drain_to).ok());
  }
  SECTION("it is not") {
    play.clock.advance(29s);
    play.lose();
    CHECK(play.state() == PairState::kSuspending);
    play.clock.advance(2s);
    play.lose();
    CHECK(play.saved().durable == before);
  }
  SECTION("it refuses") { play.core().disconnected(Status(Code::kDiverged, "another history")); }
  SECTION("the source is restarted") {
    play.restart();
    CHECK(play.core().wants_connection());
    REQUIRE(play.connect().ok());
    REQUIRE(play.acknowledge(play.saved().drain_to).ok());
  }
  SECTION("the log limit drops it: it is suspended all the same, until somebody resumes it") {
    REQUIRE(play.core().park("no room").ok());
    CHECK(play.saved().wanted == PairWanted::kSuspended);
    CHECK(!play.core().wants_connection());
    play.restart();
    CHECK(!play.core().wants_connection());
    REQUIRE(play.core().suspend().ok());
  }
  SECTION("it is resumed before it has drained") {
    REQUIRE(play.core().resume().ok());
    CHECK(play.state() == PairState::kResyncing);
    REQUIRE(play.connect().ok());
    REQUIRE(play.acknowledge_all().ok());
    CHECK(play.state() == PairState::kDuplex);
    return;
  }
  REQUIRE(play.state() == PairState::kSuspended);
  CHECK(!play.core().wants_connection());
  play.restart();
  CHECK(!play.core().wants_connection());
  REQUIRE(play.core().resume().ok());
  CHECK(play.core().wants_connection());
}

TEST_CASE("a primary that hears of its successor writes no more, whatever its fence, and remembers it") {
  Scratch work;
  auto primary = make_primary(work / "vol");
  auto play = std::make_unique<Play>(*primary, pair_with(PairMode::kSync));
  auto writes = [&] { return primary->volume().make_node(kRootIno, "file", {.mode = 0100644}).status().code(); };
  bool number_said = true;
  REQUIRE(play->connect().ok());
  REQUIRE(play->acknowledge_all().ok());
  REQUIRE(play->state() == PairState::kDuplex);
  SECTION("another group's site says it: that is nothing to us") {
    play->lose();
    REQUIRE(play->core().greet().ok());
    GroupId other = primary->identity().id;
    other[0] ^= std::byte{1};
    CHECK(play->welcome(other, Epoch(9)).code() == Code::kCorrupt);
    CHECK(!primary->superseded());
    CHECK(writes() == Code::kOk);
    return;
  }
  SECTION("as the answer to HELLO") {
    play->lose();
    CHECK(play->connect(Epoch(9)).code() == Code::kStaleEpoch);
  }
  SECTION("in the middle of a session, without a number") {
    const Status told = play->say_error(Status(Code::kStaleEpoch, "a primary of epoch 9 has taken over"));
    CHECK(told.code() == Code::kStaleEpoch);
    CHECK(writes() == Code::kReadOnly);  // before anything else happens
    play->core().disconnected(told);
    CHECK(primary->superseded()->epoch == Epoch());
    const bool asks_again = GENERATE(true, false);
    if (asks_again) CHECK(play->connect(Epoch(9)).code() == Code::kStaleEpoch);
    number_said = asks_again;
  }
  CHECK(writes() == Code::kReadOnly);
  CHECK(primary->sync().code() == Code::kReadOnly);
  CHECK(primary->superseded()->told_by == "away");
  CHECK(primary->view(kLatest).ok());
  // What it has is not for others either.
  CHECK(play->connect(Epoch(1)).code() == Code::kStaleEpoch);

  play.reset();
  REQUIRE(primary->close().ok());
  primary.reset();
  const std::string file = work / "vol/fenced.json";
  auto content = read_file(posix_file_system(), file);
  REQUIRE(content.ok());
  const bool damaged = GENERATE(false, true);
  if (damaged) {
    (*content)[content->size() / 2] ^= 1;
    REQUIRE(write_file_atomically(posix_file_system(), file, *content).ok());
  }
  primary = open_group(work / "vol", OpenMode::kPrimary);
  CHECK(writes() == Code::kReadOnly);
  CHECK(primary->sync().code() == Code::kReadOnly);
  MarkRequest mark;
  mark.name = "late";
  const Status refused = primary->create_mark(mark).status();
  CHECK(refused.code() == Code::kReadOnly);
  CHECK(refused.text().find("fenced.json") != std::string::npos);
  if (!damaged) CHECK(primary->superseded()->epoch == Epoch(number_said ? 9 : 0));
  REQUIRE(primary->close().ok());
  primary.reset();
  // Who knows better removes the file.
  std::filesystem::remove(file);
  primary = open_group(work / "vol", OpenMode::kPrimary);
  CHECK(!primary->superseded());
  CHECK(writes() == Code::kOk);
}

TEST_CASE("a copy that is forwarded is not fenced by what its target says: it writes nothing of its own") {
  Scratch work;
  REQUIRE(Group::init_replica(work / "copy", {{}, "shop", Role::kReplica}, small_options()).ok());
  auto copy = open_group(work / "copy", OpenMode::kReplica);
  CHECK(copy->supersede({Epoch(9), Epoch(1), "away", 0}).code() == Code::kInvalid);
  CHECK(!copy->superseded());
}

TEST_CASE("what is behind a site that is lost is how it was, and goes when the site is back without it") {
  Scratch work;
  auto primary = make_primary(work / "vol");
  Play play(*primary, pair_with(PairMode::kAsync));
  REQUIRE(play.connect().ok());
  REQUIRE(play.acknowledge_all().ok());
  REQUIRE(play.say_behind({{"far", PairMode::kAsync, PairState::kDuplex, true, primary->log().durable(), 1}}).ok());
  CHECK(progress(*primary, "away/far").connected);
  CHECK(!progress(*primary, "away/far").cut_off);
  play.lose();
  CHECK(progress(*primary, "away/far").cut_off);
  CHECK(!progress(*primary, "away/far").connected);
  REQUIRE(play.connect().ok());
  REQUIRE(play.acknowledge_all().ok());
  SECTION("it still has it") {
    REQUIRE(play.say_behind({{"far", PairMode::kAsync, PairState::kDuplex, true, primary->log().durable(), 1}}).ok());
    CHECK(!progress(*primary, "away/far").cut_off);
    REQUIRE(play.wait(10s, primary->log().durable()).ok());
    CHECK(progress(*primary, "away/far").connected);
  }
  SECTION("it does not") {
    REQUIRE(play.wait(10s, primary->log().durable()).ok());
    CHECK(!primary->watermarks().snapshot().contains("away/far"));
  }
}

TEST_CASE("since when a site lacks records is saved with each state, and outlives the records") {
  Scratch work;
  auto primary = make_primary(work / "vol");
  Play play(*primary, pair_with(PairMode::kAsync));
  REQUIRE(play.connect().ok());
  REQUIRE(play.acknowledge_all().ok());
  REQUIRE(play.state() == PairState::kDuplex);
  const int64_t complete = play.clock.wall_ns();
  CHECK(play.saved().exposed_since_ns == complete);  // it lacks nothing: what it will lack is younger
  const Seq before = primary->log().durable();
  play.write("lacking");
  play.clock.advance(2s);
  SECTION("the loss") {}
  SECTION("more arrived before") {
    REQUIRE(play.acknowledge(before).ok());
    CHECK(progress(*primary, "away").durable == before);
  }
  play.clock.advance(2s);
  play.lose();
  CHECK(play.saved().exposed_since_ns == complete);
  CHECK(play.saved().durable == before);
  play.clock.advance(3600s);
  REQUIRE(play.core().park("no room").ok());
  CHECK(play.saved().exposed_since_ns == complete);
  play.restart();
  REQUIRE(play.core().resume().ok());
  CHECK(play.saved().exposed_since_ns == complete);
  REQUIRE(play.connect().ok());
  REQUIRE(play.acknowledge_all().ok());
  CHECK(play.saved().exposed_since_ns == play.clock.wall_ns());
}

TEST_CASE("what a site has early is not remembered as durable there: its source may lose it yet") {
  Scratch work;
  auto primary = make_primary(work / "vol");
  Play play(*primary, pair_with(PairMode::kSync));
  REQUIRE(play.connect().ok());
  REQUIRE(play.acknowledge_all().ok());
  REQUIRE(play.state() == PairState::kDuplex);
  LogWriter& log = primary->log_writer();
  const Seq kept = log.durable();
  std::promise<void> begun, looked;
  std::atomic<bool> seen{false};
  log.on_progress([&](LogProgress progress_of) {
    if (progress_of != LogProgress::kSyncing || seen.exchange(true)) return;
    begun.set_value();
    looked.get_future().wait();
  });
  std::thread writer([&] {
    touch(*primary, "more", "content");
    (void)log.sync(kLatest);
  });
  begun.get_future().wait();
  const Seq syncing = log.syncing();
  const bool sent = play.pump().ok() && play.acknowledge(syncing).ok();
  const Seq shown = progress(*primary, "away").durable;
  play.lose();
  const PairStatus saved = play.saved();
  looked.set_value();
  writer.join();
  log.on_progress(nullptr);
  CHECK(sent);
  CHECK(syncing > kept);
  CHECK(shown == syncing);
  CHECK(saved.durable == kept);
  CHECK(saved.reached == syncing);
}

TEST_CASE("a pair of a copy that is suspended drains what may be passed on, and no more") {
  Scratch work;
  auto primary = make_primary(work / "vol");
  touch(*primary, "one", "content");
  REQUIRE(primary->log_writer().sync(kLatest).ok());
  REQUIRE(Group::init_replica(work / "copy", {primary->identity().id, "shop", Role::kReplica}, small_options()).ok());
  auto copy = open_group(work / "copy", OpenMode::kReplica);
  LogCursor cursor(primary->log(), Seq(1));
  REQUIRE(copy->ingest(cursor.read(kRunMax, kLatest).value().bytes, Seq()).ok());
  REQUIRE(copy->log_writer().sync(kLatest).ok());
  REQUIRE(copy->settled() == Seq());
  PairStatus status;
  status.state = PairState::kSuspending;
  status.wanted = PairWanted::kSuspended;
  status.drain_to = Seq(2);
  Play play(*copy, pair_with(PairMode::kAsync), status);
  SECTION("the copy has forgotten that its records are settled, and its source is not there to tell") {
    REQUIRE(play.connect(Epoch(0)).ok());
  }
  SECTION("it knows that they are") {
    copy->log_writer().settle(Seq(2));
    REQUIRE(play.connect(Epoch(0)).ok());
    CHECK(play.state() == PairState::kSuspending);
    REQUIRE(play.pump().ok());
    REQUIRE(play.acknowledge(Seq(2)).ok());
  }
  CHECK(play.state() == PairState::kSuspended);
}

TEST_CASE("a pair that ends in order has its site's position saved, and a site of another history is called that") {
  Scratch work;
  auto primary = make_primary(work / "vol");
  Play play(*primary, pair_with(PairMode::kAsync));
  REQUIRE(play.connect().ok());
  REQUIRE(play.acknowledge_all().ok());
  play.write("more");
  REQUIRE(play.acknowledge_all().ok());
  CHECK(play.saved().durable < primary->log().durable());
  play.core().end();
  CHECK(play.saved().durable == primary->log().durable());
  CHECK(play.state() == PairState::kDuplex);
  CHECK(!progress(*primary, "away").diverged);
  play.core().disconnected(Status(Code::kDiverged, "another history"));
  CHECK(progress(*primary, "away").diverged);
  REQUIRE(play.connect().ok());
  CHECK(!progress(*primary, "away").diverged);
}

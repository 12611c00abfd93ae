// A site puts right what is damaged in its copy: from its source, over the session that this one opened, or from its own targets.
#include <catch2/catch.hpp>
#include <fstream>

#include "log/format/segment.h"
#include "log/read/cursor.h"
#include "replicator/site/session_source.h"
#include "replicator/source/pair_core.h"
#include "tests/replicator/raw_peer.h"
#include "tests/replicator/support.h"

using namespace tidemark;
using namespace tidemark::test;

namespace {

constexpr uint32_t kSegment = 256u << 10;

SiteOptions options_for(const std::string& directory) {
  SiteOptions options;
  options.directory = directory;
  options.listen = "tcp://127.0.0.1:*";
  options.group = small_options();
  options.group.log.segment_bytes = kSegment;
  return options;
}

// The first data record of a segment that is not the last, where it begins.
struct Victim {
  Seq seq;
  Location location;
  uint32_t size = 0;  // of the whole record
};

Victim find_victim(Group& group) {
  const auto segments = group.log().segments();
  REQUIRE(segments.size() > 4);
  const Seq from = segments[segments.size() / 2].first_seq;
  LogCursor cursor(group.log(), from);
  for (;;) {
    const auto run = cursor.read(1, kLatest);
    REQUIRE(run.ok());
    RecordHeader header;
    REQUIRE(decode_header(run->bytes, header) == RecordFault::kNone);
    if (header.type == RecordType::kData && header.size_in_log() > 8192) {
      return {header.seq, run->location, header.size_in_log()};
    }
  }
}

std::string path_of(Group& group, const Victim& victim) {
  return segment_path(group.directory() + "/log", Seq(victim.location.segment));
}

std::string bytes_of(Group& group, const Victim& victim) {
  std::string content = read_file(posix_file_system(), path_of(group, victim)).value();
  return content.substr(victim.location.offset, victim.size);
}

// More than one bit, in the middle of the record's blocks.
void spoil(Group& group, const Victim& victim) {
  std::fstream file(path_of(group, victim), std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(victim.location.offset + victim.size / 2);
  file << "sixteen bad byte";
  REQUIRE(file.good());
}

// As a reader of the site would come upon it.
Status read(Group& group, const Victim& victim) {
  LogCursor cursor(group.log(), victim.seq);
  return cursor.read(1, victim.seq).status();
}

struct Copied {
  Scratch work;
  std::unique_ptr<Group> primary = make_primary(work / "p");
  std::unique_ptr<LocalSite> site = std::make_unique<LocalSite>(options_for(work / "site"));
  std::unique_ptr<Shipper> shipper;

  Copied() {
    fill(*primary, 2u << 20, 1);
    shipper = start_shipping(*primary, {{"site", site->endpoint(), "", ""}});
    REQUIRE(caught_up(*primary, "site"));
  }
  [[nodiscard]] Group& copy() const { return *(*site)->find("shop"); }
};

// A shipper that has just begun, and says from here on what it likes.
struct Raw {
  RawPeer peer;
  uint64_t session = 0;

  Raw(Group& primary, const std::string& endpoint) : peer(endpoint) {
    peer.send(encode_hello(shipper_hello(primary)));
    Bytes body;
    const std::string text = peer.receive();
    const auto header = open_message(as_bytes(text), body);
    REQUIRE(header.ok());
    REQUIRE(header->type == MessageType::kWelcome);
    session = header->session;
    peer.send(encode_begin(decode_welcome(body)->position, session, 1));
    REQUIRE(!peer.receive().empty());  // ACK
  }

  struct Asked {
    FetchRequest request;
    uint64_t number = 0;
  };
  Asked wait_for_fetch() {
    for (;;) {
      Bytes body;
      const std::string text = peer.receive(5000);
      REQUIRE(!text.empty());
      const auto header = open_message(as_bytes(text), body);
      REQUIRE(header.ok());
      if (header->type == MessageType::kAck) continue;
      REQUIRE(header->type == MessageType::kFetch);
      CHECK(header->session == session);
      const auto request = decode_fetch(body);
      REQUIRE(request.ok());
      return {*request, header->request};
    }
  }
  // What ends the session, if something does.
  Status ended() {
    for (;;) {
      Bytes body;
      const std::string text = peer.receive(2000);
      if (text.empty()) return Status();
      const auto header = open_message(as_bytes(text), body);
      REQUIRE(header.ok());
      if (header->type == MessageType::kError) return decode_error(body)->status;
    }
  }
};

}  // namespace

TEST_CASE("a site puts a damaged record right from its source, through the source's own session") {
  Copied c;
  const Victim victim = find_victim(c.copy());
  const std::string before = bytes_of(c.copy(), victim);
  spoil(c.copy(), victim);
  CHECK(bytes_of(c.copy(), victim) != before);
  CHECK(read(c.copy(), victim).ok());
  CHECK(bytes_of(c.copy(), victim) == before);
  // Nothing of that disturbs the shipping.
  touch(*c.primary, "later", "content");
  REQUIRE(c.primary->sync().ok());
  CHECK(caught_up(*c.primary, "site"));
}

TEST_CASE("a site reads from its source while that ships, and neither waits for the other") {
  Copied c;
  const Victim victim = find_victim(c.copy());
  std::atomic<bool> stop{false};
  std::thread reader([&] {
    while (!stop) {
      spoil(c.copy(), victim);
      (void)read(c.copy(), victim);
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
  });
  fill(*c.primary, 8u << 20, 2);
  CHECK(caught_up(*c.primary, "site", std::chrono::seconds(60)));
  stop = true;
  reader.join();
  CHECK(eventually([&] { return read(c.copy(), victim).ok(); }, std::chrono::seconds(15)));
}

TEST_CASE("what the source does not have whole stays an error, and is put right when it has") {
  Copied c;
  const Victim victim = find_victim(c.copy());
  // Its own segments end elsewhere: the record is found by its seq.
  Victim own = victim;
  LogCursor cursor(c.primary->log(), victim.seq);
  const auto run = cursor.read(1, victim.seq);
  REQUIRE(run.ok());
  own.location = run->location;
  const std::string whole = bytes_of(*c.primary, own);
  spoil(*c.primary, own);
  spoil(c.copy(), victim);
  CHECK(read(c.copy(), victim).code() == Code::kCorrupt);
  std::fstream(path_of(*c.primary, own), std::ios::in | std::ios::out | std::ios::binary)
      .seekp(own.location.offset)
      .write(whole.data(), static_cast<std::streamsize>(whole.size()));
  CHECK(eventually([&] { return read(c.copy(), victim).ok(); }, std::chrono::seconds(15)));  // tried again after a pause
}

TEST_CASE("a site without a source puts a damaged record right from its own target") {
  Copied c;
  LocalSite far(options_for(c.work / "far"));
  REQUIRE((*c.site)->shipper("shop")->create({"far", far.endpoint(), "", ""}).ok());
  REQUIRE(caught_up(c.copy(), "far"));
  c.shipper->stop();
  c.shipper.reset();
  const Victim victim = find_victim(c.copy());
  const std::string before = bytes_of(c.copy(), victim);
  spoil(c.copy(), victim);
  CHECK(read(c.copy(), victim).ok());
  CHECK(bytes_of(c.copy(), victim) == before);
}

TEST_CASE("a site alone says which record is damaged, at once") {
  Copied c;
  c.shipper->stop();
  c.shipper.reset();
  const Victim victim = find_victim(c.copy());
  spoil(c.copy(), victim);
  const auto began = std::chrono::steady_clock::now();
  CHECK(read(c.copy(), victim).code() == Code::kCorrupt);
  CHECK(std::chrono::steady_clock::now() - began < std::chrono::seconds(5));
}

TEST_CASE("what a source answers is taken only where it is the record that stood there") {
  Copied c;
  c.shipper->stop();
  c.shipper.reset();
  const Victim victim = find_victim(c.copy());
  const std::string right = bytes_of(c.copy(), victim);
  spoil(c.copy(), victim);
  const std::string spoilt = bytes_of(c.copy(), victim);
  Raw raw(*c.primary, c.site->endpoint());
  Status outcome;
  std::thread reader([&] { outcome = read(c.copy(), victim); });
  const Raw::Asked asked = raw.wait_for_fetch();
  CHECK(asked.request.from == victim.seq);
  const auto say = [&](std::string_view run, uint64_t number) { raw.peer.send(encode_fetched(run, raw.session, number)); };
  SECTION("the record") {
    say(right, asked.number);
    reader.join();
    CHECK(outcome.ok());
    CHECK(bytes_of(c.copy(), victim) == right);
    return;
  }
  SECTION("nothing") { say("", asked.number); }
  SECTION("rubbish") { say(std::string(20000, 'x'), asked.number); }
  SECTION("a record with one byte changed") {
    std::string changed = right;
    changed[changed.size() / 2] = static_cast<char>(changed[changed.size() / 2] ^ 4);
    say(changed, asked.number);
  }
  SECTION("a sound record of another history") {
    Scratch other;
    auto stranger = make_primary(other / "q");
    fill(*stranger, 2u << 20, 9);
    LogCursor cursor(stranger->log(), victim.seq);
    const auto run = cursor.read(1, victim.seq);
    REQUIRE(run.ok());
    say(as_text(run->bytes), asked.number);
  }
  SECTION("more than was asked for") {
    say(std::string(kRunMax, 'x'), asked.number);
    // The question was for a MiB at most, so this is rubbish as long as that; what is longer is no message.
    CHECK(!decode_fetched(as_bytes(std::string(kRunMax + 1, 'x'))).ok());
  }
  SECTION("another question's answer ends the session") {
    say(right, asked.number + 1);
    CHECK(raw.ended().code() == Code::kInvalid);
  }
  SECTION("the connection goes") { raw.peer.send(encode_bye(raw.session)); }
  reader.join();
  CHECK(outcome.code() == Code::kCorrupt);
  CHECK(bytes_of(c.copy(), victim) == spoilt);
}

TEST_CASE("an answer that is longer than what was asked for, or comes twice, is refused") {
  Outbox outbox;
  SessionSource source(outbox);
  auto session = std::make_shared<ShipSession>();
  source.begin(session);
  const auto ask = [&](size_t bytes_max, const std::string& answer) {
    Result<std::string> got = Status(Code::kBusy, "");
    std::thread asking([&] { got = source.fetch(Seq(7), bytes_max); });
    std::deque<Outgoing> said;
    while (said.empty()) said = outbox.take_all();
    Bytes body;
    const uint64_t number = open_message(as_bytes(said.front().message), body)->request;
    CHECK(source.fetch(Seq(8), 1).status().code() == Code::kTimeout);  // one question at a time
    const Status taken = source.answer(*session, number, answer);
    if (!taken.ok()) source.end(*session);
    asking.join();
    CHECK(!source.answer(*session, number, answer).ok());
    if (taken.ok()) CHECK(*got == answer);
    if (!taken.ok()) CHECK(got.status().code() == Code::kUnreachable);
    source.begin(session);
    return taken;
  };
  CHECK(ask(1, std::string(1u << 20, 'x')).code() == Code::kInvalid);
  CHECK(ask(1u << 20, std::string(1u << 20, 'x')).ok());
  CHECK(ask(1, std::string(70'000, 'x')).ok());  // a record is whole however little is asked for
  source.stop();
  CHECK(source.fetch(Seq(7), 1).status().code() == Code::kInterrupted);
}

TEST_CASE("records that nobody has asked for end the session") {
  Copied c;
  c.shipper->stop();
  c.shipper.reset();
  Raw raw(*c.primary, c.site->endpoint());
  raw.peer.send(encode_fetched("", raw.session, 1));
  CHECK(raw.ended().code() == Code::kInvalid);
}

// A group that is read again and again: damage is found, put right where there is another copy, told where there is none.
#include "volume/check/scrub.h"
#include "log/read/cursor.h"
#include "tests/support/clocks.h"

#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <random>

#include "log/format/pack.h"
#include "log/repair/digests.h"
#include "tests/support/scratch.h"

namespace tidemark::test {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

// The log as it was before anything happened to it.
class Copy final : public RecordSource {
 public:
  explicit Copy(const std::string& directory) : log_(Log::open_read_only(posix_file_system(), directory, kLatest).value()) {}
  [[nodiscard]] std::string name() const override { return "the copy"; }
  Result<std::string> fetch(Seq next, size_t bytes_max) override {
    LogCursor cursor(*log_, next);
    TM_ASSIGN(const auto run, cursor.read(bytes_max, kLatest));
    return std::string(as_text(run.bytes));
  }
  Result<std::string> fetch_packed(Seq from, size_t bytes_max) override { return log_->read_packed(from, bytes_max); }

 private:
  std::unique_ptr<Log> log_;
};

GroupOptions options_for(std::chrono::seconds every) {
  GroupOptions options;
  options.log.segment_bytes = 256 * 1024;
  options.index_write_buffer_bytes = 64 * 1024;
  options.scrub_every = every;
  return options;
}

void write_file(Group& group, const std::string& name, size_t bytes, uint64_t seed) {
  NewNode node;
  node.mode = S_IFREG | 0644;
  const Ino ino = group.volume().make_node(kRootIno, name, node).value().ino;
  std::mt19937_64 random(seed);
  std::vector<uint64_t> words(bytes / 8);
  for (uint64_t& word : words) word = random();
  for (size_t at = 0; at < bytes; at += 64 * 1024) {
    const size_t size = std::min<size_t>(64 * 1024, bytes - at);
    REQUIRE(group.volume().write(ino, at, Bytes(reinterpret_cast<std::byte*>(words.data()) + at, size), false).ok());
  }
}

// A group with a pack and several segments, and a copy of its log.
struct Place {
  Scratch work;
  ManualClock clock;
  ScrubOptions options;
  std::string directory = work / "g";
  std::unique_ptr<Group> group;
  uint64_t bytes_read = 0;
  ScrubPace pace{clock, uint64_t{1} << 20, [this](std::chrono::nanoseconds time) {
                   clock.advance(time);
                   return Status();
                 }};

  explicit Place(std::chrono::seconds every = 24h) {
    options.clock = &clock;
    REQUIRE(Group::init(directory, {.name = "test"}, options_for(every)).ok());
    open(every);
    for (uint64_t i = 0; i < 8; ++i) write_file(*group, "file" + std::to_string(i), 200 * 1024, i);
    PruneRequest prune;
    prune.to = Seq(group->newest().value() / 2);
    REQUIRE(group->sync().ok());
    const auto pruned = group->prune(prune);
    REQUIRE(pruned.ok());
    REQUIRE(!group->log().floor().packs.empty());
    for (uint64_t i = 8; i < 12; ++i) write_file(*group, "file" + std::to_string(i), 200 * 1024, i);
    REQUIRE(group->sync().ok());
    REQUIRE(group->log().segments().size() >= 5);
    fs::copy(directory + "/log", work / "copy", fs::copy_options::recursive);
  }
  void open(std::chrono::seconds every = 24h) {
    group.reset();
    group = Group::open(directory, OpenMode::kPrimary, options_for(every)).value();
  }
  void set_source() { group->log().set_record_source(std::make_shared<Copy>(work / "copy")); }

  [[nodiscard]] std::string path(const LogPart& part) const { return directory + "/log/" + part_name(part); }
  [[nodiscard]] LogPart segment(size_t number) const { return {group->log().segments()[number].first_seq, std::nullopt}; }
  [[nodiscard]] LogPart pack() const { return {Seq(), group->log().floor().packs.front()}; }
  [[nodiscard]] std::string content(const LogPart& part) const { return read_file(posix_file_system(), path(part)).value(); }
  // More than one bit, in the middle.
  void spoil(const LogPart& part) const {
    const auto size = fs::file_size(path(part));
    std::fstream file(path(part), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(size / 2));
    file << "sixteen bad byte";
    REQUIRE(file.good());
  }
};

// Steps until nothing is due. Returns how long that lasts.
std::chrono::nanoseconds work_off(GroupScrub& scrub, ScrubPace& pace) {
  for (int i = 0; i < 10'000; ++i) {
    const auto rest = scrub.step(pace);
    INFO(rest.status().text());
    REQUIRE(rest.ok());
    if (rest->count() > 0) return *rest;
  }
  FAIL("it never rests");
  return {};
}

}  // namespace

TEST_CASE("a scrub finds what is damaged in segments and packs, and has it put right") {
  Place p;
  p.set_source();
  const std::string segment = p.content(p.segment(1));
  const std::string newest = p.content(p.segment(p.group->log().segments().size() - 1));
  const std::string pack = p.content(p.pack());
  GroupScrub scrub(*p.group, p.options);
  CHECK(work_off(scrub, p.pace) <= 1min);  // a day to go, looked at now and then
  CHECK(scrub.state().ended_ns == 0);
  p.spoil(p.segment(1));
  p.spoil(p.segment(p.group->log().segments().size() - 1));
  p.spoil(p.pack());
  p.clock.advance(24h);
  work_off(scrub, p.pace);
  CHECK(scrub.state().found == 3);
  CHECK(scrub.state().healed == 3);
  CHECK(scrub.state().damaged.empty());
  CHECK(!scrub.state().running);
  CHECK(scrub.state().ended_ns > scrub.state().began_ns);
  CHECK(scrub.state().bytes_done >= p.group->log().bytes());
  CHECK(p.content(p.segment(1)) == segment);
  CHECK(p.content(p.segment(p.group->log().segments().size() - 1)) == newest);
  CHECK(p.content(p.pack()) == pack);
  CHECK(load_scrub_state(p.directory).value() == scrub.state());
}

TEST_CASE("what nobody has whole is told by place, and looked at again") {
  Place p;
  GroupScrub scrub(*p.group, p.options);
  p.spoil(p.segment(2));
  p.spoil(p.pack());
  p.clock.advance(24h);
  work_off(scrub, p.pace);
  CHECK(scrub.state().found == 2);
  CHECK(scrub.state().healed == 0);
  REQUIRE(scrub.state().damaged.size() == 2);
  CHECK(scrub.state().damaged[0].file == part_name(p.segment(2)));
  CHECK(scrub.state().damaged[0].seq >= p.segment(2).segment);
  CHECK(scrub.state().damaged[1].file == part_name(p.pack()));
  SECTION("still in vain: it is not counted twice") {
    p.clock.advance(11min);
    work_off(scrub, p.pace);
    CHECK(scrub.state().found == 2);
    CHECK(scrub.state().damaged.size() == 2);
  }
  SECTION("a copy has come") {
    p.set_source();
    work_off(scrub, p.pace);
    CHECK(scrub.state().damaged.size() == 2);  // not before its time
    p.clock.advance(11min);
    work_off(scrub, p.pace);
    CHECK(scrub.state().damaged.empty());
    CHECK(scrub.state().healed == 2);
  }
  SECTION("somebody who read it had it put right") {
    p.set_source();
    REQUIRE(p.group->log().mend_part(p.segment(2)).ok());
    REQUIRE(p.group->log().mend_part(p.pack()).ok());
    p.clock.advance(24h);
    work_off(scrub, p.pace);
    CHECK(scrub.state().damaged.empty());
    CHECK(scrub.state().healed == 2);
  }
  SECTION("a restart remembers it") {
    GroupScrub again(*p.group, p.options);
    CHECK(again.state() == scrub.state());
  }
}

TEST_CASE("damaged headers of segments and records are found as well") {
  Place p;
  p.set_source();
  const std::string whole = p.content(p.segment(1));
  const auto overwrite = [&](std::streamoff at, std::string_view with) {
    std::fstream file(p.path(p.segment(1)), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(at);
    file << with;
  };
  SECTION("of the segment") { overwrite(16, "no group's number"); }
  SECTION("of its first record") { overwrite(64, "no header's bytes"); }
  SECTION("all from there on") { overwrite(64, std::string(whole.size() - 64, 'x')); }
  GroupScrub scrub(*p.group, p.options);
  p.clock.advance(24h);
  work_off(scrub, p.pace);
  CHECK(scrub.state().found >= 1);
  CHECK(scrub.state().damaged.empty());
  CHECK(p.content(p.segment(1)) == whole);
}

TEST_CASE("a restart goes on where the pass was") {
  Place p;
  p.options.save_every = 0s;
  {
    GroupScrub scrub(*p.group, p.options);
    p.clock.advance(24h);
    for (int i = 0; i < 3; ++i) REQUIRE(scrub.step(p.pace)->count() == 0);
    CHECK(scrub.state().running);
  }
  const LogPart passed = p.segment(0);
  const LogPart ahead = p.segment(4);
  p.spoil(ahead);
  p.spoil(passed);
  p.open();
  GroupScrub scrub(*p.group, p.options);
  CHECK(scrub.state().running);
  work_off(scrub, p.pace);
  REQUIRE(scrub.state().damaged.size() == 1);
  CHECK(scrub.state().damaged[0].file == part_name(ahead));
  CHECK(scrub.state().bytes_done < scrub.state().bytes_total * 11 / 10);
  p.clock.advance(24h);
  work_off(scrub, p.pace);
  CHECK(scrub.state().damaged.size() == 2);  // the next pass finds the other
}

TEST_CASE("a scrub keeps its rate") {
  Place p;
  GroupScrub scrub(*p.group, p.options);
  p.clock.advance(24h);
  const int64_t began = p.clock.steady_ns();
  work_off(scrub, p.pace);
  const double seconds = static_cast<double>(p.clock.steady_ns() - began) / 1e9;
  const double rate = static_cast<double>(scrub.state().bytes_done) / seconds;
  CHECK(scrub.state().bytes_done > uint64_t{1} << 20);
  CHECK(rate < 1.2 * (1 << 20));  // a burst at first
  CHECK(rate > 0.9 * (1 << 20));
}

TEST_CASE("a scrub in the middle of which history is pruned loses nothing") {
  Place p;
  GroupScrub scrub(*p.group, p.options);
  p.clock.advance(24h);
  REQUIRE(scrub.step(p.pace)->count() == 0);
  p.spoil(p.segment(2));
  PruneRequest prune;
  prune.to = Seq(p.segment(2).segment.value());
  REQUIRE(p.group->prune(prune).ok());
  work_off(scrub, p.pace);
  CHECK(scrub.state().damaged.size() == 1);
  CHECK(!scrub.state().running);
}

TEST_CASE("a scrub that is off is no work") {
  Place p(0s);
  GroupScrub scrub(*p.group, p.options);
  p.spoil(p.segment(1));
  p.clock.advance(1'000h);
  work_off(scrub, p.pace);
  CHECK(scrub.state().found == 0);
  CHECK(scrub.state().began_ns == 0);
}

TEST_CASE("the thread ends at once though it is in the middle of a pass") {
  Place p(1s);
  const auto began = std::chrono::steady_clock::now();
  {
    ScrubOptions slow;
    slow.bytes_per_second = 1'000;
    auto scrubber = Scrubber::start(slow);
    scrubber->add(*p.group);
    const auto deadline = std::chrono::steady_clock::now() + 20s;
    while (!load_scrub_state(p.directory).value().running && std::chrono::steady_clock::now() < deadline)
      std::this_thread::sleep_for(10ms);
  }
  CHECK(load_scrub_state(p.directory).value().running);
  CHECK(std::chrono::steady_clock::now() - began < 25s);
}

TEST_CASE("what is sealed gets its digest at once, what was there before with the next pass") {
  Place p(24h);
  const auto digested = [&](const LogPart& part) {
    return DigestBook::load(posix_file_system(), p.directory + "/log", p.group->log().group())
        .value()
        .find(part)
        .has_value();
  };
  const LogPart old = p.segment(1);
  const LogPart newest = p.segment(p.group->log().segments().size() - 1);
  GroupScrub scrub(*p.group, p.options);
  work_off(scrub, p.pace);
  CHECK(!digested(old));
  CHECK(!digested(newest));
  write_file(*p.group, "more", 600 * 1024, 99);
  REQUIRE(p.group->sync().ok());
  work_off(scrub, p.pace);
  CHECK(digested(newest));  // it is sealed now
  CHECK(!digested(old));
  const LogPart last = p.segment(p.group->log().segments().size() - 1);
  CHECK(!digested(last));  // it is not
  p.clock.advance(24h);
  work_off(scrub, p.pace);
  CHECK(digested(old));
  CHECK(digested(p.pack()));
  CHECK(!digested(last));
  CHECK(scrub.state().found == 0);
  PruneRequest prune;
  prune.to = Seq(p.group->newest().value() * 3 / 4);
  REQUIRE(p.group->prune(prune).ok());
  const LogPart made{Seq(), p.group->log().floor().packs.back()};
  CHECK(!digested(made));
  work_off(scrub, p.pace);
  CHECK(digested(made));
  // A restart has none anew, and those after it come at once.
  p.open();
  GroupScrub again(*p.group, p.options);
  write_file(*p.group, "still more", 600 * 1024, 100);
  REQUIRE(p.group->sync().ok());
  work_off(again, p.pace);
  CHECK(digested(last));
}

}  // namespace tidemark::test

// Damaged records put back from another copy of the log, and what must never be put anywhere.
#include "log/repair/mend.h"
#include "log/format/pack.h"

#include <iostream>

#include "log/format/record_walker.h"
#include "log/repair/verify.h"
#include "log/write/writer.h"
#include "tests/log/copy_source.h"

namespace tidemark::test {
namespace {

size_t damage_of(FaultFileSystem& files) { return must(verify_log(files, kDirectory, kLatest, nullptr)).damage.size(); }

}  // namespace

TEST_CASE("any flipped bit of a log is put right from another copy") {
  TestLog t;
  t.add(150);
  must(t.log->sync(kLatest));
  const Position newest = t.log->tail_position();
  t.log.reset();
  Copy copy(t.files);
  const auto sound = contents(t.files);
  std::mt19937_64 random(Catch::rngSeed());
  std::cout << "seed " << Catch::rngSeed() << "\n";
  for (int round = 0; round < 400; ++round) {
    const auto victim = std::next(sound.begin(), static_cast<ptrdiff_t>(random() % sound.size()));
    const uint64_t byte = random() % victim->second.size();
    const auto bit = static_cast<unsigned>(random() % 8);
    t.files.flip_bit(kDirectory + "/" + victim->first, byte, bit);
    INFO(victim->first << " byte " << byte << " bit " << bit);
    REQUIRE(damage_of(t.files) > 0);
    const Outcome outcome = mend(t.files, copy, random() % 2 == 0 ? newest : Position());
    REQUIRE(outcome.mended == 1);
    REQUIRE(outcome.left == 0);
    REQUIRE(contents(t.files) == sound);
  }
}

TEST_CASE("a stretch of many damaged records is put right, in one segment and in several") {
  TestLog t;
  const auto all = t.add(150);
  must(t.log->sync(kLatest));
  t.log.reset();
  Copy copy(t.files);
  const auto sound = contents(t.files);
  for (size_t i = 30; i < 70; ++i) {
    t.files.overwrite(segment_path(kDirectory, Seq(all[i].location.segment)), all[i].location.offset + 5, "damage");
  }
  CHECK(mend(t.files, copy).left == 0);
  CHECK(contents(t.files) == sound);
}

TEST_CASE("what does not belong here is not written") {
  const uint32_t byte = GENERATE(20u, 100u);  // of the record's header, of its payload
  TestLog t;
  const auto all = t.add(60);
  must(t.log->sync(kLatest));
  t.log.reset();
  Copy copy(t.files);
  const std::string path = segment_path(kDirectory, Seq(all[20].location.segment));
  SECTION("a copy that is damaged itself") {
    copy.spoil = [](std::string& records) { records[80] ^= 1; };
  }
  SECTION("records of another history") {
    TestLog other;
    other.clock.now += 1'000'000;
    other.add(60);
    must(other.log->sync(kLatest));
    other.log.reset();
    auto strange = std::make_shared<Copy>(other.files);
    copy.spoil = [strange](std::string& records) {
      RecordHeader first;
      REQUIRE(decode_header(as_bytes(records), first) == RecordFault::kNone);
      records = must(strange->fetch(first.seq, records.size()));
    };
  }
  SECTION("nothing") {
    copy.spoil = [](std::string& records) { records.clear(); };
  }
  SECTION("the right records, cut") {
    copy.spoil = [](std::string& records) { records.resize(records.size() > 100 ? 100 : 0); };
  }
  t.files.flip_bit(path, all[20].location.offset + byte, 3);
  const auto damaged = contents(t.files);
  const Outcome outcome = mend(t.files, copy);
  CHECK(outcome.mended == 0);
  CHECK(outcome.left == 1);
  CHECK(contents(t.files) == damaged);
}

TEST_CASE("an open log repairs what a read comes upon") {
  TestLog t;
  const auto all = t.add(150);
  must(t.log->sync(kLatest));
  auto copy = std::make_shared<Copy>(t.files);
  const Appended& victim = all[20];
  const std::string path = segment_path(kDirectory, Seq(victim.location.segment));
  const std::string sound = t.files.content(path);
  t.files.flip_bit(path, victim.location.offset + 100, 0);
  Buffer storage;
  CHECK(t.log->mend(victim.location).code() == Code::kNotFound);  // nobody to ask
  CHECK(t.log->read_record(victim.location, storage).status().code() == Code::kCorrupt);
  t.log->set_record_source(copy);
  must(t.log->mend(victim.location));
  CHECK(t.files.content(path) == sound);
  CHECK(must(t.log->read_record(victim.location, storage)).header == victim.header);

  SECTION("a cursor does so by itself, in the last segment as well") {
    t.files.flip_bit(path, victim.location.offset + 30, 0);
    t.files.flip_bit(segment_path(kDirectory, Seq(all[149].location.segment)), all[149].location.offset + 90, 0);
    CHECK(read_all(*t.log, Seq(1)).size() == 150);
  }
  SECTION("a segment that could not be repaired is left alone for a while") {
    copy->spoil = [](std::string& records) { records.clear(); };
    t.files.flip_bit(path, victim.location.offset + 30, 0);
    CHECK(!t.log->mend(victim.location).ok());
    const int asked = copy->asked;
    for (int i = 0; i < 10; ++i) CHECK(!t.log->mend(victim.location).ok());
    CHECK(copy->asked == asked);
  }
  SECTION("and it goes on being appended to") {
    t.files.flip_bit(segment_path(kDirectory, Seq(all[149].location.segment)), all[149].location.offset + 90, 0);
    t.add(20);
    must(t.log->mend(all[149].location));
    CHECK(read_all(*t.log, Seq(1)).size() == 170);
  }
}

namespace {

// A log whose older records lie in packs, as a prune leaves it, and what it was before that.
struct Pruned {
  TestLog t;
  Content content;
  std::unique_ptr<Copy> whole;   // a copy that was not pruned
  std::unique_ptr<Copy> pruned;  // one that was
  std::map<std::string, std::string> sound;
  Floor floor;

  Pruned() {
    note(*t.log, t.add(200), content);
    must(t.log->sync(kLatest));
    whole = std::make_unique<Copy>(t.files);
    must(t.log->retire(order_to(Seq(150), content)));
    pruned = std::make_unique<Copy>(t.files);
    floor = t.log->floor();
    sound = contents(t.files);
  }
  [[nodiscard]] std::string pack(size_t number) const { return pack_path(kDirectory, floor.packs.at(number)); }
  // Where record `seq` lies in its pack.
  PackEntry entry(Seq seq) {
    PackSet packs(t.files, kDirectory);
    packs.replace(floor);
    return must(packs.find(content[seq].location)).entry;
  }
  // Where its first table begins: behind the last record.
  uint64_t table_at(const PackInfo& info) {
    const auto last = must(must(Pack::open(t.files, kDirectory, info, test_group()))->entries_from(info.entries - 1));
    return last.back().at + last.back().size;
  }
  std::string pack_of(Seq seq) {
    PackSet packs(t.files, kDirectory);
    packs.replace(floor);
    return pack_path(kDirectory, must(packs.find(content[seq].location)).pack->info());
  }
};

}  // namespace

TEST_CASE("any flipped bit of a pack's records is put right from another copy, pruned or not") {
  Pruned p;
  std::mt19937_64 random(Catch::rngSeed());
  std::cout << "seed " << Catch::rngSeed() << "\n";
  std::vector<Seq> packed;
  for (const auto& [seq, written] : p.content) {
    if (needed(seq) && seq < p.t.log->first()) packed.push_back(seq);
  }
  REQUIRE(packed.size() > 30);
  for (int round = 0; round < 300; ++round) {
    const Seq seq = packed[random() % packed.size()];
    const PackEntry entry = p.entry(seq);
    const uint64_t byte = random() % (random() % 2 == 0 ? kRecordHeaderSize : entry.size);
    const auto bit = static_cast<unsigned>(random() % 8);
    p.t.files.flip_bit(p.pack_of(seq), entry.at + byte, bit);
    INFO("record " << seq.value() << " byte " << byte << " bit " << bit);
    REQUIRE(damage_of(p.t.files) > 0);
    const Outcome outcome = mend(p.t.files, random() % 2 == 0 ? *p.whole : *p.pruned);
    REQUIRE(outcome.mended == 1);
    REQUIRE(outcome.left == 0);
    REQUIRE(contents(p.t.files) == p.sound);
  }
}

TEST_CASE("a record of a pack whose damaged seq is that of a neighbour is put right all the same") {
  Pruned p;
  p.t.files.flip_bit(p.pack_of(Seq(90)), p.entry(Seq(90)).at + 16, 1);  // 88
  const Outcome outcome = mend(p.t.files, *p.whole);
  CHECK(outcome.mended == 1);
  CHECK(outcome.left == 0);
  CHECK(contents(p.t.files) == p.sound);
}

TEST_CASE("a record of a pack of which nothing is left is put back where only one can have stood there") {
  Pruned p;
  const PackEntry entry = p.entry(Seq(60));
  p.t.files.overwrite(p.pack_of(Seq(60)), entry.at, std::string(kRecordHeaderSize + 40, '!'));
  SECTION("a pruned copy has one between its neighbours") {
    const Outcome outcome = mend(p.t.files, *p.pruned);
    CHECK(outcome.mended == 1);
    CHECK(outcome.left == 0);
    CHECK(contents(p.t.files) == p.sound);
  }
  SECTION("another has five of that length") {
    const auto damaged = contents(p.t.files);
    const Outcome outcome = mend(p.t.files, *p.whole);
    CHECK(outcome.mended == 0);
    CHECK(outcome.left == 1);
    CHECK(contents(p.t.files) == damaged);
  }
}

TEST_CASE("what a neighbour's bytes were written over is put back as it was, or left") {
  Pruned p;
  const PackEntry entry = p.entry(Seq(60));
  const std::string path = p.pack_of(Seq(60));
  const std::string original = p.content[Seq(60)].whole;
  const std::string neighbour = p.content[Seq(61)].whole;
  REQUIRE(neighbour.size() == original.size());
  std::string there = original;
  const auto take = [&](size_t from, size_t to) { there.replace(from, to - from, neighbour, from, to - from); };
  bool known = true;
  SECTION("its payload, and what is before that is spoilt") {
    take(kRecordHeaderSize, there.size());
    there[63] ^= 1;
    there[62] ^= 1;
  }
  SECTION("its payload and the seq, and the chain is spoilt") {
    take(kRecordHeaderSize, there.size());
    take(16, 24);
    there[60] ^= 8;
  }
  SECTION("its payload, and the header is gone") {
    take(kRecordHeaderSize, there.size());
    there.replace(0, kRecordHeaderSize, kRecordHeaderSize, '\0');
    known = false;
  }
  SECTION("the beginning of its header") {
    take(0, 40);
    known = false;
  }
  SECTION("the end of its header") {
    take(40, there.size());
    known = false;
  }
  p.t.files.overwrite(path, entry.at, there);
  const Outcome outcome = mend(p.t.files, *p.whole);
  CHECK(outcome.left == (known ? 0 : 1));
  CHECK(p.t.files.content(path).substr(entry.at, entry.size) == (known ? original : there));
}

TEST_CASE("a header that is sound but of another place is not believed") {
  Pruned p;
  const PackEntry entry = p.entry(Seq(60));
  const std::string path = p.pack_of(Seq(60));
  std::string there = p.content[Seq(90)].whole;
  REQUIRE(there.size() == entry.size);
  SECTION("and its payload is not") {
    there[100] ^= 1;
    p.t.files.overwrite(path, entry.at, there);
    CHECK(damage_of(p.t.files) == 1);
  }
  SECTION("and neither is a whole record") {
    p.t.files.overwrite(path, entry.at, there);
    CHECK(damage_of(p.t.files) == 1);  // the one behind it
  }
  (void)mend(p.t.files, *p.whole);
  CHECK(p.t.files.content(path).substr(entry.at, entry.size) == there);
}

TEST_CASE("records of a pack that are gone side by side are put back by a copy that has as many") {
  Pruned p;
  for (const Seq seq : {Seq(60), Seq(63)}) {
    p.t.files.overwrite(p.pack_of(seq), p.entry(seq).at, std::string(kRecordHeaderSize + 40, '!'));
  }
  SECTION("as many") {
    CHECK(mend(p.t.files, *p.pruned).left == 0);
    CHECK(contents(p.t.files) == p.sound);
  }
  SECTION("not one that has dropped the first of them") {
    p.pruned->spoil = [](std::string& records) {
      std::string kept;
      must(walk_headers(as_bytes(records), [&](const RecordView& record) {
        if (record.header.seq != Seq(60)) kept += as_text(record.whole);
        return Status();
      }));
      records = kept;
    };
    const auto damaged = contents(p.t.files);
    CHECK(mend(p.t.files, *p.pruned).left == 1);
    CHECK(contents(p.t.files) == damaged);
  }
}

TEST_CASE("a copy whose packs end beside the damage may have more in its segments, and is not taken for whole") {
  Pruned p;
  // It has record 58 in a pack, which we dropped; where its segments begin it is not asked for.
  class Ending final : public RecordSource {
   public:
    explicit Ending(Pruned& p) : p_(p) {}
    [[nodiscard]] std::string name() const override { return "a copy"; }
    Result<std::string> fetch(Seq next, size_t bytes_max) override {
      if (next != p_.floor.base.seq) return Status(Code::kNotFound, "not held");
      return p_.whole->fetch(next, bytes_max);
    }
    Result<std::string> fetch_packed(Seq from, size_t) override {
      return from <= Seq(58) ? p_.content[Seq(58)].whole : std::string();
    }

   private:
    Pruned& p_;
  } copy(p);
  REQUIRE(p.content[Seq(58)].whole.size() == p.entry(Seq(60)).size);
  p.t.files.overwrite(p.pack_of(Seq(60)), p.entry(Seq(60)).at, std::string(kRecordHeaderSize + 40, '!'));
  const auto damaged = contents(p.t.files);
  CHECK(mend(p.t.files, copy).left == 1);
  CHECK(contents(p.t.files) == damaged);
}

TEST_CASE("a record of a gap's pack is put right, the first as well, however far from the next") {
  TestLog t(quiet_options(1 << 20));
  Content content;
  note(*t.log, t.add(400), content);
  must(t.log->sync(kLatest));
  Copy whole(t.files);
  // As a difference leaves it: addresses are not seqs. docs/LOG_FORMAT.md, Gaps.
  const uint64_t from = 20;
  FaultFileSystem files;
  must(files.make_directory(kDirectory));
  auto writer = must(PackWriter::create(files, kDirectory, test_group(), Seq(from + kGapGroupRecords), Seq(390)));
  const std::vector<uint64_t> seqs{21, 30, 200, 300, 380};
  for (const uint64_t seq : seqs) {
    const uint64_t number = seq - from - 1;
    const uint64_t group = from + (number / kGapGroupRecords + 1) * kGapGroupRecords;
    const Location address{std::min<uint64_t>(group, 390), static_cast<uint32_t>(64 + number % kGapGroupRecords * 8)};
    must(writer->add(address, as_bytes(content[Seq(seq)].whole)));
  }
  const PackInfo info = must(writer->finish(Seq(391)));
  Floor floor;
  floor.group = test_group();
  floor.base = must(t.log->position_at(Seq(10)));
  floor.packs = {info};
  floor.gaps = {{must(t.log->position_at(Seq(from))), must(t.log->position_at(Seq(390))), 0}};
  const std::string path = pack_path(kDirectory, info);
  const std::string sound = files.content(path);
  uint64_t at = kPackHeaderSize;
  for (const uint64_t seq : seqs) {
    INFO("record " << seq);
    for (size_t bit = 0; bit < kRecordHeaderSize * 8; ++bit) {
      files.flip_bit(path, at + bit / 8, static_cast<unsigned>(bit % 8));
      const MendReport report = must(mend_pack(files, kDirectory, info, floor, whole));
      must(report.left);
      REQUIRE(report.mended.size() == 1);
      REQUIRE(files.content(path) == sound);
    }
    files.overwrite(path, at, std::string(40, '!'));  // the chain still says which it is
    must(must(mend_pack(files, kDirectory, info, floor, whole)).left);
    REQUIRE(files.content(path) == sound);
    at += content[Seq(seq)].whole.size();
  }
}

TEST_CASE("a pack's header and table are put right without another copy, and nobody waits for that") {
  Pruned p;
  p.t.log.reset();
  p.pruned->spoil = [](std::string& records) { records.clear(); };
  for (const PackInfo& info : p.floor.packs) {
    const std::string path = pack_path(kDirectory, info);
    const std::string sound = p.t.files.content(path);
    const uint64_t size = sound.size();
    const uint64_t tables = size - p.table_at(info);
    for (uint64_t byte = 0; byte < size; byte = byte + 1 == kPackHeaderSize ? size - tables : byte + 1) {
      INFO(path << " byte " << byte);
      p.t.files.flip_bit(path, byte, static_cast<unsigned>(byte % 8));
      REQUIRE(damage_of(p.t.files) == 1);
      const auto log = must(LogWriter::open(p.t.files, p.t.clock, kDirectory, quiet_options(), Seq(), nullptr));
      Buffer storage;
      for (const auto& [seq, written] : p.content) {
        if (seq == info.first || !needed(seq)) continue;
        REQUIRE(as_text(must(log->read_record(written.location, storage)).whole) == written.whole);
      }
      REQUIRE(mend(p.t.files, *p.pruned).left == 0);
      REQUIRE((p.t.files.content(path) == sound));
    }
  }
  SECTION("not where both tables are damaged") {
    const std::string path = p.pack(0);
    const uint64_t size = p.t.files.content(path).size();
    p.t.files.flip_bit(path, size - 1, 0);
    p.t.files.flip_bit(path, p.table_at(p.floor.packs[0]) + 10, 0);
    REQUIRE(damage_of(p.t.files) == 1);
    CHECK(mend(p.t.files, *p.whole).left == 1);
    Buffer storage;
    const auto log = must(LogWriter::open(p.t.files, p.t.clock, kDirectory, quiet_options(), Seq(), nullptr));
    CHECK(log->read_record(p.content[Seq(3)].location, storage).status().code() == Code::kCorrupt);
  }
}

TEST_CASE("a floor of which one copy is damaged is read from the other, and written anew by whoever writes") {
  Pruned p;
  p.t.log.reset();
  const std::string path = floor_path(kDirectory);
  const size_t size = p.sound["floor"].size();
  REQUIRE(size > 4096);
  for (size_t byte = 0; byte < size; ++byte) {
    INFO("byte " << byte);
    p.t.files.flip_bit(path, byte, static_cast<unsigned>(byte % 8));
    REQUIRE(damage_of(p.t.files) == 1);
    bool damaged = false;
    REQUIRE(must(read_floor(p.t.files, kDirectory, &damaged)) == p.floor);
    REQUIRE(damaged);
    must(Log::open_read_only(p.t.files, kDirectory, Seq(200)));
    (void)must(LogWriter::open(p.t.files, p.t.clock, kDirectory, quiet_options(), Seq(), nullptr));
    REQUIRE((p.t.files.content(path) == p.sound["floor"]));
  }
  SECTION("one that stands there once, as it used to") {
    p.t.files.set_content(path, encode_floor(p.floor));
    bool damaged = true;
    CHECK(must(read_floor(p.t.files, kDirectory, &damaged)) == p.floor);
    CHECK(!damaged);
    p.t.files.flip_bit(path, 50, 3);
    CHECK(read_floor(p.t.files, kDirectory).status().code() == Code::kCorrupt);
  }
  SECTION("both") {
    p.t.files.flip_bit(path, 50, 3);
    p.t.files.flip_bit(path, 4096 + 50, 4);
    CHECK(read_floor(p.t.files, kDirectory).status().code() == Code::kCorrupt);
    const auto log = must(Log::open_damaged(p.t.files, kDirectory, Position()));
    Buffer storage;
    CHECK(log->read_record(p.content[Seq(3)].location, storage).status().code() == Code::kCorrupt);
  }
}

TEST_CASE("what does not belong into a pack is not written") {
  const uint64_t byte = GENERATE(20u, 100u);  // of the record's header, of its payload
  Pruned p;
  std::unique_ptr<Copy> other;
  Copy* copy = p.pruned.get();
  SECTION("a copy that is damaged itself") {
    copy->spoil = [](std::string& records) { records[80] ^= 1; };
  }
  SECTION("another history") {
    TestLog strange;
    strange.clock.now += 1'000'000;
    strange.add(200);
    must(strange.log->sync(kLatest));
    other = std::make_unique<Copy>(strange.files);
    copy = other.get();
  }
  SECTION("nothing") {
    copy->spoil = [](std::string& records) { records.clear(); };
  }
  SECTION("the right records, cut") {
    copy->spoil = [](std::string& records) { records.resize(std::min<size_t>(records.size(), 100)); };
  }
  SECTION("other records of the same log") {
    p.whole->spoil = [&](std::string& records) { records = p.content[Seq(61)].whole; };
    copy = p.whole.get();
  }
  p.t.files.flip_bit(p.pack_of(Seq(60)), p.entry(Seq(60)).at + byte, 3);
  const auto damaged = contents(p.t.files);
  const Outcome outcome = mend(p.t.files, *copy);
  CHECK(outcome.mended == 0);
  CHECK(outcome.left == 1);
  CHECK(contents(p.t.files) == damaged);
}

TEST_CASE("an open log repairs what a read comes upon in a pack") {
  Pruned p;
  const Written& victim = p.content[Seq(60)];
  p.t.files.flip_bit(p.pack_of(Seq(60)), p.entry(Seq(60)).at + 100, 0);
  Buffer storage;
  CHECK(p.t.log->read_record(victim.location, storage).status().code() == Code::kCorrupt);
  CHECK(p.t.log->read_packed(Seq(60), 1).status().code() == Code::kCorrupt);
  p.t.log->set_record_source(std::shared_ptr<RecordSource>(std::move(p.pruned)));
  must(p.t.log->mend(victim.location));
  CHECK(as_text(must(p.t.log->read_record(victim.location, storage)).whole) == victim.whole);
  CHECK(contents(p.t.files) == p.sound);
}

TEST_CASE("what packs hold is read in order, from any record on") {
  Pruned p;
  std::string rest;
  for (const auto& [seq, written] : p.content) {
    if (needed(seq) && seq < p.t.log->first()) rest += written.whole;
  }
  for (Seq from(1); from < p.t.log->first(); from = from.next()) {
    CHECK(must(p.t.log->read_packed(from, SIZE_MAX)) == rest);
    const std::string some = must(p.t.log->read_packed(from, 1500));
    CHECK((rest.empty() ? some.empty() : rest.starts_with(some) && !some.empty() && some.size() <= 1500));
    if (needed(from)) rest.erase(0, p.content[from].whole.size());
  }
  CHECK(must(p.t.log->read_packed(p.t.log->first(), SIZE_MAX)).empty());
}

TEST_CASE("a damaged log can be read as far as it goes") {
  TestLog t;
  const auto all = t.add(150);
  must(t.log->sync(kLatest));
  const Position newest = t.log->tail_position();
  const Position early = must(t.log->position_at(Seq(10)));
  t.log.reset();
  const Appended& victim = all[149];
  t.files.flip_bit(segment_path(kDirectory, Seq(victim.location.segment)), victim.location.offset + 100, 0);
  t.files.flip_bit(segment_path(kDirectory, Seq(all[60].location.segment)), 20, 0);  // a segment's header
  REQUIRE(!LogWriter::open(t.files, t.clock, kDirectory, quiet_options(), newest.seq, nullptr).ok());
  Buffer storage;

  const auto whole = must(Log::open_damaged(t.files, kDirectory, newest));
  CHECK(whole->tail_position() == newest);
  CHECK(must(whole->read_record(all[0].location, storage)).header == all[0].header);
  CHECK(must(whole->read_record(all[60].location, storage)).header == all[60].header);
  CHECK(must(whole->read_record(all[148].location, storage)).header == all[148].header);
  CHECK(whole->read_record(victim.location, storage).status().code() == Code::kCorrupt);

  // What follows a known record is taken as far as the order is unbroken.
  CHECK(must(Log::open_damaged(t.files, kDirectory, early))->appended() == Seq(149));
  CHECK(must(Log::open_damaged(t.files, kDirectory, Position()))->appended() == Seq(149));
  const auto rest = must(Log::open_damaged(t.files, kDirectory, early));
  CHECK(read_all(*rest, Seq(11)).size() == 139);
  // A record that is not of this history is no place to go on from.
  CHECK(must(Log::open_damaged(t.files, kDirectory, {Epoch(1), Seq(10), 7}))->appended() == Seq(10));
}

}  // namespace tidemark::test

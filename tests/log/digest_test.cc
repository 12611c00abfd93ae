// Digests of sealed parts: what has the right sums and is not what stood there is put nowhere, and found where somebody put it.
#include "log/read/cursor.h"
#include "log/repair/digests.h"

#include "base/hash.h"
#include "log/format/pack.h"
#include "log/repair/mend.h"
#include "log/repair/verify.h"
#include "tests/log/log_fixture.h"

namespace tidemark::test {
namespace {

const std::string kDigests = kDirectory + "/digests";

// Two payloads with one sum. In its long form XXH3 adds to each accumulator the products of the halves of words, masked by a secret, and
// to its neighbour the words themselves. Where the lower half is the secret's the product is nothing, whatever the upper half is, so two
// such words of one lane may exchange their upper halves.
struct Twins {
  std::string right = numbered(4711, 3000);
  std::string forged;

  Twins() {
    constexpr size_t kFirstAt = 2 * 64;  // stripe 2, lane 0: the secret's bytes from 2 · 8 on
    constexpr size_t kSecondAt = 5 * 64;
    const auto put = [](std::string& text, size_t at, uint32_t low, uint32_t high) {
      store_le(reinterpret_cast<std::byte*>(text.data()) + at, low);
      store_le(reinterpret_cast<std::byte*>(text.data()) + at + 4, high);
    };
    put(right, kFirstAt, 0xe96dd4deu, 0x0000cafeu);
    put(right, kSecondAt, 0x7dd05a82u, 0x0000f00du);
    forged = right;
    put(forged, kFirstAt, 0xe96dd4deu, 0x0000f00du);
    put(forged, kSecondAt, 0x7dd05a82u, 0x0000cafeu);
  }
};

// Another copy; a lying one has the forged payload in the place of the right one.
class Copy final : public RecordSource {
 public:
  Copy(const FaultFileSystem& files, const Twins& twins, bool lies)
      : files_(files.after_exit()), twins_(twins), lies_(lies) {
    log_ = must(Log::open_read_only(*files_, kDirectory, kLatest));
  }
  [[nodiscard]] std::string name() const override { return lies_ ? "the liar" : "the copy"; }
  Result<std::string> fetch(Seq next, size_t bytes_max) override {
    if (next > log_->appended()) return std::string();
    LogCursor cursor(*log_, next);
    TM_ASSIGN(const auto run, cursor.read(bytes_max, kLatest));
    return told(std::string(as_text(run.bytes)));
  }
  Result<std::string> fetch_packed(Seq from, size_t bytes_max) override {
    TM_ASSIGN(std::string records, log_->read_packed(from, bytes_max));
    return told(std::move(records));
  }

 private:
  [[nodiscard]] std::string told(std::string records) const {
    const size_t at = records.find(twins_.right);
    if (lies_ && at != std::string::npos) records.replace(at, twins_.right.size(), twins_.forged);
    return records;
  }
  const std::unique_ptr<FaultFileSystem> files_;
  const Twins& twins_;
  const bool lies_;
  std::unique_ptr<Log> log_;
};

void digest_all(Log& log) {
  const auto no_wait = [](uint64_t) { return Status(); };
  for (const SegmentInfo& segment : log.segments()) {
    CHECK(must(log.check({segment.first_seq, std::nullopt}, log.durable(), true, no_wait)).empty());
  }
  const Floor floor = log.floor();
  for (const PackInfo& pack : floor.packs) CHECK(must(log.check({Seq(), pack}, log.durable(), true, no_wait)).empty());
}

enum class Where { kSegment, kPack, kAdopted };

// A log with the right payload in the middle of it; pruned: in a pack, or in an adopted segment.
struct Sealed {
  Twins twins;
  TestLog t;
  Seq victim;
  LogPart part;
  std::shared_ptr<RecordSource> honest;
  std::shared_ptr<RecordSource> liar;

  explicit Sealed(Where where) : t(quiet_options(where == Where::kAdopted ? 65'536 : 8192)) {
    Content content;
    note(*t.log, t.add(30), content);
    const RecordDraft draft = make_draft(RecordType::kSetXattr, 1, Ino(7), twins.right);
    // A prune keeps every third record.
    while (!needed(t.log->appended().next())) note(*t.log, t.add(1), content);
    const auto made = must(t.log->append({&draft, 1}, Epoch(1)));
    note(*t.log, made, content);
    victim = made.front().header.seq;
    part.segment = Seq(made.front().location.segment);
    note(*t.log, t.add(where == Where::kAdopted ? 120 : 60), content);
    must(t.log->sync(kLatest));
    honest = std::make_shared<Copy>(t.files, twins, false);
    liar = std::make_shared<Copy>(t.files, twins, true);
    if (where == Where::kSegment) return;
    if (where == Where::kAdopted) t.files.set_capacity(t.files.taken() + (20 << 10));
    must(t.log->retire(order_to(t.log->appended(), content)));
    const Seq home = part.segment;
    const Floor floor = t.log->floor();
    for (const PackInfo& pack : floor.packs) {
      if (pack.first <= home && home < pack.end) part = {Seq(), pack};
    }
    REQUIRE(part.pack);
    REQUIRE((part.pack->adopted != 0) == (where == Where::kAdopted));
    t.files.set_capacity(UINT64_MAX);
    REQUIRE(victim_at() != std::string::npos);
    honest = std::make_shared<Copy>(t.files, twins, false);
    liar = std::make_shared<Copy>(t.files, twins, true);
  }
  [[nodiscard]] std::string path() const {
    return part.pack ? records_path(kDirectory, *part.pack) : segment_path(kDirectory, part.segment);
  }
  [[nodiscard]] std::string content() const { return t.files.content(path()); }
  [[nodiscard]] size_t victim_at() const { return content().find(twins.right); }
  void spoil() { t.files.overwrite(path(), victim_at() + 1000, "sixteen bad byte"); }
  std::vector<LogDamage> verify() { return must(verify_log(t.files, kDirectory, kLatest, nullptr)).damage; }
};

}  // namespace

TEST_CASE("one sum, two payloads") {
  const Twins twins;
  CHECK(twins.right != twins.forged);
  CHECK(hash64(as_bytes(twins.right)) == hash64(as_bytes(twins.forged)));
}

TEST_CASE("a forged record with the right sum is refused where the part has a digest, and taken where it has none") {
  const Where where = GENERATE(Where::kSegment, Where::kPack, Where::kAdopted);
  const bool digests = GENERATE(true, false);
  Sealed s(where);
  if (digests) digest_all(*s.t.log);
  const std::string whole = s.content();
  s.spoil();
  const std::string spoilt = s.content();
  s.t.log->set_record_source(s.liar);
  if (!digests) {
    must(s.t.log->mend_part(s.part));
    CHECK(s.content().find(s.twins.forged) != std::string::npos);  // which is why there are digests
    return;
  }
  CHECK(s.t.log->mend_part(s.part).code() == Code::kCorrupt);
  CHECK(s.content() == spoilt);
  SECTION("an honest copy is still welcome") {
    s.t.log->set_record_source(s.honest);
    must(s.t.log->mend_part(s.part));
    CHECK(s.content() == whole);
  }
  SECTION("the one that is asked next, too") {
    s.t.log->set_record_sources({s.liar, s.honest});
    must(s.t.log->mend_part(s.part));
    CHECK(s.content() == whole);
  }
  SECTION("verify --repair, with nobody at it") {
    s.t.log.reset();
    size_t left = 0;
    const auto told = [&](const std::string&, const MendReport& report) { left += !report.left.ok(); };
    must(mend_log(s.t.files, kDirectory, test_group(), {}, false, *s.liar, told));
    CHECK(left == 1);
    CHECK(s.content() == spoilt);
    left = 0;
    must(mend_log(s.t.files, kDirectory, test_group(), {}, false, *s.honest, told));
    CHECK(left == 0);
    CHECK(s.content() == whole);
  }
}

TEST_CASE("what was forged before anybody looked is found by its digest, and by nothing else") {
  Sealed s(GENERATE(Where::kSegment, Where::kPack, Where::kAdopted));
  digest_all(*s.t.log);
  CHECK(s.verify().empty());
  s.t.files.overwrite(s.path(), s.victim_at(), s.twins.forged);
  const auto found = s.verify();
  REQUIRE(found.size() == 1);
  CHECK(found[0].fault == RecordFault::kForged);
  CHECK(found[0].segment == part_name(s.part));
  const auto checked = must(s.t.log->check(s.part, s.t.log->durable(), true, [](uint64_t) { return Status(); }));
  REQUIRE(checked.size() == 1);
  CHECK(checked[0].fault == RecordFault::kForged);
  must(s.t.files.remove(kDigests));
  CHECK(s.verify().empty());
}

TEST_CASE("a damaged segment header needs no digest, and with several damaged records it is all or nothing") {
  Sealed s(Where::kSegment);
  digest_all(*s.t.log);
  const std::string whole = s.content();
  s.spoil();
  s.t.files.overwrite(s.path(), 20, "nothing of a header");
  s.t.log->set_record_source(s.liar);
  CHECK(s.t.log->mend_part(s.part).ok());  // the header
  CHECK(s.content().substr(0, 64) == whole.substr(0, 64));
  CHECK(s.content() != whole);
  s.t.log->set_record_source(s.honest);
  must(s.t.log->mend_part(s.part));
  CHECK(s.content() == whole);
}

TEST_CASE("a part that is damaged while it is checked gets no digest, and once it is whole again the right one") {
  TestLog t;
  t.add(60);
  must(t.log->sync(kLatest));
  const auto part = t.log->undigested([](const LogPart&) { return true; });
  REQUIRE(part);
  const std::string path = segment_path(kDirectory, part->segment);
  const std::string whole = t.files.content(path);
  // It has been read by then, and was sound.
  bool spoilt = false;
  const auto spoil = [&](uint64_t) {
    if (!std::exchange(spoilt, true)) t.files.flip_bit(path, 200, 3);
    return Status();
  };
  CHECK(must(t.log->check(*part, t.log->durable(), false, spoil)).empty());
  CHECK(t.log->undigested([](const LogPart&) { return true; })->segment == part->segment);
  CHECK(t.log->newest_digest() == Seq());
  t.files.overwrite(path, 0, whole);
  const auto no_wait = [](uint64_t) { return Status(); };
  CHECK(must(t.log->check(*part, t.log->durable(), false, no_wait)).empty());
  CHECK(t.log->newest_digest() == part->segment);
  CHECK(must(t.log->check(*part, t.log->durable(), false, no_wait)).empty());
}

TEST_CASE("digests outlive a restart, power failures and damage of their own") {
  Sealed s(GENERATE(Where::kPack, Where::kAdopted));
  digest_all(*s.t.log);
  const auto load = [](FileSystem& files) { return must(DigestBook::load(files, kDirectory, test_group())); };
  const auto segments = s.t.log->segments();
  const LogPart last{segments.back().first_seq, std::nullopt};
  CHECK(!load(s.t.files).find(last));  // it goes on
  SECTION("power fails") {
    const auto after = s.t.files.after_crash(7);
    CHECK(load(*after).find(s.part));
  }
  SECTION("an entry is damaged") {
    DigestBook book = load(s.t.files);
    must(book.add(s.t.files, kDirectory, last, {1, Digest{}}));
    CHECK(load(s.t.files).find(last));
    s.t.files.flip_bit(kDigests, s.t.files.content(kDigests).size() - 10, 3);
    CHECK(!load(s.t.files).find(last));
    CHECK(load(s.t.files).find(s.part));
    book = load(s.t.files);
    must(book.add(s.t.files, kDirectory, last, {2, Digest{}}));
    CHECK(load(s.t.files).find(last)->bytes == 2);
  }
  SECTION("a write is torn") {
    s.t.files.set_content(kDigests, s.t.files.content(kDigests) + std::string(30, 'x'));
    DigestBook book = load(s.t.files);
    must(book.add(s.t.files, kDirectory, last, {1, Digest{}}));
    CHECK(load(s.t.files).find(last)->bytes == 1);
  }
  SECTION("another group's, or none at all, is none") {
    GroupId other = test_group();
    other[3] = std::byte{99};
    CHECK(!must(DigestBook::load(s.t.files, kDirectory, other)).find(s.part));
    s.t.files.flip_bit(kDigests, 20, 1);
    DigestBook book = load(s.t.files);
    CHECK(!book.find(s.part));
    must(book.add(s.t.files, kDirectory, s.part, {1, Digest{}}));
    CHECK(load(s.t.files).find(s.part));
  }
  SECTION("of parts that are gone most are forgotten") {
    DigestBook book = load(s.t.files);
    for (uint64_t i = 0; i < 1'100; ++i)
      must(book.add(s.t.files, kDirectory, {Seq(i % 50 + 1), std::nullopt}, {i, Digest{}}));
    must(book.tidy(s.t.files, kDirectory, Seq(40), s.t.log->floor().packs));
    CHECK(s.t.files.content(kDigests).size() < 2'000);
    CHECK(!load(s.t.files).find({Seq(39), std::nullopt}));
    CHECK(load(s.t.files).find({Seq(40), std::nullopt}));
    CHECK(load(s.t.files).find(s.part));
    must(book.add(s.t.files, kDirectory, last, {3, Digest{}}));
    CHECK(load(s.t.files).find(last)->bytes == 3);
  }
}

}  // namespace tidemark::test

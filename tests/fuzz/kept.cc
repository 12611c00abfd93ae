// What is kept of pruned history: floors, packs, files of rows. Sums are put right, so that they are no wall. A pack is repaired from a copy
// that is honest (it may have been pruned more, or less) and from one that is not: the honest one leaves every record that was damaged in
// one place as it was or as it was found.
#include <algorithm>
#include <map>
#include <set>

#include "base/hash.h"
#include "log/format/pack.h"
#include "log/repair/mend.h"
#include "log/repair/pack_verify.h"
#include "log/repair/verify.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/fault_file.h"
#include "volume/index/row_file.h"

namespace tidemark::fuzz {
namespace {

const std::string kWhere = "/log";
const std::string kRows = "/log/rows";
constexpr int kRecordsMax = 24;

std::string sealed(std::string content) {
  Encoder(content).put(hash64(as_bytes(content)));
  return content;
}

void floors(Input input) {
  bool damaged = false;
  (void)decode_floor_file(input.rest(), damaged);
  std::string content("TIDEFLOR\x01\0", 10);
  content += as_text(input.rest());
  content = sealed(content);
  const auto floor = decode_floor(as_bytes(content));
  if (!floor.ok()) return;
  CHECK_INVARIANT(encode_floor(*floor) == content);
  // One place that is damaged in the file is survived, and noticed.
  std::string file = encode_floor_file(*floor);
  const size_t at = hash64(as_bytes(content)) % file.size();
  file[at] = static_cast<char>(file[at] ^ 4);
  const auto found = decode_floor_file(as_bytes(file), damaged);
  CHECK_INVARIANT(found.ok() && *found == *floor && damaged);
}

// The frames are the input's; header and sums are as the format wants them.
void row_files(Input input) {
  std::string frames;
  uint64_t count = 0;
  uint64_t rows = 0;
  while (!input.empty() && count < 8) {
    const uint32_t claimed = input.byte();
    const std::string content(as_text(input.take(input.number() % 2000)));
    std::string head;
    Encoder(head).put(static_cast<uint32_t>(content.size())).put(claimed);
    Encoder(head).put(hash64(as_bytes(content), hash64(as_bytes(head), count)));
    frames += head + content;
    rows += claimed;
    ++count;
  }
  std::string header("TIDEBASE\x01\0\0\0\0\0\0\0", 16);
  header.append(16 + 8 * 8, '\x07');
  Encoder(header).put(rows).put(count).put(uint64_t{136} + frames.size()).put(uint64_t{0});
  test::FaultFileSystem files;
  CHECK_INVARIANT(files.make_directory(kWhere).ok() && files.open(kRows, FileSystem::Open::kCreateNew).ok());
  files.set_content(kRows, sealed(header) + frames);
  const auto reader = RowFileReader::open(files, kRows);
  CHECK_INVARIANT(reader.ok());
  uint64_t seen = 0;
  uint64_t bytes = 0;
  const Status read = (*reader)->each([&](std::string_view key, std::string_view value) {
    ++seen;
    bytes += key.size() + value.size();
    return Status();
  });
  CHECK_INVARIANT(bytes <= frames.size());
  if (read.ok()) CHECK_INVARIANT(seen == rows);
}

std::string sound_record(Seq seq, Bytes payload, Position& position) {
  RecordHeader header;
  header.type = RecordType::kSetXattr;
  header.epoch = Epoch(1);
  header.seq = seq;
  header.raw_length = header.stored_length = static_cast<uint32_t>(payload.size());
  header.payload_check = hash64(payload);
  const HeaderBytes head = seal_header(header, position.chain);
  position = header.position();
  std::string whole(as_text(head));
  whole += as_text(payload);
  whole.resize(header.size_in_log());
  return whole;
}

// Some of the records there were, or whatever the input says.
class Copy final : public RecordSource {
 public:
  Copy(const std::map<Seq, std::string>& records, bool honest, Bytes said)
      : records_(records), honest_(honest), said_(as_text(said)) {}
  [[nodiscard]] std::string name() const override { return "a copy"; }
  Result<std::string> fetch(Seq next, size_t bytes_max) override { return answer(next, bytes_max); }
  Result<std::string> fetch_packed(Seq from, size_t bytes_max) override { return answer(from, bytes_max); }

 private:
  Result<std::string> answer(Seq from, size_t bytes_max) {
    if (!honest_) return said_;
    std::string run;
    for (auto each = records_.lower_bound(from); each != records_.end() && run.size() < bytes_max; ++each)
      run += each->second;
    return run;
  }

  const std::map<Seq, std::string>& records_;
  const bool honest_;
  const std::string said_;
};

class PackCase {
 public:
  explicit PackCase(Input input) : input_(input) { CHECK_INVARIANT(files_.make_directory(kWhere).ok()); }

  void run() {
    build();
    const std::string path = pack_path(kWhere, floor_.packs[0]);
    const std::string original = files_.content(path);
    damage(path, original);
    read();
    const std::string found = files_.content(path);
    const uint8_t kind = input_.byte();
    const bool honest = kind % 2 == 0;
    if (kind % 8 == 2) drop([&](Seq seq) { return !packed_.contains(seq); });
    if (kind % 8 == 4) drop([&](Seq seq) { return !packed_.contains(seq) || input_.byte() % 2 == 0; });
    Copy copy(records_, honest, input_.rest());
    (void)mend_pack(files_, kWhere, floor_.packs[0], floor_, copy);
    const std::string mended = files_.content(path);
    CHECK_INVARIANT(mended.size() == found.size());
    for (const PackEntry& entry : entries_) {
      const auto part = [&](const std::string& of) { return of.substr(std::min<size_t>(entry.at, of.size()), entry.size); };
      const auto steps = std::count_if(damaged_.begin(), damaged_.end(), [&](const std::pair<uint64_t, uint64_t>& piece) {
        return piece.first < entry.at + entry.size && entry.at < piece.second;
      });
      CHECK_INVARIANT(!honest || table_spoilt_ || steps > 1 || part(mended) == part(original) ||
                      part(mended) == part(found));
    }
  }

 private:
  // The copy keeps the record at the base: what comes before is the same history.
  void drop(const std::function<bool(Seq)>& dropped) {
    const Seq last = records_.rbegin()->first;
    for (auto each = records_.begin(); each->first != last;) {
      each = dropped(each->first) ? records_.erase(each) : std::next(each);
    }
  }

  // Some of the records of one segment, as a prune keeps them.
  void build() {
    Position position;
    auto writer = PackWriter::create(files_, kWhere, GroupId{}, Seq(1), Seq(99));
    CHECK_INVARIANT(writer.ok());
    uint32_t offset = 64;
    const int count = 1 + input_.byte() % kRecordsMax;
    for (int i = 1; i <= count; ++i) {
      const Seq seq(static_cast<uint64_t>(i));
      const uint8_t shape = input_.byte();
      const std::string whole = sound_record(seq, input_.take(shape % 64), position);
      records_[seq] = whole;
      if (shape >= 128 || i == count) {
        CHECK_INVARIANT((*writer)->add({1, offset}, as_bytes(whole)).ok());
        packed_.insert(seq);
      }
      offset += static_cast<uint32_t>(whole.size());
    }
    const auto info = (*writer)->finish(Seq(static_cast<uint64_t>(count) + 1));
    CHECK_INVARIANT(info.ok());
    const Seq next(static_cast<uint64_t>(count) + 1);
    records_[next] = sound_record(next, {}, position);
    floor_.base = position;
    floor_.packs = {*info};
    const auto pack = Pack::open(files_, kWhere, *info, GroupId{});
    CHECK_INVARIANT(pack.ok());
    CHECK_INVARIANT((*pack)
                        ->entries([&](const PackEntry& entry) {
                          entries_.push_back(entry);
                          return Status();
                        })
                        .ok());
  }

  void damage(const std::string& path, std::string content) {
    const uint64_t table_at = entries_.back().at + entries_.back().size;
    for (int steps = input_.byte() % 6; steps > 0; --steps) {
      const uint8_t kind = input_.byte();
      const size_t at = kind < 200 ? kPackHeaderSize + input_.number() % (table_at - kPackHeaderSize)
                                   : table_at + input_.number() % (content.size() - table_at);
      table_spoilt_ = table_spoilt_ || kind >= 200;
      const Bytes over = input_.take(kind % 20);
      damaged_.emplace_back(at, at + over.size());
      for (size_t i = 0; i < over.size() && at + i < (kind < 200 ? table_at : content.size()); ++i) {
        content[at + i] = static_cast<char>(over[i]);
      }
    }
    if (table_spoilt_) put_sums_right(content, table_at);
    files_.set_content(path, content);
  }

  // Of two tables of one block.
  void put_sums_right(std::string& content, uint64_t table_at) {
    const size_t size = entries_.size() * kPackEntrySize + 8;
    for (const size_t end : {table_at + size, content.size()}) {
      store(content, end - 8, hash64(as_bytes(content).subspan(end - size, size - 8)));
    }
    store(content, 72, hash64(as_bytes(content).subspan(table_at + size - 8, 8)));
    const uint64_t header = hash64(as_bytes(content).first(80));
    store(content, 80, header);
    floor_.packs[0].check = header;
  }

  static void store(std::string& content, size_t at, uint64_t value) {
    std::string bytes;
    Encoder(bytes).put(value);
    content.replace(at, bytes.size(), bytes);
  }

  void read() {
    (void)verify_one();
    const auto pack = Pack::open(files_, kWhere, floor_.packs[0], GroupId{});
    if (!pack.ok()) return;
    for (uint64_t seq = 0; seq <= kRecordsMax; ++seq) (void)(*pack)->first_from(Seq(seq));
    for (const PackEntry& entry : entries_) (void)(*pack)->find(entry.location);
  }

  Status verify_one() {
    TM_TRY(write_floor(files_, kWhere, floor_));
    LogVerdict verdict;
    return verify_packs(
               files_, kWhere, verdict, [](const LogDamage&) {}, [](uint64_t) {})
        .status();
  }

  Input input_;
  test::FaultFileSystem files_;
  std::map<Seq, std::string> records_;
  std::set<Seq> packed_;
  std::vector<PackEntry> entries_;
  std::vector<std::pair<uint64_t, uint64_t>> damaged_;  // bytes
  Floor floor_;
  bool table_spoilt_ = false;
};

}  // namespace

void fuzz_one(Bytes bytes) {
  Input input(bytes);
  switch (input.byte() % 4) {
    case 0: return floors(input);
    case 1: return row_files(input);
    default: return PackCase(input).run();
  }
}

std::vector<std::string> fuzz_seeds() {
  Floor floor;
  floor.base = {Epoch(1), Seq(90), 7};
  floor.packs = {{Seq(1), Seq(40), Seq(50), 1000, 4, 5}, {Seq(40), Seq(80), Seq(90), 1000, 4, 5}};
  floor.gaps = {{{Epoch(1), Seq(100), 1}, {Epoch(1), Seq(120), 2}, 3}};
  floor.known = {{Epoch(1), Seq(30), 3}, {Epoch(1), Seq(95), 3}};
  const std::string encoded = encode_floor(floor);
  std::string rows;
  Encoder(rows).put_text16("key").put_text32("value");
  std::string frame("\x01\x01", 2);
  Encoder(frame).put(static_cast<uint16_t>(rows.size())).put_raw(rows);
  const std::string some(200, '\x9f');
  return {std::string(1, '\0') + encoded.substr(10, encoded.size() - 18), frame, "\x02\x08" + some,
          "\x03\x17" + some + some};
}

}  // namespace tidemark::fuzz

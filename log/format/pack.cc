#include "log/format/pack.h"

#include <algorithm>

#include "base/descriptors.h"
#include "base/hash.h"
#include "log/format/segment.h"

namespace tidemark {
namespace {

constexpr std::string_view kMagic = "TIDEPACK";
constexpr std::string_view kSuffix = ".pack";
constexpr size_t kDigits = 20;
constexpr size_t kWriteStep = size_t{1} << 20;
constexpr size_t kOpenPacksMax = 64;
constexpr uint64_t kCheckAt = 80;
constexpr uint64_t kTableAlignment = 4096;

struct PackHeader {
  uint16_t version = kPackVersion;
  GroupId group{};
  PackInfo info;
  uint64_t table_at = 0;
  uint64_t table_check = 0;
};

uint64_t table_size(uint64_t entries) {
  const uint64_t blocks = (entries + kPackBlockEntries - 1) / kPackBlockEntries;
  return entries * kPackEntrySize + blocks * sizeof(uint64_t);
}

std::string digits(Seq seq) {
  const std::string text = std::to_string(seq.value());
  return std::string(kDigits - text.size(), '0') + text;
}

std::string encode_header(const PackHeader& header) {
  std::string bytes;
  Encoder out(bytes);
  out.put_raw(kMagic).put(header.version).put(uint16_t{0}).put(uint32_t{0}).put_raw(as_text(header.group));
  out.put(header.info.first.value()).put(header.info.end.value()).put(header.info.made_for.value());
  out.put(header.table_at).put(header.info.entries).put(header.table_check);
  out.put(hash64(as_bytes(bytes)));
  CHECK_INVARIANT(bytes.size() == kPackHeaderSize);
  return bytes;
}

Status bad_pack(const PackInfo& pack, uint64_t at, std::string_view what) {
  return Status(Code::kCorrupt, "pack " + pack_name(pack) + ", byte " + std::to_string(at) + ": " + std::string(what));
}

PackEntry load_entry(const std::byte* from) {
  PackEntry entry;
  entry.location = {load_le<uint64_t>(from), load_le<uint32_t>(from + 8)};
  entry.size = load_le<uint32_t>(from + 12);
  entry.at = load_le<uint64_t>(from + 16);
  return entry;
}

// Where the second table begins. The two share no sector.
uint64_t second_table(uint64_t table_at, uint64_t size) {
  return (table_at + size + kTableAlignment - 1) / kTableAlignment * kTableAlignment;
}

uint64_t pack_size(const PackHeader& header) {
  const uint64_t size = table_size(header.info.entries);
  return (header.version == kPackOneTable ? header.table_at : second_table(header.table_at, size)) + size;
}

// A damaged header worked out from what the floor says of this pack and from the last table, with which it ends: what the floor has of
// the header itself proves it.
Result<PackHeader> derive_header(File& file, const PackInfo& pack, const GroupId& group) {
  const Status lost = bad_pack(pack, 0, "the header is damaged, and so is the table");
  const uint64_t size = table_size(pack.entries);
  if (pack.entries == 0 || size + kPackHeaderSize > pack.bytes) return lost;
  std::string table(size, '\0');
  TM_ASSIGN(const size_t got, file.read(pack.bytes - size, {reinterpret_cast<std::byte*>(table.data()), table.size()}));
  if (got != size) return lost;
  PackHeader header{kPackVersion, group, pack, 0, 0};
  for (uint64_t done = 0; done < size;) {
    done += std::min<uint64_t>(kPackBlockSize, size - done);
    header.table_check = hash64(as_bytes(table).subspan(done - sizeof(uint64_t), sizeof(uint64_t)), header.table_check);
  }
  const PackEntry last = load_entry(as_bytes(table).last(kPackEntrySize + sizeof(uint64_t)).data());
  // The records end where the first table begins.
  header.table_at = pack.adopted != 0 ? kPackHeaderSize : last.at + last.size;
  for (const uint16_t version : {kPackVersion, kPackOneTable, kPackAdopted}) {
    header.version = version;
    if (load_le<uint64_t>(as_bytes(encode_header(header)).data() + kCheckAt) == pack.check) return header;
  }
  return lost;
}

// The header, checked against what the floor says of this pack.
Result<PackHeader> read_header(File& file, const PackInfo& pack, const GroupId& group) {
  std::array<std::byte, kPackHeaderSize> bytes;
  TM_ASSIGN(const uint64_t size, file.size());
  TM_ASSIGN(const size_t got, file.read(0, bytes));
  if (got < bytes.size() || size != pack.bytes)
    return bad_pack(pack, size, "its size differs from the size in the log's floor");
  if (pack.entries > size / kPackEntrySize) return bad_pack(pack, 0, "its table does not fit its size");
  const auto check = load_le<uint64_t>(bytes.data() + kCheckAt);
  if (as_text(Bytes(bytes).first(kMagic.size())) != kMagic || check != hash64(Bytes(bytes).first(kCheckAt)) ||
      check != pack.check) {
    return derive_header(file, pack, group);
  }
  Decoder in(Bytes(bytes).subspan(kMagic.size()));
  PackHeader header;
  header.version = in.get<uint16_t>();
  if (header.version == 0 || header.version > kPackAdopted) {
    return Status(Code::kUnsupported, "pack " + pack_name(pack) + " has a format newer than this program");
  }
  const bool blank = in.get<uint16_t>() == 0 && in.get<uint32_t>() == 0;
  const Bytes held = in.get_raw(header.group.size());
  std::copy(held.begin(), held.end(), header.group.begin());
  header.info = pack;
  header.info.first = Seq(in.get<uint64_t>());
  header.info.end = Seq(in.get<uint64_t>());
  header.info.made_for = Seq(in.get<uint64_t>());
  header.table_at = in.get<uint64_t>();
  header.info.entries = in.get<uint64_t>();
  header.table_check = in.get<uint64_t>();
  if (!blank || header.info != pack || header.group != group) return bad_pack(pack, 0, "it is not the pack the floor names");
  if ((header.version == kPackAdopted) != (pack.adopted != 0) || header.table_at > size || pack_size(header) != size) {
    return bad_pack(pack, 0, "its table does not fit its size");
  }
  return header;
}

bool before(const Location& a, const Location& b) {
  return a.segment != b.segment ? a.segment < b.segment : a.offset < b.offset;
}

// Of a block with its sum.
std::vector<PackEntry> load_block(Bytes bytes) {
  std::vector<PackEntry> entries(bytes.size() / kPackEntrySize);
  for (size_t i = 0; i < entries.size(); ++i) entries[i] = load_entry(bytes.data() + i * kPackEntrySize);
  return entries;
}

}  // namespace

uint64_t pack_file_bytes(uint64_t entries, uint64_t record_bytes) {
  const uint64_t size = table_size(entries);
  return second_table(kPackHeaderSize + record_bytes, size) + size;
}

std::string pack_name(const PackInfo& pack) {
  return digits(pack.first) + "-" + digits(pack.made_for) + std::string(kSuffix);
}

bool is_pack_name(std::string_view name) {
  if (name.size() != 2 * kDigits + 1 + kSuffix.size() || !name.ends_with(kSuffix) || name[kDigits] != '-') return false;
  name.remove_suffix(kSuffix.size());
  return name.find_first_not_of("0123456789-") == std::string_view::npos &&
         name.find('-', kDigits + 1) == std::string_view::npos;
}

std::string pack_path(const std::string& directory, const PackInfo& pack) { return directory + "/" + pack_name(pack); }

Status check_pack(FileSystem& files, const std::string& directory, const PackInfo& pack, const GroupId& group) {
  auto file = files.open(pack_path(directory, pack), FileSystem::Open::kRead);
  if (!file.ok() && file.status().code() == Code::kNotFound) return bad_pack(pack, 0, "the pack is missing");
  if (!file.ok()) return file.status();
  TM_TRY(read_header(**file, pack, group).status());
  if (pack.adopted == 0) return Status();
  TM_ASSIGN(const bool there, files.exists(records_path(directory, pack)));
  return there ? Status() : bad_pack(pack, 0, "segment " + segment_name(pack.first) + ", where its records are, is missing");
}

Status Pack::damaged(uint64_t at, std::string_view what) const { return bad_pack(info_, at, what); }

Status Pack::damaged(uint64_t at, Seq seq, std::string_view what) const {
  const std::string where = info_.adopted != 0 ? ", segment " + segment_name(info_.first) : std::string();
  return Status(Code::kCorrupt, "pack " + pack_name(info_) + where + ", byte " + std::to_string(at) + ", seq " +
                                    std::to_string(seq.value()) + ": " + std::string(what));
}

Result<std::shared_ptr<Pack>> Pack::open(FileSystem& files, const std::string& directory, const PackInfo& pack,
                                         const GroupId& group) {
  TM_ASSIGN(std::shared_ptr<File> file, files.open(pack_path(directory, pack), FileSystem::Open::kRead));
  TM_ASSIGN(const PackHeader header, read_header(*file, pack, group));
  std::shared_ptr<File> records = file;
  if (pack.adopted != 0) {
    TM_ASSIGN(records, files.open(records_path(directory, pack), FileSystem::Open::kRead));
  }
  std::shared_ptr<Pack> made(new Pack(std::move(file), std::move(records), pack));
  made->header_ = encode_header(header);
  made->table_at_ = header.table_at;
  made->table_check_ = header.table_check;
  made->copies_ = header.version == kPackOneTable ? 1 : 2;
  TM_TRY(made->read_table());
  return made;
}

uint64_t Pack::table_begin(uint32_t copy) const {
  return copy == 0 ? table_at_ : second_table(table_at_, table_size(info_.entries));
}

size_t Pack::blocks() const { return static_cast<size_t>((info_.entries + kPackBlockEntries - 1) / kPackBlockEntries); }

Status Pack::read_table() {
  uint64_t sum = 0;
  // Where the next record must lie; in an adopted segment not before.
  uint64_t expected = info_.adopted != 0 ? kSegmentHeaderSize : kPackHeaderSize;
  uint64_t bytes_of_records = 0;
  Location last;
  for (size_t number = 0; number < blocks(); ++number) {
    TM_ASSIGN(const std::string bytes, block_bytes(number));
    const auto entries = load_block(as_bytes(bytes));
    firsts_.push_back(entries.front().location);
    for (const PackEntry& entry : entries) {
      const bool rises = before(last, entry.location) && entry.location.segment >= info_.first.value() &&
                         entry.location.segment < info_.end.value();
      if (info_.adopted != 0) expected = std::max<uint64_t>(expected, entry.location.offset);
      const bool placed =
          entry.at == expected &&
          (info_.adopted == 0 || (entry.at == entry.location.offset && entry.location.segment == info_.first.value()));
      if (!rises || !placed || entry.size < kRecordHeaderSize || entry.size % kRecordAlignment != 0) {
        return damaged(table_at_ + number * kPackBlockSize, "the table is out of order");
      }
      last = entry.location;
      expected += entry.size;
      bytes_of_records += entry.size;
    }
    sum = hash64(as_bytes(bytes).last(sizeof(uint64_t)), sum);
  }
  if (info_.adopted != 0 ? bytes_of_records != info_.adopted : expected != table_at_)
    return damaged(table_at_, "the table does not cover every record");
  return sum == table_check_ ? Status() : damaged(table_at_, "the table is damaged");
}

Result<std::string> Pack::block_of_copy(size_t number, uint32_t copy) const {
  const uint64_t first = uint64_t{number} * kPackBlockEntries;
  const auto count = static_cast<size_t>(std::min<uint64_t>(kPackBlockEntries, info_.entries - first));
  const uint64_t at = table_begin(copy) + uint64_t{number} * kPackBlockSize;
  std::string bytes(count * kPackEntrySize + sizeof(uint64_t), '\0');
  TM_ASSIGN(const size_t got, file_->read(at, {reinterpret_cast<std::byte*>(bytes.data()), bytes.size()}));
  const Bytes content = as_bytes(bytes).first(count * kPackEntrySize);
  if (got != bytes.size() || hash64(content) != load_le<uint64_t>(content.data() + content.size())) bytes.clear();
  return bytes;
}

Result<std::string> Pack::block_bytes(size_t number) const {
  for (uint32_t copy = 0; copy < copies_; ++copy) {
    TM_ASSIGN(std::string bytes, block_of_copy(number, copy));
    if (!bytes.empty()) return bytes;
  }
  return damaged(table_at_ + uint64_t{number} * kPackBlockSize, "the table is damaged");
}

Result<std::vector<PackEntry>> Pack::block(size_t number) const {
  TM_ASSIGN(const std::string bytes, block_bytes(number));
  return load_block(as_bytes(bytes));
}

Result<std::vector<Pack::Spoilt>> Pack::spoilt() const {
  std::vector<Spoilt> all;
  std::string header(kPackHeaderSize, '\0');
  TM_TRY(file_->read(0, {reinterpret_cast<std::byte*>(header.data()), header.size()}).status());
  if (header != header_) all.push_back({0, header_});
  for (size_t number = 0; number < blocks(); ++number) {
    TM_ASSIGN(const std::string sound, block_bytes(number));
    for (uint32_t copy = 0; copy < copies_; ++copy) {
      TM_ASSIGN(const std::string bytes, block_of_copy(number, copy));
      if (bytes != sound) all.push_back({table_begin(copy) + uint64_t{number} * kPackBlockSize, sound});
    }
  }
  const uint64_t first_end = table_at_ + table_size(info_.entries);
  std::string between(copies_ == 1 ? 0 : table_begin(1) - first_end, '\0');
  const std::string zeros = between;
  TM_TRY(file_->read(first_end, {reinterpret_cast<std::byte*>(between.data()), between.size()}).status());
  if (between != zeros) all.push_back({first_end, zeros});
  return all;
}

Result<PackEntry> Pack::find(const Location& location) const {
  const Status none(Code::kNotFound, "segment " + segment_name(Seq(location.segment)) + ", byte " +
                                         std::to_string(location.offset) + " is not held here");
  auto above = std::upper_bound(firsts_.begin(), firsts_.end(), location, before);
  if (above == firsts_.begin()) return none;
  TM_ASSIGN(const auto entries, block(static_cast<size_t>(above - firsts_.begin()) - 1));
  auto found =
      std::lower_bound(entries.begin(), entries.end(), location,
                       [](const PackEntry& entry, const Location& wanted) { return before(entry.location, wanted); });
  if (found == entries.end() || !(found->location == location)) return none;
  return *found;
}

Result<std::vector<PackEntry>> Pack::entries_from(uint64_t index) const {
  std::vector<PackEntry> entries;
  if (index < info_.entries) {
    TM_ASSIGN(entries, block(static_cast<size_t>(index / kPackBlockEntries)));
    entries.erase(entries.begin(), entries.begin() + static_cast<ptrdiff_t>(index % kPackBlockEntries));
  }
  return entries;
}

Result<uint64_t> Pack::first_from(Seq seq) const {
  uint64_t low = 0;
  uint64_t high = info_.entries;
  while (low < high) {
    const uint64_t middle = low + (high - low) / 2;
    TM_ASSIGN(const auto entries, entries_from(middle));
    HeaderBytes head;
    RecordHeader header;
    TM_ASSIGN(const size_t got, records_->read(entries.front().at, head));
    if (got < head.size() || decode_header(head, header) != RecordFault::kNone) {
      return damaged(entries.front().at, record_fault_name(RecordFault::kHeaderDamaged));
    }
    (header.seq < seq ? low : high) = header.seq < seq ? middle + 1 : middle;
  }
  return low;
}

Status Pack::entries(const std::function<Status(const PackEntry&)>& visit) const {
  for (size_t number = 0; number < firsts_.size(); ++number) {
    TM_ASSIGN(const auto entries, block(number));
    for (const PackEntry& entry : entries) TM_TRY(visit(entry));
  }
  return Status();
}

Result<Digest> Pack::digest(const Patches& patches, const Patches& of_records) const {
  if (info_.adopted == 0) return digest_of(*file_, true, info_.bytes, patches);
  Digester digester;
  TM_TRY(add_to_digest(digester, *file_, 0, info_.bytes, patches));
  TM_TRY(entries([&](const PackEntry& entry) {
    return add_to_digest(digester, *records_, entry.at, entry.at + entry.size, of_records);
  }));
  return digester.finish();
}

void Pack::forget() const {
  file_->forget(0, info_.bytes);
  if (records_ == file_) return;
  const auto size = records_->size();
  if (size.ok()) records_->forget(0, *size);
}

std::string records_path(const std::string& directory, const PackInfo& pack) {
  return pack.adopted != 0 ? segment_path(directory, pack.first) : pack_path(directory, pack);
}

Result<std::unique_ptr<PackWriter>> PackWriter::adopt(FileSystem& files, const std::string& directory, const GroupId& group,
                                                      Seq first, Seq made_for) {
  TM_ASSIGN(auto made, create(files, directory, group, first, made_for));
  made->adopts_ = true;
  return made;
}

Result<std::unique_ptr<PackWriter>> PackWriter::create(FileSystem& files, const std::string& directory, const GroupId& group,
                                                       Seq first, Seq made_for) {
  std::unique_ptr<PackWriter> made(new PackWriter());
  made->group_ = group;
  made->info_.first = first;
  made->info_.made_for = made_for;
  const std::string path = pack_path(directory, made->info_);
  // No floor names it: what is there is left over from an attempt that failed.
  if (Status removed = files.remove(path); !removed.ok() && removed.code() != Code::kNotFound) return removed;
  TM_ASSIGN(made->file_, files.open(path, FileSystem::Open::kCreateNew));
  return made;
}

Status PackWriter::flush() {
  if (buffer_.empty()) return Status();
  const iovec part{buffer_.data(), buffer_.size()};
  TM_TRY(file_->write(at_ - buffer_.size(), {&part, 1}));
  buffer_.clear();
  return Status();
}

Status PackWriter::add(const Location& location, Bytes whole) {
  CHECK_INVARIANT(entries_.empty() || before(entries_.back().location, location));
  if (adopts_) {
    CHECK_INVARIANT(location.segment == info_.first.value());
    entries_.push_back({location, static_cast<uint32_t>(whole.size()), location.offset});
    info_.adopted += whole.size();
    return Status();
  }
  entries_.push_back({location, static_cast<uint32_t>(whole.size()), at_});
  buffer_.append(as_text(whole));
  at_ += whole.size();
  return buffer_.size() >= kWriteStep ? flush() : Status();
}

Result<PackInfo> PackWriter::finish(Seq end) {
  PackHeader header;
  if (adopts_) header.version = kPackAdopted;
  header.group = group_;
  header.table_at = at_;
  std::string table;
  Encoder out(table);
  for (size_t first = 0; first < entries_.size(); first += kPackBlockEntries) {
    const size_t begin = table.size();
    for (size_t i = first; i < std::min<size_t>(first + kPackBlockEntries, entries_.size()); ++i) {
      const PackEntry& entry = entries_[i];
      out.put(entry.location.segment).put(entry.location.offset).put(entry.size).put(entry.at);
    }
    const size_t size = table.size() - begin;
    out.put(hash64(as_bytes(table).subspan(begin, size)));
    header.table_check = hash64(as_bytes(table).subspan(begin + size), header.table_check);
  }
  for (const uint64_t at : {at_, second_table(at_, table.size())}) {
    TM_TRY(flush());
    buffer_.assign(at - at_, '\0');
    buffer_ += table;
    at_ = at + table.size();
  }
  TM_TRY(flush());
  info_.end = end;
  info_.entries = entries_.size();
  info_.bytes = at_;
  header.info = info_;
  std::string head = encode_header(header);
  info_.check = load_le<uint64_t>(as_bytes(head).data() + kCheckAt);
  const iovec part{head.data(), head.size()};
  TM_TRY(file_->write(0, {&part, 1}));
  TM_TRY(file_->sync());
  return info_;
}

void PackSet::replace(const Floor& floor) {
  MutexLock lock(mutex_);
  floor_ = floor;
  bytes_ = 0;
  for (const PackInfo& pack : floor.packs) bytes_ += pack.bytes + pack.adopted;
  open_.clear();  // what is being read stays open until it is read
}

Floor PackSet::floor() const {
  MutexLock lock(mutex_);
  return floor_;
}

Position PackSet::base() const {
  MutexLock lock(mutex_);
  return floor_.base;
}

uint64_t PackSet::bytes() const {
  MutexLock lock(mutex_);
  return bytes_;
}

std::vector<Gap> PackSet::gaps() const {
  MutexLock lock(mutex_);
  return floor_.gaps;
}

std::optional<PackInfo> PackSet::pack_from(Seq from) const {
  MutexLock lock(mutex_);
  const auto found =
      std::find_if(floor_.packs.begin(), floor_.packs.end(), [&](const PackInfo& pack) { return from < pack.end; });
  return found == floor_.packs.end() ? std::nullopt : std::optional(*found);
}

std::optional<Position> PackSet::known(Seq seq) const {
  MutexLock lock(mutex_);
  const auto found = std::lower_bound(floor_.known.begin(), floor_.known.end(), seq,
                                      [](const Position& position, Seq wanted) { return position.seq < wanted; });
  if (found == floor_.known.end() || found->seq != seq) return std::nullopt;
  return *found;
}

Result<PackSet::Found> PackSet::find(const Location& location) {
  PackInfo wanted;
  {
    MutexLock lock(mutex_);
    auto above = std::upper_bound(floor_.packs.begin(), floor_.packs.end(), location.segment,
                                  [](uint64_t segment, const PackInfo& pack) { return segment < pack.first.value(); });
    if (above == floor_.packs.begin() || std::prev(above)->end.value() <= location.segment) {
      return Status(Code::kNotFound, "segment " + segment_name(Seq(location.segment)) + " is not held here");
    }
    wanted = *std::prev(above);
  }
  TM_ASSIGN(auto pack, open(wanted));
  TM_ASSIGN(const PackEntry entry, pack->find(location));
  return Found{std::move(pack), entry};
}

Result<std::shared_ptr<Pack>> PackSet::open(const PackInfo& wanted) {
  GroupId group;
  {
    MutexLock lock(mutex_);
    group = floor_.group;
    for (auto each = open_.begin(); each != open_.end(); ++each) {
      if ((*each)->info() != wanted) continue;
      open_.splice(open_.begin(), open_, each);
      return open_.front();
    }
  }
  TM_ASSIGN(auto pack, Pack::open(files_, directory_, wanted, group));
  MutexLock lock(mutex_);
  open_.push_front(pack);
  if (open_.size() > descriptors_for(16, 4, kOpenPacksMax)) open_.pop_back();
  return pack;
}

}  // namespace tidemark

#include <algorithm>
#include <nlohmann/json.hpp>

#include "log/format/record_walker.h"
#include "log/format/segment.h"
#include "volume/difference/difference.h"
#include "volume/difference/difference_check.h"
#include "volume/difference/gap_rows.h"
#include "volume/group/directory.h"
#include "volume/group/sealed_json.h"
#include "volume/history/base_image.h"
#include "volume/tree/chunk_map.h"
#include "volume/tree/record_check.h"

namespace tidemark {
namespace {

constexpr uint64_t kPackBytes = uint64_t{64} << 20;
constexpr size_t kOldAtOnce = size_t{1} << 20;  // some 50 MiB

std::string staged_path(const std::string& incoming) { return incoming + "/staged.json"; }
std::string rows_path(const std::string& incoming) { return incoming + "/rows"; }

Status refuse(std::string_view what) {
  return Status(Code::kCorrupt, "the difference is not accepted: " + std::string(what));
}

nlohmann::ordered_json position_json(const Position& position) {
  return {position.epoch.value(), position.seq.value(), position.chain};
}

Result<std::vector<std::string>> list_if_there(FileSystem& files, const std::string& directory) {
  TM_ASSIGN(const bool there, files.exists(directory));
  if (!there) return std::vector<std::string>();
  return files.list(directory);
}

Status make_directory(FileSystem& files, const std::string& directory, const std::string& parent) {
  Status made = files.make_directory(directory);
  if (made.code() == Code::kExists) return Status();
  TM_TRY(made);
  return files.sync_directory(parent);
}

}  // namespace

DifferenceWriter::DifferenceWriter(FileSystem& files, const std::string& directory, const GroupId& group, TreeState& state,
                                   const DifferenceOffer& offer)
    : files_(files),
      directory_(directory),
      incoming_(directory + "/incoming"),
      group_(group),
      state_(state),
      offer_(offer),
      last_(offer.from.seq),
      staged_(offer.from.seq),
      staged_records_(files, incoming_),
      blocks_(size_t{kDataBlocksMax} * kBlockSize) {}

DifferenceWriter::~DifferenceWriter() = default;

Result<std::unique_ptr<DifferenceWriter>> DifferenceWriter::open(FileSystem& files, const std::string& directory,
                                                                 const GroupId& group, TreeState& state,
                                                                 const DifferenceOffer& offer) {
  const Meta meta = state.meta();
  if (meta.applied != offer.from || offer.target.base.seq <= offer.from.seq || offer.target.base.epoch < offer.from.epoch ||
      offer.target.next_ino < meta.next_ino || offer.target.next_mark < meta.next_mark || offer.target.group != group ||
      offer.target.next_ino > Ino(kInoMax).next() || offer.target.next_mark > MarkId(kMarkIdMax).next()) {
    return Status(Code::kInvalid, "the difference that is offered does not fit this copy");
  }
  std::unique_ptr<DifferenceWriter> made(new DifferenceWriter(files, directory, group, state, offer));
  TM_TRY(make_directory(files, made->incoming_, directory));
  if (Status taken = made->take_up(); !taken.ok()) {
    if (taken.code() != Code::kCorrupt && taken.code() != Code::kNotFound) return taken;
    TM_TRY(clean(files, directory));
    TM_TRY(make_directory(files, made->incoming_, directory));
    made->packs_.clear();
    made->last_ = made->staged_ = offer.from.seq;
  }
  TM_ASSIGN(made->rows_, RowFileWriter::create(files, rows_path(made->incoming_)));
  made->set_header(*made->rows_);
  return made;
}

Status DifferenceWriter::clean(FileSystem& files, const std::string& directory) {
  const std::string incoming = directory + "/incoming";
  TM_ASSIGN(const auto names, list_if_there(files, incoming));
  for (const std::string& name : names) TM_TRY(files.remove(incoming + "/" + name));
  return names.empty() ? Status() : files.sync_directory(incoming);
}

// Packs that an earlier attempt has completed; everything else there goes.
Status DifferenceWriter::take_up() {
  auto content = read_file(files_, staged_path(incoming_));
  if (content.ok()) {
    TM_ASSIGN(const auto root, open_sealed_json(*content, staged_path(incoming_)));
    if (root.at("from") != position_json(offer_.from)) return refuse("what is kept here is of another one");
    for (const auto& each : root.at("packs")) {
      const auto number = [&](size_t i) { return each.at(i).get<uint64_t>(); };
      const PackInfo pack{Seq(number(0)), Seq(number(1)), Seq(number(2)), number(3), number(4), number(5)};
      TM_TRY(check_pack(files_, incoming_, pack, group_));
      packs_.push_back(pack);
    }
    staged_ = last_ = std::min(Seq(root.at("records_to").get<uint64_t>()), offer_.target.base.seq);
    if (!packs_.empty()) last_segment_ = packs_.back().end.prev().value();
  } else if (content.status().code() != Code::kNotFound) {
    return content.status();
  }
  TM_ASSIGN(const auto names, files_.list(incoming_));
  for (const std::string& name : names) {
    const bool kept = name == "staged.json" || std::any_of(packs_.begin(), packs_.end(),
                                                           [&](const PackInfo& pack) { return pack_name(pack) == name; });
    if (!kept) TM_TRY(files_.remove(incoming_ + "/" + name));
  }
  return Status();
}

// Of a file of rows that is about to be filled.
void DifferenceWriter::set_header(RowFileWriter& rows) const {
  rows.header = offer_.target;
  rows.header.rows = rows.header.frames = rows.header.bytes = 0;
  if (offer_.from.seq != Seq()) rows.header.tombstones_from = offer_.from.seq;
}

// --- records

// An address of its own for every record of the gap. No segment here begins with one of them, but for an empty one right behind
// `from`: in that no record has an address.
Location DifferenceWriter::address(Seq seq) const {
  const uint64_t number = seq.value() - offer_.from.seq.value() - 1;
  const uint64_t last_of_group = offer_.from.seq.value() + (number / kGapGroupRecords + 1) * kGapGroupRecords;
  return {std::min(last_of_group, offer_.target.base.seq.value()),
          static_cast<uint32_t>(kSegmentHeaderSize + number % kGapGroupRecords * kRecordAlignment)};
}

Status DifferenceWriter::add_records(Bytes run) {
  RecordWalker walker(run, Position(), {.order = false});
  for (;;) {
    TM_ASSIGN(const RecordWalker::Step step, walker.next());
    if (step == RecordWalker::Step::kEnd) return Status();
    if (step == RecordWalker::Step::kDamage) return refuse("a record is damaged");
    TM_TRY(add_record(walker.record()));
  }
}

Status DifferenceWriter::add_record(const RecordView& record) {
  const RecordHeader& header = record.header;
  if (header.seq <= last_ || header.seq > offer_.target.base.seq) return refuse("its records are out of order");
  if (header.type == RecordType::kData) {
    TM_ASSIGN(const DataBody body, decode_data(header, record.payload));
    TM_TRY(extract_blocks(header, body, blocks_.span().first(size_t{body.count} * kBlockSize)));
  } else if (header.type == RecordType::kTruncate) {
    TM_TRY(decode_truncate(record.payload).status());
  } else {
    return refuse("a record has no blocks");
  }
  const Location place = address(header.seq);
  // Packs do not share a segment: so they can be cut only between two.
  if (pack_ != nullptr && pack_->bytes() >= kPackBytes && place.segment != last_segment_) TM_TRY(close_pack());
  if (pack_ == nullptr) {
    TM_ASSIGN(pack_, PackWriter::create(files_, incoming_, group_, Seq(place.segment), offer_.target.base.seq));
  }
  TM_TRY(pack_->add(place, record.whole));
  last_segment_ = place.segment;
  last_ = header.seq;
  return Status();
}

Status DifferenceWriter::close_pack() {
  if (pack_ == nullptr) return Status();
  TM_ASSIGN(const PackInfo made, pack_->finish(std::min(Seq(last_segment_ + 1), offer_.target.base.seq.next())));
  pack_.reset();
  packs_.push_back(made);
  TM_TRY(files_.sync_directory(incoming_));
  nlohmann::ordered_json packs = nlohmann::ordered_json::array();
  for (const PackInfo& pack : packs_) {
    packs.push_back({pack.first.value(), pack.end.value(), pack.made_for.value(), pack.bytes, pack.entries, pack.check});
  }
  TM_TRY(write_file_atomically(
      files_, staged_path(incoming_),
      seal_json({{"from", position_json(offer_.from)}, {"records_to", last_.value()}, {"packs", std::move(packs)}})));
  staged_ = last_;
  return Status();
}

// --- rows

Status DifferenceWriter::add_rows(Bytes rows) {
  Decoder in(rows);
  while (!in.finished()) {
    const std::string_view key = in.get_text16();
    const std::string_view value = in.get_text32();
    if (in.failed()) return refuse("its rows are damaged");
    TM_TRY(check_row(key, value));
    TM_TRY(rows_->add(key, value));
  }
  return Status();
}

Status DifferenceWriter::check_row(std::string_view key, std::string_view value) const {
  const auto numbered = [&](size_t size) { return key.size() == size && load_be64(key.data() + 1) != 0; };
  const auto named = [&] { return key.size() > 9 + 1 + kSeqSuffix && key[key.size() - kSeqSuffix - 1] == '\0'; };
  const Status bad = refuse("a row is out of place");
  if (key.empty()) return bad;
  if (is_as_of(key) && (seq_of(key) <= offer_.from.seq || seq_of(key) > offer_.target.base.seq)) return bad;
  switch (key[0]) {
    case 'I': {
      if (!numbered(9 + kSeqSuffix)) return bad;
      return value.empty() ? Status() : decode_inode_row(Ino(load_be64(key.data() + 1)), seq_of(key), value).status();
    }
    case 'D':
      if (!named() || !valid_name(name_of(subject_of(key)))) return bad;
      return value.empty() ? Status() : decode_name_row(value).status();
    case 'X':
      if (!named() || !valid_xattr_name(name_of(subject_of(key)))) return bad;
      return value.empty() ? Status() : decode_xattr_row(value).status();
    case 'E': {
      if (!numbered(17 + kSeqSuffix)) return bad;
      TM_ASSIGN(const ExtentRow row, decode_extent_row(value));
      const bool older =
          std::all_of(row.runs.begin(), row.runs.end(), [&](const ChunkRun& run) { return run.extent.seq <= seq_of(key); });
      return row.keyframe && older ? Status() : bad;
    }
    case 'L': return numbered(9) && value.size() <= kSymlinkMax && value.find('\0') == value.npos ? Status() : bad;
    case 'K': {
      if (!numbered(9)) return bad;
      TM_ASSIGN(const Mark mark, decode_mark_row(value));
      const bool fits =
          mark.seq <= offer_.target.base.seq && valid_mark_name(mark.name) && mark.id < offer_.target.next_mark;
      return fits && mark.id == MarkId(load_be64(key.data() + 1)) ? Status() : bad;
    }
    default: return bad;
  }
}

// Mostly the same part of the same file had the record before.
Result<std::optional<Location>> DifferenceWriter::in_own_chunk(std::string_view key, Seq record) {
  TM_ASSIGN(const auto own, state_.chunk(Ino(load_be64(key.data() + 1)), load_be64(key.data() + 9), offer_.from.seq));
  for (const ChunkRun& run : own->runs()) {
    if (run.extent.seq == record) return std::optional(run.extent.location);
  }
  return std::optional<Location>();
}

// In rounds of at most kOldAtOnce: each reads the rows, and all of the copy's index where anything is missing.
Status DifferenceWriter::find_old(RowFileReader& rows) {
  for (bool more = true; more;) {
    std::unordered_set<uint64_t> missing;
    more = false;
    TM_TRY(rows.each([&](std::string_view key, std::string_view value) -> Status {
      if (key[0] != 'E') return Status();
      TM_ASSIGN(const ExtentRow row, decode_extent_row(value));
      for (const ChunkRun& run : row.runs) {
        if (run.extent.seq > offer_.from.seq || missing.contains(run.extent.seq.value())) continue;
        TM_ASSIGN(const auto own, in_own_chunk(key, run.extent.seq));
        if (own) continue;
        TM_ASSIGN(const auto found, check_->remembered(run.extent.seq));
        if (found) continue;
        more = missing.size() == kOldAtOnce;
        if (more) return Status();
        missing.insert(run.extent.seq.value());
      }
      return Status();
    }));
    rows.rewind();
    TM_TRY(find_elsewhere(missing));
  }
  return Status();
}

// Shared from another file since: any row that refers to the record will do.
Status DifferenceWriter::find_elsewhere(std::unordered_set<uint64_t>& missing) {
  if (missing.empty()) return Status();
  IndexScan all = state_.index().scan();
  for (all.seek("E"); all.valid() && all.key()[0] == 'E' && !missing.empty(); all.next()) {
    TM_ASSIGN(const ExtentRow row, decode_extent_row(all.value()));
    for (const ChunkRun& run : row.runs) {
      if (!row.hole && missing.erase(run.extent.seq.value()) > 0)
        TM_TRY(check_->remember(run.extent.seq, run.extent.location));
    }
  }
  TM_TRY(all.status());
  return missing.empty() ? Status()
                         : refuse("it refers to record " + std::to_string(*missing.begin()) + ", which is not here");
}

// The rows, all of them, as a change of the tree.
Status DifferenceWriter::check_tree(RowFileReader& rows) {
  TM_ASSIGN(check_, DifferenceCheck::open(directory_, state_, offer_));
  TM_TRY(rows.each([&](std::string_view key, std::string_view value) { return check_->add(key, value); }));
  rows.rewind();
  return check_->finish();
}

Result<std::string> DifferenceWriter::with_own_locations(std::string_view key, std::string_view value) {
  TM_ASSIGN(const ExtentRow row, decode_extent_row(value));
  ChunkMap map;
  map.deltas = row.deltas;
  for (const ChunkRun& run : row.runs) {
    Extent extent = run.extent;
    if (extent.seq > offer_.from.seq) {
      extent.location = address(extent.seq);
      const auto there = staged_records_.find(extent.location);
      if (there.status().code() == Code::kNotFound) return refuse("it lacks record " + std::to_string(extent.seq.value()));
      TM_TRY(there.status());
    } else {
      TM_ASSIGN(auto own, in_own_chunk(key, extent.seq));
      if (!own) {
        TM_ASSIGN(own, check_->remembered(extent.seq));
      }
      if (!own) return refuse("it refers to a record that is not here");
      extent.location = *own;
    }
    map.assign(run.first, run.count, extent);
  }
  return encode_extent_base(map);
}

// Marks up to the copy's position that have been held or let go since.
Status DifferenceWriter::write_mark_changes(const std::vector<MarkId>& held, RowFileWriter& out) {
  MarkId after{0};
  for (;;) {
    TM_ASSIGN(const auto marks, state_.marks(after, 1000));
    for (Mark mark : marks) {
      const bool now = std::find(held.begin(), held.end(), mark.id) != held.end();
      if (mark.held == now) continue;
      mark.held = now;
      TM_TRY(out.add(mark_key(mark.id), encode_mark_row(mark)));
    }
    if (marks.size() < 1000) return Status();
    after = marks.back().id;
  }
}

Status DifferenceWriter::write_rows(RowFileReader& rows, const std::optional<std::vector<MarkId>>& held_marks) {
  const bool whole = offer_.from.seq == Seq();
  const Seq to = offer_.target.base.seq;
  const std::string path = whole ? base_image_path(directory_, to) : gap_rows_path(directory_, to);
  const std::string scratch = path + ".new";
  if (Status removed = files_.remove(scratch); !removed.ok() && removed.code() != Code::kNotFound) return removed;
  TM_ASSIGN(const auto out, RowFileWriter::create(files_, scratch));
  set_header(*out);
  const RowVisitor copy = [&](std::string_view key, std::string_view value) -> Status {
    if (key[0] == 'E') {
      TM_ASSIGN(const std::string own, with_own_locations(key, value));
      return out->add(key, own);
    }
    if (key[0] == 'I' && whole && !value.empty()) {
      const Ino ino(load_be64(key.data() + 1));
      TM_ASSIGN(const Attr attr, decode_inode_row(ino, seq_of(key), value));
      if (attr.nlink == 0) TM_TRY(out->add(unnamed_key(ino), ""));
    }
    if (key[0] == 'K') {
      TM_ASSIGN(const Mark mark, decode_mark_row(value));
      std::string id;
      append_be64(id, mark.id.value());
      TM_TRY(out->add(mark_name_key(mark.name), id));
    }
    return out->add(key, value);
  };
  TM_TRY(rows.each(copy));
  if (held_marks) TM_TRY(write_mark_changes(*held_marks, *out));
  TM_TRY(out->finish());
  TM_TRY(files_.rename(scratch, path));
  return files_.sync_directory(base_directory(directory_));
}

Result<CrossOrder> DifferenceWriter::finish(const std::optional<std::vector<MarkId>>& held_marks) {
  TM_TRY(close_pack());
  TM_TRY(rows_->finish());
  TM_TRY(make_directory(files_, base_directory(directory_), directory_));
  Floor kept;
  kept.group = group_;
  kept.packs = packs_;
  staged_records_.replace(kept);
  TM_ASSIGN(const auto rows, RowFileReader::open(files_, rows_path(incoming_)));
  TM_TRY(check_tree(*rows));
  TM_TRY(find_old(*rows));
  TM_TRY(write_rows(*rows, held_marks));
  check_.reset();
  const std::string log = log_directory(directory_);
  for (const PackInfo& pack : packs_) TM_TRY(files_.rename(pack_path(incoming_, pack), pack_path(log, pack)));
  TM_TRY(files_.sync_directory(log));
  return CrossOrder{offer_.target.base, offer_.target.time_ns, packs_, offer_.from.seq == Seq()};
}

}  // namespace tidemark

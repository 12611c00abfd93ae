#include "log/format/floor.h"

#include <algorithm>
#include <set>

#include "base/hash.h"
#include "base/logging.h"
#include "log/format/pack.h"
#include "log/format/position.h"
#include "log/format/segment.h"
#include "log/write/adopt.h"

namespace tidemark {
namespace {

constexpr std::string_view kMagic = "TIDEFLOR";
constexpr uint16_t kVersion = 1;
constexpr uint16_t kVersionHeldFrom = 2;  // with held_from behind everything else; written only where there is one
// Where a segment is adopted: held_from always, and longer entries of packs.
constexpr uint16_t kVersionAdopted = 3;
constexpr size_t kHeldFromSize = 8;
constexpr size_t kFixedSize = 72;
constexpr size_t kPackSize = 48;
constexpr size_t kAdoptedSize = 8;  // more of each pack, in kVersionAdopted
constexpr size_t kGapSize = 56;
constexpr size_t kKnownSize = 24;
constexpr size_t kCheckSize = 8;
constexpr size_t kCopyAlignment = 4096;  // the two copies share no sector
// Two copies of the largest one.
constexpr size_t kFloorFileMax = 2 * (kFixedSize + kPacksMax * (kPackSize + kAdoptedSize) + kGapsMax * kGapSize +
                                      kKnownMax * kKnownSize + kHeldFromSize + kCheckSize + kCopyAlignment);

Status damaged(std::string_view what) { return Status(Code::kCorrupt, "the log's floor is damaged: " + std::string(what)); }

size_t pack_size(uint16_t version) { return version == kVersionAdopted ? kPackSize + kAdoptedSize : kPackSize; }
size_t held_from_size(uint16_t version) { return version == kVersion ? 0 : kHeldFromSize; }

// What the counts in the header of the floor at the start of `bytes` make of it.
uint64_t floor_size(Bytes bytes) {
  if (bytes.size() < kFixedSize) return bytes.size();
  const auto count = [&](size_t at) { return uint64_t{load_le<uint32_t>(bytes.data() + at)}; };
  const auto version = load_le<uint16_t>(bytes.data() + kMagic.size());
  return kFixedSize + count(12) * pack_size(version) + count(64) * kGapSize + count(68) * kKnownSize +
         held_from_size(version) + kCheckSize;
}

Status check_packs(const Floor& floor) {
  Seq end;
  for (const PackInfo& pack : floor.packs) {
    const bool in_gap = std::any_of(floor.gaps.begin(), floor.gaps.end(),
                                    [&](const Gap& gap) { return gap.covers(pack.first) && pack.end <= gap.to.seq.next(); });
    if (pack.first < end || pack.end <= pack.first || (pack.end > floor.base.seq && !in_gap)) {
      return damaged("its packs overlap");
    }
    end = pack.end;
  }
  return Status();
}

Status check_order(const Floor& floor) {
  Seq end;
  for (const Gap& gap : floor.gaps) {
    if (gap.from.seq < end || gap.to.seq <= gap.from.seq) return damaged("its gaps overlap");
    end = gap.to.seq;
  }
  Seq last;
  for (const Position& position : floor.known) {
    if (position.seq <= last) return damaged("its positions are out of order");
    last = position.seq;
  }
  return Status();
}

// The oldest one that says all of it: so a program that knows no later one reads what it can.
uint16_t version_for(const Floor& floor) {
  const bool adopted =
      std::any_of(floor.packs.begin(), floor.packs.end(), [](const PackInfo& pack) { return pack.adopted != 0; });
  if (adopted) return kVersionAdopted;
  return floor.held_from != Seq() ? kVersionHeldFrom : kVersion;
}

}  // namespace

std::string floor_path(const std::string& directory) { return directory + "/floor"; }

std::string encode_floor(const Floor& floor) {
  std::string bytes;
  Encoder out(bytes);
  const uint16_t version = version_for(floor);
  out.put_raw(kMagic).put(version).put(uint16_t{0}).put(static_cast<uint32_t>(floor.packs.size()));
  out.put_raw(as_text(floor.group));
  put_position(out, floor.base);
  out.put(floor.time_ns).put(static_cast<uint32_t>(floor.gaps.size())).put(static_cast<uint32_t>(floor.known.size()));
  CHECK_INVARIANT(bytes.size() == kFixedSize);
  for (const PackInfo& pack : floor.packs) {
    out.put(pack.first.value()).put(pack.end.value()).put(pack.made_for.value());
    out.put(pack.bytes).put(pack.entries).put(pack.check);
    if (version == kVersionAdopted) out.put(pack.adopted);
  }
  for (const Gap& gap : floor.gaps) {
    put_position(out, gap.from);
    put_position(out, gap.to);
    out.put(gap.time_ns);
  }
  for (const Position& position : floor.known) put_position(out, position);
  if (version != kVersion) out.put(floor.held_from.value());
  out.put(hash64(as_bytes(bytes)));
  return bytes;
}

Result<Floor> decode_floor(Bytes bytes) {
  if (bytes.size() < kFixedSize + kCheckSize) return damaged("it is too short");
  if (as_text(bytes.first(kMagic.size())) != kMagic) return damaged("it is not a floor file");
  const Bytes content = bytes.first(bytes.size() - kCheckSize);
  if (hash64(content) != load_le<uint64_t>(content.data() + content.size())) return damaged("its checksum is wrong");
  Decoder in(content.subspan(kMagic.size()));
  const auto version = in.get<uint16_t>();
  if (version < kVersion || version > kVersionAdopted)
    return Status(Code::kUnsupported, "the log's floor has a format newer than this program");
  const auto flags = in.get<uint16_t>();
  const auto packs = in.get<uint32_t>();
  Floor floor;
  const Bytes group = in.get_raw(floor.group.size());
  std::copy(group.begin(), group.end(), floor.group.begin());
  floor.base = get_position(in);
  floor.time_ns = in.get<int64_t>();
  const auto gaps = in.get<uint32_t>();
  const auto known = in.get<uint32_t>();
  if (flags != 0) return damaged("it has unknown fields");
  const size_t held_from = held_from_size(version);
  const size_t lists = size_t{packs} * pack_size(version) + size_t{gaps} * kGapSize + size_t{known} * kKnownSize;
  if (content.size() != kFixedSize + lists + held_from) return damaged("its length is wrong");
  for (uint32_t i = 0; i < packs; ++i) {
    PackInfo pack;
    pack.first = Seq(in.get<uint64_t>());
    pack.end = Seq(in.get<uint64_t>());
    pack.made_for = Seq(in.get<uint64_t>());
    pack.bytes = in.get<uint64_t>();
    pack.entries = in.get<uint64_t>();
    pack.check = in.get<uint64_t>();
    if (version == kVersionAdopted) pack.adopted = in.get<uint64_t>();
    floor.packs.push_back(pack);
  }
  for (uint32_t i = 0; i < gaps; ++i) {
    const Position from = get_position(in);
    const Position to = get_position(in);
    floor.gaps.push_back({from, to, in.get<int64_t>()});
  }
  for (uint32_t i = 0; i < known; ++i) floor.known.push_back(get_position(in));
  if (held_from != 0) floor.held_from = Seq(in.get<uint64_t>());
  if (version_for(floor) != version) return damaged("its content is wrong");
  if (floor.held_from > floor.base.seq) return damaged("its content is wrong");
  if (!in.finished() || (floor.base.seq == Seq() && gaps == 0)) return damaged("its content is wrong");
  TM_TRY(check_order(floor));
  TM_TRY(check_packs(floor));
  return floor;
}

std::string encode_floor_file(const Floor& floor) {
  const std::string once = encode_floor(floor);
  std::string twice = once;
  twice.resize((once.size() + kCopyAlignment - 1) / kCopyAlignment * kCopyAlignment);
  return twice + once;
}

Result<Floor> decode_floor_file(Bytes bytes, bool& damaged) {
  damaged = false;
  const uint64_t size = floor_size(bytes);
  auto first = decode_floor(bytes.first(static_cast<size_t>(std::min<uint64_t>(size, bytes.size()))));
  if (first.ok()) {
    damaged = size != bytes.size() && encode_floor_file(*first) != as_text(bytes);
    return first;
  }
  // Where the second one begins follows from the length of both.
  const size_t second_at = (bytes.size() + 2 * kCopyAlignment - 1) / (2 * kCopyAlignment) * kCopyAlignment;
  if (second_at >= bytes.size()) return first;
  auto second = decode_floor(bytes.subspan(second_at));
  damaged = second.ok();
  return second.ok() || second.status().code() == Code::kUnsupported ? second : first;
}

Result<Floor> read_floor(FileSystem& files, const std::string& directory, bool* damaged) {
  auto content = read_file(files, floor_path(directory), kFloorFileMax);
  if (!content.ok() && content.status().code() == Code::kNotFound) return Floor();
  if (!content.ok()) return content.status();
  bool one_damaged = false;
  auto floor = decode_floor_file(as_bytes(*content), one_damaged);
  if (!floor.ok()) return floor.status().within(floor_path(directory));
  if (damaged != nullptr) *damaged = one_damaged;
  return floor;
}

Result<Floor> heal_floor(FileSystem& files, const std::string& directory) {
  bool damaged = false;
  TM_ASSIGN(Floor floor, read_floor(files, directory, &damaged));
  if (damaged) {
    TM_TRY(write_floor(files, directory, floor));
    log_warning("repaired: " + floor_path(directory) + "; one of its two copies was damaged");
  }
  return floor;
}

Status write_floor(FileSystem& files, const std::string& directory, const Floor& floor) {
  return write_file_atomically(files, floor_path(directory), encode_floor_file(floor));
}

bool adopts(const Floor& floor, Seq first_seq) {
  const auto found = std::lower_bound(floor.packs.begin(), floor.packs.end(), first_seq,
                                      [](const PackInfo& pack, Seq wanted) { return pack.first < wanted; });
  return found != floor.packs.end() && found->first == first_seq && found->adopted != 0;
}

Result<std::vector<Seq>> list_log_segments(FileSystem& files, const std::string& directory, const Floor& floor) {
  TM_ASSIGN(auto segments, list_segments(files, directory));
  std::erase_if(segments, [&](Seq segment) { return adopts(floor, segment); });
  return segments;
}

std::optional<Seq> oldest_kept(const std::vector<Seq>& segments, const Floor& floor) {
  if (floor.held_from != Seq()) {
    const bool there = std::binary_search(segments.begin(), segments.end(), floor.held_from);
    return there ? std::optional<Seq>(floor.held_from) : std::nullopt;
  }
  const Seq base = floor.base.seq;
  auto above = std::upper_bound(segments.begin(), segments.end(), base);
  if (above == segments.begin()) return std::nullopt;
  return *std::prev(above);
}

Status finish_retirement(FileSystem& files, const std::string& directory, const Floor& floor) {
  std::set<std::string> wanted;
  for (const PackInfo& pack : floor.packs) {
    TM_TRY(check_pack(files, directory, pack, floor.group));
    wanted.insert(pack_name(pack));
  }
  TM_ASSIGN(const auto segments, list_log_segments(files, directory, floor));
  const auto kept = oldest_kept(segments, floor);
  if (floor.base.seq != Seq() && !kept) {
    return Status(Code::kCorrupt, directory + ": the oldest segment that is needed (the base is record " +
                                      std::to_string(floor.base.seq.value()) + ") is missing");
  }
  if (floor.base.seq == Seq() && !segments.empty() && segments.front() != Seq(1)) {
    return Status(Code::kCorrupt, directory + " begins with record " + std::to_string(segments.front().value()) + ", but " +
                                      floor_path(directory) + ", which has to say why, is missing");
  }
  TM_ASSIGN(const auto names, files.list(directory));
  bool removed = false;
  for (const std::string& name : names) {
    const auto segment = segment_first_seq(name);
    const bool below = segment && kept && *segment < *kept && !adopts(floor, *segment);
    const bool unnamed = is_pack_name(name) && !wanted.contains(name);
    if (!below && !unnamed && directory + "/" + name != floor_path(directory) + ".new") continue;
    TM_TRY(files.remove(directory + "/" + name));
    removed = true;
  }
  if (removed) TM_TRY(files.sync_directory(directory));
  release_last_adopted(files, directory, floor);
  return Status();
}

}  // namespace tidemark

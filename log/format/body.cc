#include "log/format/body.h"

#include <sys/stat.h>

#include <algorithm>

#include "base/hash.h"

namespace tidemark {
namespace {

constexpr uint64_t kBlockEnd = kFileBlocksMax;  // no file has a block with this number
constexpr uint32_t kPermissionBits = 07777;
constexpr uint32_t kSetAttrKnown = kSetMode | kSetUid | kSetGid | kSetAtime | kSetMtime | kSetCtime | kSetSize;
constexpr int64_t kSecond = 1'000'000'000;

Status corrupt(const char* record, const char* what) {
  return Status(Code::kCorrupt, std::string(record) + " record: " + what);
}

bool valid_text(std::string_view text, size_t max) { return text.size() <= max && text.find('\0') == text.npos; }
bool valid_blocks(uint64_t first, uint64_t count) { return count >= 1 && count <= kBlockEnd && first <= kBlockEnd - count; }
bool valid_xattr(std::string_view name, std::string_view value) {
  return valid_xattr_name(name) && value.size() <= kXattrValueMax;
}
bool valid_time(const FileTime& time) { return time.nanoseconds < kSecond; }

// Length of the UTF-8 sequence at the start of `text`; 0 where there is none (overlong, surrogate, cut short).
size_t utf8_length(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t lead = byte(0);
  if (lead < 0x80) return 1;
  const size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
  }
  const uint8_t second = byte(1);
  if (lead == 0xE0 && second < 0xA0) return 0;
  if (lead == 0xED && second > 0x9F) return 0;
  if (lead == 0xF0 && second < 0x90) return 0;
  if (lead == 0xF4 && second > 0x8F) return 0;
  return length;
}

// Each body has one valid(): what the decoder refuses the encoder must never write, since nobody could open the log again.
bool valid(const Genesis& body) { return valid_text(body.name, kNameMax) && body.root_mode <= kPermissionBits; }
bool valid(const EpochChange& body) { return valid_text(body.site, kNameMax) && valid_text(body.reason, kNoteMax); }

bool valid(const MakeNode& body) {
  const bool unnamed = body.parent == Ino() && body.name.empty();
  if (!unnamed && (body.parent == Ino() || !valid_name(body.name))) return false;
  if ((body.mode & ~(static_cast<uint32_t>(S_IFMT) | kPermissionBits)) != 0) return false;
  switch (body.mode & S_IFMT) {
    case S_IFLNK:
      if (body.symlink_target.empty() || !valid_text(body.symlink_target, kSymlinkMax) || body.device != 0) return false;
      break;
    case S_IFCHR:
    case S_IFBLK:
      if (!body.symlink_target.empty()) return false;
      break;
    case S_IFREG:
    case S_IFDIR:
    case S_IFIFO:
    case S_IFSOCK:
      if (!body.symlink_target.empty() || body.device != 0) return false;
      break;
    default: return false;
  }
  return body.xattrs.size() <= UINT16_MAX && std::all_of(body.xattrs.begin(), body.xattrs.end(), [](const XattrPair& pair) {
           return valid_xattr(pair.name, pair.value);
         });
}

bool valid(const LinkBody& body) { return body.parent != Ino() && valid_name(body.name); }
bool valid(const RenameBody& body) {
  return body.from_parent != Ino() && body.to_parent != Ino() && valid_name(body.from_name) && valid_name(body.to_name) &&
         !(body.exchange && (body.whiteout != Ino() || body.replaced == Ino()));
}
bool valid(const SetAttr& body) {
  return (body.mask & ~kSetAttrKnown) == 0 && body.mode <= kPermissionBits && valid_time(body.atime) &&
         valid_time(body.mtime) && valid_time(body.ctime) && body.size <= kFileSizeMax;
}
bool valid(const TruncateBody& body) {
  if (body.size > kFileSizeMax) return false;
  if (body.last_block.empty()) return body.last_check == 0;
  const size_t kept = body.size % kBlockSize;
  return body.last_block.size() == kBlockSize && kept != 0 &&
         std::all_of(body.last_block.begin() + static_cast<ptrdiff_t>(kept), body.last_block.end(),
                     [](std::byte b) { return b == std::byte{0}; }) &&
         hash64(body.last_block) == body.last_check;
}
bool valid(const PunchBody& body) { return valid_blocks(body.first_block, body.count); }
bool valid(const CloneBody& body) {
  return body.source != Ino() && body.count <= kCloneBlocksMax && valid_blocks(body.source_block, body.count) &&
         valid_blocks(body.target_block, body.count) && body.size_after <= kFileSizeMax;
}
bool valid(const AllocateBody& body) {
  return valid_blocks(body.first_block, body.count) && body.size_after <= kFileSizeMax;
}
bool valid(const XattrBody& body) { return valid_xattr(body.name, body.value); }
bool valid(const MarkBody& body) {
  return body.id != MarkId() && valid_mark_name(body.name) && valid_text(body.application, kNameMax) &&
         valid_text(body.note, kNoteMax);
}

void put_time(Encoder& out, const FileTime& time) { out.put(time.seconds).put(time.nanoseconds); }
FileTime get_time(Decoder& in) {
  FileTime time;
  time.seconds = in.get<int64_t>();
  time.nanoseconds = in.get<uint32_t>();
  return time;
}
template <class Id>
Id get_id(Decoder& in) {
  return Id(in.get<uint64_t>());
}

// A yes or no in one byte; anything but 0 and 1 is told to the caller, who refuses it.
bool get_flag(Decoder& in, bool& strict) {
  const auto value = in.get<uint8_t>();
  if (value > 1) strict = false;
  return value == 1;
}

}  // namespace

bool valid_name(std::string_view name) {
  return !name.empty() && name.size() <= kNameMax && name.find('\0') == name.npos && name.find('/') == name.npos &&
         name != "." && name != "..";
}

bool valid_xattr_name(std::string_view name) { return !name.empty() && valid_text(name, kNameMax); }

bool valid_mark_name(std::string_view name) {
  if (name.empty() || name.size() > kNameMax) return false;
  while (!name.empty()) {
    const size_t length = utf8_length(name);
    if (length == 0) return false;
    const auto lead = static_cast<uint8_t>(name[0]);
    if (lead < 0x20 || lead == 0x7F || lead == '@' || lead == '/' || lead == ':') return false;
    if (lead == 0xC2 && static_cast<uint8_t>(name[1]) < 0xA0) return false;  // C1 controls
    name.remove_prefix(length);
  }
  return true;
}

std::string group_id_text(const GroupId& id) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (std::byte b : id) {
    text += kDigits[std::to_integer<unsigned>(b) >> 4];
    text += kDigits[std::to_integer<unsigned>(b) & 15];
  }
  return text;
}

FileTime file_time(int64_t ns_since_1970) {
  int64_t seconds = ns_since_1970 / kSecond;
  int64_t rest = ns_since_1970 % kSecond;
  if (rest < 0) {
    rest += kSecond;
    --seconds;
  }
  return {seconds, static_cast<uint32_t>(rest)};
}

std::string encode_genesis(const Genesis& body) {
  CHECK_INVARIANT(valid(body));
  std::string out;
  Encoder(out).put_raw(as_text(body.group)).put(body.root_mode).put(body.uid).put(body.gid).put_text16(body.name);
  return out;
}

Result<Genesis> decode_genesis(Bytes payload) {
  Decoder in(payload);
  Genesis body;
  if (Bytes id = in.get_raw(body.group.size()); !id.empty()) std::copy(id.begin(), id.end(), body.group.begin());
  body.root_mode = in.get<uint32_t>();
  body.uid = in.get<uint32_t>();
  body.gid = in.get<uint32_t>();
  body.name = in.get_text16();
  if (!in.finished() || !valid(body)) return corrupt("genesis", "malformed");
  return body;
}

std::string encode_epoch(const EpochChange& body) {
  CHECK_INVARIANT(valid(body));
  std::string out;
  Encoder(out).put(body.previous.value()).put_text16(body.site).put_text16(body.reason);
  return out;
}

Result<EpochChange> decode_epoch(Bytes payload) {
  Decoder in(payload);
  EpochChange body;
  body.previous = get_id<Epoch>(in);
  body.site = in.get_text16();
  body.reason = in.get_text16();
  if (!in.finished() || !valid(body)) return corrupt("epoch", "malformed");
  return body;
}

std::string encode_make_node(const MakeNode& body) {
  CHECK_INVARIANT(valid(body));
  std::string text;
  Encoder out(text);
  out.put(body.parent.value()).put(body.mode).put(body.uid).put(body.gid).put(body.device);
  out.put_text16(body.name).put_text16(body.symlink_target).put(static_cast<uint16_t>(body.xattrs.size()));
  for (const XattrPair& pair : body.xattrs) out.put_text16(pair.name).put_text32(pair.value);
  return text;
}

Result<MakeNode> decode_make_node(Bytes payload) {
  Decoder in(payload);
  MakeNode body;
  body.parent = get_id<Ino>(in);
  body.mode = in.get<uint32_t>();
  body.uid = in.get<uint32_t>();
  body.gid = in.get<uint32_t>();
  body.device = in.get<uint64_t>();
  body.name = in.get_text16();
  body.symlink_target = in.get_text16();
  const auto count = in.get<uint16_t>();
  // Each pair takes at least its two lengths: a count that cannot be true costs no memory.
  if (in.failed() || count > in.rest().size() / 6) return corrupt("make-node", "malformed");
  body.xattrs.reserve(count);
  for (uint16_t i = 0; i < count; ++i) {
    const std::string_view name = in.get_text16();
    body.xattrs.push_back({name, in.get_text32()});
  }
  if (!in.finished() || !valid(body)) return corrupt("make-node", "malformed");
  return body;
}

std::string encode_link(const LinkBody& body) {
  CHECK_INVARIANT(valid(body));
  std::string out;
  Encoder(out).put(body.parent.value()).put_text16(body.name);
  return out;
}

Result<LinkBody> decode_link(Bytes payload) {
  Decoder in(payload);
  LinkBody body;
  body.parent = get_id<Ino>(in);
  body.name = in.get_text16();
  if (!in.finished() || !valid(body)) return corrupt("link", "malformed");
  return body;
}

std::string encode_rename(const RenameBody& body) {
  CHECK_INVARIANT(valid(body));
  std::string out;
  Encoder(out)
      .put(body.from_parent.value())
      .put(body.to_parent.value())
      .put(body.replaced.value())
      .put(body.whiteout.value())
      .put(static_cast<uint8_t>(body.exchange))
      .put_text16(body.from_name)
      .put_text16(body.to_name);
  return out;
}

Result<RenameBody> decode_rename(Bytes payload) {
  Decoder in(payload);
  RenameBody body;
  bool strict = true;
  body.from_parent = get_id<Ino>(in);
  body.to_parent = get_id<Ino>(in);
  body.replaced = get_id<Ino>(in);
  body.whiteout = get_id<Ino>(in);
  body.exchange = get_flag(in, strict);
  body.from_name = in.get_text16();
  body.to_name = in.get_text16();
  if (!in.finished() || !strict || !valid(body)) return corrupt("rename", "malformed");
  return body;
}

std::string encode_set_attr(const SetAttr& body) {
  CHECK_INVARIANT(valid(body));
  std::string text;
  Encoder out(text);
  out.put(body.mask).put(body.mode).put(body.uid).put(body.gid).put(body.size);
  put_time(out, body.atime);
  put_time(out, body.mtime);
  put_time(out, body.ctime);
  return text;
}

Result<SetAttr> decode_set_attr(Bytes payload) {
  Decoder in(payload);
  SetAttr body;
  body.mask = in.get<uint32_t>();
  body.mode = in.get<uint32_t>();
  body.uid = in.get<uint32_t>();
  body.gid = in.get<uint32_t>();
  body.size = in.get<uint64_t>();
  body.atime = get_time(in);
  body.mtime = get_time(in);
  body.ctime = get_time(in);
  if (!in.finished() || !valid(body)) return corrupt("set-attr", "malformed");
  return body;
}

std::string encode_truncate(const TruncateBody& body) {
  TruncateBody summed = body;
  summed.last_check = body.last_block.empty() ? 0 : hash64(body.last_block);
  CHECK_INVARIANT(valid(summed));
  std::string out;
  Encoder(out)
      .put(summed.size)
      .put(static_cast<uint64_t>(summed.last_block.empty() ? 0 : 1))
      .put(summed.last_check)
      .put_raw(as_text(summed.last_block));
  return out;
}

Result<TruncateBody> decode_truncate(Bytes payload) {
  Decoder in(payload);
  TruncateBody body;
  body.size = in.get<uint64_t>();
  const auto blocks = in.get<uint64_t>();
  body.last_check = in.get<uint64_t>();
  if (in.failed() || blocks > 1) return corrupt("truncate", "malformed");
  body.last_block = in.get_raw(blocks * kBlockSize);
  if (!in.finished() || !valid(body)) return corrupt("truncate", "malformed");
  return body;
}
static_assert(kTruncateBlockAt == 3 * sizeof(uint64_t));

std::string encode_punch(const PunchBody& body) {
  CHECK_INVARIANT(valid(body));
  std::string out;
  Encoder(out).put(body.first_block).put(body.count);
  return out;
}

Result<PunchBody> decode_punch(Bytes payload) {
  Decoder in(payload);
  PunchBody body;
  body.first_block = in.get<uint64_t>();
  body.count = in.get<uint64_t>();
  if (!in.finished() || !valid(body)) return corrupt("punch", "malformed");
  return body;
}

std::string encode_clone(const CloneBody& body) {
  CHECK_INVARIANT(valid(body));
  std::string out;
  Encoder(out).put(body.source.value()).put(body.source_block).put(body.target_block).put(body.count).put(body.size_after);
  return out;
}

Result<CloneBody> decode_clone(Bytes payload) {
  Decoder in(payload);
  CloneBody body;
  body.source = get_id<Ino>(in);
  body.source_block = in.get<uint64_t>();
  body.target_block = in.get<uint64_t>();
  body.count = in.get<uint64_t>();
  body.size_after = in.get<uint64_t>();
  if (!in.finished() || !valid(body)) return corrupt("clone", "malformed");
  return body;
}

std::string encode_allocate(const AllocateBody& body) {
  CHECK_INVARIANT(valid(body));
  std::string out;
  Encoder(out).put(body.first_block).put(body.count).put(body.size_after);
  return out;
}

Result<AllocateBody> decode_allocate(Bytes payload) {
  Decoder in(payload);
  AllocateBody body;
  body.first_block = in.get<uint64_t>();
  body.count = in.get<uint64_t>();
  body.size_after = in.get<uint64_t>();
  if (!in.finished() || !valid(body)) return corrupt("allocate", "malformed");
  return body;
}

std::string encode_xattr(const XattrBody& body) {
  CHECK_INVARIANT(valid(body));
  std::string out;
  Encoder(out).put_text16(body.name).put_text32(body.value);
  return out;
}

Result<XattrBody> decode_xattr(Bytes payload) {
  Decoder in(payload);
  XattrBody body;
  body.name = in.get_text16();
  body.value = in.get_text32();
  if (!in.finished() || !valid(body)) return corrupt("xattr", "malformed");
  return body;
}

std::string encode_free(const std::vector<Ino>& inodes) {
  CHECK_INVARIANT(!inodes.empty() && inodes.size() <= kFreeMax);
  std::string text;
  Encoder out(text);
  out.put(static_cast<uint32_t>(inodes.size()));
  for (Ino ino : inodes) {
    CHECK_INVARIANT(ino != Ino());
    out.put(ino.value());
  }
  return text;
}

Result<std::vector<Ino>> decode_free(Bytes payload) {
  Decoder in(payload);
  const auto count = in.get<uint32_t>();
  if (in.failed() || count == 0 || count > kFreeMax || in.rest().size() != count * sizeof(uint64_t)) {
    return corrupt("free", "malformed");
  }
  std::vector<Ino> inodes;
  inodes.reserve(count);
  for (uint32_t i = 0; i < count; ++i) {
    inodes.push_back(get_id<Ino>(in));
    if (inodes.back() == Ino()) return corrupt("free", "inode 0");
  }
  return inodes;
}

std::string encode_mark(const MarkBody& body) {
  CHECK_INVARIANT(valid(body));
  std::string out;
  Encoder(out)
      .put(body.id.value())
      .put(body.pid)
      .put(body.uid)
      .put_text16(body.name)
      .put_text16(body.application)
      .put_text16(body.note);
  return out;
}

Result<MarkBody> decode_mark(Bytes payload) {
  Decoder in(payload);
  MarkBody body;
  body.id = get_id<MarkId>(in);
  body.pid = in.get<uint32_t>();
  body.uid = in.get<uint32_t>();
  body.name = in.get_text16();
  body.application = in.get_text16();
  body.note = in.get_text16();
  if (!in.finished() || !valid(body)) return corrupt("mark", "malformed");
  return body;
}

std::string encode_mark_change(const MarkChange& body) {
  CHECK_INVARIANT(body.id != MarkId());
  std::string out;
  Encoder(out).put(body.id.value()).put(static_cast<uint8_t>(body.held));
  return out;
}

Result<MarkChange> decode_mark_change(Bytes payload) {
  Decoder in(payload);
  MarkChange body;
  bool strict = true;
  body.id = get_id<MarkId>(in);
  body.held = get_flag(in, strict);
  if (!in.finished() || !strict || body.id == MarkId()) return corrupt("mark-change", "malformed");
  return body;
}

}  // namespace tidemark

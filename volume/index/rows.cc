#include "volume/index/rows.h"

namespace tidemark {
namespace {

Status damaged(std::string_view what) {
  return Status(Code::kCorrupt,
                std::string("the index holds a damaged ") + std::string(what) + " row; remove DIR/index to have it rebuilt");
}

void put_time(Encoder& out, const FileTime& time) { out.put(time.seconds).put(time.nanoseconds); }

FileTime get_time(Decoder& in) {
  FileTime time;
  time.seconds = in.get<int64_t>();
  time.nanoseconds = in.get<uint32_t>();
  return time;
}

}  // namespace

std::string encode_inode_row(const Attr& attr) {
  std::string value;
  value.reserve(112);
  Encoder out(value);
  out.put(attr.mode).put(attr.uid).put(attr.gid).put(attr.nlink).put(attr.xattr_count);
  out.put(attr.device).put(attr.size).put(attr.blocks).put(attr.parent.value());
  put_time(out, attr.atime);
  put_time(out, attr.mtime);
  put_time(out, attr.ctime);
  put_time(out, attr.btime);
  if (!attr.preallocation.empty()) attr.preallocation.encode(out);
  return value;
}

Result<Attr> decode_inode_row(Ino ino, Seq seq, std::string_view value) {
  Decoder in(value);
  Attr attr;
  attr.ino = ino;
  attr.changed = seq;
  attr.mode = in.get<uint32_t>();
  attr.uid = in.get<uint32_t>();
  attr.gid = in.get<uint32_t>();
  attr.nlink = in.get<uint32_t>();
  attr.xattr_count = in.get<uint32_t>();
  attr.device = in.get<uint64_t>();
  attr.size = in.get<uint64_t>();
  attr.blocks = in.get<uint64_t>();
  attr.parent = Ino(in.get<uint64_t>());
  attr.atime = get_time(in);
  attr.mtime = get_time(in);
  attr.ctime = get_time(in);
  attr.btime = get_time(in);
  if (in.failed()) return damaged("inode");
  if (in.finished()) return attr;
  auto preallocation = Preallocation::decode(in);
  if (!preallocation) return damaged("inode");
  attr.preallocation = *std::move(preallocation);
  return attr;
}

std::string encode_name_row(const NameRow& row) {
  std::string value;
  Encoder(value).put(row.ino.value()).put(row.mode);
  return value;
}

Result<NameRow> decode_name_row(std::string_view value) {
  Decoder in(value);
  NameRow row;
  row.ino = Ino(in.get<uint64_t>());
  row.mode = in.get<uint32_t>();
  if (!in.finished()) return damaged("name");
  return row;
}

std::string encode_xattr_row(std::string_view value) { return std::string("=").append(value); }

Result<std::string> decode_xattr_row(std::string_view value) {
  if (value.empty() || value[0] != '=') return damaged("extended attribute");
  return std::string(value.substr(1));
}

std::string encode_mark_row(const Mark& mark) {
  std::string value;
  Encoder out(value);
  out.put(mark.id.value()).put(mark.seq.value()).put(mark.time_ns).put(mark.pid).put(mark.uid);
  out.put(static_cast<uint8_t>(mark.held)).put_text16(mark.name).put_text16(mark.application).put_text16(mark.note);
  return value;
}

Result<Mark> decode_mark_row(std::string_view value) {
  Decoder in(value);
  Mark mark;
  mark.id = MarkId(in.get<uint64_t>());
  mark.seq = Seq(in.get<uint64_t>());
  mark.time_ns = in.get<int64_t>();
  mark.pid = in.get<uint32_t>();
  mark.uid = in.get<uint32_t>();
  mark.held = in.get<uint8_t>() != 0;
  mark.name = in.get_text16();
  mark.application = in.get_text16();
  mark.note = in.get_text16();
  if (!in.finished()) return damaged("mark");
  return mark;
}

std::string encode_meta(const Meta& meta) {
  std::string value;
  Encoder out(value);
  out.put(kIndexFormat).put(meta.applied.epoch.value()).put(meta.applied.seq.value()).put(meta.applied.chain);
  out.put(meta.next_ino.value()).put(meta.next_mark.value()).put(meta.inodes).put_raw(as_text(meta.group));
  return value;
}

Result<Meta> decode_meta(std::string_view value) {
  Decoder in(value);
  Meta meta;
  const auto format = in.get<uint32_t>();
  meta.applied.epoch = Epoch(in.get<uint64_t>());
  meta.applied.seq = Seq(in.get<uint64_t>());
  meta.applied.chain = in.get<uint64_t>();
  meta.next_ino = Ino(in.get<uint64_t>());
  meta.next_mark = MarkId(in.get<uint64_t>());
  meta.inodes = in.get<uint64_t>();
  const Bytes group = in.get_raw(meta.group.size());
  if (!in.finished() || format != kIndexFormat) return damaged("position");
  std::memcpy(meta.group.data(), group.data(), meta.group.size());
  return meta;
}

}  // namespace tidemark

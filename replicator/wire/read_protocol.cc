#include "replicator/wire/read_protocol.h"

namespace tidemark {
namespace {

Status malformed(std::string_view what) { return Status(Code::kCorrupt, "malformed " + std::string(what)); }

void encode_time(Encoder& to, const FileTime& time) { to.put(time.seconds).put(time.nanoseconds); }
FileTime decode_time(Decoder& from) {
  FileTime time;
  time.seconds = from.get<int64_t>();
  time.nanoseconds = from.get<uint32_t>();
  return time;
}

enum EntryFlag : uint8_t { kEntryAttr = 1 };
constexpr size_t kEntryLeast = 2 + 8 + 4 + 1;  // bytes of the shortest entry: bounds a count before memory is taken

}  // namespace

void encode_tree_request(Encoder to, const TreeRequest& request) {
  to.put(request.point.value()).put(request.ino.value()).put(request.at).put(request.to).put(request.count);
  to.put(static_cast<uint8_t>(request.plus ? 1 : 0)).put_text16(request.name);
}

Result<TreeRequest> decode_tree_request(Bytes bytes) {
  Decoder body(bytes);
  TreeRequest request;
  request.point = Seq(body.get<uint64_t>());
  request.ino = Ino(body.get<uint64_t>());
  request.at = body.get<uint64_t>();
  request.to = body.get<uint64_t>();
  request.count = body.get<uint32_t>();
  uint8_t plus = body.get<uint8_t>();
  std::string_view name = body.get_text16();
  if (!body.finished() || plus > 1 || name.size() > kNameMax || name.find('\0') != std::string_view::npos) {
    return malformed("request");
  }
  request.plus = plus == 1;
  request.name = name;
  return request;
}

static_assert(sizeof(Attr) == 168, "a new attribute has to travel too, under a new protocol version");

void encode_attr(Encoder& to, const Attr& attr) {
  to.put(attr.ino.value()).put(attr.mode).put(attr.uid).put(attr.gid).put(attr.nlink).put(attr.device);
  to.put(attr.size).put(attr.blocks).put(attr.preallocation.unwritten());
  encode_time(to, attr.atime);
  encode_time(to, attr.mtime);
  encode_time(to, attr.ctime);
  encode_time(to, attr.btime);
  to.put(attr.parent.value()).put(attr.xattr_count).put(attr.changed.value());
}

Attr decode_attr(Decoder& from) {
  Attr attr;
  attr.ino = Ino(from.get<uint64_t>());
  attr.mode = from.get<uint32_t>();
  attr.uid = from.get<uint32_t>();
  attr.gid = from.get<uint32_t>();
  attr.nlink = from.get<uint32_t>();
  attr.device = from.get<uint64_t>();
  attr.size = from.get<uint64_t>();
  attr.blocks = from.get<uint64_t>();
  attr.preallocation = Preallocation(from.get<uint64_t>());
  attr.atime = decode_time(from);
  attr.mtime = decode_time(from);
  attr.ctime = decode_time(from);
  attr.btime = decode_time(from);
  attr.parent = Ino(from.get<uint64_t>());
  attr.xattr_count = from.get<uint32_t>();
  attr.changed = Seq(from.get<uint64_t>());
  return attr;
}

void encode_list_entry(Encoder& to, const ListEntry& entry) {
  to.put_text16(entry.entry.name).put(entry.entry.ino.value()).put(entry.entry.mode);
  to.put(static_cast<uint8_t>(entry.has_attr ? kEntryAttr : 0));
  if (entry.has_attr) encode_attr(to, entry.attr);
}

Result<std::vector<ListEntry>> decode_list(Bytes bytes) {
  Decoder body(bytes);
  uint32_t count = body.get<uint32_t>();
  if (count > kListEntriesMax || count > body.rest().size() / kEntryLeast) return malformed("LIST answer");
  std::vector<ListEntry> entries(count);
  for (ListEntry& entry : entries) {
    entry.entry.name = body.get_text16();
    entry.entry.ino = Ino(body.get<uint64_t>());
    entry.entry.mode = body.get<uint32_t>();
    uint8_t flags = body.get<uint8_t>();
    if (flags > kEntryAttr) return malformed("LIST answer");
    entry.has_attr = (flags & kEntryAttr) != 0;
    if (entry.has_attr) entry.attr = decode_attr(body);
    const std::string& name = entry.entry.name;
    // A name goes to somebody's disk: what no directory can hold is not taken from a wire.
    if (name.empty() || name.size() > kNameMax || name == "." || name == ".." || name.find('/') != std::string::npos ||
        name.find('\0') != std::string::npos) {
      return malformed("LIST answer");
    }
  }
  if (!body.finished()) return malformed("LIST answer");
  return entries;
}

void encode_ranges(Encoder to, const std::vector<DataRange>& ranges) {
  to.put(static_cast<uint32_t>(ranges.size()));
  for (const DataRange& range : ranges) to.put(range.at).put(range.size);
}

Result<std::vector<DataRange>> decode_ranges(Bytes bytes) {
  Decoder body(bytes);
  uint32_t count = body.get<uint32_t>();
  if (body.failed() || count > kRangesMax || body.rest().size() != size_t{count} * 16)
    return malformed("DATA_RANGES answer");
  std::vector<DataRange> ranges(count);
  for (DataRange& range : ranges) {
    range.at = body.get<uint64_t>();
    range.size = body.get<uint64_t>();
  }
  return ranges;
}

void encode_sums(Encoder to, const std::vector<uint64_t>& sums) {
  for (const uint64_t sum : sums) to.put(sum);
}

Result<std::vector<uint64_t>> decode_sums(Bytes bytes) {
  if (bytes.size() % 8 != 0 || bytes.size() / 8 > kBlockSumsMax) return malformed("BLOCK_SUMS answer");
  Decoder body(bytes);
  std::vector<uint64_t> sums(bytes.size() / 8);
  for (uint64_t& sum : sums) sum = body.get<uint64_t>();
  return sums;
}

void encode_texts(Encoder to, const std::vector<std::string>& texts) {
  to.put(static_cast<uint32_t>(texts.size()));
  for (const std::string& text : texts) to.put_text16(text);
}

Result<std::vector<std::string>> decode_texts(Bytes bytes) {
  Decoder body(bytes);
  uint32_t count = body.get<uint32_t>();
  if (count > body.rest().size() / 2) return malformed("list of texts");
  std::vector<std::string> texts(count);
  for (std::string& text : texts) text = body.get_text16();
  if (!body.finished()) return malformed("list of texts");
  return texts;
}

void encode_mark(Encoder& to, const Mark& mark) {
  to.put(mark.id.value()).put(mark.seq.value()).put(mark.time_ns).put(mark.pid).put(mark.uid);
  to.put(static_cast<uint8_t>(mark.held ? 1 : 0));
  to.put_text16(mark.name).put_text16(mark.application).put_text16(mark.note);
}

Result<std::vector<Mark>> decode_marks(Bytes bytes) {
  Decoder body(bytes);
  uint32_t count = body.get<uint32_t>();
  if (count > kMarksMax) return malformed("LIST_MARKS answer");
  std::vector<Mark> marks;
  for (uint32_t i = 0; i < count && !body.failed(); ++i) {
    Mark mark;
    mark.id = MarkId(body.get<uint64_t>());
    mark.seq = Seq(body.get<uint64_t>());
    mark.time_ns = body.get<int64_t>();
    mark.pid = body.get<uint32_t>();
    mark.uid = body.get<uint32_t>();
    mark.held = body.get<uint8_t>() != 0;
    mark.name = body.get_text16();
    mark.application = body.get_text16();
    mark.note = body.get_text16();
    marks.push_back(std::move(mark));
  }
  if (!body.finished()) return malformed("LIST_MARKS answer");
  return marks;
}

void encode_info(Encoder to, const RemoteGroupInfo& info) {
  to.put_raw(as_text(Bytes(info.id))).put_text16(info.name);
  to.put(info.newest.epoch.value()).put(info.newest.seq.value()).put(info.newest.chain);
  to.put(info.base.value()).put(info.durable.value()).put(info.newest_time_ns).put(info.log_bytes);
}

Result<RemoteGroupInfo> decode_info(Bytes bytes) {
  Decoder body(bytes);
  RemoteGroupInfo info;
  Bytes id = body.get_raw(info.id.size());
  if (id.size() == info.id.size()) std::memcpy(info.id.data(), id.data(), id.size());
  info.name = body.get_text16();
  info.newest.epoch = Epoch(body.get<uint64_t>());
  info.newest.seq = Seq(body.get<uint64_t>());
  info.newest.chain = body.get<uint64_t>();
  info.base = Seq(body.get<uint64_t>());
  info.durable = Seq(body.get<uint64_t>());
  info.newest_time_ns = body.get<int64_t>();
  info.log_bytes = body.get<uint64_t>();
  if (!body.finished() || info.name.size() > kGroupNameMax) return malformed("INFO answer");
  return info;
}

Result<MarksRequest> decode_marks_request(Bytes bytes) {
  Decoder body(bytes);
  MarksRequest request;
  request.after = MarkId(body.get<uint64_t>());
  request.max = body.get<uint32_t>();
  if (!body.finished()) return malformed("request");
  return request;
}

Result<LogRequest> decode_log_request(Bytes bytes) {
  Decoder body(bytes);
  LogRequest request;
  request.next = Seq(body.get<uint64_t>());
  request.bytes_max = body.get<uint32_t>();
  if (!body.finished() || request.next == Seq(0)) return malformed("request");
  return request;
}

void encode_prune_request(Encoder to, const PruneAsked& request) {
  to.put(request.to.value()).put(static_cast<uint8_t>(request.dry_run ? 1 : 0));
}

Result<PruneAsked> decode_prune_request(Bytes bytes) {
  Decoder body(bytes);
  PruneAsked request;
  request.to = Seq(body.get<uint64_t>());
  const auto dry_run = body.get<uint8_t>();
  if (!body.finished() || dry_run > 1 || request.to == Seq()) return malformed("request");
  request.dry_run = dry_run == 1;
  return request;
}

void encode_prune(Encoder to, const RemotePrune& pruned) {
  const PruneReport& report = pruned.report;
  to.put(report.base_before.value()).put(report.base.value()).put(report.wanted.value());
  to.put(static_cast<uint64_t>(report.segments)).put(report.segment_bytes).put(report.log_bytes).put(report.pack_bytes);
  to.put(pruned.base_time_ns).put_text16(std::string_view(report.stopped_by).substr(0, kStoppedByMax));
  const size_t count = std::min<size_t>(report.marks.size(), kPrunedMarksMax);
  to.put(static_cast<uint32_t>(count));
  for (size_t i = 0; i < count; ++i) to.put(report.marks[i].seq.value()).put_text16(report.marks[i].name);
}

Result<RemotePrune> decode_prune(Bytes bytes) {
  Decoder body(bytes);
  RemotePrune pruned;
  PruneReport& report = pruned.report;
  report.base_before = Seq(body.get<uint64_t>());
  report.base = Seq(body.get<uint64_t>());
  report.wanted = Seq(body.get<uint64_t>());
  report.segments = body.get<uint64_t>();
  report.segment_bytes = body.get<uint64_t>();
  report.log_bytes = body.get<uint64_t>();
  report.pack_bytes = body.get<uint64_t>();
  pruned.base_time_ns = body.get<int64_t>();
  report.stopped_by = body.get_text16();
  const auto count = body.get<uint32_t>();
  if (report.stopped_by.size() > kStoppedByMax || count > kPrunedMarksMax) return malformed("answer");
  for (uint32_t i = 0; i < count && !body.failed(); ++i) {
    Mark mark;
    mark.seq = Seq(body.get<uint64_t>());
    mark.name = body.get_text16();
    report.marks.push_back(std::move(mark));
  }
  if (!body.finished()) return malformed("answer");
  return pruned;
}

}  // namespace tidemark

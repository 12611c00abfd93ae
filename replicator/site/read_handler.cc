#include "replicator/site/read_handler.h"

#include <algorithm>

#include "base/clock.h"
#include "log/read/cursor.h"
#include "replicator/wire/status_protocol.h"

namespace tidemark {
namespace {

constexpr size_t kXattrNamesBytesMax = kReplyBodyMax / 2;

// What every answer is written into; the caller finishes it.
using Answer = MessageWriter;

Result<RemoteGroupInfo> describe(ReplicaHost& host) {
  Group& group = *host.group();
  RemoteGroupInfo info;
  info.id = group.identity().id;
  info.name = host.name();
  Seq newest = group.newest();
  info.base = group.base();
  info.durable = std::min(group.log().durable(), newest);
  info.log_bytes = group.log().bytes();
  if (newest == Seq(0)) return info;
  TM_ASSIGN(info.newest, group.log().position_at(newest));
  LogCursor cursor(group.log(), newest, false);
  TM_ASSIGN(LogCursor::Run run, cursor.read(1, newest));
  RecordHeader header;
  if (run.bytes.size() >= kRecordHeaderSize && decode_header(run.bytes, header) == RecordFault::kNone) {
    info.newest_time_ns = header.time_ns;
  }
  return info;
}

Status answer_info(ReplicaHost& host, Bytes body, Answer& answer) {
  if (!body.empty()) return Status(Code::kCorrupt, "malformed request");
  TM_ASSIGN(RemoteGroupInfo info, describe(host));
  encode_info(answer.body(), info);
  return Status();
}

Status answer_status(ReplicaHost& host, Bytes body, Answer& answer) {
  if (!body.empty()) return Status(Code::kCorrupt, "malformed request");
  Group& group = *host.group();
  SiteReport report;
  report.wall_ns = system_clock().wall_ns();
  report.base_time_ns = group.base_time_ns();
  if (const Seq sound = group.log().sound(); sound < group.log().appended()) report.damaged_from = sound.next();
  if (const Status takes = group.takes_changes(); !takes.ok()) report.refusal = takes.text();
  report.source = host.source();
  for (auto& [name, progress] : group.watermarks().snapshot()) report.sites.emplace_back(name, progress);
  encode_report(answer.body(), report);
  return Status();
}

Status answer_resolve(ReplicaHost& host, Bytes bytes, Answer& answer) {
  Decoder body(bytes);
  std::string_view text = body.get_text16();
  if (!body.finished() || text.size() > kPointTextMax) return Status(Code::kCorrupt, "malformed request");
  TM_ASSIGN(Seq seq, host.group()->resolve(text));
  answer.body().put(seq.value());
  return Status();
}

Status answer_marks(ReplicaHost& host, Bytes body, Answer& answer) {
  TM_ASSIGN(MarksRequest request, decode_marks_request(body));
  TM_ASSIGN(std::vector<Mark> marks, host.group()->list_marks(request.after, std::min(request.max, kMarksMax)));
  Encoder out = answer.body();
  size_t count_at = answer.text().size();
  out.put(uint32_t{0});
  uint32_t count = 0;
  std::string one;
  for (const Mark& mark : marks) {
    one.clear();
    Encoder piece(one);
    encode_mark(piece, mark);
    if (answer.text().size() + one.size() > kWireMax) break;
    out.put_raw(one);
    ++count;
  }
  std::memcpy(answer.text().data() + count_at, &count, sizeof count);
  return Status();
}

Status answer_list(TreeView& view, const TreeRequest& request, Answer& answer) {
  uint32_t max = std::clamp<uint32_t>(request.count, 1, kListEntriesMax);
  TM_ASSIGN(std::vector<DirEntry> entries, view.list(request.ino, request.name, max));
  Encoder out = answer.body();
  out.put(static_cast<uint32_t>(entries.size()));
  for (DirEntry& entry : entries) {
    ListEntry item;
    item.entry = std::move(entry);
    if (request.plus) {
      // One that cannot be described is sent without: the client then asks for it and gets the failure where it belongs.
      Result<Attr> attr = view.get_attr(item.entry.ino);
      item.has_attr = attr.ok();
      if (attr.ok()) item.attr = *attr;
    }
    encode_list_entry(out, item);
  }
  return Status();
}

Status answer_read_bytes(TreeView& view, const TreeRequest& request, Answer& answer) {
  if (request.count > kReadMax) return Status(Code::kTooLarge, "a READ asks for at most 1 MiB");
  std::string& text = answer.text();
  text.resize(kWireHeaderSize + request.count);
  MutableBytes out(reinterpret_cast<std::byte*>(text.data()) + kWireHeaderSize, request.count);
  TM_ASSIGN(size_t size, view.read(request.ino, request.at, out));
  text.resize(kWireHeaderSize + size);
  return Status();
}

Status answer_ranges(TreeView& view, const TreeRequest& request, Answer& answer) {
  size_t max = std::clamp<uint32_t>(request.count, 1, kRangesMax);
  TM_ASSIGN(std::vector<DataRange> ranges, view.data_ranges(request.ino, request.at, request.to, max));
  encode_ranges(answer.body(), ranges);
  return Status();
}

Status answer_sums(TreeView& view, const TreeRequest& request, Answer& answer) {
  if (request.at % kBlockSize != 0) return Status(Code::kInvalid, "sums are of whole blocks");
  TM_ASSIGN(std::vector<uint64_t> sums,
            view.block_sums(request.ino, request.at, std::clamp<uint32_t>(request.count, 1, kBlockSumsMax)));
  encode_sums(answer.body(), sums);
  return Status();
}

Status answer_xattr_names(TreeView& view, const TreeRequest& request, Answer& answer) {
  TM_ASSIGN(std::vector<std::string> names, view.list_xattr(request.ino));
  size_t bytes = 0;
  for (const std::string& name : names) bytes += name.size() + 2;
  if (bytes > kXattrNamesBytesMax)
    return Status(Code::kTooLarge, "the names of the extended attributes fill more than 512 KiB");
  encode_texts(answer.body(), names);
  return Status();
}

Status put_attr(Result<Attr> attr, Answer& answer) {
  if (!attr.ok()) return attr.status();
  Encoder out = answer.body();
  encode_attr(out, *attr);
  return Status();
}

Status put_text(Result<std::string> text, Answer& answer) {
  if (!text.ok()) return text.status();
  if (text->size() > kReplyBodyMax - 4) return Status(Code::kTooLarge, "the answer does not fit a message");
  answer.body().put_text32(*text);
  return Status();
}

Status answer_tree(ReplicaHost& host, const Reader& reader, MessageType type, Bytes body, Answer& answer) {
  TM_ASSIGN(TreeRequest request, decode_tree_request(body));
  TM_ASSIGN(std::shared_ptr<TreeView> view, host.view(reader.key, request.point));
  switch (type) {
    case MessageType::kGetAttr: return put_attr(view->get_attr(request.ino), answer);
    case MessageType::kLookup: return put_attr(view->lookup(request.ino, request.name), answer);
    case MessageType::kList: return answer_list(*view, request, answer);
    case MessageType::kReadLink: return put_text(view->read_link(request.ino), answer);
    case MessageType::kRead: return answer_read_bytes(*view, request, answer);
    case MessageType::kDataRanges: return answer_ranges(*view, request, answer);
    case MessageType::kBlockSums: return answer_sums(*view, request, answer);
    case MessageType::kGetXattr: return put_text(view->get_xattr(request.ino, request.name), answer);
    case MessageType::kListXattr: return answer_xattr_names(*view, request, answer);
    default: return Status(Code::kUnsupported, "unknown request");
  }
}

Status answer_log(ReplicaHost& host, Bytes body, Answer& answer) {
  TM_ASSIGN(LogRequest request, decode_log_request(body));
  Log& log = host.group()->log();
  Seq last = log.durable();
  for (const Gap& gap : log.gaps()) {  // what was never here is passed over
    if (gap.covers(request.next)) request.next = gap.to.seq.next();
  }
  if (request.next > last) return Status();
  LogCursor cursor(log, request.next);
  TM_ASSIGN(LogCursor::Run run, cursor.read(std::min<size_t>(request.bytes_max, kRunMax), last));
  answer.body().put_raw(as_text(run.bytes));
  return Status();
}

Status answer_packed(ReplicaHost& host, Bytes body, Answer& answer) {
  TM_ASSIGN(const LogRequest request, decode_log_request(body));
  TM_ASSIGN(const std::string records,
            host.group()->log().read_packed(request.next, std::min<size_t>(request.bytes_max, kRunMax)));
  answer.body().put_raw(records);
  return Status();
}

Status answer_prune(SiteGroups& groups, ReplicaHost& host, Bytes body, Answer& answer) {
  TM_ASSIGN(const PruneAsked asked, decode_prune_request(body));
  RemotePrune pruned;
  TM_ASSIGN(pruned.report, groups.prune(host, asked.to, asked.dry_run));
  pruned.base_time_ns = host.group()->base_time_ns();
  encode_prune(answer.body(), pruned);
  return Status();
}

Status answer_groups(SiteGroups& groups, const Reader& reader, Bytes body, Answer& answer) {
  if (!body.empty()) return Status(Code::kCorrupt, "malformed request");
  std::vector<std::string> names = groups.names();
  std::erase_if(names, [&](const std::string& name) { return !reader.may_read(name); });
  encode_texts(answer.body(), names);
  return Status();
}

Status dispatch(SiteGroups& groups, ReplicaHost* host, const Reader& reader, MessageType type, Bytes body, Answer& answer) {
  if (type == MessageType::kListGroups) return answer_groups(groups, reader, body, answer);
  if (host == nullptr || host->group() == nullptr) return Status(Code::kInvalid, "this session has no group");
  switch (type) {
    case MessageType::kInfo: return answer_info(*host, body, answer);
    case MessageType::kResolve: return answer_resolve(*host, body, answer);
    case MessageType::kListMarks: return answer_marks(*host, body, answer);
    case MessageType::kReadLog: return answer_log(*host, body, answer);
    case MessageType::kStatus: return answer_status(*host, body, answer);
    case MessageType::kReadPacked: return answer_packed(*host, body, answer);
    case MessageType::kPrune: return answer_prune(groups, *host, body, answer);
    default: return answer_tree(*host, reader, type, body, answer);
  }
}

}  // namespace

std::string answer_read(SiteGroups& groups, ReplicaHost* host, const Reader& reader, const WireHeader& header, Bytes body) {
  Answer answer;
  Status status = dispatch(groups, host, reader, header.type, body, answer);
  if (!status.ok()) return encode_error(status, Retry::kNever, header.session, header.request);
  return answer.finish(reply_to(header.type), header.session, header.request);
}

}  // namespace tidemark

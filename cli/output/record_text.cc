#include "cli/output/record_text.h"

#include <algorithm>
#include <cstdio>

#include "cli/output/output.h"
#include "log/format/body.h"

namespace tidemark::cli {
namespace {

std::string octal(uint32_t mode) {
  char text[16];
  std::snprintf(text, sizeof text, "%06o", mode);
  return text;
}

std::string time_text(const FileTime& time) {
  char text[48];
  std::snprintf(text, sizeof text, "%lld.%09u", static_cast<long long>(time.seconds), time.nanoseconds);
  return text;
}

Json genesis_detail(const Genesis& body) {
  return {{"group", group_id_text(body.group)},
          {"name", body.name},
          {"mode", octal(body.root_mode)},
          {"uid", body.uid},
          {"gid", body.gid}};
}

Json epoch_detail(const EpochChange& body) {
  return {{"previous", body.previous.value()}, {"site", body.site}, {"reason", body.reason}};
}

Json make_node_detail(const MakeNode& body) {
  Json made = {{"parent", body.parent.value()},
               {"name", body.name},
               {"mode", octal(body.mode)},
               {"uid", body.uid},
               {"gid", body.gid}};
  if (body.device != 0) made["device"] = body.device;
  if (!body.symlink_target.empty()) made["symlink_target"] = body.symlink_target;
  if (!body.xattrs.empty()) made["xattrs"] = body.xattrs.size();
  return made;
}

Json link_detail(const LinkBody& body) { return {{"parent", body.parent.value()}, {"name", body.name}}; }

Json rename_detail(const RenameBody& body) {
  Json made = {{"from_parent", body.from_parent.value()},
               {"from_name", body.from_name},
               {"to_parent", body.to_parent.value()},
               {"to_name", body.to_name}};
  if (body.exchange) made["exchange"] = true;
  if (body.replaced != Ino{}) made["replaced"] = body.replaced.value();
  if (body.whiteout != Ino{}) made["whiteout"] = body.whiteout.value();
  return made;
}

Json set_attr_detail(const SetAttr& body) {
  Json made = Json::object();
  if ((body.mask & kSetMode) != 0) made["mode"] = octal(body.mode);
  if ((body.mask & kSetUid) != 0) made["uid"] = body.uid;
  if ((body.mask & kSetGid) != 0) made["gid"] = body.gid;
  if ((body.mask & kSetSize) != 0) made["size"] = body.size;
  if ((body.mask & kSetAtime) != 0) made["atime"] = time_text(body.atime);
  if ((body.mask & kSetMtime) != 0) made["mtime"] = time_text(body.mtime);
  if ((body.mask & kSetCtime) != 0) made["ctime"] = time_text(body.ctime);
  return made;
}

Json clone_detail(const CloneBody& body) {
  return {{"source", body.source.value()},
          {"source_at", body.source_block * kBlockSize},
          {"at", body.target_block * kBlockSize},
          {"size", body.count * kBlockSize},
          {"size_after", body.size_after}};
}

Json mark_detail(const MarkBody& body) {
  return {{"id", body.id.value()}, {"name", body.name}, {"application", body.application},
          {"pid", body.pid},       {"uid", body.uid},   {"note", body.note}};
}

template <class Body, class Show>
Json shown(const Result<Body>& body, Show&& show) {
  return body.ok() ? Json(show(*body)) : Json{{"damaged", body.status().text()}};
}

Json detail_of(const RecordView& record) {
  Bytes payload = record.payload;
  switch (record.header.type) {
    case RecordType::kNone: return Json::object();
    case RecordType::kGenesis: return shown(decode_genesis(payload), genesis_detail);
    case RecordType::kEpoch: return shown(decode_epoch(payload), epoch_detail);
    case RecordType::kData:
      return shown(decode_data(record.header, payload), [&](const DataBody& body) {
        return Json{{"at", body.first_block * kBlockSize},
                    {"size", uint64_t{body.count} * kBlockSize},
                    {"size_after", body.size_after},
                    {"compressed", (record.header.flags & kFlagLz4) != 0}};
      });
    case RecordType::kMakeNode: return shown(decode_make_node(payload), make_node_detail);
    case RecordType::kLink:
    case RecordType::kUnlink: return shown(decode_link(payload), link_detail);
    case RecordType::kRename: return shown(decode_rename(payload), rename_detail);
    case RecordType::kSetAttr: return shown(decode_set_attr(payload), set_attr_detail);
    case RecordType::kTruncate:
      return shown(decode_truncate(payload), [](const TruncateBody& body) { return Json{{"size", body.size}}; });
    case RecordType::kPunch:
      return shown(decode_punch(payload), [](const PunchBody& body) {
        return Json{{"at", body.first_block * kBlockSize}, {"size", body.count * kBlockSize}};
      });
    case RecordType::kClone: return shown(decode_clone(payload), clone_detail);
    case RecordType::kAllocate:
      return shown(decode_allocate(payload), [](const AllocateBody& body) {
        return Json{
            {"at", body.first_block * kBlockSize}, {"size", body.count * kBlockSize}, {"size_after", body.size_after}};
      });
    case RecordType::kSetXattr:
      return shown(decode_xattr(payload), [](const XattrBody& body) {
        return Json{{"name", body.name}, {"size", body.value.size()}};
      });
    case RecordType::kRemoveXattr:
      return shown(decode_xattr(payload), [](const XattrBody& body) { return Json{{"name", body.name}}; });
    case RecordType::kFree:
      return shown(decode_free(payload), [](const std::vector<Ino>& inodes) {
        Json list = Json::array();
        for (Ino ino : inodes) list.push_back(ino.value());
        return Json{{"inodes", list}};
      });
    case RecordType::kMark: return shown(decode_mark(payload), mark_detail);
    case RecordType::kMarkChange:
      return shown(decode_mark_change(payload), [](const MarkChange& body) {
        return Json{{"id", body.id.value()}, {"held", body.held}};
      });
  }
  return Json::object();
}

// True where the names a record changes are in the directory `ino`.
bool names_in(const RecordView& record, Ino ino) {
  switch (record.header.type) {
    case RecordType::kMakeNode: {
      auto body = decode_make_node(record.payload);
      return body.ok() && body->parent == ino;
    }
    case RecordType::kLink:
    case RecordType::kUnlink: {
      auto body = decode_link(record.payload);
      return body.ok() && body->parent == ino;
    }
    case RecordType::kRename: {
      auto body = decode_rename(record.payload);
      return body.ok() && (body->from_parent == ino || body->to_parent == ino || body->replaced == ino);
    }
    default: return false;
  }
}

}  // namespace

Json record_json(const RecordView& record) {
  return {{"seq", record.header.seq.value()},
          {"epoch", record.header.epoch.value()},
          {"time", format_time(record.header.time_ns)},
          {"type", record_type_name(record.header.type)},
          {"ino", record.header.ino.value()},
          {"bytes", record.header.size_in_log()},
          {"detail", detail_of(record)}};
}

std::string detail_text(const Json& detail) {
  std::string text;
  for (const auto& [name, value] : detail.items()) {
    if (!text.empty()) text += ' ';
    text += name + "=";
    text += value.is_string() ? "\"" + printable(value.get_ref<const std::string&>()) + "\"" : json_text(value);
  }
  return text;
}

bool record_concerns(const RecordView& record, Ino ino) {
  if (record.header.ino == ino || names_in(record, ino)) return true;
  if (record.header.type != RecordType::kFree) return false;
  auto freed = decode_free(record.payload);
  return freed.ok() && std::find(freed->begin(), freed->end(), ino) != freed->end();
}

}  // namespace tidemark::cli

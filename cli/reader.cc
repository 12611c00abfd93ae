#include "cli/reader.h"

#include <algorithm>
#include <optional>

#include "base/logging.h"
#include "cli/service/closing.h"
#include "cli/service/control.h"
#include "cli/settings/config_file.h"
#include "log/format/record_walker.h"
#include "log/read/cursor.h"

namespace tidemark::cli {
namespace {

constexpr std::chrono::seconds kCheckpointTimeout{60};
constexpr size_t kMarksPerCall = 1000;
constexpr size_t kRunBytes = 1 << 20;

}  // namespace

Result<std::unique_ptr<Group>> open_for_reading(const std::string& directory, bool salvage) {
  Result<std::optional<Holder>> holder = lock_holder(directory);
  if (holder.ok() && holder->has_value()) {
    Result<Json> flushed = control_call(directory, {{"op", "checkpoint"}}, kCheckpointTimeout);
    // Asked first: a mount that answers need not be one whose process we can look at (another PID namespace).
    if (!flushed.ok()) TM_TRY(wait_until_closed(directory));
    // Without a control socket the holder only reads, like us, or has closed by now, and there is nothing to write out.
    if (!flushed.ok() && flushed.status().code() != Code::kNotFound) {
      log_warning("the newest changes may not be shown: " + flushed.status().text());
    }
  }
  GroupOptions options;
  options.purpose = "reading";
  options.salvage = salvage;
  return Group::open(directory, OpenMode::kRead, options);
}

Result<RemoteKeys> keys_for(const RemoteKeys& flags, const std::string& endpoint) {
  ConfigFor site;
  site.endpoint = endpoint;
  RemoteKeys keys;
  TM_ASSIGN(keys.own_key, Settings::ours().value(kOwnKey, flags.own_key, site));
  TM_ASSIGN(keys.server_key, Settings::ours().value(kServerKey, flags.server_key, site));
  const bool asked = !flags.own_key.empty() || !flags.server_key.empty();
  if (!asked && (keys.own_key.empty() || keys.server_key.empty())) return RemoteKeys();
  if (!keys.own_key.empty()) keys.own_key = absolute_path(keys.own_key);
  if (!keys.server_key.empty()) keys.server_key = absolute_path(keys.server_key);
  return keys;
}

Result<Reader> Reader::open(const Source& source, const RemoteKeys& keys, bool salvage) {
  Reader reader(source);
  if (source.remote) {
    TM_ASSIGN(const RemoteKeys used, keys_for(keys, source.address.endpoint));
    RemoteOptions options;
    options.server_key = used.server_key;
    options.own_key = used.own_key;
    TM_ASSIGN(reader.remote_, RemoteGroup::connect(source.address, options));
  } else {
    TM_ASSIGN(reader.group_, open_for_reading(source.directory, salvage));
  }
  return reader;
}

std::string Reader::name() { return group_ ? group_->identity().name : source_.address.group; }

Result<Seq> Reader::resolve(const std::string& point) { return group_ ? group_->resolve(point) : remote_->resolve(point); }

Result<std::shared_ptr<TreeView>> Reader::view(Seq point) { return group_ ? group_->view(point) : remote_->view(point); }

Result<std::vector<Mark>> Reader::marks() {
  std::vector<Mark> all;
  while (true) {
    MarkId after = all.empty() ? MarkId{} : all.back().id;
    TM_ASSIGN(auto some, group_ ? group_->list_marks(after, kMarksPerCall) : remote_->list_marks(after, kMarksPerCall));
    if (some.empty()) return all;
    std::move(some.begin(), some.end(), std::back_inserter(all));
  }
}

Result<Mark> Reader::find_mark(const std::string& name) {
  if (group_) return group_->find_mark(name);
  TM_ASSIGN(auto all, marks());
  auto found = std::find_if(all.begin(), all.end(), [&](const Mark& mark) { return mark.name == name; });
  if (found != all.end()) return std::move(*found);
  return Status(Code::kNoSuchPoint, "no mark '" + name + "' at " + source_.text + "; `tidemark mark list` lists the marks");
}

Result<Position> Reader::newest() {
  if (group_) return group_->position();
  TM_ASSIGN(RemoteGroupInfo info, remote_->info());
  return info.newest;
}

Result<Position> Reader::newest_durable() {
  if (group_) return group_->position();  // what a reader sees is on disk
  TM_ASSIGN(RemoteGroupInfo info, remote_->info());
  return info.durable < info.newest.seq ? position_at(info.durable) : Result<Position>(info.newest);
}

Result<RecordHeader> Reader::remote_header(Seq seq) {
  TM_ASSIGN(std::string run, remote_->read_log(seq, 1));
  Bytes rest = as_bytes(run);
  if (rest.empty()) return Status(Code::kNotFound, source_.text + " does not hold record " + std::to_string(seq.value()));
  Position position{Epoch(), seq.prev(), 0};
  TM_ASSIGN(const RecordView record, take_record(rest, position, {.order = false}));
  if (record.header.seq != seq) return Status(Code::kCorrupt, source_.text + " sent a different record than requested");
  return record.header;
}

Result<Position> Reader::position_at(Seq seq) {
  if (seq == Seq{}) return Position{};
  if (group_) return group_->log().position_at(seq);
  TM_ASSIGN(const RecordHeader header, remote_header(seq));
  return header.position();
}

Result<Seq> Reader::oldest() {
  if (group_) return group_->base();
  TM_ASSIGN(const RemoteGroupInfo info, remote_->info());
  return std::max(info.base, Seq{1});
}

Result<int64_t> Reader::time_of(Seq seq) {
  if (group_) return group_->log().time_of(seq);
  TM_ASSIGN(const RecordHeader header, remote_header(seq));
  return header.time_ns;
}

Status Reader::walk_log(Seq first, Seq last, const std::function<Status(const RecordView&)>& visit) {
  return group_ ? walk_local(first, last, visit) : walk_remote(first, last, visit);
}

Status Reader::walk_local(Seq first, Seq last, const std::function<Status(const RecordView&)>& visit) {
  for (const HeldStretch& held : held_stretches(group_->log(), first)) {
    LogCursor cursor(group_->log(), held.first);
    while (cursor.next() <= std::min(held.last, last)) {
      TM_ASSIGN(LogCursor::Run run, cursor.read(kRunBytes, std::min(held.last, last)));
      TM_TRY(walk_headers(run.bytes, visit));  // the cursor has checked them
    }
  }
  return Status();
}

Status Reader::walk_remote(Seq first, Seq last, const std::function<Status(const RecordView&)>& visit) {
  TM_ASSIGN(const RemoteGroupInfo info, remote_->info());
  // What was pruned is not there to be read; the record of the base is, so that what follows it can be checked.
  first = std::max(first, info.base > Seq{1} ? info.base.next() : Seq{1});
  Seq next = first;
  std::optional<Position> before;  // of record next - 1, where it is known: not behind what was pruned, nor behind a gap
  while (next <= last) {
    TM_ASSIGN(std::string run, remote_->read_log(next, kRunBytes));
    Bytes rest = as_bytes(run);
    if (rest.empty()) return Status();
    Position position = before.value_or(Position{Epoch(), next.prev(), 0});
    RecordHeader head;
    const bool jumps = !before || (decode_header(rest, head) == RecordFault::kNone && head.seq > next);
    for (bool follows = !jumps; !rest.empty() && next <= last; follows = true) {
      TM_ASSIGN(const RecordView record, take_record(rest, position, {.order = follows}));
      if (record.header.seq < next) return Status(Code::kCorrupt, source_.text + " sent a different record than requested");
      if (record.header.seq > last) return Status();
      before = record.header.position();
      next = record.header.seq.next();
      TM_TRY(visit(record));
    }
  }
  return Status();
}

}  // namespace tidemark::cli

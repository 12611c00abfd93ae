#include "replicator/remote/remote_view.h"

#include <algorithm>

namespace tidemark {
namespace {

constexpr size_t kAttrsKeptMax = 8192;  // a generation
constexpr size_t kReadsAtOnceMax = 4;   // READs on the way for one read()

Result<Attr> attr_of(const Received& answer) {
  Decoder body(answer.body);
  Attr attr = decode_attr(body);
  if (!body.finished()) return Status(Code::kCorrupt, "malformed answer");
  return attr;
}

Result<std::string> text_of(const Received& answer) {
  Decoder body(answer.body);
  std::string text(body.get_text32());
  if (!body.finished()) return Status(Code::kCorrupt, "malformed answer");
  return text;
}

}  // namespace

std::string RemoteView::body_of(TreeRequest request) const {
  request.point = point_;
  std::string body;
  encode_tree_request(Encoder(body), request);
  return body;
}

Result<Received> RemoteView::ask(MessageType type, TreeRequest request) {
  if (request.name.size() > kNameMax) return Status(Code::kNameTooLong, "a name has at most 255 bytes");
  return pool_->call(type, body_of(std::move(request)));
}

void RemoteView::remember(const Attr& attr) {
  MutexLock lock(mutex_);
  if (young_.size() >= kAttrsKeptMax) {
    old_ = std::move(young_);
    young_.clear();
  }
  young_.insert_or_assign(attr.ino, attr);
}

std::optional<Attr> RemoteView::recall(Ino ino) {
  MutexLock lock(mutex_);
  for (const auto* generation : {&young_, &old_}) {
    auto found = generation->find(ino);
    if (found != generation->end()) return found->second;
  }
  return std::nullopt;
}

Result<Attr> RemoteView::get_attr(Ino ino) {
  if (std::optional<Attr> known = recall(ino)) return *known;
  TreeRequest request;
  request.ino = ino;
  TM_ASSIGN(Received answer, ask(MessageType::kGetAttr, std::move(request)));
  TM_ASSIGN(Attr attr, attr_of(answer));
  if (attr.ino != ino) return Status(Code::kCorrupt, "the site answered for another inode");
  remember(attr);
  return attr;
}

Result<Attr> RemoteView::lookup(Ino directory, std::string_view name) {
  TreeRequest request;
  request.ino = directory;
  request.name = name;
  TM_ASSIGN(Received answer, ask(MessageType::kLookup, std::move(request)));
  TM_ASSIGN(Attr attr, attr_of(answer));
  remember(attr);
  return attr;
}

Result<std::vector<DirEntry>> RemoteView::list(Ino directory, std::string_view after, size_t max) {
  std::vector<DirEntry> entries;
  std::string last(after);
  while (entries.size() < max) {
    TreeRequest request;
    request.ino = directory;
    request.name = last;
    request.plus = true;
    request.count = static_cast<uint32_t>(std::min<size_t>(max - entries.size(), kListEntriesMax));
    uint32_t asked = request.count;
    TM_ASSIGN(Received answer, ask(MessageType::kList, std::move(request)));
    TM_ASSIGN(std::vector<ListEntry> listed, decode_list(answer.body));
    if (listed.size() > asked) return Status(Code::kCorrupt, "malformed answer");
    for (ListEntry& item : listed) {
      if (item.entry.name <= last) return Status(Code::kCorrupt, "the site lists names out of order");
      last = item.entry.name;
      if (item.has_attr && item.attr.ino != item.entry.ino) return Status(Code::kCorrupt, "malformed answer");
      if (item.has_attr) remember(item.attr);
      entries.push_back(std::move(item.entry));
    }
    if (listed.size() < asked) break;
  }
  return entries;
}

Result<std::string> RemoteView::read_link(Ino ino) {
  TreeRequest request;
  request.ino = ino;
  TM_ASSIGN(Received answer, ask(MessageType::kReadLink, std::move(request)));
  return text_of(answer);
}

Result<size_t> RemoteView::read(Ino ino, uint64_t at, MutableBytes out) {
  size_t done = 0;
  while (done < out.size()) {
    std::vector<std::string> bodies;
    std::vector<uint32_t> sizes;
    size_t asked = done;
    while (asked < out.size() && bodies.size() < kReadsAtOnceMax) {
      TreeRequest request;
      request.ino = ino;
      request.at = at + asked;
      request.count = static_cast<uint32_t>(std::min(out.size() - asked, kReadMax));
      sizes.push_back(request.count);
      asked += request.count;
      bodies.push_back(body_of(std::move(request)));
    }
    TM_ASSIGN(std::vector<Received> answers, pool_->call_many(MessageType::kRead, bodies));
    for (size_t i = 0; i < answers.size(); ++i) {
      Bytes data = answers[i].body;
      if (data.size() > sizes[i]) return Status(Code::kCorrupt, "malformed answer");
      if (!data.empty()) std::memcpy(out.data() + done, data.data(), data.size());
      done += data.size();
      if (data.size() < sizes[i]) return done;  // the end of the file
    }
  }
  return done;
}

Result<std::vector<DataRange>> RemoteView::data_ranges(Ino ino, uint64_t from, uint64_t to, size_t max) {
  std::vector<DataRange> ranges;
  while (ranges.size() < max && from < to) {
    TreeRequest request;
    request.ino = ino;
    request.at = from;
    request.to = to;
    request.count = static_cast<uint32_t>(std::min<size_t>(max - ranges.size(), kRangesMax));
    uint32_t asked = request.count;
    TM_ASSIGN(Received answer, ask(MessageType::kDataRanges, std::move(request)));
    TM_ASSIGN(std::vector<DataRange> some, decode_ranges(answer.body));
    if (some.size() > asked) return Status(Code::kCorrupt, "malformed answer");
    for (const DataRange& range : some) {
      if (range.size == 0 || range.at < from || range.at >= to || range.size > to - range.at) {
        return Status(Code::kCorrupt, "the site sent ranges out of order");
      }
      from = range.at + range.size;
      ranges.push_back(range);
    }
    if (some.size() < asked) break;
  }
  return ranges;
}

Result<std::vector<uint64_t>> RemoteView::block_sums(Ino ino, uint64_t at, size_t count) {
  std::vector<uint64_t> sums;
  while (sums.size() < count) {
    std::vector<std::string> bodies;
    std::vector<uint32_t> sizes;
    for (size_t asked = sums.size(); asked < count && bodies.size() < kReadsAtOnceMax; asked += sizes.back()) {
      TreeRequest request;
      request.ino = ino;
      request.at = at + asked * kBlockSize;
      request.count = static_cast<uint32_t>(std::min<size_t>(count - asked, kBlockSumsMax));
      sizes.push_back(request.count);
      bodies.push_back(body_of(std::move(request)));
    }
    TM_ASSIGN(std::vector<Received> answers, pool_->call_many(MessageType::kBlockSums, bodies));
    for (size_t i = 0; i < answers.size(); ++i) {
      TM_ASSIGN(const std::vector<uint64_t> some, decode_sums(answers[i].body));
      if (some.size() > sizes[i]) return Status(Code::kCorrupt, "malformed answer");
      sums.insert(sums.end(), some.begin(), some.end());
      if (some.size() < sizes[i]) return sums;  // the end of the file
    }
  }
  return sums;
}

Result<std::string> RemoteView::get_xattr(Ino ino, std::string_view name) {
  TreeRequest request;
  request.ino = ino;
  request.name = name;
  TM_ASSIGN(Received answer, ask(MessageType::kGetXattr, std::move(request)));
  return text_of(answer);
}

Result<std::vector<std::string>> RemoteView::list_xattr(Ino ino) {
  if (std::optional<Attr> known = recall(ino); known && known->xattr_count == 0) return std::vector<std::string>();
  TreeRequest request;
  request.ino = ino;
  TM_ASSIGN(Received answer, ask(MessageType::kListXattr, std::move(request)));
  return decode_texts(answer.body);
}

}  // namespace tidemark

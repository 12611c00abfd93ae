#include "replicator/remote/remote.h"

#include <algorithm>

#include "replicator/remote/remote_view.h"
#include "replicator/wire/status_protocol.h"

namespace tidemark {
namespace {

class RemoteGroupImpl final : public RemoteGroup {
 public:
  explicit RemoteGroupImpl(std::shared_ptr<RemotePool> pool) : pool_(std::move(pool)) {}

  Result<RemoteGroupInfo> info() override {
    TM_ASSIGN(Received answer, pool_->call(MessageType::kInfo, ""));
    return decode_info(answer.body);
  }

  Result<SiteReport> report() override {
    TM_ASSIGN(Received answer, pool_->call(MessageType::kStatus, ""));
    return decode_report(answer.body);
  }

  Result<Seq> resolve(std::string_view point) override {
    if (point.size() > kPointTextMax) return Status(Code::kNoSuchPoint, "a point is at most 512 bytes long");
    std::string body;
    Encoder(body).put_text16(point);
    TM_ASSIGN(Received answer, pool_->call(MessageType::kResolve, body));
    Decoder reply(answer.body);
    Seq seq(reply.get<uint64_t>());
    if (!reply.finished()) return Status(Code::kCorrupt, "malformed answer");
    return seq;
  }

  Result<std::vector<Mark>> list_marks(MarkId after, size_t max) override;
  Result<std::shared_ptr<TreeView>> view(Seq point) override;
  Result<std::string> read_log(Seq next, size_t bytes_max) override {
    return read_records(MessageType::kReadLog, next, bytes_max);
  }
  Result<std::string> read_packed(Seq from, size_t bytes_max) override {
    return read_records(MessageType::kReadPacked, from, bytes_max);
  }
  Result<RemotePrune> prune(Seq to, bool dry_run) override {
    std::string body;
    encode_prune_request(Encoder(body), {to, dry_run});
    TM_ASSIGN(Received answer, pool_->call_once(MessageType::kPrune, body, kRemotePruneMax));
    return decode_prune(answer.body);
  }

 private:
  Result<std::string> read_records(MessageType type, Seq next, size_t bytes_max);

  const std::shared_ptr<RemotePool> pool_;
};

Result<std::vector<Mark>> RemoteGroupImpl::list_marks(MarkId after, size_t max) {
  std::vector<Mark> marks;
  while (marks.size() < max) {
    std::string body;
    Encoder(body).put(after.value()).put(static_cast<uint32_t>(std::min<size_t>(max - marks.size(), kMarksMax)));
    TM_ASSIGN(Received answer, pool_->call(MessageType::kListMarks, body));
    TM_ASSIGN(std::vector<Mark> some, decode_marks(answer.body));
    if (some.empty()) break;  // an answer may be cut where it is full, so only an empty one is the end
    for (Mark& mark : some) {
      if (mark.id <= after || marks.size() >= max) return Status(Code::kCorrupt, "the site lists marks out of order");
      after = mark.id;
      marks.push_back(std::move(mark));
    }
  }
  return marks;
}

Result<std::shared_ptr<TreeView>> RemoteGroupImpl::view(Seq point) {
  if (point == kLatest) {
    TM_ASSIGN(RemoteGroupInfo now, info());
    point = now.newest.seq;
  }
  auto made = std::make_shared<RemoteView>(pool_, point);
  TM_TRY(made->get_attr(kRootIno).status());  // a point that cannot be shown is known now
  return std::shared_ptr<TreeView>(std::move(made));
}

Result<std::string> RemoteGroupImpl::read_records(MessageType type, Seq next, size_t bytes_max) {
  std::string body;
  Encoder(body).put(next.value()).put(static_cast<uint32_t>(std::min(bytes_max, kRunMax)));
  TM_ASSIGN(Received answer, pool_->call(type, body));
  return std::string(as_text(answer.body));
}

}  // namespace

Result<std::unique_ptr<RemoteGroup>> RemoteGroup::connect(const RemoteAddress& address, const RemoteOptions& options) {
  TM_ASSIGN(std::shared_ptr<RemotePool> pool, RemotePool::connect(address, options));
  return std::unique_ptr<RemoteGroup>(std::make_unique<RemoteGroupImpl>(std::move(pool)));
}

Result<std::vector<std::string>> list_remote_groups(const std::string& endpoint, const RemoteOptions& options) {
  TM_ASSIGN(std::shared_ptr<RemotePool> pool, RemotePool::connect({endpoint, ""}, options));
  TM_ASSIGN(Received answer, pool->call(MessageType::kListGroups, ""));
  return decode_texts(answer.body);
}

}  // namespace tidemark

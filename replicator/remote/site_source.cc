#include "replicator/remote/site_source.h"

#include <map>

#include "base/mutex.h"
#include "replicator/wire/endpoint.h"

namespace tidemark {
namespace {

// A read of the mount waits for the answer: a site that does not answer soon is no help.
constexpr std::chrono::milliseconds kAnswerMax{3000};

Status check_group(const GroupIdentity& group, RemoteGroup& remote, const std::string& name) {
  TM_ASSIGN(const RemoteGroupInfo info, remote.info());
  if (info.id == group.id) return Status();
  return Status(Code::kDiverged, name + " holds another group (" + group_id_text(info.id) + ") under this name");
}

class RemoteSource final : public RecordSource {
 public:
  RemoteSource(std::unique_ptr<RemoteGroup> remote, std::string name) : remote_(std::move(remote)), name_(std::move(name)) {}
  [[nodiscard]] std::string name() const override { return name_; }
  Result<std::string> fetch(Seq next, size_t bytes_max) override { return remote_->read_log(next, bytes_max); }
  Result<std::string> fetch_packed(Seq from, size_t bytes_max) override { return remote_->read_packed(from, bytes_max); }

 private:
  const std::unique_ptr<RemoteGroup> remote_;
  const std::string name_;
};

class SiteSource final : public RecordSource {
 public:
  SiteSource(const GroupIdentity& group, std::function<std::vector<PairConfig>()> pairs)
      : group_(group), pairs_(std::move(pairs)) {}

  [[nodiscard]] std::string name() const override {
    MutexLock lock(mutex_);
    return answered_.empty() ? "the group's sites" : "site '" + answered_ + "'";
  }

  Result<std::string> fetch(Seq next, size_t bytes_max) override { return ask_all(&RemoteGroup::read_log, next, bytes_max); }
  Result<std::string> fetch_packed(Seq from, size_t bytes_max) override {
    return ask_all(&RemoteGroup::read_packed, from, bytes_max);
  }

 private:
  using Question = Result<std::string> (RemoteGroup::*)(Seq, size_t);

  Result<std::string> ask_all(Question question, Seq next, size_t bytes_max) {
    MutexLock lock(mutex_);
    answered_.clear();
    Status failure(Code::kNotFound, "there is no pair to fetch damaged records from");
    for (const PairConfig& pair : pairs_()) {
      auto answer = ask(pair, question, next, bytes_max);
      if (answer.ok() && !answer->empty()) {
        answered_ = pair.site;
        return answer;
      }
      const Status why = answer.ok() ? Status(Code::kNotFound, "it does not hold the record") : answer.status();
      failure = why.within("site '" + pair.site + "'");
    }
    return failure;
  }

  [[nodiscard]] auto connect(const Endpoint& line, const PairConfig& pair) const {
    return RemoteGroup::connect({line.text(), group_.name}, {pair.server_key, pair.own_key, kAnswerMax});
  }

  Result<std::string> ask(const PairConfig& pair, Question question, Seq next, size_t bytes_max) TM_REQUIRES(mutex_) {
    auto& remote = remotes_[pair.endpoint];
    if (remote == nullptr) {
      // Over the first of its lines that answers.
      TM_ASSIGN(const auto lines, parse_lines(pair.endpoint));
      auto opened = connect(lines.front(), pair);
      for (size_t i = 1; i < lines.size() && !opened.ok(); ++i) opened = connect(lines[i], pair);
      TM_ASSIGN(auto connected, std::move(opened));
      TM_TRY(check_group(group_, *connected, "site '" + pair.site + "'"));
      remote = std::move(connected);
    }
    auto answer = (*remote.*question)(next, bytes_max);
    if (!answer.ok()) remote.reset();  // connected anew next time
    return answer;
  }

  const GroupIdentity group_;
  const std::function<std::vector<PairConfig>()> pairs_;
  mutable Mutex mutex_;  // held while a site is asked: repairs come one at a time anyway
  std::map<std::string, std::unique_ptr<RemoteGroup>> remotes_ TM_GUARDED_BY(mutex_);
  std::string answered_ TM_GUARDED_BY(mutex_);
};

}  // namespace

std::shared_ptr<RecordSource> make_site_source(const GroupIdentity& group, std::function<std::vector<PairConfig>()> pairs) {
  return std::make_shared<SiteSource>(group, std::move(pairs));
}

Result<std::shared_ptr<RecordSource>> make_remote_source(const GroupIdentity& group, std::unique_ptr<RemoteGroup> remote,
                                                         const std::string& name) {
  TM_TRY(check_group(group, *remote, name));
  return std::shared_ptr<RecordSource>(std::make_shared<RemoteSource>(std::move(remote), name));
}

}  // namespace tidemark

#include "replicator/site/session_source.h"

#include <algorithm>
#include <chrono>

namespace tidemark {
namespace {

constexpr size_t kLongestRecord = kRecordHeaderSize + kPayloadMax + kRecordAlignment;

}  // namespace

void SessionSource::begin(std::shared_ptr<const ShipSession> session) {
  MutexLock lock(mutex_);
  if (session->over) return;
  session_ = std::move(session);
  question_.reset();
  changed_.notify_all();
}

void SessionSource::end(const ShipSession& session) {
  MutexLock lock(mutex_);
  if (session_.get() != &session) return;
  session_.reset();
  question_.reset();
  changed_.notify_all();
}

void SessionSource::stop() {
  MutexLock lock(mutex_);
  stopped_ = true;
  session_.reset();
  question_.reset();
  changed_.notify_all();
}

Status SessionSource::answer(const ShipSession& session, uint64_t request, std::string run) {
  MutexLock lock(mutex_);
  if (session_.get() != &session && session.over) return Status();  // it was on its way
  if (session_.get() != &session || !question_ || question_->number != request || question_->answer) {
    return Status(Code::kInvalid, "the source sent records that were not requested");
  }
  if (run.size() > std::max(question_->bytes_max, kLongestRecord)) {
    return Status(Code::kInvalid, "the source sent more records than requested");
  }
  question_->answer = std::move(run);
  changed_.notify_all();
  return Status();
}

Result<std::string> SessionSource::ask(bool packed, Seq from, size_t bytes_max) {
  bytes_max = std::clamp<size_t>(bytes_max, 1, kRunMax);
  Outgoing outgoing;
  uint64_t number = 0;
  {
    MutexLock lock(mutex_);
    if (stopped_) return Status(Code::kInterrupted, "the site is being stopped");
    if (session_ == nullptr) return Status(Code::kUnreachable, "the source is not connected, or is of an earlier version");
    if (question_ && !question_->answer) return Status(Code::kTimeout, "the source has not answered an earlier request yet");
    number = ++numbers_;
    question_ = Question{number, bytes_max, std::nullopt};
    outgoing.routing_id = session_->routing_id;
    outgoing.session = session_->id;
    outgoing.message = encode_fetch({packed, static_cast<uint32_t>(bytes_max), from}, session_->id, number);
  }
  outbox_.post(std::move(outgoing));
  const auto deadline = std::chrono::steady_clock::now() + kFetchAnswerMax;
  MutexLock lock(mutex_);
  while (question_ && question_->number == number && !question_->answer) {
    const auto left = deadline - std::chrono::steady_clock::now();
    if (left <= left.zero()) return Status(Code::kTimeout, "the source has not answered in time");
    (void)changed_.wait_for(mutex_, left);
  }
  if (!question_ || question_->number != number) return Status(Code::kUnreachable, "the source's connection is gone");
  std::string run = std::move(*question_->answer);
  question_.reset();
  if (run.empty()) return Status(Code::kNotFound, "the source does not hold the record, or it is damaged there too");
  return run;
}

}  // namespace tidemark

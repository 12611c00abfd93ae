// Damaged records of a site's copy, fetched again from the source that ships it, through the session that it opened: a site cannot
// connect to its source.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/mutex.h"
#include "log/read/record_source.h"
#include "replicator/site/outbox.h"

namespace tidemark {

// Thread-safe. One question is on its way at a time, and whoever asks waits for its answer, never the thread that takes what is shipped.
class SessionSource final : public RecordSource {
 public:
  explicit SessionSource(Outbox& outbox) : outbox_(outbox) {}

  [[nodiscard]] std::string name() const override { return "the source"; }
  Result<std::string> fetch(Seq next, size_t bytes_max) override { return ask(false, next, bytes_max); }
  Result<std::string> fetch_packed(Seq from, size_t bytes_max) override { return ask(true, from, bytes_max); }

  // This session ships from now on, and answers.
  void begin(std::shared_ptr<const ShipSession> session);
  void end(const ShipSession& session);
  // kInvalid: nothing is asked under this number in this session, or the answer is longer than was asked for.
  Status answer(const ShipSession& session, uint64_t request, std::string run);
  // Whoever waits is told so, and nothing is asked any more.
  void stop();

 private:
  struct Question {
    uint64_t number = 0;
    size_t bytes_max = 0;
    std::optional<std::string> answer;
  };
  Result<std::string> ask(bool packed, Seq from, size_t bytes_max);

  Outbox& outbox_;
  Mutex mutex_;  // a leaf
  CondVar changed_;
  std::shared_ptr<const ShipSession> session_ TM_GUARDED_BY(mutex_);
  std::optional<Question> question_ TM_GUARDED_BY(mutex_);  // of this session; stays until it is answered, however late
  uint64_t numbers_ TM_GUARDED_BY(mutex_) = 0;
  bool stopped_ TM_GUARDED_BY(mutex_) = false;
};

}  // namespace tidemark

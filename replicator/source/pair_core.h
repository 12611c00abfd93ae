// One pair, as a state machine without a thread, a socket or a clock of its own: it is told what happened and says what to
// send. PairLink runs it over ZeroMQ, the simulation over a network of its own. Not thread-safe: one caller at a time.
#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/clock.h"
#include "log/read/cursor.h"
#include "replicator/source/exposure.h"
#include "replicator/source/line_rate.h"
#include "replicator/source/pair.h"
#include "replicator/source/pair_lag.h"
#include "replicator/source/pair_reading.h"
#include "replicator/source/rate_limit.h"
#include "replicator/source/send_window.h"
#include "replicator/source/shipped_bytes.h"
#include "replicator/wire/protocol.h"
#include "replicator/wire/socket.h"

namespace tidemark {

// A sync pair whose site answers, but makes nothing durable for this long, is lost (its disk hangs). For each site that it waits for
// itself, one behind the other, it gets as much again: the one next to the disk that hangs gives up first.
inline constexpr std::chrono::seconds kSyncStallMax{10};

class PairCore {
 public:
  // Makes a status durable. What fails did not happen: the pair stays in the state it was in.
  using Persist = std::function<Status(const PairStatus&)>;
  // False where the queue is full; the message is taken only if true.
  using TrySend = std::function<Result<bool>(Message&)>;

  PairCore(Group& group, Pair pair, Clock& clock, Persist persist);

  // --- commands
  Status suspend();  // kInvalid: it is suspended already
  Status resume();   // kInvalid: nobody has suspended it, and it has not failed
  // Gives up for good, until resume(): the log can no longer be kept for it.
  Status park(const std::string& cause);

  // --- one connection: greet(), then receive() and send() until one fails or done(), then disconnected()
  [[nodiscard]] bool wants_connection() const;
  Status greet();
  Status receive(const Message& message);
  // Sends what is there to be sent. `full()` afterwards: the queue was full before that.
  Status send(const TrySend& try_send);
  // What has to be read before more can be sent; nothing where nothing may be sent now. Whoever runs the pair reads it (read_for), gives
  // what came of it to take_reading(), and calls send() again. No call waits for a disk because of DATA.
  [[nodiscard]] std::optional<PairReading> wants_reading();
  void take_reading(PairMessage message);
  [[nodiscard]] bool full() const { return session_.full; }
  // Nothing more will be sent: say BYE and close.
  [[nodiscard]] bool done() const { return session_.connected && !wants_connection() && session_.control.empty(); }
  // Until something is due without anything happening. At most a heartbeat's interval.
  [[nodiscard]] std::chrono::milliseconds pause() const;
  void disconnected(const Status& why);
  // The pair's work is over, in order: what the site has is saved, for those who look while nobody runs it.
  void end();
  // The session to say BYE in; 0: none.
  [[nodiscard]] uint64_t session() const { return session_.id; }
  // The site has begun to take what is sent: from now on DATA may go over further connections of the session.
  [[nodiscard]] bool under_way() const { return session_.shipping && session_.begun; }

  // Records go to the site while they are being synced here, and not only then: a sync pair of a primary's.
  [[nodiscard]] bool early() const;
  // What the site may be told of what nobody takes back; zeros before both agree on what it holds.
  [[nodiscard]] Seq settled_to_tell() const { return session_.begun ? group_.settled() : Seq(); }
  // The site passes on what it gets: it is told at once what is durable here.
  [[nodiscard]] bool prompt() const { return !downstream_.empty(); }

  // The site may not have the newest state on its disk yet: nothing must overtake it on another line.
  [[nodiscard]] bool one_line() const { return window_.consumed_frames() < session_.told_at_frames; }

  // --- how it stands
  [[nodiscard]] const PairConfig& config() const { return config_; }
  [[nodiscard]] const PairStatus& status() const { return status_; }
  [[nodiscard]] Seq durable() const { return acked_.durable; }  // there, as far as acknowledged
  [[nodiscard]] bool refused() const { return refused_; }       // for good: waiting for it is in vain
  [[nodiscard]] const std::string& last_error() const { return last_error_; }

 private:
  Status welcome(Bytes body, uint64_t session);
  Status check_welcome(const Welcome& welcome);
  [[nodiscard]] bool is_opening(const Position& position) const;
  // The site follows a newer primary (0: of which epoch, it did not say). Ours writes no more before anything else is answered.
  Status superseded(Epoch by, const Status& why);
  Status begin(const Welcome& welcome);
  void note_loss(Seq held);
  Status take_ack(Bytes body);
  Status take_downstream(Bytes body);
  // The site is not heard any more: what it said of those behind it is how they were.
  void cut_off_downstream();
  // A site that has none behind it any more says nothing of them.
  void drop_untold_downstream();
  Status take_accept(Bytes body);
  Status take_fetch(Bytes body, uint64_t request);
  // Whatever the acknowledged position allows: copying → duplex, suspending → suspended.
  Status advance();
  Status advance_after_command();
  Status reach_duplex();
  void set_goal();
  Status check_lag();
  Status enter(PairState to, const std::string& cause) { return enter(status_, to, cause); }
  // Likewise, from a status changed by a command.
  Status enter(PairStatus next, PairState to, const std::string& cause, bool parked = false);
  // The connection is gone, or was not had, while it drains.
  void drain_without_connection();
  Status check_time();
  Status send_control(const TrySend& try_send);
  Status send_data(const TrySend& try_send);
  // What the site lacks next is no longer in the log: it gets a difference.
  [[nodiscard]] bool held(Seq seq) const;
  void offer_difference(std::shared_ptr<DifferenceReader> difference);
  // Whether the site's window and the line have room for another message, and how long it may be.
  [[nodiscard]] bool has_room() const { return window_.has_room() && session_.line.has_room(); }
  [[nodiscard]] size_t run_size() const { return std::min(session_.line.run_max(), std::max(limit_.share(), kRunMin)); }
  void count_sent(size_t bytes, Seq last);
  [[nodiscard]] Seq durable_to_save() const;
  [[nodiscard]] bool heartbeat_due() const;
  [[nodiscard]] bool may_send();
  [[nodiscard]] Seq last_to_send() const;
  void tell_state();  // to the site
  void publish();
  [[nodiscard]] int64_t now() const { return clock_.steady_ns(); }

  Group& group_;
  const PairConfig config_;
  PairStatus status_;
  Clock& clock_;
  const Persist persist_;

  // One connection, from HELLO to its end. The next one begins with a new one of these.
  struct Session {
    bool connected = false;
    bool shipping = false;  // BEGIN has been said
    bool begun = false;     // and answered
    bool full = false;      // the queue was, when something was to be sent last
    uint64_t id = 0;        // 0: the site has not answered HELLO
    Hello hello;
    Position agreed;                  // where the site continues
    std::deque<std::string> control;  // small messages to go out before any DATA
    std::shared_ptr<LogCursor> cursor;
    PairMessage ready;                 // read, and to go out next
    std::optional<PairReading> fetch;  // what the site wants again
    LineRate line;
    int64_t greeted_ns = 0;
    int64_t begun_ns = 0;  // BEGIN was said
    int64_t heard_ns = 0;
    int64_t spoke_ns = 0;
    Seq told;                     // what the site knows to be settled
    uint64_t told_at_frames = 0;  // DATA messages, after so many of which are consumed the site has the pair's newest state
    std::chrono::seconds stall_max{kSyncStallMax};  // of a sync pair, with what is behind its site
    int64_t progress_ns = 0;                        // when the site last had everything, or made more of it durable
    bool downstream_told = false;                   // the site has said which sites are behind it
    std::shared_ptr<DifferenceReader> difference;
    bool accepted = false;  // the difference was
    uint64_t pieces = 0;    // of it that were sent
  };
  Session session_;

  SendWindow window_;
  RateLimit limit_;
  Ack acked_;
  Seq sent_;
  int64_t lost_ns_ = 0;  // since when a pair that drains has had no session

  Seq goal_;  // what is to be durable there next: duplex begins with it, and is lost where it takes too long (async)
  int64_t goal_ns_ = 0;  // when that was all that was durable here
  Seq reached_;          // as PairStatus's, now
  bool waits_ = false;   // what counts as durable waits for this site
  bool refused_ = false;
  bool diverged_ = false;  // the site holds another history
  int64_t acked_wall_ns_ = 0;
  Exposure exposure_;
  PairLag lag_;
  ShippedBytes shipped_;
  std::string last_error_;
  std::string lost_;                     // what the site had acknowledged and no longer holds, until it is duplex again
  std::vector<std::string> downstream_;  // names in the watermarks
};

}  // namespace tidemark

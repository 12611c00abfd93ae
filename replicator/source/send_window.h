// What of a session's DATA is on its way: the credit that the site gives, and the runs it has not made durable yet.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>

#include "log/log.h"
#include "replicator/wire/protocol.h"

namespace tidemark {

class SendWindow {
 public:
  // A session begins with what the site grants; nothing is known of where it is. False: that is too little for one message.
  [[nodiscard]] bool open(uint32_t bytes, uint32_t frames);
  // The session is over: nothing may be sent. Where the site was stays known until the next one begins.
  void close();

  // A message of any size may be sent.
  [[nodiscard]] bool has_room() const;
  void add(size_t bytes);
  // Records up to `last` lie in [begin, end) of the log and were sent.
  void add_run(Seq last, const Location& begin, const Location& end);

  // What the site says it has consumed since BEGIN. False: it falls, or is more than was sent; nothing has changed then.
  [[nodiscard]] bool acknowledge(uint64_t bytes, uint64_t frames);
  [[nodiscard]] uint64_t sent_frames() const { return sent_.frames; }
  [[nodiscard]] uint64_t consumed_frames() const { return consumed_.frames; }
  // Everything up to `seq` is durable there.
  void made_durable(Seq seq);
  // Where in the log that ends which is durable there; nothing before the first run.
  [[nodiscard]] const std::optional<Location>& durable_end() const { return durable_end_; }

 private:
  struct Amount {
    uint64_t bytes = 0;
    uint64_t frames = 0;
  };
  struct Run {
    Seq last;
    Location end;
  };

  Amount granted_;
  Amount sent_;
  Amount consumed_;
  std::deque<Run> runs_;
  std::optional<Location> durable_end_;
};

}  // namespace tidemark

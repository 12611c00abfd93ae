// A primary, sites and the lines between them in one thread: the real state machines (PairCore, ReplicaCore), the real engine over
// disks that lose power, a clock that only moves when told, and a network that delays, mangles, cuts and falls silent. Everything
// follows from the seed.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "replicator/site/replica_core.h"
#include "replicator/source/pair_core.h"
#include "tests/support/clocks.h"
#include "tests/support/fault_file.h"

namespace tidemark::test {

using SimClock = ManualClock;

// A machine: its disk, and a group on it as primary or as a site's copy.
struct SimNode {
  std::string directory;  // of the group; the index and the lock are real files there, all else is on `disk`
  bool primary = false;
  std::unique_ptr<FaultFileSystem> disk;
  std::unique_ptr<Group> own;            // where primary
  std::unique_ptr<ReplicaCore> replica;  // elsewhere
  Seq must_hold;                         // acknowledged as durable here, to whoever asked
  Seq promised;                          // likewise, to an application: nothing may ever take it back

  [[nodiscard]] Group& group() { return primary ? *own : *replica->group(); }
};

// What a link of a real network can do to what is on it.
struct SimFaults {
  bool mangle = false;       // flip, cut, double and swap messages
  bool disk_lies = false;    // syncs at the last site do nothing (a negative control)
  bool forget_wait = false;  // acknowledge without waiting for sync pairs (a negative control)
  bool prune = false;        // drop pairs, and move the base beyond what they need
  bool slow = false;         // lines carry a few KiB a second
  bool usurp = false;        // at some time another primary of a higher epoch shows itself at a site
};

class SimWorld;

// A pair and the line it uses.
class SimLink {
 public:
  SimLink(SimWorld& world, SimNode& source, SimNode& target, const Pair& pair);

  void start();                            // the source's machine is up
  void stop();                             // it is not any more
  void target_lost();                      // the target's is not
  void turn();                             // one round of everything that is due
  void cut();                              // the connection breaks
  void silence(bool on) { silent_ = on; }  // nothing gets through, and nobody is told
  void hang(bool on) { hangs_ = on; }      // the target's disk does not sync
  void commit();                           // the target syncs
  void command(bool suspend);              // an operator's
  void usurped();                          // the target has ended its session: a newer primary was there
  [[nodiscard]] PairCore& core() { return *core_; }
  [[nodiscard]] bool running() const { return core_ != nullptr; }
  [[nodiscard]] const Pair& saved() const { return saved_; }
  [[nodiscard]] SimNode& source() { return source_; }
  [[nodiscard]] SimNode& target() { return target_; }
  [[nodiscard]] size_t queued_bytes() const;
  // What waits for a slow line is no more than that line carries in moments, and a long record.
  [[nodiscard]] bool keeps_queue_short() const;
  bool calm = false;  // no faults any more: saving always works

  // What the world knows by itself, from what was saved and what operators said.
  [[nodiscard]] bool must_be_duplex() const { return promised_; }  // or nothing is acknowledged (fence=data)
  [[nodiscard]] bool held() const { return held_; }                // the last word of an operator was to suspend it

 private:
  struct Sent {
    int64_t due_ns = 0;
    std::string text;
    int64_t begun_ns = 0;  // its first byte arrives
    bool doubled = false;  // nobody sent it: it counts against no bound
  };
  void connect();
  Status send();
  void drop(const Status& why, bool orderly);
  void deliver_to_source();
  void deliver_to_target();
  void target_receives(const std::string& text);
  void target_says(std::string text) { put(to_source_, std::move(text)); }
  void end_session(const Status& why, Retry retry);
  [[nodiscard]] Seq durable_there() const;
  void acknowledge();
  void put(std::deque<Sent>& queue, std::string text);
  void note_movement();

  SimWorld& world_;
  SimNode& source_;
  SimNode& target_;
  Pair saved_;  // as on the source's disk
  std::unique_ptr<PairCore> core_;
  std::deque<Sent> to_target_, to_source_;
  bool up_ = false;
  bool silent_ = false;
  bool hangs_ = false;
  bool promised_ = false;
  bool held_ = false;
  int64_t next_attempt_ns_ = 0;
  // The session at the target.
  uint64_t session_ = 0;
  bool begun_ = false;
  Claim claim_;
  Ack ack_;
  uint64_t arrived_bytes_ = 0;
  int64_t noted_ns_ = 0;  // when the source was last told that something is on its way

  uint64_t bytes_per_second_ = 0;  // what the line carries to the target; 0: anything
};

class SimWorld {
 public:
  SimWorld(const std::string& directory, uint64_t seed, const SimFaults& faults);
  ~SimWorld();

  SimNode& add_node(bool primary);
  void add_link(SimNode& source, SimNode& target, PairMode mode, PairFence fence);

  // So many random steps, then everything is mended and the end awaited. "" where all promises were kept, else which was not.
  std::string run(size_t steps);

  void fail(const std::string& what) {
    if (failure_.empty()) failure_ = what;
  }
  [[nodiscard]] uint64_t below(uint64_t bound) { return std::uniform_int_distribution<uint64_t>(0, bound - 1)(random_); }
  SimClock clock;
  const SimFaults faults;
  // What a schedule was good for.
  uint64_t crashes = 0, cuts = 0, acknowledged_sync = 0, states_seen = 0, prunes = 0, differences = 0, refused = 0, told = 0,
           given_up = 0;

  // A copy gives up what is above `to`.
  void give_up(SimNode& node, Seq to);
  // The primary has been told that it has a successor.
  void tell() { told = 1; }

 private:
  void step();
  void work();         // the application changes something
  void fsync();        // it asks for durability
  void sync_slowly();  // sites get what is being synced; now and then the power fails meanwhile
  void settle_fsyncs();
  void command();
  void usurp();
  void check_operators();
  void check_fences(Seq seq);
  std::string finish_usurped();
  void prune(SimNode& node);
  void remember_history();
  void crash(SimNode& node);
  void open(SimNode& node);
  void turn_all();
  void check_prefix();
  std::string compare_trees();
  void calm_down();
  void finish_commands();
  void heal();
  std::string finish();
  [[nodiscard]] bool calm();
  GroupOptions options(SimNode& node);

  const std::string directory_;
  std::mt19937_64 random_;
  std::vector<std::unique_ptr<SimNode>> nodes_;
  std::vector<std::unique_ptr<SimLink>> links_;
  std::vector<Seq> fsyncs_;          // asked for and not answered
  std::map<Seq, Position> history_;  // of the primary
  std::multimap<Seq, Position>
      lost_;  // of it, what its last power failures took: a site may hold it until it is connected again
  std::string failure_;
  bool usurped_ = false;
};

}  // namespace tidemark::test

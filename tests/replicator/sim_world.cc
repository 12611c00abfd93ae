#include "tests/replicator/sim_world.h"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>

#include "log/read/cursor.h"
#include "log/write/writer.h"
#include "tests/volume/model.h"

namespace tidemark::test {
namespace {

namespace fs = std::filesystem;

constexpr size_t kQueuedBytesMax = kWindowBytes + (1u << 20);
constexpr int kTurnsToTheEnd = 4000;
constexpr int kSlowTurnsToTheEnd = 80000;

// The directories of `path` on a disk in memory.
void make_parents(FaultFileSystem& files, const std::string& path) {
  for (size_t slash = path.find('/', 1); slash != std::string::npos; slash = path.find('/', slash + 1)) {
    (void)files.make_directory(path.substr(0, slash));
  }
}

std::string seq_text(Seq seq) { return std::to_string(seq.value()); }

}  // namespace

SimWorld::SimWorld(const std::string& directory, uint64_t seed, const SimFaults& wanted)
    : faults(wanted), directory_(directory), random_(seed) {}

SimWorld::~SimWorld() {
  for (auto& link : links_) link->stop();
}

GroupOptions SimWorld::options(SimNode& node) {
  GroupOptions options;
  options.files = node.disk.get();
  options.clock = &clock;
  options.log.segment_bytes = faults.prune ? 32 * 1024 : 256 * 1024;
  options.log.commit_interval = std::chrono::milliseconds(0);
  options.log.reserve_bytes = 0;
  return options;
}

SimNode& SimWorld::add_node(bool primary) {
  SimNode& node = *nodes_.emplace_back(std::make_unique<SimNode>());
  node.directory = directory_ + "/node" + std::to_string(nodes_.size());
  node.primary = primary;
  node.disk = std::make_unique<FaultFileSystem>();
  make_parents(*node.disk, node.directory);
  fs::create_directories(node.directory);
  Status made;
  if (primary) {
    made = Group::init(node.directory, {.name = "shop"}, options(node));
  } else {
    made = Group::init_replica(node.directory, {nodes_.front()->own->identity().id, "shop", Role::kReplica}, options(node));
  }
  if (!made.ok()) fail(made.text());
  open(node);
  return node;
}

void SimWorld::add_link(SimNode& source, SimNode& target, PairMode mode, PairFence fence) {
  Pair pair;
  pair.config = {"site" + std::to_string(links_.size()), "tcp://127.0.0.1:1", "", "", mode, fence, 0};
  links_.push_back(std::make_unique<SimLink>(*this, source, target, pair));
  links_.back()->start();
}

void SimWorld::open(SimNode& node) {
  if (node.primary) {
    auto group = Group::open(node.directory, OpenMode::kPrimary, options(node));
    if (!group.ok()) return fail("the primary does not open: " + group.status().text());
    node.own = std::move(*group);
    return;
  }
  node.replica = std::make_unique<ReplicaCore>("shop", node.directory, options(node), nullptr);
  if (Status opened = node.replica->open_existing(); !opened.ok()) fail("a site's copy does not open: " + opened.text());
}

// The power fails on one machine, and comes back.
void SimWorld::crash(SimNode& node) {
  ++crashes;
  if (faults.disk_lies && !node.primary) node.disk->ignore_syncs(true);
  for (auto& link : links_) {
    if (&link->source() == &node) link->stop();
    if (&link->target() == &node) link->target_lost();
  }
  auto disk = node.disk->after_crash(random_());
  if (node.primary) {
    node.own.reset();
    fsyncs_.clear();  // who asked died as well
  } else {
    (void)node.replica->close();
    node.replica.reset();
  }
  node.disk = std::move(disk);
  fs::remove_all(node.directory + "/index");
  open(node);
  if (!failure_.empty()) return;
  if (node.primary) {  // what was never durable
    const auto lost = history_.upper_bound(node.own->newest());
    lost_.insert(lost, history_.end());
    history_.erase(lost, history_.end());
  }
  if (node.group().position().seq < node.must_hold) {
    return fail(node.directory + " held seq " + seq_text(node.must_hold) + " for durable and came back with seq " +
                seq_text(node.group().position().seq));
  }
  for (auto& link : links_) {
    if (&link->source() == &node) link->start();
  }
}

void SimWorld::work() {
  Group& group = nodes_.front()->group();
  Volume& volume = group.volume();
  std::string name = "f" + std::to_string(below(12));
  if (told != 0) {
    if (volume.make_node(kRootIno, "late", {.mode = S_IFREG | 0644}).status().code() != Code::kReadOnly) {
      fail("the primary knows of its successor and still writes");
    }
    return;
  }
  Result<Attr> file = volume.lookup(kRootIno, name);
  if (!file.ok()) file = volume.make_node(kRootIno, name, {.mode = S_IFREG | 0644});
  if (!file.ok()) return;  // fenced
  std::string content(below(3) == 0 ? 60'000 : 300, static_cast<char>('a' + below(26)));
  for (size_t i = 0; i < content.size(); i += 7) content[i] = static_cast<char>(below(256));
  switch (below(6)) {
    case 0: (void)volume.unlink(kRootIno, name); break;
    case 1:
      (void)volume.rename(kRootIno, name, kRootIno, "g" + std::to_string(below(12)), RenameMode::kReplace, 0, 0);
      break;
    default: (void)volume.write(file->ino, below(100) * 4096, as_bytes(content), true); break;
  }
}

// As Group::sync does it, but without waiting: the answer comes in settle_fsyncs().
void SimWorld::fsync() {
  Group& group = nodes_.front()->group();
  Seq upto = group.newest();
  if (below(3) == 0) {
    sync_slowly();
    if (!failure_.empty() || nodes_.front()->group().log().durable() < upto) return;
  } else if (!group.log_writer().sync(kLatest).ok()) {
    return fail("the primary's log failed");
  }
  nodes_.front()->must_hold = std::max(nodes_.front()->must_hold, upto);
  fsyncs_.push_back(upto);
}

// While the primary's disk works, its sites may get and acknowledge what it is at. That the disk never ends is a power failure.
void SimWorld::sync_slowly() {
  SimNode& primary = *nodes_.front();
  const bool fails = told == 0 && below(4) == 0;
  bool entered = false;
  primary.disk->on_operation([&](const FaultFileSystem::Step& step) -> Status {
    if (step.operation != FaultFileSystem::Operation::kSync || !step.path.ends_with(".seg") || entered) return Status();
    entered = true;
    for (uint64_t turns = below(6); turns > 0 && failure_.empty(); --turns) {
      clock.advance(std::chrono::milliseconds(below(30)));
      remember_history();
      for (auto& link : links_) link->turn();
      for (auto& link : links_) link->commit();
    }
    return fails ? Status(Code::kIo, "the power fails", EIO) : Status();
  });
  const Status synced = primary.group().log_writer().sync(kLatest);
  primary.disk->on_operation(nullptr);
  if (!failure_.empty() || synced.ok()) return;
  if (!fails) return fail("the primary's log failed");
  crash(primary);
}

// What its source has lost may go, but for what an application was told is safe.
void SimWorld::give_up(SimNode& node, Seq to) {
  ++given_up;
  if (to < node.promised) {
    fail(node.directory + " gives up what follows seq " + seq_text(to) + ", but seq " + seq_text(node.promised) +
         " was acknowledged to an application");
  }
  node.must_hold = std::min(node.must_hold, to);
}

void SimWorld::settle_fsyncs() {
  Watermarks& watermarks = nodes_.front()->group().watermarks();
  std::vector<Seq> waiting;
  for (Seq seq : fsyncs_) {
    if (!faults.forget_wait) {
      if (!watermarks.may_write().ok()) {  // refused: nothing was promised
        ++refused;
        continue;
      }
      if (!watermarks.may_acknowledge(seq)) {
        waiting.push_back(seq);
        continue;
      }
    }
    check_fences(seq);
    // Acknowledged: it has to be at every target of a sync pair that is duplex, by what its own disk would survive with.
    for (auto& link : links_) {
      bool counts = &link->source() == nodes_.front().get() && link->saved().config.mode == PairMode::kSync &&
                    link->saved().status.state == PairState::kDuplex;
      if (!counts) continue;
      ++acknowledged_sync;
      Seq there = link->target().replica->group()->log().durable();
      if (there < seq) {
        fail("seq " + seq_text(seq) + " was acknowledged in duplex, but only seq " + seq_text(there) + " is durable at " +
             link->saved().config.site);
      }
      link->target().must_hold = std::max(link->target().must_hold, seq);
      link->target().promised = std::max(link->target().promised, seq);
    }
  }
  fsyncs_ = std::move(waiting);
}

void SimWorld::command() {
  SimLink& link = *links_[below(links_.size())];
  if (!link.running()) return;
  if (below(6) == 0) {
    (void)link.core().park("dropped by the log limit").ok();
  } else {
    link.command(below(3) == 0);
  }
}

// Another primary, of the next epoch, shows itself at a site. Its session is gone at once: this is about what it leaves behind.
void SimWorld::usurp() {
  SimLink& link = *links_[below(links_.size())];
  if (usurped_ || !link.source().primary || link.target().replica->group() == nullptr) return;
  const Position there = link.target().group().position();
  if (there.seq == Seq()) return;
  // Its history goes on from the site's, with a record of its own epoch.
  Claim claim;
  claim.epoch = there.epoch.next();
  claim.position = {claim.epoch, there.seq.next(), there.chain + 1};
  if (!link.target().replica->begin(claim, there).ok()) return;
  usurped_ = true;
  link.usurped();
}

// A fence=data pair that was duplex has to be so, or an operator has suspended it since.
void SimWorld::check_fences(Seq seq) {
  if (told != 0) fail("seq " + seq_text(seq) + " was acknowledged by a primary that knows of its successor");
  for (auto& link : links_) {
    if (!link->source().primary || !link->must_be_duplex() || link->saved().status.state == PairState::kDuplex) continue;
    fail("seq " + seq_text(seq) + " was acknowledged although " + link->saved().config.site + ", fence=data, is " +
         std::string(pair_state_name(link->saved().status.state)));
  }
}

// What an operator has suspended does not go on before he says so.
void SimWorld::check_operators() {
  for (auto& link : links_) {
    if (!link->held()) continue;
    const PairStatus& saved = link->saved().status;
    const bool rests = saved.state == PairState::kSuspended || saved.state == PairState::kSuspending || saved.parked;
    if (!rests)
      fail(link->saved().config.site + " was suspended by an operator and is " + std::string(pair_state_name(saved.state)));
  }
}

// As the log limit does it: whoever lags is dropped, then the base moves, whatever they lack.
void SimWorld::prune(SimNode& node) {
  Group& group = node.group();
  const Seq newest = group.log().durable();
  const Seq base = group.log().base();
  if (newest.value() < base.value() + 2) return;
  PruneRequest request;
  request.to = Seq(base.value() + 1 + below(newest.value() - base.value()));
  for (auto& link : links_) {
    if (&link->source() != &node || !link->running()) continue;
    if (!link->core().status().parked && below(2) == 0) (void)link->core().park("dropped by the log limit").ok();
    const PairStatus& saved = link->saved().status;
    const Seq durable = std::max(saved.durable, link->core().durable());
    request.tombstones_from = std::min(request.tombstones_from, durable);
    request.copy_ends.emplace_back(durable, std::max(durable, saved.reached));
    if (!saved.parked) request.keep.push_back({durable == Seq() ? Seq(1) : durable.next(), "a pair"});
  }
  auto report = group.prune(request);
  if (!report.ok()) return fail("pruning " + node.directory + ": " + report.status().text());
  prunes += report->base > report->base_before;
}

// Where the primary's records stand, before they are pruned.
void SimWorld::remember_history() {
  Log& log = nodes_.front()->group().log();
  Seq next = history_.empty() ? Seq(1) : history_.rbegin()->first.next();
  LogCursor cursor(log, next);
  while (cursor.next() <= log.appended()) {
    auto run = cursor.read(1 << 20, log.appended());
    if (!run.ok()) return fail("the primary's log: " + run.status().text());
    for (Bytes rest = run->bytes; !rest.empty();) {
      RecordHeader header;
      if (decode_header(rest, header) != RecordFault::kNone) return fail("the primary's log is damaged");
      history_[header.seq] = header.position();
      rest = rest.subspan(header.size_in_log());
    }
  }
}

void SimWorld::turn_all() {
  for (auto& link : links_) link->turn();
  for (auto& link : links_) {
    if (link->queued_bytes() > kQueuedBytesMax) fail("more than the window is on its way");
    if (!link->keeps_queue_short()) fail("more waits for a slow line than it carries in moments");
    if (link->running()) states_seen |= 1u << static_cast<unsigned>(link->core().status().state);
  }
  settle_fsyncs();
  check_operators();
}

void SimWorld::step() {
  SimLink& link = *links_[below(links_.size())];
  uint64_t what = below(100);
  if (what < 30) {
    work();
  } else if (what < 45) {
    fsync();
  } else if (what < 67) {
    link.commit();
  } else if (what < 89) {
    clock.advance(std::chrono::milliseconds(below(40)));
  } else if (what < 91) {
    clock.advance(std::chrono::milliseconds(below(3000)));
  } else if (what < 93) {
    ++cuts;
    link.cut();
  } else if (what < 94) {
    link.silence(true);
  } else if (what < 97) {
    link.silence(false);
    link.hang(false);
  } else if (what < 98) {
    command();
  } else if (what < 99) {
    link.hang(below(3) == 0);  // so that it may be lost again before it is duplex
    crash(*nodes_[below(nodes_.size())]);
  } else {
    link.hang(below(3) == 0);
  }
  if (faults.usurp && below(40) == 0) usurp();
  if (failure_.empty()) remember_history();
  if (faults.prune && failure_.empty() && below(12) == 0) prune(*nodes_[below(nodes_.size())]);
  if (failure_.empty()) turn_all();
  if (failure_.empty()) check_prefix();
}

// Every copy is a beginning of its source's history, whatever has happened.
void SimWorld::check_prefix() {
  for (auto& link : links_) {
    Position there = link->target().group().position();
    if (there.seq == Seq(0)) continue;
    const auto here = history_.find(there.seq);
    const auto [lost, end] = lost_.equal_range(there.seq);
    const bool early =
        link->source().primary && std::any_of(lost, end, [&](const auto& each) { return each.second == there; });
    if (!early && (here == history_.end() || here->second != there)) {
      return fail(link->saved().config.site + " stands at seq " + seq_text(there.seq) +
                  ", which is not its source's history");
    }
  }
}

bool SimWorld::calm() {
  for (auto& link : links_) {
    if (link->core().status().state != PairState::kDuplex) return false;
    if (link->target().group().position() != link->source().group().position()) return false;
  }
  return true;
}

void SimWorld::calm_down() {
  for (auto& link : links_) {
    link->calm = true;
    link->silence(false);
    link->hang(false);
  }
}

// What an operator suspended comes to rest: drained where the site can be reached, and in any case before long.
void SimWorld::finish_commands() {
  const auto unfinished = [&] {
    for (auto& link : links_) {
      const PairStatus& saved = link->saved().status;
      if (link->held() && saved.state != PairState::kSuspended && !saved.parked) return link->saved().config.site;
    }
    return std::string();
  };
  for (int turn = 0; turn < (faults.slow ? 4000 : 120) && failure_.empty() && !unfinished().empty(); ++turn) {
    clock.advance(std::chrono::milliseconds(500));
    turn_all();
    for (auto& link : links_) link->commit();
  }
  if (failure_.empty() && !unfinished().empty()) fail(unfinished() + " was to be suspended, and never is");
}

void SimWorld::heal() {
  for (auto& link : links_) {
    if (link->held() || link->core().status().parked) link->command(false);
  }
}

// Everything mended: every pair gets to duplex, every copy to the same history and the same index.
std::string SimWorld::finish() {
  calm_down();
  finish_commands();
  heal();
  if (usurped_) return finish_usurped();
  const int turns = faults.slow ? kSlowTurnsToTheEnd : kTurnsToTheEnd;
  for (int turn = 0; turn < turns && failure_.empty(); ++turn) {
    if (turn % 50 == 49) heal();  // what was on its way to be suspended, at the pace of its line
    clock.advance(std::chrono::milliseconds(20));
    for (auto& node : nodes_) {
      if (node->primary) (void)node->own->log_writer().sync(kLatest).ok();
    }
    turn_all();
    for (auto& link : links_) link->commit();
    if (calm()) break;
  }
  if (!failure_.empty()) return failure_;
  for (auto& link : links_) {
    if (link->core().status().state == PairState::kDuplex) continue;
    return link->saved().config.site + " is " + std::string(pair_state_name(link->core().status().state)) +
           " and stays so; durable there: seq " + seq_text(link->core().durable()) + ", here: seq " +
           seq_text(link->source().group().log().durable()) + ", drains to seq " + seq_text(link->core().status().drain_to) +
           "; " + link->core().last_error();
  }
  for (auto& node : nodes_) differences += node->group().log().gaps().size();
  if (faults.prune) return compare_trees();
  Result<uint64_t> expected = nodes_.front()->group().index_fingerprint();
  for (auto& node : nodes_) {
    Result<uint64_t> index = node->group().index_fingerprint();
    if (!index.ok() || !expected.ok() || *index != *expected) return node->directory + " has another index";
  }
  return "";
}

// The primary gets to know, whatever its pairs are, and does not forget it.
std::string SimWorld::finish_usurped() {
  for (int turn = 0; turn < 200 && failure_.empty() && told == 0; ++turn) {
    clock.advance(std::chrono::milliseconds(50));
    turn_all();
  }
  if (failure_.empty() && told == 0) return "a site follows a newer primary, and this one does not learn of it";
  for (int round = 0; round < 2 && failure_.empty(); ++round) {
    work();
    fsync();
    turn_all();
    if (!fsyncs_.empty()) fail("a primary that knows of its successor leaves an fsync without an answer");
    check_prefix();
    if (round == 0) crash(*nodes_.front());
  }
  return failure_;
}

// Indexes that were pruned differently are not alike; every point that can be shown is.
std::string SimWorld::compare_trees() {
  Group& primary = nodes_.front()->group();
  const uint64_t newest = primary.newest().value();
  for (auto& node : nodes_) {
    for (const uint64_t back : std::initializer_list<uint64_t>{0, 1, 7, 40, 100}) {
      const Seq point(newest - std::min(newest - 1, back));
      auto there = node->group().view(point);
      auto here = primary.view(point);
      if (!there.ok() && !here.ok()) continue;
      if (back == 0 && !there.ok()) return node->directory + " does not show the newest point: " + there.status().text();
      if (there.ok() && here.ok() && dump_view(**there) != dump_view(**here)) {
        return node->directory + " shows another tree at seq " + seq_text(point);
      }
    }
  }
  return "";
}

std::string SimWorld::run(size_t steps) {
  for (size_t i = 0; i < steps && failure_.empty(); ++i) step();
  return failure_.empty() ? finish() : failure_;
}

}  // namespace tidemark::test

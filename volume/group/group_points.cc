// Which points of a group can be shown, and what is said of the others.
#include "volume/group/committer.h"
#include "volume/group/directory.h"
#include "volume/group/group.h"

namespace tidemark {
namespace {

constexpr int64_t kTickNs = 10'000'000;  // by so much our clock may lag behind the one that somebody took a time from

Status in_gap(const std::string& what, const Gap& gap) {
  return Status(Code::kNoSuchPoint,
                what + " was never held here: the source had dropped it before this copy caught up; points up to seq:" +
                    std::to_string(gap.from.seq.value()) + ", and from seq:" + std::to_string(gap.to.seq.value()) + " of " +
                    format_time(gap.time_ns) + " on are available");
}

}  // namespace

Result<std::shared_ptr<TreeView>> Group::view(Seq point) { return open_view(point, ViewKind::kHolds); }

Result<std::shared_ptr<TreeView>> Group::passing_view(Seq point) { return open_view(point, ViewKind::kPassing); }

Result<std::shared_ptr<TreeView>> Group::open_view(Seq point, ViewKind kind) {
  if (point == kLatest) point = newest();
  TM_TRY(check_point(point));
  auto view = make_point_view(core_, point, kind);
  if (view == nullptr) return below_base("seq:" + std::to_string(point.value()));
  TM_TRY(check_point(point));  // cut meanwhile
  return view;
}

Result<Seq> Group::resolve(std::string_view text) {
  TM_ASSIGN(const PointText point, parse_point(text, options_.clock->wall_ns()));
  switch (point.kind) {
    case PointText::Kind::kNewest: return resolve(newest());
    case PointText::Kind::kSeq: return resolve(point.seq);
    case PointText::Kind::kTime: return seq_at_time(point.time_ns);
    case PointText::Kind::kMark: {
      TM_ASSIGN(const Mark mark, find_mark(point.mark));
      return resolve(mark.seq);
    }
  }
  return Status(Code::kInvalid, "this kind of point is not known");
}

Result<Seq> Group::seq_at_time(int64_t time_ns) {
  TM_TRY(check_past(time_ns));
  TM_ASSIGN(const Seq seq, core_->log->seq_at_time(time_ns));
  if (seq == Seq(0) && base() <= Seq(1)) {
    return Status(Code::kNoSuchPoint, format_time(time_ns) + " is before the first record of this group");
  }
  if (seq < base()) return below_base(format_time(time_ns));
  TM_TRY(check_time(time_ns, seq));
  return resolve(std::min(seq, newest()));
}

Result<Seq> Group::resolve(Seq point) const {
  TM_TRY(check_point(point));
  return point;
}

Status Group::check_point(Seq point) const {
  if (point >= base() && point <= newest() && point != Seq(0)) return check_gaps(point);
  if (newest() == Seq(0)) return Status(Code::kNoSuchPoint, "this group has no record yet");
  if (point < core_->log->base()) return below_base("seq:" + std::to_string(point.value()));
  return Status(Code::kNoSuchPoint, "seq:" + std::to_string(point.value()) +
                                        " is not available; points from seq:" + std::to_string(base().value()) +
                                        " to seq:" + std::to_string(newest().value()) + " are");
}

// Between two points that can be shown there may be some that were never here.
Status Group::check_gaps(Seq point) const {
  for (const Gap& gap : core_->log->gaps()) {
    if (gap.covers(point) && point != gap.to.seq) return in_gap("seq:" + std::to_string(point.value()), gap);
  }
  return Status();
}

// What is newest now is not what will be newest then. A record may be younger than our clock says: it has its primary's time.
Status Group::check_past(int64_t time_ns) const {
  if (time_ns <= options_.clock->wall_ns() + kTickNs) return Status();
  if (newest() == Seq(0)) return Status(Code::kNoSuchPoint, "this group has no record yet");
  TM_ASSIGN(const int64_t last, core_->log->time_of(newest()));
  if (time_ns <= last) return Status();
  return Status(Code::kNoSuchPoint, format_time(time_ns) + " is in the future; the newest record is seq:" +
                                        std::to_string(newest().value()) + " of " + format_time(last) + " ('latest')");
}

// The newest record of a time is known only where the next one is held.
Status Group::check_time(int64_t time_ns, Seq newest) const {
  for (const Gap& gap : core_->log->gaps()) {
    if (gap.from.seq != newest || gap.from.seq == Seq(0)) continue;
    TM_ASSIGN(const int64_t last, core_->log->time_of(newest));
    if (time_ns > last) return in_gap(format_time(time_ns), gap);
  }
  return Status();
}

Status Group::below_base(const std::string& what) const {
  const Floor floor = core_->log->floor();
  return Status(Code::kNoSuchPoint, what + " is before the base, the oldest point that can be restored: seq:" +
                                        std::to_string(std::max(floor.base.seq, core_->views.floor()).value()) +
                                        (floor.time_ns != 0 ? " of " + format_time(floor.time_ns) : ""));
}

}  // namespace tidemark

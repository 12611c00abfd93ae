#include "cli/mark_maker.h"

#include <tidemark/mark.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "cli/output/exit_map.h"
#include "cli/service/control.h"
#include "cli/service/unmounted.h"
#include "volume/group/group.h"

namespace tidemark::cli {
namespace {

constexpr std::chrono::seconds kControlMargin{60};  // beyond what is waited for sites: flushing a full cache takes its time

Status failed_ioctl(int error, const MarkOrder& order, const std::string& where) {
  switch (error) {
    case EEXIST:
      return Status(Code::kExists,
                    "a mark '" + order.name + "' already exists; choose another name (a name is never used twice)", error);
    case EINVAL: return Status(Code::kInvalid, "the mark's name or note is not allowed", error);
    case ENOTTY: return Status(Code::kInvalid, where + " is not in a Tidemark mount", error);
    case EROFS:  // not a point: that was looked at before
      return Status(Code::kReadOnly, "the volume at " + where + " refuses writes; `tidemark status " + where + "` says why",
                    error);
    case ENOENT:
      return Status(Code::kNotFound,
                    order.wait == "all" ? "this volume has no pair, so no site can confirm a mark; no mark was made"
                                        : "there is no pair with site '" + order.wait + "'; no mark was made",
                    error);
    case EACCES:
    case EPERM: return Status(Code::kAccess, where + ": " + std::strerror(error), error);
    default: return errno_status(error, "cannot mark through " + where);
  }
}

Result<MarkMade> mark_through_mount(const Source& target, const MarkOrder& order) {
  std::string path = target.mountpoint;  // any path of the mount will do, and this one is a directory for certain
  uint64_t seq = 0;
  auto timeout = static_cast<uint32_t>(std::min<int64_t>(order.timeout.count(), UINT32_MAX));
  const char* wait = order.wait.empty() ? nullptr : order.wait.c_str();
  if (tidemark_mark_path(path.c_str(), order.name.c_str(), order.note.c_str(), wait, timeout, &seq) == 0) {
    return MarkMade{order.name, Seq(seq), Status()};
  }
  if (errno != ETIMEDOUT) return failed_ioctl(errno, order, path);
  return MarkMade{order.name, Seq(seq), Status(Code::kTimeout, "the sites did not confirm it in time")};
}

Result<MarkMade> mark_through_holder(const std::string& directory, const MarkOrder& order) {
  Json request = {{"op", "mark"},       {"name", order.name},
                  {"note", order.note}, {"application", order.application},
                  {"wait", order.wait}, {"timeout_ms", order.timeout.count()}};
  TM_ASSIGN(Json answer, control_call(directory, request, order.timeout + kControlMargin));
  MarkMade made{order.name, Seq(number_field(answer.value("mark", Json::object()), "seq")), Status()};
  if (answer.contains("wait_code")) {
    Code code = code_from_name(text_field(answer, "wait_code"));
    made.wait = Status(code == Code::kOk ? Code::kIo : code, text_field(answer, "wait_error"));
  }
  return made;
}

// The mark is in the log, though what was waited for did not come. Else: why it was not made.
Result<MarkMade> made_after_all(Group& group, const MarkOrder& order, const Status& failure) {
  const Result<Mark> mark = group.find_mark(order.name);
  const bool made = failure.code() != Code::kExists && mark.ok();
  if (made) return MarkMade{mark->name, mark->seq, failure};
  return failure.within("no mark was made");
}

Result<MarkMade> mark_unmounted(const std::string& directory, const MarkOrder& order) {
  const auto deadline = std::chrono::steady_clock::now() + order.timeout;
  TM_ASSIGN(auto volume, UnmountedVolume::open(directory, order.wait, deadline));
  if (Status ready = volume->connect(deadline); !ready.ok()) return ready.within("no mark was made");
  MarkRequest request{order.name, order.note, order.application, static_cast<uint32_t>(::getpid()), ::getuid()};
  Result<Mark> mark = volume->group().create_mark(request);
  if (!mark.ok()) return made_after_all(volume->group(), order, mark.status());
  Status settled = volume->wait_for_sites(mark->seq, deadline);
  TM_TRY(volume->close());
  return MarkMade{mark->name, mark->seq, settled};
}

Status hold_unmounted(const std::string& directory, const std::string& name, bool held, std::chrono::milliseconds timeout) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  const std::string what = held ? "held" : "released";
  TM_ASSIGN(auto volume, UnmountedVolume::open(directory, "", deadline));
  TM_TRY(volume->connect(deadline).within("the mark was not " + what));
  TM_TRY(volume->group().hold_mark(name, held));
  Status settled = volume->wait_for_sites(volume->group().log().durable(), deadline);
  TM_TRY(volume->close());
  return settled.within("the mark is " + what + " here, durably");
}

Status check_target(const Source& target) {
  if (target.remote) return Status(Code::kUnsupported, target.text + " is a site's copy; make the mark at the primary");
  if (!target.point.empty()) return Status(Code::kInvalid, "a mark names the current state; remove '@" + target.point + "'");
  return Status();
}

bool nobody_listens(const Status& status) { return status.code() == Code::kNotFound && status.sys_errno() != 0; }

}  // namespace

Result<MarkMade> make_mark(const Source& target, const MarkOrder& order) {
  TM_TRY(check_target(target));
  TM_TRY(check_mark_name(order.name));
  if (order.note.size() > TIDEMARK_MARK_NOTE_MAX) {
    return Status(Code::kTooLarge, "the note is longer than " + std::to_string(TIDEMARK_MARK_NOTE_MAX) + " bytes");
  }
  if (!target.mountpoint.empty()) return mark_through_mount(target, order);
  Result<MarkMade> made = mark_through_holder(target.directory, order);
  return !made.ok() && nobody_listens(made.status()) ? mark_unmounted(target.directory, order) : made;
}

Status hold_mark(const Source& target, const std::string& name, bool held, std::chrono::milliseconds timeout) {
  TM_TRY(check_target(target));
  Result<Json> asked = control_call(target.directory, {{"op", "mark-hold"}, {"name", name}, {"held", held}}, kControlMargin);
  if (asked.ok() || !nobody_listens(asked.status())) return asked.status();
  return hold_unmounted(target.directory, name, held, timeout);
}

}  // namespace tidemark::cli

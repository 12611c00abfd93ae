// Marks of a group.
#include <algorithm>

#include "volume/group/committer.h"
#include "volume/group/directory.h"
#include "volume/group/group.h"

namespace tidemark {

Result<Mark> Group::create_mark(const MarkRequest& request) {
  TM_TRY(check_mark_name(request.name));
  if (request.note.size() > kNoteMax || request.note.find('\0') != std::string::npos) {
    return Status(Code::kInvalid, "the note of a mark must have at most 4,096 bytes and no NUL");
  }
  if (request.application.find('\0') != std::string::npos) {
    return Status(Code::kInvalid, "the name of an application must not contain NUL");
  }
  MarkBody body;
  body.name = request.name;
  body.note = request.note;
  body.application = std::string_view(request.application).substr(0, 255);
  body.pid = request.pid;
  body.uid = request.uid;
  RecordHeader header;
  {
    MutexLock lock(committer_->mutex);
    TM_TRY(committer_->writable());
    TM_ASSIGN(auto there, core_->state->mark(request.name));
    if (there) {  // also below the base: a site may still have it
      return Status(Code::kExists, "there is already a mark '" + request.name + "', of " + format_time(there->time_ns));
    }
    body.id = core_->state->meta().next_mark;
    const RecordDraft draft = make_draft(RecordType::kMark, 0, Ino(0), encode_mark(body));
    TM_TRY(committer_->commit({&draft, 1}, &header));
  }
  TM_TRY(sync());
  if (header.seq < core_->views.floor()) return find_mark(request.name);  // pruned meanwhile: says so
  return Mark{body.id,  request.name, header.seq,   header.time_ns, std::string(body.application),
              body.pid, body.uid,     request.note, false};
}

Result<Mark> Group::find_mark(std::string_view name) {
  TM_ASSIGN(auto found, core_->state->mark(name));
  if (found && found->seq < core_->views.floor()) {
    return below_base("the mark '" + found->name + "' (seq:" + std::to_string(found->seq.value()) + ")");
  }
  if (found) return *found;
  std::string known;
  constexpr size_t kShown = 5;
  // The newest few, so that a slip of the pen is seen at once.
  const MarkId next = core_->state->meta().next_mark;
  TM_ASSIGN(auto marks, core_->state->marks(MarkId(next.value() > kShown ? next.value() - kShown - 1 : 0), kShown));
  for (const Mark& mark : marks) known += (known.empty() ? "" : ", ") + mark.name;
  return Status(Code::kNoSuchPoint, "there is no mark '" + std::string(name) + "'; " +
                                        (known.empty() ? "this group has no marks" : "the newest are: " + known));
}

// By rising id is by rising seq: those below the base come first.
Result<std::vector<Mark>> Group::list_marks(MarkId after, size_t max) {
  for (;;) {
    TM_ASSIGN(auto marks, core_->state->marks(after, max));
    const Seq floor = core_->views.floor();
    const auto kept = std::find_if(marks.begin(), marks.end(), [&](const Mark& mark) { return mark.seq >= floor; });
    if (kept == marks.begin()) return marks;
    after = std::prev(kept)->id;
  }
}

Status Group::hold_mark(std::string_view name, bool held) {
  {
    MutexLock lock(committer_->mutex);
    TM_TRY(committer_->writable());
    TM_ASSIGN(Mark mark, find_mark(name));
    if (mark.held != held) {
      const RecordDraft draft = make_draft(RecordType::kMarkChange, 0, Ino(0), encode_mark_change({mark.id, held}));
      TM_TRY(committer_->commit({&draft, 1}));
    }
  }
  return sync();  // also where another thread has just asked for the same: its record need not be durable yet
}

}  // namespace tidemark

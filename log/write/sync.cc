// The half of the log writer that makes things durable.
#include <algorithm>

#include "base/logging.h"
#include "log/write/writer.h"

namespace tidemark {

Status LogWriter::sync(Seq upto) {
  MutexLock lock(state_mutex_);
  const Seq wanted = std::min(upto, appended());
  for (;;) {
    if (!poison_.ok()) return poison_;
    if (durable() >= wanted) return Status();
    if (leading_) {
      changed_.wait(state_mutex_);
    } else {
      lead_sync();
    }
  }
}

// One round of group commit: whatever is appended when it begins is durable when it ends. Called and left with the mutex
// held; it is free while the disk works.
void LogWriter::lead_sync() {
  SyncPlan plan{tail_position_, appended_bytes_, {}};
  for (const auto& live : live_) plan.parts.push_back({live, live->born, live->complete, live->used, live->file_bytes});
  leading_ = true;
  unsynced_since_ = std::chrono::steady_clock::now();
  syncing_.store(plan.target.seq.value(), std::memory_order_release);
  state_mutex_.unlock();
  tell(LogProgress::kSyncing);  // sites may have it meanwhile
  const Status done = make_durable(plan);
  if (!done.ok()) (void)poison(done);
  state_mutex_.lock();
  leading_ = false;
  // Poisoned meanwhile by somebody else: durable() never moves again.
  if (done.ok() && poison_.ok()) {
    CHECK_INVARIANT(durable() <= plan.target.seq && plan.target.seq <= appended());
    durable_.store(plan.target.seq.value(), std::memory_order_release);
    durable_position_ = plan.target;
    small_syncs_.store(plan.appended_bytes - synced_bytes_ < kSmallSync, std::memory_order_relaxed);
    synced_bytes_ = plan.appended_bytes;
    for (const auto& part : plan.parts) {
      part.segment->born = true;
      if (!part.complete) continue;
      CHECK_INVARIANT(live_.front() == part.segment);
      segments_.unpin(part.segment->known.first_seq);
      live_.pop_front();
    }
  }
  if (live_.size() > 1) timer_wake_.notify_one();
  tell_all();
}

void LogWriter::tell_all() {
  changed_.notify_all();
  tell(LogProgress::kDurable);
}

void LogWriter::on_progress(std::function<void(LogProgress)> told) {
  MutexLock lock(told_mutex_);
  told_ = std::move(told);
}

void LogWriter::tell(LogProgress progress) {
  MutexLock lock(told_mutex_);
  if (told_) told_(progress);
}

// In this order, which is what recovery relies on: a segment's header is written when the segment before it is durable, whole
// and under its name.
Status LogWriter::make_durable(const SyncPlan& plan) {
  bool names_durable = false;
  for (const auto& part : plan.parts) {
    File& file = *part.segment->file;
    if (!part.born) {
      if (!names_durable) TM_TRY(files_.sync_directory(directory_));
      names_durable = true;
      const SegmentHeaderBytes header = encode_segment_header(part.segment->header);
      const iovec bytes{const_cast<std::byte*>(header.data()), header.size()};
      TM_TRY(file.write(0, {&bytes, 1}));
    }
    if (part.complete && part.file_bytes > part.used) TM_TRY(file.truncate(part.used));
    TM_TRY(file.sync());
  }
  return Status();
}

// Keeps the number of unborn segments bounded. Only appenders make new ones, so one round is enough.
Status LogWriter::wait_for_room() {
  {
    MutexLock lock(state_mutex_);
    if (live_.size() <= kUnbornMax) return poison_;
  }
  return sync(kLatest);
}

bool LogWriter::wait_durable(Seq above, std::chrono::milliseconds timeout) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  MutexLock lock(state_mutex_);
  for (;;) {
    if (durable() > above) return true;
    const auto left = deadline - std::chrono::steady_clock::now();
    if (!poison_.ok() || closing_ || left <= left.zero()) return false;
    (void)changed_.wait_for(state_mutex_, left);
  }
}

void LogWriter::settle(Seq upto) {
  upto = std::min(upto, appended());
  if (upto <= settled()) return;
  MutexLock lock(state_mutex_);
  settled_.store(std::max(upto, settled()).value(), std::memory_order_release);
  tell(LogProgress::kDurable);
}

Status LogWriter::poison(const Status& cause) {
  leave_distrust();
  MutexLock lock(state_mutex_);
  if (poison_.ok()) {
    poison_ = Status(Code::kPoisoned,
                     "the log in " + directory_ + " failed and accepts nothing until it is reopened: " + cause.text(),
                     cause.sys_errno());
    poisoned_.store(true, std::memory_order_release);
    timer_wake_.notify_one();
    log_error(poison_.text());
  }
  tell_all();
  return poison_;
}

// Best effort: without the file the next open trusts the kernel's pages, as everybody does.
void LogWriter::leave_distrust() {
  auto made = files_.open(distrust_path(directory_), FileSystem::Open::kCreateNew);
  if (!made.ok() && made.status().code() != Code::kExists) log_warning(made.status().text());
}

// Whatever is appended is durable within the commit interval, no segment stays unborn for long, and what is durable is noted.
void LogWriter::run_timer() {
  MutexLock lock(state_mutex_);
  while (!closing_) {
    if (!poison_.ok()) {
      timer_wake_.wait(state_mutex_);
      continue;
    }
    const auto to_note = next_note_ - std::chrono::steady_clock::now();
    const bool something_to_note = durable() > noted_;
    if (something_to_note && to_note <= to_note.zero()) {
      note_durable();
      continue;
    }
    if (appended() == durable()) {
      timer_sleeps_ = true;
      if (something_to_note) {
        (void)timer_wake_.wait_for(state_mutex_, to_note);
      } else {
        timer_wake_.wait(state_mutex_);
      }
      timer_sleeps_ = false;
      continue;
    }
    const auto left = unsynced_since_ + options_.commit_interval - std::chrono::steady_clock::now();
    if (leading_ || (live_.size() == 1 && left > left.zero())) {
      (void)timer_wake_.wait_for(state_mutex_, leading_ ? options_.commit_interval : left);
      continue;
    }
    if (!closing_ && poison_.ok() && !leading_ && appended() > durable()) lead_sync();
  }
}

// A note that cannot be written costs nothing but what recovery would have known by it.
void LogWriter::note_durable() {
  if (noting_) return;
  const Position position = durable_position_;
  noting_ = true;
  state_mutex_.unlock();
  const Status noted = note_.write(position, settled());
  if (!noted.ok()) log_warning(noted.within("noting how far the log is durable").text());
  state_mutex_.lock();
  noting_ = false;
  noted_ = position.seq;
  next_note_ = std::chrono::steady_clock::now() + kNoteEvery;
}

std::chrono::nanoseconds LogWriter::note_now_and_then() {
  MutexLock lock(state_mutex_);
  const std::chrono::nanoseconds left = next_note_ - std::chrono::steady_clock::now();
  if (!poison_.ok() || durable() <= noted_) return {};
  if (left > left.zero()) return left;
  note_durable();
  return durable() <= noted_ ? std::chrono::nanoseconds(0) : std::chrono::nanoseconds(kNoteEvery);
}

void LogWriter::close() {
  {
    MutexLock lock(state_mutex_);
    closing_ = true;
    timer_wake_.notify_one();
    tell_all();
  }
  if (timer_.joinable()) timer_.join();
  if (Status synced = sync(kLatest); !synced.ok()) return log_error("closing the log: " + synced.text());
  cut_zeros();
  MutexLock lock(state_mutex_);
  if (poison_.ok() && durable() > noted_) note_durable();
}

// What was written ahead, after a clean end.
void LogWriter::cut_zeros() {
  MutexLock lock(append_mutex_);
  if (tail_.file_bytes == tail_.offset || keeps_rest(tail_)) return;
  Status cut = tail_.segment->file->truncate(tail_.offset);
  if (cut.ok()) cut = tail_.segment->file->sync();
  if (!cut.ok()) log_error("closing the log: " + cut.text());
}

}  // namespace tidemark

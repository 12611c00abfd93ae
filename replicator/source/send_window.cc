#include "replicator/source/send_window.h"

#include <algorithm>

namespace tidemark {

bool SendWindow::open(uint32_t bytes, uint32_t frames) {
  *this = SendWindow();
  granted_ = {std::min(bytes, kWindowBytes), std::min(frames, kWindowFrames)};
  return granted_.bytes >= kWireMax && granted_.frames > 0;
}

void SendWindow::close() {
  granted_ = sent_ = consumed_ = {};
  runs_.clear();
}

bool SendWindow::has_room() const {
  return sent_.frames - consumed_.frames < granted_.frames && sent_.bytes - consumed_.bytes + kWireMax <= granted_.bytes;
}

void SendWindow::add(size_t bytes) {
  CHECK_INVARIANT(has_room() && bytes <= kWireMax);
  sent_.bytes += bytes;
  sent_.frames += 1;
}

void SendWindow::add_run(Seq last, const Location& begin, const Location& end) {
  if (!durable_end_) durable_end_ = begin;
  runs_.push_back({last, end});
}

bool SendWindow::acknowledge(uint64_t bytes, uint64_t frames) {
  if (bytes < consumed_.bytes || frames < consumed_.frames || bytes > sent_.bytes || frames > sent_.frames) return false;
  consumed_ = {bytes, frames};
  return true;
}

void SendWindow::made_durable(Seq seq) {
  while (!runs_.empty() && runs_.front().last <= seq) {
    durable_end_ = runs_.front().end;
    runs_.pop_front();
  }
}

}  // namespace tidemark

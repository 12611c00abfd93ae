// The half of the log writer that takes damaged records again, in the place where they are.
#include "base/logging.h"
#include "log/format/record_walker.h"
#include "log/write/writer.h"

namespace tidemark {

Seq LogWriter::sound() const {
  MutexLock lock(state_mutex_);
  return damaged_.empty() ? appended() : damaged_.begin()->first.prev();
}

void LogWriter::segment_mended(Seq first_seq) {
  MutexLock lock(state_mutex_);
  std::erase_if(damaged_, [&](const auto& each) { return each.second.segment == first_seq.value(); });
}

// Equal position of the last record means equal headers of all, so only the damaged ones are looked at.
Status LogWriter::put_back(const VerifiedRun& run) {
  std::vector<std::pair<RecordView, Location>> wanted;
  {
    MutexLock lock(state_mutex_);
    for (const RecordView& record : run.records()) {
      if (const auto found = damaged_.find(record.header.seq); found != damaged_.end())
        wanted.emplace_back(record, found->second);
    }
  }
  const Position last = run.end();
  TM_ASSIGN(const Position own, position_at(last.seq));
  if (own != last) {
    return Status(Code::kDiverged, "record " + std::to_string(last.seq.value()) + " is not the one that is held here");
  }
  for (const auto& [record, location] : wanted) {
    TM_ASSIGN(const auto file, files_.open(segment_path(directory_, Seq(location.segment)), FileSystem::Open::kReadWrite));
    const iovec part{const_cast<std::byte*>(record.whole.data()), record.whole.size()};
    TM_TRY(file->write(location.offset, {&part, 1}));
    TM_TRY(file->sync());
    log_warning("repaired: segment " + segment_name(Seq(location.segment)) + ", byte " + std::to_string(location.offset) +
                ", record " + std::to_string(record.header.seq.value()) + ", which was sent again");
    MutexLock lock(state_mutex_);
    damaged_.erase(record.header.seq);
  }
  return Status();
}

}  // namespace tidemark

#include "volume/history/sweep.h"

#include <chrono>
#include <thread>

#include "volume/history/base_image.h"

namespace tidemark {
namespace {

constexpr size_t kBatchRows = 1024;
constexpr std::chrono::milliseconds kPauseMax{20};

class Sweeper {
 public:
  Sweeper(Index& index, const std::atomic<bool>& stop) : index_(index), stop_(stop) {}

  Status run(const BaseRule& rule) {
    BaseVisitor visitor;
    visitor.keep = [this](std::string_view key, std::string_view value, bool changed) {
      if (stop_.load()) return interrupted();
      if (!changed) return Status();
      batch_.put(key, value);
      ++report.rows_folded;
      return count();
    };
    visitor.drop = [this](std::string_view key) {
      batch_.remove(key);
      ++report.rows_removed;
      return count();
    };
    BaseRows rows(index_, rule);
    TM_TRY(rows.walk(visitor));
    batch_.put(kSweptKey, encode_swept(rule));
    return index_.write(batch_);
  }

  SweepReport report;

 private:
  static Status interrupted() { return Status(Code::kInterrupted, "the sweep of the index was interrupted"); }

  // Rows go in batches; between two of them as much time passes as the last one took.
  Status count() {
    if (++rows_ < kBatchRows) return Status();
    const auto begin = std::chrono::steady_clock::now();
    TM_TRY(index_.write(batch_));
    batch_.clear();
    rows_ = 0;
    const auto took = std::chrono::steady_clock::now() - std::max(begin, last_end_);
    std::this_thread::sleep_for(std::min<std::chrono::steady_clock::duration>(took, kPauseMax));
    last_end_ = std::chrono::steady_clock::now();
    return Status();
  }

  Index& index_;
  const std::atomic<bool>& stop_;
  IndexBatch batch_;
  size_t rows_ = 0;
  std::chrono::steady_clock::time_point last_end_ = std::chrono::steady_clock::now();
};

}  // namespace

Result<SweepReport> sweep(Index& index, const BaseRule& rule, const std::atomic<bool>& stop) {
  TM_ASSIGN(const BaseRule done, swept(index));
  if (done == rule) return SweepReport();
  Sweeper sweeper(index, stop);
  TM_TRY(sweeper.run(rule));
  return sweeper.report;
}

}  // namespace tidemark

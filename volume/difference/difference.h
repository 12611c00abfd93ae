// A difference: what a copy lacks that ends where the source's log no longer reaches back. Rows newer than the copy's position as they
// are at a later point, and the records they refer to; a copy without anything gets all rows of that point. Where it has been taken,
// the copy's log has a gap (log/format/floor.h): points up to the copy's position, and from the later point on, can be shown there, none in
// between.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <unordered_set>
#include <vector>

#include "log/format/pack.h"
#include "log/log.h"
#include "volume/index/row_file.h"
#include "volume/tree/state.h"
#include "volume/tree/tree_view.h"

namespace tidemark {

class DifferenceCheck;

// What a source offers.
struct DifferenceOffer {
  Position from;      // the copy's position; zeros: it has nothing
  BaseHeader target;  // of the point at which the copy will be; its rows, frames and bytes mean nothing
};

struct DifferencePiece {
  enum class Kind {
    kNothing,  // some work was done; ask again
    kRecords,  // whole records, rising in seq, not contiguous
    kRows,     // u16 size, key, u32 size, value; again and again
    kEnd,      // that was all
  } kind = Kind::kNothing;
  Bytes bytes;  // until the next call
};

// The source's side. Each call does a bounded piece of work. Not thread-safe. While it lives the base does not move.
class DifferenceReader {
 public:
  // `held`: a view at the log's base, or at the record before the gap. kNotFound: the copy cannot be brought up by difference (what
  // was deleted since is no longer known).
  static Result<std::unique_ptr<DifferenceReader>> open(FileSystem& files, const std::string& directory, Log& log,
                                                        std::shared_ptr<TreeView> held, const Position& from);
  [[nodiscard]] const DifferenceOffer& offer() const { return offer_; }
  // What the copy has already: symbolic links of inodes below `next_ino`, and records up to `staged`.
  void begin(Ino next_ino, Seq staged);
  Result<DifferencePiece> next(size_t bytes_max);
  // After kEnd: marks up to the copy's position that are held; nullopt: nothing has to be said about those.
  [[nodiscard]] const std::optional<std::vector<MarkId>>& held_marks() const { return held_marks_; }
  // Bytes of records still to be sent, before compression: at least what has been found so far.
  [[nodiscard]] uint64_t bytes_left() const { return bytes_left_; }

 private:
  enum class Phase { kCollect, kRecords, kRows, kEnd };
  struct Wanted {
    Seq seq;
    Location location;
    uint32_t bytes = 0;  // blocks, before compression
  };
  DifferenceReader(Log& log, std::shared_ptr<TreeView> held) : log_(log), held_(std::move(held)) {}
  Result<DifferencePiece> collect();
  Status want(std::string_view value);
  void keep_lowest();
  Result<DifferencePiece> send_records(size_t bytes_max);
  Result<DifferencePiece> send_rows(size_t bytes_max);
  Status send_row(std::string_view key, std::string_view value);

  Log& log_;
  const std::shared_ptr<TreeView> held_;
  DifferenceOffer offer_;
  bool gap_rows_ = false;  // the rows are those of a gap of our own
  std::unique_ptr<RowFileReader> rows_;
  Ino next_ino_;
  Phase phase_ = Phase::kCollect;
  Seq after_;                   // records up to here are done
  std::vector<Wanted> wanted_;  // the next ones, rising once collected
  bool more_wanted_ = false;    // there were too many for one round
  size_t sent_ = 0;             // of wanted_
  uint64_t bytes_left_ = 0;
  std::string out_;
  Buffer record_;
  bool rows_end_ = false;
  std::optional<std::vector<MarkId>> held_marks_;
};

// The copy's side: keeps what comes in DIR/incoming until it is complete. What was kept there is used again after an interruption, if
// the copy still stands where it stood. Not thread-safe. Nothing of the group changes before finish().
class DifferenceWriter {
 public:
  ~DifferenceWriter();
  // kInvalid: the offer does not fit.
  static Result<std::unique_ptr<DifferenceWriter>> open(FileSystem& files, const std::string& directory,
                                                        const GroupId& group, TreeState& state,
                                                        const DifferenceOffer& offer);
  [[nodiscard]] const DifferenceOffer& offer() const { return offer_; }
  [[nodiscard]] Seq staged() const { return staged_; }  // records up to here need not be sent again
  [[nodiscard]] Ino next_ino() const { return state_.meta().next_ino; }
  Status add_records(Bytes run);  // kCorrupt
  Status add_rows(Bytes rows);    // kCorrupt
  // Brings everything to its place but the floor: the order for Log::cross(). kCorrupt: it is not complete, or makes no tree
  // (volume/difference/difference_check.h).
  Result<CrossOrder> finish(const std::optional<std::vector<MarkId>>& held_marks);
  // After the log has crossed the gap, or for one that is given up for good.
  static Status clean(FileSystem& files, const std::string& directory);

 private:
  DifferenceWriter(FileSystem& files, const std::string& directory, const GroupId& group, TreeState& state,
                   const DifferenceOffer& offer);
  void set_header(RowFileWriter& rows) const;
  [[nodiscard]] Location address(Seq seq) const;
  Status take_up();
  Status add_record(const RecordView& record);
  Status close_pack();
  Status check_row(std::string_view key, std::string_view value) const;
  // Records up to the copy's position that a row refers to: where they lie here.
  Status find_old(RowFileReader& rows);
  Status find_elsewhere(std::unordered_set<uint64_t>& missing);
  Status check_tree(RowFileReader& rows);
  Result<std::optional<Location>> in_own_chunk(std::string_view key, Seq record);
  Result<std::string> with_own_locations(std::string_view key, std::string_view value);
  Status write_rows(RowFileReader& rows, const std::optional<std::vector<MarkId>>& held_marks);
  Status write_mark_changes(const std::vector<MarkId>& held, RowFileWriter& out);

  FileSystem& files_;
  const std::string directory_;
  const std::string incoming_;
  const GroupId group_;
  TreeState& state_;
  const DifferenceOffer offer_;
  std::unique_ptr<PackWriter> pack_;
  std::vector<PackInfo> packs_;  // complete ones
  uint64_t last_segment_ = 0;    // of the last record's address
  Seq last_;                     // the last record
  Seq staged_;
  std::unique_ptr<RowFileWriter> rows_;
  PackSet staged_records_;                  // the packs, once they are complete
  std::unique_ptr<DifferenceCheck> check_;  // remembers where records are that were not where they would be looked for first
  Buffer blocks_;
};

}  // namespace tidemark

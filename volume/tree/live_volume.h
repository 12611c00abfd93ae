// The live tree of a group: checks what is asked against the newest state, makes records of it, commits them.
#pragma once

#include <array>
#include <mutex>
#include <shared_mutex>

#include "volume/group/committer.h"
#include "volume/tree/volume.h"

namespace tidemark {

// Records about files carry the number of the group's volume; those about the group as a whole carry 0.
inline constexpr uint16_t kFirstVolume = 1;

// kRange, kTooLarge: not an extended attribute that a file can have.
Status check_xattr(std::string_view name, std::string_view value);

// A lock in which nobody starves: who wants it alone waits for those who share it now, and newcomers wait behind him.
class Stripe {
 public:
  void lock() TM_NO_ANALYSIS {
    MutexLock turn(turnstile_);
    content_.lock();
  }
  void unlock() TM_NO_ANALYSIS { content_.unlock(); }
  void lock_shared() TM_NO_ANALYSIS {
    MutexLock turn(turnstile_);
    content_.lock_shared();
  }
  void unlock_shared() TM_NO_ANALYSIS { content_.unlock_shared(); }

 private:
  Mutex turnstile_;
  SharedMutex content_;
};

class LiveVolume final : public Volume {
 public:
  explicit LiveVolume(Committer& committer)
      : committer_(committer), state_(committer.state()), reader_(committer.log(), committer.state(), kLatest) {}

  [[nodiscard]] Seq point() const override { return kLatest; }
  Result<Attr> get_attr(Ino ino) override { return reader_.get_attr(ino); }
  Result<Attr> lookup(Ino directory, std::string_view name) override { return reader_.lookup(directory, name); }
  Result<std::vector<DirEntry>> list(Ino directory, std::string_view after, size_t max) override {
    return reader_.list(directory, after, max);
  }
  Result<std::string> read_link(Ino ino) override { return reader_.read_link(ino); }
  Result<size_t> read(Ino ino, uint64_t at, MutableBytes out) override;
  Result<std::vector<DataRange>> data_ranges(Ino ino, uint64_t from, uint64_t to, size_t max) override {
    return reader_.data_ranges(ino, from, to, max);
  }
  Result<std::string> get_xattr(Ino ino, std::string_view name) override { return reader_.get_xattr(ino, name); }
  Result<std::vector<std::string>> list_xattr(Ino ino) override { return reader_.list_xattr(ino); }

  Result<Attr> make_node(Ino parent, std::string_view name, const NewNode& node) override;
  Result<Attr> make_unnamed(const NewNode& node) override;
  Result<Attr> link(Ino ino, Ino parent, std::string_view name) override;
  Result<Attr> unlink(Ino parent, std::string_view name) override;
  Result<Attr> remove_directory(Ino parent, std::string_view name) override;
  Result<std::optional<Attr>> rename(Ino from_parent, std::string_view from_name, Ino to_parent, std::string_view to_name,
                                     RenameMode mode, uint32_t uid, uint32_t gid) override;
  Status free_inodes(const std::vector<Ino>& inodes) override;
  Result<Attr> set_attr(Ino ino, const SetAttr& change) override;
  Result<Attr> set_attr_with(Ino ino, const SetAttr& change, const XattrChange& xattr) override;
  Result<Attr> write(Ino ino, uint64_t at, Bytes data, bool keep_times) override;
  Status punch(Ino ino, uint64_t at, uint64_t size) override;
  Status allocate(Ino ino, uint64_t at, uint64_t size, bool keep_size) override;
  Status zero(Ino ino, uint64_t at, uint64_t size, bool keep_size) override;
  Result<uint64_t> copy_range(Ino source, uint64_t source_at, Ino target, uint64_t target_at, uint64_t size) override;
  Status set_xattr(Ino ino, std::string_view name, std::string_view value, XattrMode mode) override;
  Status remove_xattr(Ino ino, std::string_view name) override;
  Result<std::string> find_name(Ino directory, const std::function<bool(std::string_view)>& is_it) override {
    return state_.find_name(directory, is_it);
  }
  Result<std::vector<Ino>> unnamed_inodes(size_t max) override { return state_.unnamed(max); }

 private:
  // One lock for many files: held shared by whoever replaces whole blocks, alone by whoever reads a block, changes a part and
  // writes it back (or cuts a file). Taken before the commit lock.
  static constexpr size_t kStripes = 64;
  Stripe& stripe(Ino ino) { return stripes_[ino.value() % kStripes]; }

  // Under the commit lock.
  Result<Attr> node(Ino ino);
  Result<Attr> regular_file(Ino ino);
  Result<Attr> parent_directory(Ino ino);
  Result<std::optional<Attr>> entry(Ino parent, std::string_view name);
  Status check_rename(const Attr& moved, const std::optional<Attr>& there, Ino to_parent, RenameMode mode);
  Result<bool> is_below(Ino directory, Ino ancestor);
  Result<Attr> make(Ino parent, std::string_view name, const NewNode& node) TM_REQUIRES(committer_.mutex);

  // The drafts of a write; blocks that are only partly covered are read first (then the stripe must be held alone).
  Result<std::vector<RecordDraft>> data_drafts(Ino ino, uint64_t at, Bytes data, bool keep_times);
  Status fill_block(Ino ino, uint64_t block, uint64_t at, Bytes data, std::byte* out);
  Result<Attr> commit_data(Ino ino, std::span<const RecordDraft> drafts);
  Result<RecordDraft> truncate_draft(Ino ino, uint64_t size);
  // What punch() and zero() have to write; nothing where there is nothing to clear. The stripe is held alone.
  Result<std::vector<RecordDraft>> punch_drafts(const Attr& attr, uint64_t at, uint64_t size);
  Status add_zeros(Ino ino, uint64_t at, uint64_t size, std::vector<RecordDraft>& drafts);
  Result<uint64_t> clone_blocks(Ino source, uint64_t source_at, Ino target, uint64_t target_at, uint64_t size);
  Status copy_bytes(Ino source, uint64_t source_at, Ino target, uint64_t target_at, uint64_t size);

  Committer& committer_;
  TreeState& state_;
  TreeReader reader_;
  std::array<Stripe, kStripes> stripes_;
};

}  // namespace tidemark

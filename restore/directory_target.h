// Writes a tree into a directory of this machine, so that neither the tree's names nor anybody who changes the directory
// meanwhile can make us write outside it: every name is used once, below a directory that is still the one we made.
#pragma once

#include <unordered_map>
#include <unordered_set>

#include "restore/native_attributes.h"
#include "restore/sink.h"

namespace tidemark {

class DirectorySink final : public Sink {
 public:
  // `force`: an entry that is in the way is replaced. `tree` and `warnings` outlive the sink.
  DirectorySink(const Tree& tree, bool force, Warnings& warnings) : tree_(tree), force_(force), warnings_(warnings) {}

  // Before everything else: makes the target or takes it as it is. kNotEmpty without force, kNotFound, kNotDirectory.
  Status open_target(const std::string& path);

  Status make_directory(size_t index) override;
  Result<std::unique_ptr<SinkFile>> make_file(size_t index) override;
  Status make_other(size_t index) override;
  Status make_link(size_t index, size_t first) override;
  Status finish_directory(size_t index) override;

  // After everything else: durable on return.
  Status sync();

  // For SinkFiles: this inode is the entry's; the file was not finished.
  Status remember(size_t index, const struct stat& info);
  void take_back(size_t index);
  [[nodiscard]] const Tree& tree() const { return tree_; }
  [[nodiscard]] Warnings& warnings() { return warnings_; }

 private:
  using SharedFd = std::shared_ptr<Fd>;
  Result<SharedFd> directory(size_t index);
  Status adopt(size_t index, SharedFd directory);
  Status clear_the_way(int parent, const std::string& name);
  Status refuse_ours(const struct stat& info);
  template <class Make>
  Status make_name(int parent, const std::string& name, Make make);

  const Tree& tree_;
  bool force_;
  Warnings& warnings_;
  Fd target_;
  std::vector<FileIdentity> made_;  // by entry; {0, 0}: not made (yet). Each written by one thread, read after it is done.

  Mutex mutex_;
  std::unordered_map<size_t, SharedFd> directories_ TM_GUARDED_BY(mutex_);  // recently used ones
  std::unordered_set<size_t> adopted_;                                      // directories that were there before
  // With force: everything made so far, so that of two names a file system takes for one the second does not replace the
  // first.
  std::unordered_multimap<ino_t, dev_t> ours_ TM_GUARDED_BY(mutex_);
  std::vector<std::pair<dev_t, Fd>> file_systems_;  // to sync: one directory on each
};

}  // namespace tidemark

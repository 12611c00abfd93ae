// A directory of this machine as a tree view, so that what plans and copies trees can read one. It may be in use: what
// changes while we look is noticed and told. It stays in its file system and follows no symbolic link.
#pragma once

#include <memory>
#include <unordered_map>

#include "restore/native_attributes.h"
#include "volume/tree/tree_view.h"

struct statx;

namespace tidemark {

class NativeView final : public TreeView {
 public:
  // `except`: a directory that is left out where it is found (the volume being filled); it need not exist. kNotFound,
  // kNotDirectory. `warnings` outlives the view.
  static Result<std::unique_ptr<NativeView>> open(const std::string& path, const std::string& except, Warnings& warnings);

  [[nodiscard]] Seq point() const override { return kLatest; }
  // As it was when its directory was listed (or its name looked up).
  Result<Attr> get_attr(Ino ino) override;
  Result<Attr> lookup(Ino directory, std::string_view name) override;
  Result<std::vector<DirEntry>> list(Ino directory, std::string_view after, size_t max) override;
  Result<std::string> read_link(Ino ino) override;
  // What a file has lost since it was looked at reads as zeros, with a warning.
  Result<size_t> read(Ino ino, uint64_t at, MutableBytes out) override;
  Result<std::vector<DataRange>> data_ranges(Ino ino, uint64_t from, uint64_t to, size_t max) override;
  Result<std::string> get_xattr(Ino ino, std::string_view name) override;
  Result<std::vector<std::string>> list_xattr(Ino ino) override;

 private:
  struct Node {
    Ino parent;
    std::string name;
    FileIdentity identity;
    Attr attr;
    bool mount = false;  // another file system (or the same once more) is mounted here: kept as an empty directory
    bool change_told = false;
  };
  struct IdentityHash {
    size_t operator()(const FileIdentity& one) const { return std::hash<uint64_t>{}(one.inode * 31 + one.device); }
  };
  using SharedFd = std::shared_ptr<Fd>;
  using Listing = std::shared_ptr<const std::vector<DirEntry>>;

  explicit NativeView(Warnings& warnings) : warnings_(warnings) {}

  Result<Node> node(Ino ino);
  std::string path_of(Ino ino);
  Result<Fd> open_node(Ino ino, int flags);
  Result<SharedFd> content(Ino ino);
  Result<Listing> listing(Ino directory);
  Result<std::vector<DirEntry>> read_directory(Ino directory);
  // The entry of that name; nothing where it is left out or has gone.
  Result<std::optional<DirEntry>> take_in(const Fd& in, Ino directory, const std::string& name);
  Ino add_node(Node node);
  void watch(Ino ino, const Fd& fd);
  void tell_change(Ino ino);

  Warnings& warnings_;
  Fd root_;
  FileIdentity except_;
  Mutex mutex_;
  std::unordered_map<Ino, Node> nodes_ TM_GUARDED_BY(mutex_);
  std::unordered_map<FileIdentity, Ino, IdentityHash> known_ TM_GUARDED_BY(mutex_);
  std::unordered_map<Ino, SharedFd> open_files_ TM_GUARDED_BY(mutex_);  // recently read ones
  std::unordered_map<Ino, Listing> listings_ TM_GUARDED_BY(mutex_);     // of directories being paged through
  uint64_t last_ino_ TM_GUARDED_BY(mutex_) = 0;
};

}  // namespace tidemark

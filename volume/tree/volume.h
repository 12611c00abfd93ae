// The live tree of a group, for reading and changing. Every change is one record (or a few, in order), checked against the
// tree, appended to the log and applied to the index before the call returns; it is durable after Group::sync().
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "volume/tree/tree_view.h"

namespace tidemark {

struct NewNode {
  uint32_t mode = 0;  // type and permission bits, umask and inheritance already applied by the caller
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint64_t device = 0;
  std::string symlink_target;
  std::vector<std::pair<std::string, std::string>> xattrs;  // it is born with
};

// One extended attribute that changes together with others.
struct XattrChange {
  std::string_view name;
  std::optional<std::string_view> value;  // nothing: it goes, where it is there
};

enum class RenameMode { kReplace, kNoReplace, kExchange, kWhiteout };

// Thread-safe. All calls can also fail with kReadOnly (a replica, a reader), kNoSpace, kPoisoned, kCorrupt, kIo.
// Permissions are the caller's matter (the kernel checks them: default_permissions).
class Volume : public TreeView {
 public:
  // kExists, kNotDirectory, kNameTooLong, kInvalid. A parent without a name any more: kNotFound.
  virtual Result<Attr> make_node(Ino parent, std::string_view name, const NewNode& node) = 0;
  // A regular file without a name (O_TMPFILE); nlink 0 until link().
  virtual Result<Attr> make_unnamed(const NewNode& node) = 0;
  virtual Result<Attr> link(Ino ino, Ino parent, std::string_view name) = 0;  // kPermission for directories; kTooManyLinks
  // Removes a name. `ino` of what had it comes back: with nlink 0 the inode stays until free_inodes().
  virtual Result<Attr> unlink(Ino parent, std::string_view name) = 0;            // kIsDirectory
  virtual Result<Attr> remove_directory(Ino parent, std::string_view name) = 0;  // kNotEmpty, kNotDirectory
  // What was replaced comes back, if anything was (nlink as it is afterwards).
  virtual Result<std::optional<Attr>> rename(Ino from_parent, std::string_view from_name, Ino to_parent,
                                             std::string_view to_name, RenameMode mode, uint32_t uid, uint32_t gid) = 0;
  // Inodes that have no name and that nobody uses any more: gone for good from the live tree. Others in the list are skipped.
  virtual Status free_inodes(const std::vector<Ino>& inodes) = 0;

  // Attributes by mask (log/format/body.h); kSetSize grows or shrinks. Without kSetCtime, ctime becomes now; a size change without
  // kSetMtime sets mtime to now as well.
  virtual Result<Attr> set_attr(Ino ino, const SetAttr& change) = 0;
  // Both in one commit: neither a mark nor a crash comes between. Not for sizes.
  virtual Result<Attr> set_attr_with(Ino ino, const SetAttr& change, const XattrChange& xattr) = 0;
  // Returns the attributes afterwards. `keep_times`: the kernel's writeback cache owns mtime and ctime and sends them itself.
  virtual Result<Attr> write(Ino ino, uint64_t at, Bytes data, bool keep_times) = 0;  // kTooLarge
  // The range reads as zeros and takes no space, as far as whole blocks go; size unchanged.
  virtual Status punch(Ino ino, uint64_t at, uint64_t size) = 0;
  // The blocks of the range count as taken from now on, whether they hold data or not; without `keep_size` the file reaches to its
  // end. Reserves nothing: a write to them takes room all the same. kTooLarge.
  virtual Status allocate(Ino ino, uint64_t at, uint64_t size, bool keep_size) = 0;
  // punch() and allocate() in one commit.
  virtual Status zero(Ino ino, uint64_t at, uint64_t size, bool keep_size) = 0;
  // Shares blocks where both sides are block-aligned (or end at the source's end of file), copies the edges. Ranges of one
  // file must not overlap (kInvalid). Returns bytes copied: less than `size` only at the source's end of file.
  virtual Result<uint64_t> copy_range(Ino source, uint64_t source_at, Ino target, uint64_t target_at, uint64_t size) = 0;

  enum class XattrMode { kEither, kCreate, kReplace };
  virtual Status set_xattr(Ino ino, std::string_view name, std::string_view value, XattrMode mode) = 0;  // kExists, kNoData
  virtual Status remove_xattr(Ino ino, std::string_view name) = 0;                                       // kNoData

  // The greatest name that `directory` has, or had since the base, of those that `is_it` accepts. kNotFound. Takes as long as there
  // are such names.
  virtual Result<std::string> find_name(Ino directory, const std::function<bool(std::string_view)>& is_it) = 0;

  // Inodes that have no name; a mount frees them when it begins (nobody can have them open yet).
  virtual Result<std::vector<Ino>> unnamed_inodes(size_t max) = 0;
};

}  // namespace tidemark

#include "restore/remove_tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

#include "restore/safe_path.h"

namespace tidemark {
namespace {

struct CloseDir {
  void operator()(DIR* directory) const { ::closedir(directory); }
};

Status remove_at_depth(int directory, const std::string& name, int depth, MayEnter may_enter);

Status remove_content(Fd directory, const std::string& name, int depth, MayEnter may_enter) {
  std::unique_ptr<DIR, CloseDir> stream(::fdopendir(directory.get()));
  if (!stream) return errno_status(errno, "reading directory " + show_path(name));
  int fd = directory.release();
  while (true) {
    errno = 0;
    const dirent* entry = ::readdir(stream.get());
    if (entry == nullptr) break;
    std::string child = entry->d_name;
    if (child == "." || child == "..") continue;
    TM_TRY(remove_at_depth(fd, child, depth + 1, may_enter).within(show_path(name)));
  }
  if (errno != 0) return errno_status(errno, "reading directory " + show_path(name));
  return Status();
}

Status remove_at_depth(int directory, const std::string& name, int depth, MayEnter may_enter) {
  if (::unlinkat(directory, name.c_str(), 0) == 0 || errno == ENOENT) return Status();
  if (errno != EISDIR) return errno_status(errno, "removing " + show_path(name));
  if (depth >= kRemoveDepthMax) {
    return Status(Code::kLimit, "removing " + show_path(name) + ": more than " + std::to_string(kRemoveDepthMax) +
                                    " directories below one another; remove it by hand");
  }
  Fd inside = open_beneath(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, Mounts::kStay);
  if (!inside.valid()) {
    if (errno == EXDEV) return Status(Code::kBusy, show_path(name) + " is a mount point; unmount it first", EXDEV);
    return errno_status(errno, "opening directory " + show_path(name));
  }
  if (may_enter != nullptr) TM_TRY(may_enter(inside.get()).within(show_path(name)));
  TM_TRY(remove_content(std::move(inside), name, depth, may_enter));
  if (::unlinkat(directory, name.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT) return Status();
  return errno_status(errno, "removing directory " + show_path(name));
}

}  // namespace

Status remove_tree(int directory, const std::string& name, MayEnter may_enter) {
  TM_TRY(check_entry_name(name));
  return remove_at_depth(directory, name, 0, may_enter);
}

}  // namespace tidemark

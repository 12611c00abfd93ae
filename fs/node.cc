#include "fs/node.h"

namespace tidemark::fs {
namespace {

timespec to_timespec(const FileTime& time) {
  timespec result{};
  result.tv_sec = time.seconds;
  result.tv_nsec = static_cast<long>(time.nanoseconds);
  return result;
}

}  // namespace

struct stat to_stat(const Attr& attr, fuse_ino_t id) {
  struct stat result {};
  result.st_ino = id;  // with its slot: a file and its past self are not hard links of each other
  result.st_mode = attr.mode;
  result.st_nlink = attr.nlink;
  result.st_uid = attr.uid;
  result.st_gid = attr.gid;
  result.st_rdev = attr.device;
  result.st_size = static_cast<off_t>(attr.size);
  result.st_blksize = kBlockSize;
  result.st_blocks = static_cast<blkcnt_t>(attr.blocks_taken() * (kBlockSize / 512));
  result.st_atim = to_timespec(attr.atime);
  result.st_mtim = to_timespec(attr.mtime);
  result.st_ctim = to_timespec(attr.ctime);
  return result;
}

}  // namespace tidemark::fs

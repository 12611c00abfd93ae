#include "replicator/site/allow_file.h"

#include "base/clock.h"
#include "base/logging.h"

namespace tidemark {
namespace {

int64_t in_ns(const timespec& time) { return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec; }

}  // namespace

AllowFile::Version AllowFile::version() const {
  struct stat info {};
  if (::stat(path_.c_str(), &info) != 0) return {};
  return {info.st_dev, info.st_ino, info.st_size, in_ns(info.st_mtim), in_ns(info.st_ctim)};
}

Result<std::unique_ptr<AllowFile>> AllowFile::open(const std::string& path) {
  std::unique_ptr<AllowFile> file(new AllowFile(path));
  file->taken_ = file->seen_ = file->version();  // before it is read: what comes later is another version
  TM_ASSIGN(AllowList list, AllowList::load(path));
  MutexLock lock(file->mutex_);
  file->list_ = std::make_shared<const AllowList>(std::move(list));
  return file;
}

std::shared_ptr<const AllowList> AllowFile::now() const {
  MutexLock lock(mutex_);
  return list_;
}

bool AllowFile::look(bool at_once) {
  const int64_t time = system_clock().steady_ns();
  if (!at_once && time - looked_ns_ < std::chrono::nanoseconds(kAllowLookEvery).count()) return false;
  looked_ns_ = time;
  const Version version = this->version();
  const bool rested = version == seen_;
  seen_ = version;
  if (!at_once && (version == taken_ || !rested)) return false;
  taken_ = version;
  return read_again();
}

bool AllowFile::read_again() {
  Result<AllowList> read = AllowList::load(path_);
  if (!read.ok() && read.status().code() != Code::kNotAuthorised) {
    log_error("the allow-list stays as it was: " + read.status().text());
    return false;
  }
  AllowList list = read.ok() ? std::move(read).value() : AllowList();
  log_info("the allow-list " + path_ + " has changed: " + std::to_string(list.size()) + " keys are allowed");
  MutexLock lock(mutex_);
  list_ = std::make_shared<const AllowList>(std::move(list));
  return true;
}

}  // namespace tidemark

#include "fs/marks/process_names.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

namespace tidemark::fs {
namespace {

// "" where its process has ended.
std::string read_name(int fd) {
  char text[64];
  const ssize_t size = pread(fd, text, sizeof text, 0);
  const std::string name(text, static_cast<size_t>(std::max<ssize_t>(size, 0)));
  return name.substr(0, name.find('\n'));
}

}  // namespace

ProcessNames::~ProcessNames() {
  for (const Known& known : newest_first_) close(known.fd);
}

std::string ProcessNames::of(uint32_t pid) {
  MutexLock lock(mutex_);
  const auto found =
      std::find_if(newest_first_.begin(), newest_first_.end(), [&](const Known& known) { return known.pid == pid; });
  if (found != newest_first_.end()) {
    if (std::string name = read_name(found->fd); !name.empty()) return name;
    close(found->fd);
    newest_first_.erase(found);
  }
  const int fd = open(("/proc/" + std::to_string(pid) + "/comm").c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return {};
  newest_first_.push_front({pid, fd});
  if (newest_first_.size() > kKept) {
    close(newest_first_.back().fd);
    newest_first_.pop_back();
  }
  return read_name(fd);
}

}  // namespace tidemark::fs

#include "base/descriptors.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <vector>

namespace tidemark {
namespace {

constexpr size_t kUnlimited = size_t{1} << 20;

size_t soft_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return kUnlimited;
  return std::min<size_t>(limit.rlim_cur, kUnlimited);
}

}  // namespace

void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  (void)::setrlimit(RLIMIT_NOFILE, &limit);  // less will do for small volumes
}

size_t descriptors_for(size_t share, size_t least, size_t most) { return std::clamp(soft_limit() / share, least, most); }

Status check_descriptors(size_t wanted, std::string_view what) {
  std::vector<int> taken;
  taken.reserve(wanted);
  int error = 0;
  while (taken.size() < wanted) {
    const int fd = taken.empty() ? ::open("/", O_PATH | O_CLOEXEC) : ::fcntl(taken.front(), F_DUPFD_CLOEXEC, 0);
    if (fd < 0) {
      error = errno;
      break;
    }
    taken.push_back(fd);
  }
  const size_t free = taken.size();
  for (const int fd : taken) ::close(fd);
  if (free == wanted) return Status();
  return Status(Code::kLimit,
                std::string(what) + " needs " + std::to_string(wanted) + " more open files, and " + std::to_string(free) +
                    " are left of " + std::to_string(soft_limit()) +
                    " (ulimit -n); raise the limit (LimitNOFILE= of a systemd unit)",
                error);
}

}  // namespace tidemark

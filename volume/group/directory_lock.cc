#include "volume/group/directory_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>
#include <thread>

#include "base/logging.h"
#include "base/pinned.h"

namespace tidemark {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr off_t kHeldByte = 0;
constexpr off_t kSaidByte = 1;
constexpr off_t kWantedByte = 2;
constexpr size_t kTextBytes = 512;  // always all of them: a file of this size is written in place on a full disk
constexpr std::chrono::milliseconds kLookEvery{10};
// A version that knows flock alone may have it for a moment, only to see whether somebody has.
constexpr int kProbeTries = 20;
// From taking the lock until saying who it is.
constexpr std::chrono::milliseconds kSayingTime{2000};
// A holder counts as alive when it looks so this many times in a row: between two states of a death there is a moment without a sign.
constexpr int kAliveLooks = 3;
constexpr std::chrono::milliseconds kTellAfter{500};

std::string lock_path(const std::string& directory) { return directory + "/lock"; }

struct flock byte_lock(short type, off_t byte) {
  struct flock lock {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = byte;
  lock.l_len = 1;
  return lock;
}

enum class Answer { kYes, kNo, kNotHere };  // the last: this file system has no such locks

Answer take_byte(int fd, short type, off_t byte) {
  struct flock lock = byte_lock(type, byte);
  if (::fcntl(fd, F_OFD_SETLK, &lock) == 0) return Answer::kYes;
  return errno == EAGAIN || errno == EACCES ? Answer::kNo : Answer::kNotHere;
}

// Whether somebody else has it.
Answer ask_byte(int fd, off_t byte) {
  struct flock lock = byte_lock(F_WRLCK, byte);
  if (::fcntl(fd, F_OFD_GETLK, &lock) != 0) return Answer::kNotHere;
  return lock.l_type == F_UNLCK ? Answer::kNo : Answer::kYes;
}

void give_back(int fd, off_t byte) { (void)take_byte(fd, F_UNLCK, byte); }

// Somebody has the whole file: only seen by trying. The trier has it for a moment.
bool flocked(int fd) {
  if (::flock(fd, LOCK_SH | LOCK_NB) != 0) return errno == EWOULDBLOCK;
  ::flock(fd, LOCK_UN);
  return false;
}

// False: somebody has it.
Result<bool> try_lock(int fd, const std::string& path) {
  if (take_byte(fd, F_WRLCK, kHeldByte) == Answer::kNo) return false;
  for (int i = 0; i < kProbeTries; ++i) {
    if (::flock(fd, LOCK_EX | LOCK_NB) == 0) return true;
    if (errno != EWOULDBLOCK) return errno_status(errno, "locking " + where_now(path));
    std::this_thread::sleep_for(kLookEvery);
  }
  give_back(fd, kHeldByte);
  return false;
}

// On a full disk others are refused all the same, only without being told by whom.
Status say_who(int fd, const std::string& path, const std::string& purpose) {
  std::string text = std::to_string(::getpid()) + " (" + purpose + ")\n";
  text.resize(kTextBytes, '\n');
  const bool written = ::pwrite(fd, text.data(), text.size(), 0) == static_cast<ssize_t>(text.size());
  if (!written && errno != ENOSPC && errno != EDQUOT) return errno_status(errno, "writing " + where_now(path));
  if (written) (void)take_byte(fd, F_WRLCK, kSaidByte);
  return Status();
}

Holder read_holder(int fd) {
  std::array<char, kTextBytes + 1> text{};
  const ssize_t size = ::pread(fd, text.data(), kTextBytes, 0);
  const std::string content(text.data(), size > 0 ? static_cast<size_t>(size) : 0);
  Holder holder;
  holder.pid = std::atoi(content.c_str());
  const size_t open = content.find('('), close = content.rfind(')');
  if (open != std::string::npos && close != std::string::npos && open < close) {
    holder.purpose = content.substr(open + 1, close - open - 1);
  }
  return holder;
}

std::optional<Holder> holder_of(int fd) {
  const Answer held = ask_byte(fd, kHeldByte);
  if (held != Answer::kYes) return flocked(fd) ? std::optional<Holder>(read_holder(fd)) : std::nullopt;
  return ask_byte(fd, kSaidByte) == Answer::kYes ? read_holder(fd) : Holder();
}

std::string busy_text(const std::string& directory, const std::optional<Holder>& holder) {
  const std::string where = where_now(directory);
  if (!holder || holder->pid == 0) return where + " is in use by another process, which has not identified itself yet";
  return where + " is in use by process " + std::to_string(holder->pid) +
         (holder->purpose.empty() ? "" : " (" + holder->purpose + ")");
}

std::string field_of(std::istream& status, const std::string& name) {
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(name)) return line.substr(name.size());
  }
  return "";
}

// It will not run again: SIGKILL is on its way to it, or it is taking itself apart.
bool is_dying(int pid) {
  const std::string place = "/proc/" + std::to_string(pid);
  std::ifstream stat_file(place + "/stat");
  std::string stat;
  if (!std::getline(stat_file, stat)) return false;
  std::istringstream rest(stat.substr(std::min(stat.rfind(')') + 2, stat.size())));
  char state = 0;
  long long skipped = 0;
  unsigned long flags = 0;
  rest >> state;
  for (int i = 0; i < 5; ++i) rest >> skipped;
  rest >> flags;
  constexpr unsigned long kExiting = 0x4;  // PF_EXITING
  if (state == 'Z' || state == 'X' || (rest && (flags & kExiting) != 0)) return true;
  constexpr unsigned long long kKill = 1ull << 8;  // SIGKILL is signal 9
  for (const char* name : {"SigPnd:", "ShdPnd:"}) {
    std::ifstream status(place + "/status");
    const std::string pending = field_of(status, name);
    if ((std::strtoull(pending.c_str(), nullptr, 16) & kKill) != 0) return true;
  }
  return false;
}

// Waits beside a lock that somebody has.
class Waiting {
 public:
  Waiting(int fd, const std::string& directory, std::chrono::milliseconds patience)
      : fd_(fd), directory_(directory), began_(SteadyClock::now()), patience_(patience) {
    if (patience.count() > 0) (void)take_byte(fd, F_RDLCK, kWantedByte);
  }
  ~Waiting() { give_back(fd_, kWantedByte); }
  Waiting(const Waiting&) = delete;
  Waiting& operator=(const Waiting&) = delete;

  // Ok: try again. kBusy: there is no use in waiting, or no time left.
  Status once_more() {
    const std::optional<Holder> holder = holder_of(fd_);
    const auto waited = SteadyClock::now() - began_;
    if (patience_.count() == 0) return Status(Code::kBusy, busy_text(directory_, holder));
    if (!goes_soon(holder, waited)) return Status(Code::kBusy, busy_text(directory_, holder));
    if (waited >= patience_) {
      const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(waited).count();
      return Status(Code::kBusy,
                    busy_text(directory_, holder) + ", still after waiting " + std::to_string(seconds) + " s; try again");
    }
    if (waited >= kTellAfter && !told_) {
      told_ = true;
      log_info(busy_text(directory_, holder) + ", which is about to release it; waiting");
    }
    std::this_thread::sleep_for(kLookEvery);
    return Status();
  }

 private:
  bool goes_soon(const std::optional<Holder>& holder, SteadyClock::duration waited) {
    if (!holder || holder->purpose == kReadingPurpose || (holder->pid != 0 && is_dying(holder->pid))) {
      alive_ = 0;
      return true;
    }
    if (holder->pid == 0) return waited < kSayingTime;
    return ++alive_ < kAliveLooks;
  }

  const int fd_;
  const std::string& directory_;
  const SteadyClock::time_point began_;
  const std::chrono::milliseconds patience_;
  int alive_ = 0;
  bool told_ = false;
};

}  // namespace

Result<std::unique_ptr<DirectoryLock>> DirectoryLock::take(const std::string& directory, const std::string& purpose,
                                                           std::chrono::milliseconds patience) {
  const std::string path = lock_path(directory);
  const int fd = ::open(through_pins(path).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return errno_status(errno, "opening " + where_now(path));
  std::unique_ptr<DirectoryLock> lock(new DirectoryLock(fd));
  std::optional<Waiting> waiting;
  for (;;) {
    TM_ASSIGN(const bool taken, try_lock(fd, path));
    if (taken) break;
    if (!waiting) waiting.emplace(fd, directory, patience);
    TM_TRY(waiting->once_more());
  }
  TM_TRY(say_who(fd, path, purpose));
  return lock;
}

DirectoryLock::~DirectoryLock() { ::close(fd_); }

Result<std::optional<Holder>> lock_holder(const std::string& directory) {
  const std::string path = lock_path(directory);
  const int fd = ::open(through_pins(path).c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    if (errno == ENOENT) return std::optional<Holder>();
    return errno_status(errno, "opening " + where_now(path));
  }
  std::optional<Holder> holder = holder_of(fd);
  ::close(fd);
  return holder;
}

bool is_lock_wanted(const std::string& directory) {
  const int fd = ::open(through_pins(lock_path(directory)).c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const bool wanted = ask_byte(fd, kWantedByte) == Answer::kYes;
  ::close(fd);
  return wanted;
}

}  // namespace tidemark

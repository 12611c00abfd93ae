// Who holds a group's directory: asking disturbs nobody, readers are waited for, and so is a holder that is dying.
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <thread>

#include "tests/support/scratch.h"
#include "volume/group/group.h"

namespace tidemark::test {
namespace {

using namespace std::chrono_literals;
using SteadyClock = std::chrono::steady_clock;

// A process of its own that takes the lock, says so, and lets go after `held`.
class Child {
 public:
  Child(const std::string& directory, const std::string& purpose, std::chrono::milliseconds held) {
    int ends[2];
    REQUIRE(::pipe(ends) == 0);
    pid_ = ::fork();
    REQUIRE(pid_ >= 0);
    if (pid_ == 0) {
      auto lock = DirectoryLock::take(directory, purpose);
      const char said = lock.ok() ? 'y' : 'n';
      if (::write(ends[1], &said, 1) != 1) ::_exit(1);
      std::this_thread::sleep_for(held);
      ::_exit(0);
    }
    char said = 0;
    REQUIRE(::read(ends[0], &said, 1) == 1);
    CHECK(said == 'y');
    ::close(ends[0]);
    ::close(ends[1]);
  }
  ~Child() { ::waitpid(pid_, nullptr, 0); }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  [[nodiscard]] pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = -1;
};

}  // namespace

TEST_CASE("lock: who asks for the holder keeps nobody from becoming it") {
  Scratch scratch;
  const std::string directory = scratch / "group";
  REQUIRE(::mkdir(directory.c_str(), 0700) == 0);
  (void)DirectoryLock::take(directory, "first");
  std::atomic<bool> stop{false};
  std::atomic<int> wrong{0};
  std::vector<std::thread> askers;
  for (int i = 0; i < 3; ++i) {
    askers.emplace_back([&] {
      while (!stop) {
        const auto holder = lock_holder(directory);
        if (!holder.ok()) ++wrong;
        if (holder.ok() && *holder && (*holder)->pid != 0 && (*holder)->purpose != "second") ++wrong;
      }
    });
  }
  int refused = 0;
  for (int i = 0; i < 2000; ++i) refused += !DirectoryLock::take(directory, "second").ok();
  stop = true;
  for (auto& asker : askers) asker.join();
  CHECK(refused == 0);
  CHECK(wrong == 0);
  CHECK_FALSE(lock_holder(directory)->has_value());
}

TEST_CASE("lock: a reader is waited for, anybody else is named at once") {
  Scratch scratch;
  const std::string directory = scratch / "group";
  REQUIRE(::mkdir(directory.c_str(), 0700) == 0);
  {
    Child reader(directory, std::string(kReadingPurpose), 400ms);
    const auto begun = SteadyClock::now();
    auto taken = DirectoryLock::take(directory, "mounted at /mnt", 5s);
    CHECK(taken.ok());
    CHECK(SteadyClock::now() - begun > 100ms);
  }
  {
    Child reader(directory, std::string(kReadingPurpose), 1500ms);
    CHECK_FALSE(is_lock_wanted(directory));
    std::thread waiter([&] { CHECK(DirectoryLock::take(directory, "x", 300ms).status().code() == Code::kBusy); });
    std::this_thread::sleep_for(100ms);
    CHECK(is_lock_wanted(directory));
    waiter.join();
    CHECK_FALSE(is_lock_wanted(directory));
  }
  Child mount(directory, "mounted at /mnt", 1000ms);
  const auto begun = SteadyClock::now();
  const Status busy = DirectoryLock::take(directory, "x", 30s).status();
  CHECK(SteadyClock::now() - begun < 700ms);
  CHECK(busy.code() == Code::kBusy);
  CHECK(busy.text().find(std::to_string(mount.pid()) + " (mounted at /mnt)") != std::string::npos);
}

TEST_CASE("lock: a holder that was killed is waited for") {
  Scratch scratch;
  const std::string directory = scratch / "group";
  REQUIRE(::mkdir(directory.c_str(), 0700) == 0);
  for (int i = 0; i < 50; ++i) {
    Child holder(directory, "mounted at /mnt", 60s);
    REQUIRE(::kill(holder.pid(), SIGKILL) == 0);
    const auto taken = DirectoryLock::take(directory, "mounted at /mnt", 10s);
    INFO(taken.status().text());
    REQUIRE(taken.ok());
  }
}

TEST_CASE("lock: an older version that knows flock alone is respected, and seen") {
  Scratch scratch;
  const std::string directory = scratch / "group";
  REQUIRE(::mkdir(directory.c_str(), 0700) == 0);
  const int fd = ::open((directory + "/lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  REQUIRE(fd >= 0);
  REQUIRE(::flock(fd, LOCK_EX | LOCK_NB) == 0);
  const std::string text = std::to_string(::getpid()) + " (mounted at /old)\n";
  REQUIRE(::pwrite(fd, text.data(), text.size(), 0) == static_cast<ssize_t>(text.size()));
  CHECK(lock_holder(directory)->value().purpose == "mounted at /old");
  CHECK(DirectoryLock::take(directory, "new", 5s).status().code() == Code::kBusy);
  ::close(fd);
  auto taken = DirectoryLock::take(directory, "new");
  REQUIRE(taken.ok());
  const int old = ::open((directory + "/lock").c_str(), O_RDWR | O_CLOEXEC);
  CHECK(::flock(old, LOCK_EX | LOCK_NB) != 0);  // nor does it take what we have
  ::close(old);
}

TEST_CASE("A group goes on in a directory that was renamed") {
  Scratch scratch;
  GroupOptions options;
  options.log.segment_bytes = 64 * 1024;
  REQUIRE(Group::init(scratch / "group", {.name = "test"}, options).ok());
  auto group = Group::open(scratch / "group", OpenMode::kPrimary, options).value();
  const Ino file = group->volume().make_node(kRootIno, "f", {.mode = 0100644})->ino;
  REQUIRE(::rename((scratch / "group").c_str(), (scratch / "other").c_str()) == 0);
  for (uint64_t i = 0; i < 40; ++i) {
    std::string content(16 * 1024, '\0');
    for (char& byte : content) byte = static_cast<char>(::random());
    REQUIRE(group->volume().write(file, i * content.size(), as_bytes(content), false).ok());
  }
  CHECK(group->create_mark({.name = "m"}).ok());
  CHECK(group->prune({.to = group->newest()}).ok());
  CHECK(group->checkpoint().ok());
  // Another group takes the name, in this process: it is refused rather than mixed up with the one that had it.
  REQUIRE(Group::init(scratch / "second", {.name = "second"}, options).ok());
  REQUIRE(::rename((scratch / "second").c_str(), (scratch / "group").c_str()) == 0);
  CHECK(Group::open(scratch / "group", OpenMode::kPrimary, options).status().code() == Code::kBusy);
  const Position end = group->position();
  REQUIRE(group->close().ok());
  group.reset();
  CHECK(Group::open(scratch / "group", OpenMode::kPrimary, options).ok());
  auto again = Group::open(scratch / "other", OpenMode::kPrimary, options);
  REQUIRE(again.ok());
  CHECK((*again)->position() == end);
  CHECK((*again)->find_mark("m").ok());
}

}  // namespace tidemark::test

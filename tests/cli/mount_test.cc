// Commands on mounts: the background process, its control socket, marks through the mount, points.
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include "cli/service/process_watch.h"
#include "tests/cli/program.h"
#include "volume/group/group.h"

namespace tidemark::cli {
namespace {

struct Mounted {
  Mounted() {
    tidemark_ok({"init", volume});
    std::filesystem::create_directory(mountpoint);
    tidemark_ok({"mount", volume, mountpoint});
  }
  [[nodiscard]] int pid() const {
    Result<std::optional<Holder>> holder = lock_holder(volume);
    REQUIRE((holder.ok() && holder->has_value()));
    return (*holder)->pid;
  }
  Scratch work;
  std::string volume = work / "vol";
  std::string mountpoint = work / "mnt";
};

// One that has ended counts as gone, even if its parent has not asked for it yet.
bool alive(int pid) { return ProcessWatch(pid).wait_gone(std::chrono::milliseconds(0)).code() == Code::kTimeout; }

}  // namespace

TEST_CASE("mount returns when it is ready, umount when the process is gone") {
  if (!can_mount()) return;
  Mounted mounted;
  write_file(mounted.mountpoint + "/file", "content");
  int pid = mounted.pid();
  CHECK(alive(pid));
  tidemark_ok({"umount", mounted.mountpoint});
  CHECK(!alive(pid));
  CHECK(!std::filesystem::exists(mounted.volume + "/control"));
  CHECK(!lock_holder(mounted.volume)->has_value());
  tidemark_ok({"mount", mounted.volume, mounted.mountpoint});
  CHECK(read_whole(mounted.mountpoint + "/file") == "content");
}

TEST_CASE("a mount right after umount(8) waits for the one before to close") {
  if (!can_mount()) return;
  Mounted mounted;
  for (int round = 0; round < 5; ++round) {
    write_file(mounted.mountpoint + "/file", std::string(3 << 20, static_cast<char>('a' + round)));
    REQUIRE(umount2(mounted.mountpoint.c_str(), 0) == 0);
    tidemark_ok({"mount", mounted.volume, mounted.mountpoint});
    CHECK(read_whole(mounted.mountpoint + "/file") == std::string(3 << 20, static_cast<char>('a' + round)));
  }
}

TEST_CASE("whatever reads or changes a volume right after umount(8) waits for the mount to close") {
  if (!can_mount()) return;
  const auto after_umount = [](auto use) {
    Mounted mounted;
    write_file(mounted.mountpoint + "/file", std::string(48 << 20, 'x'));
    REQUIRE(umount2(mounted.mountpoint.c_str(), 0) == 0);
    use(mounted.volume);
  };
  after_umount([](const std::string& volume) { CHECK(tidemark_json({"verify", volume})["bytes"] == 48 << 20); });
  after_umount([](const std::string& volume) { tidemark_ok({"verify", "--repair", volume}); });
  after_umount([](const std::string& volume) { tidemark_ok({"mark", "create", volume, "closed"}); });
  after_umount([](const std::string& volume) { tidemark_ok({"prune", volume, "--to", "latest", "--yes"}); });
}

TEST_CASE("a volume that is mounted where we cannot see it is read at once, and a second mount of it refused") {
  if (!can_mount()) return;
  Mounted mounted;
  write_file(mounted.mountpoint + "/file", "content");
  const auto begin = std::chrono::steady_clock::now();
  const auto elsewhere = [&](const std::string& words, const std::string& spaces = "-m") {
    const std::string command = "umount '" + mounted.mountpoint + "' && '" + program() + "' " + words;
    return WEXITSTATUS(std::system(("unshare " + spaces + " sh -c \"" + command + "\" > /dev/null").c_str()));
  };
  CHECK(elsewhere("mark list '" + mounted.volume + "'") == 0);
  CHECK(elsewhere("mark list '" + mounted.volume + "'", "-m -p -f --mount-proc") == 0);
  CHECK(elsewhere("mount '" + mounted.volume + "' '" + mounted.mountpoint + "'") == 11);
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(10));
}

TEST_CASE("a mount that fails says why, with its exit code") {
  if (!can_mount()) return;
  Mounted mounted;
  std::filesystem::create_directory(mounted.work / "other");
  Ended second = tidemark_run({"mount", mounted.volume, mounted.work / "other"});
  CHECK(second.exit_code == 11);
  CHECK(second.err.find("process " + std::to_string(mounted.pid()) + " (mounted at " + mounted.mountpoint + ")") !=
        std::string::npos);
  Ended nowhere = tidemark_run({"mount", mounted.volume + "@seq:1", mounted.work / "not-there"});
  CHECK(nowhere.exit_code == 10);
  CHECK(!nowhere.err.empty());
  CHECK(tidemark_run({"mount", mounted.volume + "@no-mark", mounted.work / "other"}).exit_code == 10);
  tidemark_ok({"umount", mounted.mountpoint});
  Ended option = tidemark_run({"mount", mounted.volume, mounted.mountpoint, "-o", "no-such-option"});
  CHECK(option.exit_code == 2);
  CHECK(option.err.find("no-such-option") != std::string::npos);
  CHECK(tidemark_run({"mount", mounted.volume, mounted.volume + "/log"}).exit_code == 2);
  CHECK(!lock_holder(mounted.volume)->has_value());
}

TEST_CASE("marks work through the mount, through the directory, and through the ioctl") {
  if (!can_mount()) return;
  Mounted mounted;
  write_file(mounted.mountpoint + "/deep/er/file", "1");
  Json one = tidemark_json({"mark", "create", mounted.mountpoint + "/deep/er/file", "one"});
  write_file(mounted.mountpoint + "/deep/er/file", "2");
  Json two = tidemark_json({"mark", "create", mounted.volume, "two", "--note", "by the socket"});
  write_file(mounted.mountpoint + "/deep/er/file", "3");
  CHECK(one["seq"].get<uint64_t>() < two["seq"].get<uint64_t>());
  CHECK(tidemark_run({"mark", "create", mounted.mountpoint, "two"}).exit_code == 1);
  CHECK(tidemark_run({"mark", "create", mounted.volume, "two"}).exit_code == 1);
  CHECK(tidemark_run({"mark", "create", mounted.mountpoint, "x", "--wait", "no-site"}).exit_code == 10);
  CHECK(tidemark_run({"mark", "create", mounted.volume, "x", "--wait", "no-site"}).exit_code == 10);
  Result<Ended> example = run_to_end({example_program(), mounted.mountpoint, "2"});
  REQUIRE(example.ok());
  INFO(example->err);
  CHECK(example->exit_code == 0);
  CHECK(tidemark_json({"mark", "list", mounted.mountpoint})["marks"].size() == 4);
  CHECK(tidemark_json({"mark", "list", mounted.volume})["marks"].size() == 4);
  for (const auto& [mark, content] : {std::pair("one", "1"), std::pair("two", "2"), std::pair("latest", "3")}) {
    std::string target = mounted.work / (std::string("back-") + mark);
    tidemark_ok({"restore", mounted.volume, "--at", mark, "--target", target});
    CHECK(read_whole(target + "/deep/er/file") == content);
  }
}

TEST_CASE("a point is mounted beside the present") {
  if (!can_mount()) return;
  Mounted mounted;
  write_file(mounted.mountpoint + "/file", "then");
  tidemark_ok({"mark", "create", mounted.mountpoint, "then"});
  write_file(mounted.mountpoint + "/file", "now");
  std::string past = mounted.work / "past";
  std::filesystem::create_directory(past);
  tidemark_ok({"mount", mounted.volume + "@then", past});
  CHECK(read_whole(past + "/file") == "then");
  CHECK(read_whole(mounted.mountpoint + "/file") == "now");
  CHECK(::access((past + "/file").c_str(), W_OK) != 0);
  Ended mark = tidemark_run({"mark", "create", past, "no"});
  CHECK(mark.exit_code != 0);
  CHECK(Json::parse(tidemark_run({"status", "--json"}).out)["volumes"].size() >= 2);  // others may be at risk
  tidemark_ok({"umount", past});
  CHECK(!std::filesystem::exists(past + "/file"));
}

TEST_CASE("status of a mount comes from the process behind it") {
  if (!can_mount()) return;
  Mounted mounted;
  for (const std::string& source : {mounted.volume, mounted.mountpoint}) {
    Json status = tidemark_json({"status", source})["volumes"][0];
    CHECK(status["mountpoint"] == mounted.mountpoint);
    CHECK(status["holder_pid"] == mounted.pid());
    CHECK(status["healthy"] == true);
  }
}

TEST_CASE("reading commands see what a mounted volume has this moment") {
  if (!can_mount()) return;
  Mounted mounted;
  for (int i = 0; i < 5; ++i) {
    std::string name = "file-" + std::to_string(i);
    write_file(mounted.mountpoint + "/" + name, name);
    tidemark_ok({"mark", "create", mounted.mountpoint, "mark-" + std::to_string(i)});
    CHECK(tidemark_ok({"log", mounted.volume}).find(name) != std::string::npos);
  }
  CHECK(tidemark_json({"verify", mounted.mountpoint})["sound"] == true);
}

TEST_CASE("SIGTERM unmounts in order, SIGKILL loses nothing that was marked") {
  if (!can_mount()) return;
  Mounted mounted;
  write_file(mounted.mountpoint + "/file", "marked");
  tidemark_ok({"mark", "create", mounted.mountpoint, "good"});
  int pid = mounted.pid();
  {
    ProcessWatch watch(pid);
    REQUIRE(::kill(pid, SIGKILL) == 0);
    REQUIRE(watch.wait_gone(std::chrono::seconds(10)).ok());
  }
  tidemark_ok({"mount", mounted.volume, mounted.mountpoint});  // cleans the stale mountpoint by itself
  CHECK(read_whole(mounted.mountpoint + "/file") == "marked");
  pid = mounted.pid();
  ProcessWatch watch(pid);
  REQUIRE(::kill(pid, SIGTERM) == 0);
  REQUIRE(watch.wait_gone(std::chrono::seconds(20)).ok());
  CHECK(!std::filesystem::exists(mounted.mountpoint + "/file"));
  CHECK(tidemark_json({"verify", mounted.volume})["sound"] == true);
}

TEST_CASE("in the foreground it stays, and ends by a signal with 0") {
  if (!can_mount()) return;
  Scratch work;
  tidemark_ok({"init", work / "vol"});
  std::filesystem::create_directory(work / "mnt");
  auto child = Child::start({program(), "mount", "-f", work / "vol", work / "mnt"});
  REQUIRE(child.ok());
  for (int i = 0; i < 100 && !std::filesystem::exists(work / "vol/control"); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  write_file(work / "mnt/file", "x");
  CHECK(lock_holder(work / "vol")->value().pid == (*child)->pid());
  child->reset();
  CHECK(!std::filesystem::exists(work / "mnt/file"));
}

}  // namespace tidemark::cli

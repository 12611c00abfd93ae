#include "tests/fs/mounted.h"

#include <fcntl.h>
#include <grp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <sstream>
#include <thread>

#include "fs/mount.h"

namespace tidemark::test {
namespace {

constexpr size_t kMessageMax = 4096;

void say(int socket, const std::string& text) { static_cast<void>(::send(socket, text.data(), text.size(), MSG_NOSIGNAL)); }

// Empty at the end.
std::string hear(int socket) {
  char text[kMessageMax];
  ssize_t got = ::recv(socket, text, sizeof text, 0);
  return got > 0 ? std::string(text, static_cast<size_t>(got)) : std::string();
}

SiteProgress progress(const std::string& is) {
  SiteProgress progress;
  progress.waits = true;
  progress.fenced = is == "lost";
  if (is == "quick") progress.durable = kLatest;
  return progress;
}

std::string answer(const std::string& command, Group& group, Mount& mount) {
  std::istringstream words(command);
  std::string verb, name, wait;
  words >> verb >> name >> wait;
  if (verb == "seqs") {
    auto unnamed = group.volume().unnamed_inodes(1000);
    return std::to_string(group.log().appended().value()) + " " + std::to_string(group.log().durable().value()) + " " +
           std::to_string(unnamed.ok() ? unnamed->size() : 9999);
  }
  if (verb == "mark") {
    auto made = mount.mark({name, "", "test", 0, 0}, wait, std::chrono::milliseconds(500));
    if (!made.ok()) return std::string(code_name(made.status().code()));
    return made->wait.ok() ? "ok" : "made, " + std::string(code_name(made->wait.code()));
  }
  if (verb == "site") group.watermarks().update("site", progress(name));
  if (verb == "stop") mount.stop();
  return "ok";
}

// In the child. Only _exit() leads out of it.
int serve(const std::string& volume, const std::string& mountpoint, const MountSetup& setup, int control) {
  GroupOptions options;
  options.log.commit_interval = std::chrono::milliseconds(setup.commit_interval_ms);
  struct stat about {};
  if (::stat((volume + "/group.json").c_str(), &about) != 0) {
    InitOptions init;
    init.name = "test";
    init.uid = ::geteuid();
    init.gid = ::getegid();
    if (Status made = Group::init(volume, init, options); !made.ok()) return say(control, made.text()), 3;
  }
  auto group = Group::open(volume, setup.point.empty() ? OpenMode::kPrimary : OpenMode::kRead, options);
  if (!group.ok()) return say(control, group.status().text()), 4;
  if (!setup.site.empty()) (*group)->watermarks().update(setup.site, {});
  if (setup.sync_pair) (*group)->watermarks().update("site", progress("quick"));
  MountSource source{group->get(), nullptr};
  if (!setup.point.empty()) {
    auto seq = (*group)->resolve(setup.point);
    if (!seq.ok()) return say(control, seq.status().text()), 5;
    auto view = (*group)->view(*seq);
    if (!view.ok()) return say(control, view.status().text()), 5;
    source = {nullptr, *view};
  }
  auto mount = Mount::create(source, {setup.mountpoint.empty() ? mountpoint : setup.mountpoint, setup.options,
                                      setup.source_name.empty() ? volume : setup.source_name});
  if (!mount.ok()) return say(control, std::string(code_name(mount.status().code())) + ": " + mount.status().text()), 6;
  if (!setup.serve) return 0;
  std::thread controller([&] {
    for (std::string command = hear(control); !command.empty(); command = hear(control)) {
      say(control, answer(command, **group, **mount));
    }
  });
  say(control, "ready");
  Status served = (*mount)->serve();
  ::shutdown(control, SHUT_RD);
  controller.join();
  mount->reset();
  Status closed = (*group)->close();
  if (!served.ok() || !closed.ok()) std::cerr << "daemon: " << served.text() << closed.text() << '\n';
  return served.ok() && closed.ok() ? 0 : 7;
}

}  // namespace

bool can_mount() {
  if (::access("/dev/fuse", R_OK | W_OK) == 0) return true;
  const char* ci = std::getenv("CI");
  if (ci && std::string(ci) == "true") FAIL("no /dev/fuse: in CI every test has to run");
  WARN("SKIP: /dev/fuse cannot be opened here, so nothing was tested");
  return false;
}

bool is_root() {
  if (::geteuid() == 0) return true;
  WARN("SKIP: needs root");
  return false;
}

Mounted::Mounted(MountSetup setup) : volume_(scratch_ / "volume"), mountpoint_(scratch_ / "mount") {
  REQUIRE(::mkdir(mountpoint_.c_str(), 0755) == 0);
  if (setup.user != 0) REQUIRE(::chown(mountpoint_.c_str(), setup.user, setup.user) == 0);
  REQUIRE(::chmod(scratch_.path().c_str(), 0755) == 0);
  REQUIRE(start(std::move(setup)) == "");
}

Mounted::~Mounted() {
  if (daemon_ > 0) kill();
  if (Status detached = tidemark::unmount(mountpoint_, true); !detached.ok() && detached.code() != Code::kInvalid) {
    std::cerr << detached.text() << '\n';
  }
  if (control_ >= 0) ::close(control_);
}

std::string Mounted::start(MountSetup setup) {
  user_ = setup.user;
  if (user_ != 0) REQUIRE(::chown(scratch_.path().c_str(), user_, user_) == 0);
  int pair[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
  std::cout.flush();
  daemon_ = ::fork();
  REQUIRE(daemon_ >= 0);
  if (daemon_ == 0) {
    ::close(pair[0]);
    if (setup.user != 0 && (::setgroups(0, nullptr) != 0 || ::setgid(setup.user) != 0 || ::setuid(setup.user) != 0))
      ::_exit(126);
    ::_exit(serve(volume_, mountpoint_, setup, pair[1]));
  }
  ::close(pair[1]);
  if (control_ >= 0) ::close(control_);
  control_ = pair[0];
  std::string word = hear(control_);
  if (word == "ready") return "";
  const int code = wait_for_end();
  return word.empty() ? "the daemon ended: " + std::to_string(code) : word;
}

int Mounted::unmount() {
  if (user_ != 0) {
    REQUIRE(as_user(user_, [&] { return tidemark::unmount(mountpoint_, false).ok() ? 0 : 1; }) == 0);
  } else {
    Status status = tidemark::unmount(mountpoint_, false);
    INFO(status.text());
    REQUIRE(status.ok());
  }
  return wait_for_end();
}

void Mounted::kill() {
  ::kill(daemon_, SIGKILL);
  wait_for_end();
}

int Mounted::wait_for_end() {
  int status = 0;
  while (::waitpid(daemon_, &status, 0) < 0 && errno == EINTR) {
  }
  daemon_ = -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

std::string Mounted::ask(const std::string& command) {
  say(control_, command);
  return hear(control_);
}

Mounted::Seqs Mounted::seqs() {
  std::istringstream words(ask("seqs"));
  Seqs seqs;
  words >> seqs.appended >> seqs.durable >> seqs.unnamed;
  return seqs;
}

std::string Mounted::mark(const std::string& name, const std::string& wait) {
  std::string word = ask("mark " + name + " " + wait);
  return word == "ok" ? "" : word;
}

void Mounted::stop() { ask("stop"); }

void Mounted::site(const std::string& is) { ask("site " + is); }

int as_user(unsigned id, const std::function<int()>& body) {
  std::cout.flush();
  pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    if (::setgroups(0, nullptr) != 0 || ::setgid(id) != 0 || ::setuid(id) != 0) ::_exit(126);
    ::_exit(body());
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE(WIFEXITED(status));
  return WEXITSTATUS(status);
}

std::string run(const std::string& command) {
  FILE* pipe = ::popen((command + " 2>&1").c_str(), "r");
  REQUIRE(pipe != nullptr);
  std::string output;
  char buffer[4096];
  for (size_t got = 0; (got = ::fread(buffer, 1, sizeof buffer, pipe)) > 0;) output.append(buffer, got);
  const int status = ::pclose(pipe);
  if (status != 0) output += "exit " + std::to_string(WEXITSTATUS(status));
  return output;
}

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  INFO(path);
  REQUIRE(file.good());
  return {std::istreambuf_iterator<char>(file), {}};
}

void write_file(const std::string& path, const std::string& content) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << content;
  file.close();
  INFO(path);
  REQUIRE(file.good());
}

}  // namespace tidemark::test

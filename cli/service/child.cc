#include "cli/service/child.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <thread>

#include "cli/service/process_watch.h"
#include "cli/service/signals.h"

extern char** environ;

namespace tidemark::cli {
namespace {

constexpr size_t kOutputMax = 64u << 20;
constexpr size_t kErrorShown = 2000;
constexpr int kPollMs = 100;
constexpr std::chrono::seconds kEndTimeout{10};

struct Pipe {
  int read = -1;
  int write = -1;
  ~Pipe() {
    close_end(read);
    close_end(write);
  }
  Pipe() = default;
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  Status open() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return errno_status(errno, "cannot make a pipe");
    read = ends[0];
    write = ends[1];
    return Status();
  }
  static void close_end(int& fd) {
    if (fd >= 0) ::close(fd);
    fd = -1;
  }
};

// -1 leaves that standard file as it is.
Result<pid_t> spawn(const std::vector<std::string>& arguments, int in, int out, int err) {
  std::vector<char*> argv;
  argv.reserve(arguments.size() + 1);
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  const std::array<int, 3> files = {in, out, err};
  for (int target = 0; target < 3; ++target) {
    if (files[static_cast<size_t>(target)] >= 0) {
      posix_spawn_file_actions_adddup2(&actions, files[static_cast<size_t>(target)], target);
    }
  }
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
  posix_spawnattr_setpgroup(&attributes, 0);
  pid_t pid = 0;
  int error = ::posix_spawnp(&pid, argv[0], &actions, &attributes, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (error == ENOENT) return Status(Code::kNotFound, "the program '" + arguments[0] + "' is not installed", error);
  if (error != 0) return errno_status(error, "cannot run " + arguments[0]);
  return pid;
}

// Moves bytes between us and one child until it has closed both its outputs.
class Exchange {
 public:
  Exchange(Pipe& to_child, Pipe& from_out, Pipe& from_err, std::string_view input)
      : in_(to_child), out_(from_out), err_(from_err), input_(input) {
    ::fcntl(in_.write, F_SETFL, O_NONBLOCK);
    if (input_.empty()) Pipe::close_end(in_.write);
  }

  Status run(std::chrono::steady_clock::time_point until) {
    const std::atomic<bool>* interrupted = interrupted_flag();
    while (out_.read >= 0 || err_.read >= 0) {
      if (interrupted->load()) return Status(Code::kInterrupted, "interrupted");
      if (std::chrono::steady_clock::now() > until) return Status(Code::kTimeout, "took too long");
      pollfd waits[3] = {{out_.read, POLLIN, 0}, {err_.read, POLLIN, 0}, {in_.write, POLLOUT, 0}};
      if (::poll(waits, 3, kPollMs) < 0 && errno != EINTR) return errno_status(errno, "cannot wait for a child");
      if (waits[0].revents != 0) take(out_.read, out);
      if (waits[1].revents != 0) take(err_.read, err);
      if (waits[2].revents != 0) feed();
      if (out.size() + err.size() > kOutputMax) return Status(Code::kTooLarge, "printed too much output");
    }
    return Status();
  }

  std::string out;
  std::string err;

 private:
  static void take(int& fd, std::string& into) {
    char chunk[65536];
    ssize_t got = ::read(fd, chunk, sizeof chunk);
    if (got > 0) into.append(chunk, static_cast<size_t>(got));
    if (got == 0 || (got < 0 && errno != EINTR && errno != EAGAIN)) Pipe::close_end(fd);
  }

  void feed() {
    ssize_t put = ::write(in_.write, input_.data(), input_.size());
    if (put > 0) input_.remove_prefix(static_cast<size_t>(put));
    bool broken = put < 0 && errno != EINTR && errno != EAGAIN;
    if (broken || input_.empty()) Pipe::close_end(in_.write);
  }

  Pipe& in_;
  Pipe& out_;
  Pipe& err_;
  std::string_view input_;
};

std::string name_of(const std::vector<std::string>& arguments) {
  return arguments[0].substr(arguments[0].rfind('/') + 1) + (arguments.size() > 1 ? " " + arguments[1] : "");
}

}  // namespace

Result<Ended> run_to_end(const std::vector<std::string>& arguments, const std::string& input, std::chrono::seconds timeout) {
  auto began = std::chrono::steady_clock::now();
  std::signal(SIGPIPE, SIG_IGN);
  Pipe in;
  Pipe out;
  Pipe err;
  TM_TRY(in.open());
  TM_TRY(out.open());
  TM_TRY(err.open());
  TM_ASSIGN(pid_t pid, spawn(arguments, in.read, out.write, err.write));
  Pipe::close_end(in.read);
  Pipe::close_end(out.write);
  Pipe::close_end(err.write);
  Exchange exchange(in, out, err, input);
  Status exchanged = exchange.run(began + timeout);
  if (!exchanged.ok()) ::kill(-pid, SIGKILL);
  int how = 0;
  while (::waitpid(pid, &how, 0) < 0 && errno == EINTR) {
  }
  TM_TRY(exchanged.within(name_of(arguments)));
  std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  int code = WIFSIGNALED(how) ? 128 + WTERMSIG(how) : WEXITSTATUS(how);
  return Ended{code, std::move(exchange.out), std::move(exchange.err), took.count()};
}

Result<Finished> run_child(const std::vector<std::string>& arguments, const std::string& input,
                           std::chrono::seconds timeout) {
  TM_ASSIGN(Ended ended, run_to_end(arguments, input, timeout));
  if (ended.exit_code == 0) return Finished{std::move(ended.out), ended.seconds};
  std::string& err = ended.err;
  std::string shown = err.size() > kErrorShown ? "…" + err.substr(err.size() - kErrorShown) : err;
  while (!shown.empty() && shown.back() == '\n') shown.pop_back();
  return Status(Code::kIo, name_of(arguments) + " ended with " + std::to_string(ended.exit_code) +
                               (shown.empty() ? "" : ":\n" + shown));
}

Result<std::unique_ptr<Child>> Child::start(const std::vector<std::string>& arguments, const std::string& err_file) {
  Pipe out;
  Pipe err;  // only its writing end, which is a file
  TM_TRY(out.open());
  if (!err_file.empty()) {
    err.write = ::open(err_file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (err.write < 0) return errno_status(errno, "cannot open " + err_file);
  }
  TM_ASSIGN(pid_t pid, spawn(arguments, -1, out.write, err.write));
  int fd = out.read;
  out.read = -1;
  return std::unique_ptr<Child>(new Child(pid, fd));
}

Child::~Child() {
  ::kill(pid_, SIGTERM);
  ProcessWatch watch(pid_);
  if (!watch.wait_gone(kEndTimeout).ok()) ::kill(pid_, SIGKILL);
  while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
  ::close(out_);
}

Result<std::string> Child::read_line(std::chrono::seconds timeout) {
  auto until = std::chrono::steady_clock::now() + timeout;
  while (true) {
    if (size_t end = read_ahead_.find('\n'); end != std::string::npos) {
      std::string line = read_ahead_.substr(0, end);
      read_ahead_.erase(0, end + 1);
      return line;
    }
    pollfd wait{out_, POLLIN, 0};
    int ready = ::poll(&wait, 1, kPollMs);
    if (ready < 0 && errno != EINTR) return errno_status(errno, "cannot wait for a child");
    if (interrupted_flag()->load()) return Status(Code::kInterrupted, "interrupted");
    if (ready <= 0 && std::chrono::steady_clock::now() > until)
      return Status(Code::kTimeout, "a child process printed nothing in time");
    if (ready <= 0) continue;
    char chunk[4096];
    ssize_t got = ::read(out_, chunk, sizeof chunk);
    if (got == 0) return Status(Code::kIo, "a child process ended before it was ready");
    if (got > 0) read_ahead_.append(chunk, static_cast<size_t>(got));
  }
}

}  // namespace tidemark::cli

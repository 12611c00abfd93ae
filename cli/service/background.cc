#include "cli/service/background.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "base/descriptors.h"
#include "base/logging.h"
#include "cli/output/exit_map.h"
#include "cli/output/output.h"
#include "cli/service/signals.h"

namespace tidemark::cli {
namespace {

// What a mount has open at the start, with its threads, its index and a pair.
constexpr size_t kDescriptorsMin = 112;
constexpr char kReady = 'R';  // the whole message of a good start; otherwise: the code's name, a newline, the text

void drop_standard_files() {
  int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null < 0) return;
  for (int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) ::dup2(null, fd);
  if (null > STDERR_FILENO) ::close(null);
}

void send(int fd, std::string_view text) {
  while (!text.empty()) {
    ssize_t put = ::write(fd, text.data(), text.size());
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) return;  // the command that waited is gone: nobody to tell
    text.remove_prefix(static_cast<size_t>(put));
  }
}

std::string receive_all(int fd) {
  std::string text;
  char chunk[4096];
  while (true) {
    ssize_t got = ::read(fd, chunk, sizeof chunk);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return text;
    text.append(chunk, static_cast<size_t>(got));
  }
}

// What the child said, as the exit code of the command that waits for it.
int report_start(const std::string& message, pid_t child) {
  if (message == std::string(1, kReady)) return TIDEMARK_EXIT_OK;
  size_t line = message.find('\n');
  if (line != std::string::npos) {
    Code code = code_from_name(message.substr(0, line));
    print_error(Status(code == Code::kOk ? Code::kIo : code, message.substr(line + 1)));
    ::waitpid(child, nullptr, 0);
    return exit_code(code);
  }
  int how = 0;
  ::waitpid(child, &how, 0);
  std::string end = WIFSIGNALED(how) ? "killed by signal " + std::to_string(WTERMSIG(how)) : "gone";
  print_error(Status(Code::kIo, "the background process was " + end +
                                    " before it was ready; its log is in syslog, and -f keeps "
                                    "it in the foreground"));
  return TIDEMARK_EXIT_FAILURE;
}

int run_here(Readiness& readiness, const std::function<Status(Readiness&)>& service) {
  block_stop_signals();
  Status ended = check_descriptors(kDescriptorsMin, "a service");
  if (ended.ok()) ended = service(readiness);
  if (ended.ok()) return TIDEMARK_EXIT_OK;
  readiness.failed(ended);
  return exit_code(ended.code());
}

[[noreturn]] void run_in_child(int pipe_fd, const std::function<Status(Readiness&)>& service) {
  ::setsid();
  if (::chdir("/") != 0) ::_exit(TIDEMARK_EXIT_FAILURE);
  log_to_syslog(LogLevel::kInfo);
  Readiness readiness(pipe_fd);
  int code = run_here(readiness, service);
  std::fflush(nullptr);
  ::_exit(code);  // not exit(): what the parent registered is the parent's
}

}  // namespace

void Readiness::ready() {
  if (pipe_fd_ < 0) return;
  drop_standard_files();
  send(pipe_fd_, std::string_view(&kReady, 1));
  ::close(pipe_fd_);
  pipe_fd_ = -1;
}

void Readiness::failed(const Status& status) {
  if (pipe_fd_ >= 0) {
    send(pipe_fd_, std::string(code_name(status.code())) + "\n" + status.text());
    ::close(pipe_fd_);
    pipe_fd_ = -1;
  } else if (background_) {
    log_error(status.text());
  } else {
    print_error(status);
  }
}

int run_service(bool foreground, const std::function<Status(Readiness&)>& service) {
  if (foreground) {
    log_to_stderr(LogLevel::kInfo);
    Readiness readiness(-1);
    return run_here(readiness, service);
  }
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) {
    print_error(errno_status(errno, "cannot make a pipe"));
    return TIDEMARK_EXIT_FAILURE;
  }
  std::fflush(nullptr);
  pid_t child = ::fork();
  if (child < 0) {
    print_error(errno_status(errno, "cannot start a background process"));
    return TIDEMARK_EXIT_FAILURE;
  }
  if (child == 0) {
    ::close(ends[0]);
    run_in_child(ends[1], service);
  }
  ::close(ends[1]);
  std::string message = receive_all(ends[0]);
  ::close(ends[0]);
  return report_start(message, child);
}

}  // namespace tidemark::cli

// The mark ioctl.
#include <tidemark/mark.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <optional>

#include "fs/daemon.h"
#include "fs/errno_map.h"

namespace tidemark::fs {
namespace {

constexpr uint32_t kDefaultTimeoutMs = 30'000;

// A string field: what stands before its NUL; nullopt if there is none.
template <size_t size>
std::optional<std::string> text_of(const char (&field)[size]) {
  const void* end = std::memchr(field, 0, size);
  if (!end) return std::nullopt;
  return std::string(field, static_cast<const char*>(end));
}

// True where the thread has been killed: it waits for our answer alone. Other signals do not end a mark's wait.
bool is_killed(uint32_t tid) {
  std::ifstream file("/proc/" + std::to_string(tid) + "/status");
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("SigPnd:") && !line.starts_with("ShdPnd:")) continue;
    if (std::strtoull(line.c_str() + 7, nullptr, 16) & (uint64_t{1} << (SIGKILL - 1))) return true;
  }
  return false;
}

struct MarkJob {
  fuse_req_t req;
  Daemon* daemon;
  tidemark_mark_request in;
  MarkRequest mark;
  std::string wait;
};

// kInvalid where the structure is not one we know.
Result<MarkJob> decode(fuse_req_t req, const void* data, size_t size) {
  const Status malformed(Code::kInvalid, "not a tidemark_mark_request");
  MarkJob job{req, &daemon_of(req), {}, {}, {}};
  if (!data || size != sizeof job.in) return malformed;
  std::memcpy(&job.in, data, sizeof job.in);
  const auto name = text_of(job.in.name);
  const auto wait = text_of(job.in.wait);
  const auto application = text_of(job.in.application);
  const auto note = text_of(job.in.note);
  const bool zeros = std::all_of(std::begin(job.in.reserved), std::end(job.in.reserved), [](char c) { return c == 0; });
  if (job.in.struct_size != sizeof job.in || !name || !wait || !application || !note || !zeros) return malformed;
  const Caller caller = caller_of(req);
  job.mark = {*name, *note, application->empty() ? job.daemon->process_names.of(caller.pid) : *application, caller.pid,
              caller.uid};
  job.wait = *wait;
  return job;
}

void run(MarkJob& job) {
  const std::chrono::milliseconds timeout(job.in.timeout_ms == 0 ? kDefaultTimeoutMs : job.in.timeout_ms);
  const auto abandoned = [&] { return fuse_req_interrupted(job.req) && is_killed(job.mark.pid); };
  TM_REPLY_ASSIGN(job.req, MarkOutcome outcome, job.daemon->marks->make(job.mark, job.wait, timeout, abandoned));
  job.in.mark_id = outcome.mark.id.value();
  job.in.seq = outcome.mark.seq.value();
  // The mark is made: which one, the caller is told together with what was not confirmed.
  const int result = outcome.wait.ok() ? 0 : -to_errno(outcome.wait.code());
  fuse_reply_ioctl(job.req, result, &job.in, sizeof job.in);
}

void op_ioctl(fuse_req_t req, fuse_ino_t, unsigned command, void*, fuse_file_info*, unsigned, const void* data,
              size_t in_size, size_t out_size) {
  Daemon& daemon = daemon_of(req);
  if (command != static_cast<unsigned>(TIDEMARK_IOC_MARK)) return reply(req, ENOTTY);
  if (!daemon.marks || !daemon.only_writer) return reply(req, EROFS);
  if (out_size < sizeof(tidemark_mark_request)) return reply(req, EINVAL);
  TM_REPLY_ASSIGN(req, MarkJob decoded, decode(req, data, in_size));
  const Caller caller = caller_of(req);
  const bool member = daemon.options.marks == MarkRight::kGroup && in_group(caller, daemon.options.mark_group);
  TM_REPLY(req, daemon.mark_gate->admit(caller.uid, member));
  auto job = std::make_shared<MarkJob>(std::move(decoded));
  // It waits for the mount's own dirty pages and for other sites: not on a thread that serves requests.
  TM_REPLY(req, daemon.marks->submit([job] { run(*job); }));
}

}  // namespace

void add_ioctl_ops(fuse_lowlevel_ops& ops) { ops.ioctl = op_ioctl; }

}  // namespace tidemark::fs

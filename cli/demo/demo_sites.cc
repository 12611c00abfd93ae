#include "cli/demo/demo_sites.h"

#include <csignal>
#include <filesystem>
#include <thread>

#include "cli/service/control.h"
#include "cli/service/process_watch.h"
#include "cli/service/signals.h"
#include "fs/mount.h"
#include "volume/group/group.h"

namespace tidemark::cli {
namespace {

constexpr std::chrono::seconds kStartTimeout{20};
constexpr std::chrono::seconds kEndTimeout{20};
constexpr std::chrono::milliseconds kAskEvery{50};

}  // namespace

Result<std::unique_ptr<DemoSite>> DemoSite::start(const std::string& binary, const std::string& directory) {
  auto site = std::make_unique<DemoSite>();
  TM_ASSIGN(site->child_, Child::start({binary, "--config", kNoConfig, "serve", "--dir", directory, "--listen",
                                        "tcp://127.0.0.1:*", "--json"},
                                       directory + ".log"));
  TM_ASSIGN(std::string line, site->child_->read_line(kStartTimeout));
  site->endpoint_ = text_field(Json::parse(line, nullptr, false), "endpoint");
  if (site->endpoint_.empty()) return Status(Code::kIo, "the site did not say where it listens: " + line);
  return site;
}

DemoPrimary::~DemoPrimary() {
  if (mounted_ && !run_child({binary_, "umount", mountpoint_}, "", kEndTimeout).ok()) {
    if (Result<int> killed = kill(); !killed.ok() && !unmount(mountpoint_, true).ok()) {
      std::fprintf(stderr, "could not clean up: unmount %s yourself\n", mountpoint_.c_str());
    }
  }
}

Status DemoPrimary::init_and_mount() {
  TM_TRY(run_child({binary_, "init", directory_, "--name", "demo"}).status());
  std::error_code error;
  std::filesystem::create_directories(mountpoint_, error);
  mounted_ = true;  // from here on the destructor has something to look after
  return run_child({binary_, "--config", kNoConfig, "mount", directory_, mountpoint_}, "", kStartTimeout).status();
}

Status DemoPrimary::pair_with(const DemoSite& site) {
  return run_child({binary_, "--config", kNoConfig, "pair", "create", directory_, "away", site.endpoint()}).status();
}

Status DemoPrimary::wait_shipped(std::chrono::seconds timeout) {
  auto until = std::chrono::steady_clock::now() + timeout;
  while (std::chrono::steady_clock::now() < until) {
    TM_ASSIGN(Json asked, control_call(directory_, {{"op", "status"}}, timeout));
    Json status = asked.value("status", Json::object());
    uint64_t newest = number_field(status.value("position", Json::object()), "seq");
    Json pairs = status.value("pairs", Json::array());
    if (!pairs.empty() && number_field(pairs[0], "durable") >= newest) return Status();
    if (interrupted_flag()->load()) return Status(Code::kInterrupted, "interrupted");
    std::this_thread::sleep_for(kAskEvery);
  }
  return Status(Code::kTimeout, "the site does not have everything after " + std::to_string(timeout.count()) + " s");
}

Result<int> DemoPrimary::kill() {
  TM_ASSIGN(std::optional<Holder> holder, lock_holder(directory_));
  if (!holder) return Status(Code::kNotFound, "no process holds " + directory_);
  ProcessWatch watch(holder->pid);
  if (::kill(holder->pid, SIGKILL) != 0) return errno_status(errno, "cannot kill process " + std::to_string(holder->pid));
  TM_TRY(watch.wait_gone(kEndTimeout));
  TM_TRY(unmount(mountpoint_, true));
  mounted_ = false;
  return holder->pid;
}

}  // namespace tidemark::cli

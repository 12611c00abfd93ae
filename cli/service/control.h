// The control socket: DIR/control, by which other processes of the same user ask the one that holds a group. One JSON object a
// line each way: {"op": …} → {"ok": true, …} or {"ok": false, "code": …, "error": …}. docs/ARCHITECTURE.md lists the operations.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <thread>

#include "base/mutex.h"
#include "base/status.h"
#include "cli/output/json.h"
#include "cli/service/acceptor.h"

namespace tidemark::cli {

inline constexpr size_t kControlRequestMax = 64 * 1024;        // bytes, newline included
inline constexpr size_t kControlAnswerMax = 16 * 1024 * 1024;  // likewise
inline constexpr size_t kControlPeersMax = 16;    // connections at a time to one socket; further ones are closed
inline constexpr size_t kControlThreadsMax = 64;  // likewise to all sockets of the process

struct ControlPeer {
  pid_t pid = 0;
  uid_t uid = 0;
};

// Answers one request. Called on several threads.
using ControlHandler = std::function<Result<Json>(const std::string& op, const Json& request, const ControlPeer& peer)>;

// Listens until destroyed. Only root and our own user are answered. Whoever starts one holds the group's lock: a socket that is
// there already is left over from a process that died, and is replaced.
class ControlServer {
 public:
  static Result<std::unique_ptr<ControlServer>> start(const std::string& directory, ControlHandler handler);
  ~ControlServer();  // waits for the requests being answered; removes the socket
  ControlServer(const ControlServer&) = delete;
  ControlServer& operator=(const ControlServer&) = delete;

 private:
  struct Peer {
    int fd = -1;
    std::atomic<bool> done{false};
    std::thread thread;
  };
  ControlServer(std::string directory, int listener, ControlHandler handler);
  void admit(int fd) TM_EXCLUDES(mutex_);
  void serve_peer(Peer& peer, const ControlPeer& who);
  void reap(bool all) TM_EXCLUDES(mutex_);

  std::string directory_;
  int listener_;
  ControlHandler handler_;
  const std::shared_ptr<Acceptor> acceptor_ = Acceptor::of_this_process();
  Mutex mutex_;
  std::list<Peer> peers_ TM_GUARDED_BY(mutex_);
};

// Asks whoever holds the group in `directory`. kNotFound: nobody listens there. Failures of the operation come back with the
// code they had there; kTimeout: no answer in time (it may still be carried out).
Result<Json> control_call(const std::string& directory, const Json& request, std::chrono::milliseconds timeout);

}  // namespace tidemark::cli

#include "cli/service/control.h"

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "base/logging.h"
#include "cli/output/exit_map.h"
#include "cli/service/unix_socket.h"

namespace tidemark::cli {
namespace {

constexpr const char* kSocketName = "control";
constexpr long kPeerTimeoutMs = 5000;  // for a peer to write its request and to take its answer

std::atomic<size_t> threads_in_use{0};  // of all servers

Json failure(const Status& status) { return {{"ok", false}, {"code", code_name(status.code())}, {"error", status.text()}}; }

Json answer_to(const std::string& line, const ControlPeer& who, const ControlHandler& handler) {
  Json request = Json::parse(line, nullptr, false);
  if (!request.is_object()) return failure(Status(Code::kInvalid, "a request must be one JSON object on one line"));
  Result<Json> answer = handler(text_field(request, "op"), request, who);
  if (!answer.ok()) return failure(answer.status());
  Json whole = {{"ok", true}};
  whole.update(*answer);
  return whole;
}

bool may_ask(const ControlPeer& who) { return who.uid == 0 || who.uid == ::geteuid(); }

}  // namespace

Result<std::unique_ptr<ControlServer>> ControlServer::start(const std::string& directory, ControlHandler handler) {
  TM_ASSIGN(const int listener, listen_in_directory(directory, kSocketName));
  std::unique_ptr<ControlServer> server(new ControlServer(directory, listener, std::move(handler)));
  TM_TRY(server->acceptor_->add(listener, [raw = server.get()](int fd) { raw->admit(fd); }));
  return server;
}

ControlServer::ControlServer(std::string directory, int listener, ControlHandler handler)
    : directory_(std::move(directory)), listener_(listener), handler_(std::move(handler)) {}

ControlServer::~ControlServer() {
  unlisten_in_directory(directory_, kSocketName);  // first: a new client gets "nobody listens", not a refused connection
  acceptor_->remove(listener_);
  reap(true);
  ::close(listener_);
}

void ControlServer::admit(int fd) {
  reap(false);
  ucred credentials{};
  socklen_t size = sizeof credentials;
  bool known = ::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) == 0;
  ControlPeer who{credentials.pid, credentials.uid};
  MutexLock lock(mutex_);
  const bool room = peers_.size() < kControlPeersMax && threads_in_use < kControlThreadsMax;
  if (!known || !may_ask(who) || !room || !set_socket_timeout(fd, kPeerTimeoutMs).ok()) {
    ::close(fd);
    return;
  }
  ++threads_in_use;
  Peer& peer = peers_.emplace_back();
  peer.fd = fd;
  peer.thread = std::thread([this, &peer, who] { serve_peer(peer, who); });
}

void ControlServer::serve_peer(Peer& peer, const ControlPeer& who) {
  while (true) {
    Result<std::string> line = read_line(peer.fd, kControlRequestMax);
    if (!line.ok()) break;
    std::string answer = json_text(answer_to(*line, who, handler_));
    if (answer.size() > kControlAnswerMax) answer = json_text(failure(Status(Code::kTooLarge, "the answer is too long")));
    if (!write_all(peer.fd, answer + "\n").ok()) break;
  }
  ::shutdown(peer.fd, SHUT_RDWR);  // the descriptor itself is closed when the thread is reaped
  --threads_in_use;
  peer.done = true;
}

void ControlServer::reap(bool all) {
  std::list<Peer> ended;
  {
    MutexLock lock(mutex_);
    for (auto peer = peers_.begin(); peer != peers_.end();) {
      auto next = std::next(peer);
      if (all) ::shutdown(peer->fd, SHUT_RD);  // a peer that is idle ends; one being answered still gets its answer
      if (all || peer->done) ended.splice(ended.end(), peers_, peer);
      peer = next;
    }
  }
  for (Peer& peer : ended) {
    peer.thread.join();
    ::close(peer.fd);
  }
}

Result<Json> control_call(const std::string& directory, const Json& request, std::chrono::milliseconds timeout) {
  Result<int> fd = connect_in_directory(directory, kSocketName);
  if (!fd.ok()) return fd.status();
  Status sent = set_socket_timeout(*fd, static_cast<long>(timeout.count()));
  if (sent.ok()) sent = write_all(*fd, json_text(request) + "\n");
  Result<std::string> line = sent.ok() ? read_line(*fd, kControlAnswerMax) : Result<std::string>(sent);
  ::close(*fd);
  if (!line.ok()) return line.status().within("asking the process that holds " + directory);
  Json answer = Json::parse(*line, nullptr, false);
  if (!answer.is_object()) return Status(Code::kIo, "the process that holds " + directory + " sent an invalid answer");
  if (flag_field(answer, "ok")) return answer;
  Code code = code_from_name(text_field(answer, "code"));
  return Status(code == Code::kOk ? Code::kIo : code, text_field(answer, "error", "refused without a reason"));
}

}  // namespace tidemark::cli

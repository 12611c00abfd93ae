// Who may connect: the handler libzmq asks about every CURVE handshake of a context (ZAP, RFC 27). Without one libzmq accepts
// any key.
#pragma once

#include <memory>
#include <string>
#include <thread>

#include "replicator/site/allow_file.h"
#include "replicator/site/warning_budget.h"
#include "replicator/wire/socket.h"

namespace tidemark {

inline constexpr std::string_view kZapDomain = "tidemark";

// Makes a socket that is to bind a CURVE server whose clients are all asked about: where no handler answers nobody gets in. Without
// this libzmq lets everybody in then, whatever the domain is. kUnsupported: this libzmq cannot.
Status insist_on_zap(Socket& socket, const std::string& secret_key);

class ZapHandler {
 public:
  // Answers from a thread of its own until destroyed. Start it before the server socket binds; `list` must outlive it.
  static Result<std::unique_ptr<ZapHandler>> start(ZmqContext& context, const AllowFile& list);
  ~ZapHandler();
  ZapHandler(const ZapHandler&) = delete;
  ZapHandler& operator=(const ZapHandler&) = delete;

 private:
  ZapHandler(Socket socket, const AllowFile& list) : socket_(std::move(socket)), list_(list) {}
  void run();
  Status answer();

  Socket socket_;  // of the handler's thread once it runs
  const AllowFile& list_;
  LogBudget warnings_;
  WakeFd wake_;
  std::thread thread_;
};

}  // namespace tidemark

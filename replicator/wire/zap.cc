#include "replicator/wire/zap.h"

#include <array>
#include <vector>

#include "base/clock.h"
#include "base/logging.h"

namespace tidemark {
namespace {

constexpr size_t kZapPartsMax = 16;
// Parts of a request behind REP's envelope.
enum ZapPart : size_t { kVersion, kRequest, kDomain, kAddress, kIdentity, kMechanism, kCredential, kPartCount };

Status send_text(Socket& socket, std::string_view text, bool more) {
  Message part = Message::copy_of(as_bytes(text));
  TM_ASSIGN(bool sent, socket.try_send(part, more));
  return sent ? Status() : Status(Code::kIo, "ZAP: no answer could be sent");
}

}  // namespace

Status insist_on_zap(Socket& socket, const std::string& secret_key) {
  TM_TRY(socket.set(ZMQ_CURVE_SERVER, 1));
  TM_TRY(socket.set(ZMQ_CURVE_SECRETKEY, secret_key));
  TM_TRY(socket.set(ZMQ_ZAP_DOMAIN, kZapDomain));
  if (socket.set(kZapEnforceDomain, 1).ok()) return Status();
  return Status(Code::kUnsupported,
                "this libzmq lets everybody in where its authentication fails; libzmq 4.3 or newer is needed");
}

Result<std::unique_ptr<ZapHandler>> ZapHandler::start(ZmqContext& context, const AllowFile& list) {
  TM_ASSIGN(Socket socket, Socket::open(context, ZMQ_REP));
  TM_TRY(socket.set(ZMQ_LINGER, 0));
  TM_TRY(socket.bind("inproc://zeromq.zap.01"));
  std::unique_ptr<ZapHandler> handler(new ZapHandler(std::move(socket), list));
  handler->thread_ = std::thread([raw = handler.get()] { raw->run(); });
  return handler;
}

ZapHandler::~ZapHandler() {
  wake_.wake();
  thread_.join();
}

void ZapHandler::run() {
  for (;;) {
    std::array<zmq_pollitem_t, 2> items{poll_item(socket_, ZMQ_POLLIN), poll_item(wake_)};
    if (!poll_items(items, std::chrono::hours(1)).ok() || items[1].revents != 0) return;
    if (items[0].revents == 0) continue;
    if (Status status = answer(); !status.ok()) {
      // Nobody can connect any more, which is the safe side.
      log_error("authentication: " + status.text());
      return;
    }
  }
}

Status ZapHandler::answer() {
  std::vector<std::string> parts;
  for (bool more = true; more;) {
    Message part;
    TM_ASSIGN(bool got, socket_.try_receive(part));
    if (!got) return Status();
    more = part.more();
    if (parts.size() < kZapPartsMax) parts.emplace_back(as_text(part.bytes()));
  }
  std::string user;
  if (parts.size() == kPartCount && parts[kVersion] == "1.0" && parts[kDomain] == kZapDomain &&
      parts[kMechanism] == "CURVE") {
    std::string key = key_text(parts[kCredential]);
    if (list_.now()->knows(key)) {
      user = key;
    } else {
      warnings_.warn(system_clock().steady_ns(),
                     "refused a stranger from " + parts[kAddress] + ": key " + key + " is not on the allow-list");
    }
  }
  TM_TRY(send_text(socket_, "1.0", true));
  TM_TRY(send_text(socket_, parts.size() > kRequest ? parts[kRequest] : "", true));
  TM_TRY(send_text(socket_, user.empty() ? "400" : "200", true));
  TM_TRY(send_text(socket_, user.empty() ? "not on the allow-list" : "OK", true));
  TM_TRY(send_text(socket_, user, true));
  return send_text(socket_, "", false);
}

}  // namespace tidemark

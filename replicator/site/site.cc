#include "replicator/site/site.h"

#include <sys/stat.h>

#include "base/descriptors.h"
#include "base/logging.h"
#include "replicator/site/site_router.h"
#include "replicator/wire/endpoint.h"
#include "replicator/wire/zap.h"

namespace tidemark {
namespace {

constexpr size_t kSiteDescriptors = 32;  // its own socket, the meter's, authentication, and libzmq's

}  // namespace

struct Site::Parts {
  explicit Parts(const SiteOptions& given) : options(given), groups(given, outbox), reads(groups, outbox) {}
  Status start();
  Status load_keys(const Endpoint& at);
  Result<Socket> listen(const Endpoint& at, ConnectionMeter& meter);

  const SiteOptions options;
  std::string endpoint;
  KeyPair keys;
  std::unique_ptr<AllowFile> allow;  // null: without keys
  std::function<void(Group&)> callback;

  // In the order in which they depend on one another; destroyed the other way round.
  ZmqContext context;
  std::unique_ptr<ZapHandler> zap;
  Outbox outbox;
  SiteGroups groups;
  ReadService reads;
  std::unique_ptr<SiteRouter> router;
};

Site::Site(const SiteOptions& options) : parts_(std::make_unique<Parts>(options)) {}

Site::~Site() {
  stop();
  parts_->groups.stop_healing();
  parts_->groups.stop_pruning();
  parts_->reads.stop();
  if (Status status = parts_->groups.close_all(); !status.ok()) log_error(status.text());
}

std::string Site::endpoint() const { return parts_->endpoint; }

void Site::stop() {
  if (parts_->router != nullptr) parts_->router->stop();
}

void Site::read_allow_list() { parts_->router->read_allow_list(); }

std::vector<std::string> Site::groups() const { return parts_->groups.names(); }

Group* Site::find(const std::string& name) {
  ReplicaHost* host = parts_->groups.find(name);
  return host == nullptr ? nullptr : host->group();
}

Shipper* Site::shipper(const std::string& name) {
  ReplicaHost* host = parts_->groups.find(name);
  return host == nullptr ? nullptr : host->shipper();
}

std::optional<SourceRecord> Site::source(const std::string& name) {
  ReplicaHost* host = parts_->groups.find(name);
  return host == nullptr ? std::nullopt : host->source();
}

void Site::on_group(std::function<void(Group&)> callback) { parts_->callback = std::move(callback); }

Status Site::Parts::load_keys(const Endpoint& at) {
  if (options.key.empty()) {
    if (!options.allow.empty()) return Status(Code::kInvalid, "an allow-list needs a key pair of the site (--key)");
    if (at.is_local()) return Status();
    return Status(Code::kNotAuthorised, options.listen +
                                            " can be reached from other machines: a key pair (--key) and an "
                                            "allow-list (--allow) are required; create a pair with tidemark keygen");
  }
  if (options.allow.empty()) return Status(Code::kNotAuthorised, "a key pair (--key) also needs an allow-list (--allow)");
  TM_ASSIGN(keys, load_key_pair(options.key));
  TM_ASSIGN(allow, AllowFile::open(options.allow));
  return Status();
}

Result<Socket> Site::Parts::listen(const Endpoint& at, ConnectionMeter& meter) {
  TM_ASSIGN(Socket socket, Socket::open(context, ZMQ_ROUTER));
  TM_TRY(socket.set(ZMQ_LINGER, 0));
  TM_TRY(socket.set(ZMQ_ROUTER_MANDATORY, 1));  // a peer that is gone or does not read is told apart
  TM_TRY(socket.set(ZMQ_SNDHWM, kSiteQueueMax));
  TM_TRY(socket.set(ZMQ_RCVHWM, kSiteQueueMax));
  TM_TRY(socket.set(ZMQ_MAXMSGSIZE, int64_t{kWireMax}));
  TM_TRY(socket.set(ZMQ_HANDSHAKE_IVL, static_cast<int>(kHandshakeMax.count())));
  TM_TRY(socket.set(ZMQ_HEARTBEAT_IVL, static_cast<int>(kHeartbeatInterval.count())));
  TM_TRY(socket.set(ZMQ_HEARTBEAT_TIMEOUT, static_cast<int>(kPeerSilenceMax.count()) * 3));
  TM_TRY(socket.set(ZMQ_BACKLOG, 128));
  if (at.ipv6()) TM_TRY(socket.set(ZMQ_IPV6, 1));
  if (allow != nullptr) TM_TRY(insist_on_zap(socket, keys.secret_key));
  TM_TRY(meter.watch(context, socket));
  TM_TRY(socket.bind(at.text()));
  if (at.ipc && ::chmod(at.host.c_str(), 0600) != 0) return errno_status(errno, at.host);
  return socket;
}

Status Site::Parts::start() {
  TM_ASSIGN(const Endpoint wanted, parse_endpoint(options.listen, true));
  TM_TRY(load_keys(wanted));
  TM_TRY(groups.open_all());
  if (allow != nullptr) {
    TM_ASSIGN(zap, ZapHandler::start(context, *allow));
  }
  ConnectionMeter meter;
  TM_ASSIGN(Socket socket, listen(wanted, meter));
  TM_ASSIGN(endpoint, socket.last_endpoint());
  reads.start();
  router = std::make_unique<SiteRouter>(std::move(socket), std::move(meter), allow.get(), groups, reads, outbox);
  return Status();
}

Status Site::serve() {
  parts_->groups.announce(parts_->callback);
  Status status = parts_->router->run();
  parts_->groups.stop_healing();  // nobody hears an answer any more
  parts_->groups.stop_announcing();
  return status;
}

Result<std::unique_ptr<Site>> Site::open(const SiteOptions& options) {
  TM_TRY(check_descriptors(kSiteDescriptors, "a site"));
  std::unique_ptr<Site> site(new Site(options));
  if (Status status = site->parts_->start(); !status.ok()) return status.within("site");
  return site;
}

}  // namespace tidemark

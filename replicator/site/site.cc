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

class SiteImpl final : public Site {
 public:
  explicit SiteImpl(const SiteOptions& options) : options_(options), groups_(options, outbox_), reads_(groups_, outbox_) {}

  ~SiteImpl() override {
    stop();
    groups_.stop_healing();
    groups_.stop_pruning();
    reads_.stop();
    if (Status status = groups_.close_all(); !status.ok()) log_error(status.text());
  }

  Status start();

  std::string endpoint() const override { return endpoint_; }
  Status serve() override;
  void stop() override {
    if (router_ != nullptr) router_->stop();
  }
  void read_allow_list() override { router_->read_allow_list(); }
  std::vector<std::string> groups() const override { return groups_.names(); }
  Group* find(const std::string& name) override {
    ReplicaHost* host = groups_.find(name);
    return host == nullptr ? nullptr : host->group();
  }
  Shipper* shipper(const std::string& name) override {
    ReplicaHost* host = groups_.find(name);
    return host == nullptr ? nullptr : host->shipper();
  }
  std::optional<SourceRecord> source(const std::string& name) override {
    ReplicaHost* host = groups_.find(name);
    return host == nullptr ? std::nullopt : host->source();
  }
  void on_group(std::function<void(Group&)> callback) override { callback_ = std::move(callback); }

 private:
  Status load_keys(const Endpoint& endpoint);
  Result<Socket> listen(const Endpoint& endpoint, ConnectionMeter& meter);

  const SiteOptions options_;
  std::string endpoint_;
  KeyPair keys_;
  std::unique_ptr<AllowFile> allow_;  // null: without keys
  std::function<void(Group&)> callback_;

  // In the order in which they depend on one another; destroyed the other way round.
  ZmqContext context_;
  std::unique_ptr<ZapHandler> zap_;
  Outbox outbox_;
  mutable SiteGroups groups_;
  ReadService reads_;
  std::unique_ptr<SiteRouter> router_;
};

Status SiteImpl::load_keys(const Endpoint& endpoint) {
  if (options_.key.empty()) {
    if (!options_.allow.empty()) return Status(Code::kInvalid, "an allow-list needs a key pair of the site (--key)");
    if (endpoint.is_local()) return Status();
    return Status(Code::kNotAuthorised, options_.listen +
                                            " can be reached from other machines: a key pair (--key) and an "
                                            "allow-list (--allow) are required; create a pair with tidemark keygen");
  }
  if (options_.allow.empty()) return Status(Code::kNotAuthorised, "a key pair (--key) also needs an allow-list (--allow)");
  TM_ASSIGN(keys_, load_key_pair(options_.key));
  TM_ASSIGN(allow_, AllowFile::open(options_.allow));
  return Status();
}

Result<Socket> SiteImpl::listen(const Endpoint& endpoint, ConnectionMeter& meter) {
  TM_ASSIGN(Socket socket, Socket::open(context_, ZMQ_ROUTER));
  TM_TRY(socket.set(ZMQ_LINGER, 0));
  TM_TRY(socket.set(ZMQ_ROUTER_MANDATORY, 1));  // a peer that is gone or does not read is told apart
  TM_TRY(socket.set(ZMQ_SNDHWM, kSiteQueueMax));
  TM_TRY(socket.set(ZMQ_RCVHWM, kSiteQueueMax));
  TM_TRY(socket.set(ZMQ_MAXMSGSIZE, int64_t{kWireMax}));
  TM_TRY(socket.set(ZMQ_HANDSHAKE_IVL, static_cast<int>(kHandshakeMax.count())));
  TM_TRY(socket.set(ZMQ_HEARTBEAT_IVL, static_cast<int>(kHeartbeatInterval.count())));
  TM_TRY(socket.set(ZMQ_HEARTBEAT_TIMEOUT, static_cast<int>(kPeerSilenceMax.count()) * 3));
  TM_TRY(socket.set(ZMQ_BACKLOG, 128));
  if (endpoint.ipv6()) TM_TRY(socket.set(ZMQ_IPV6, 1));
  if (allow_ != nullptr) TM_TRY(insist_on_zap(socket, keys_.secret_key));
  TM_TRY(meter.watch(context_, socket));
  TM_TRY(socket.bind(endpoint.text()));
  if (endpoint.ipc && ::chmod(endpoint.host.c_str(), 0600) != 0) return errno_status(errno, endpoint.host);
  return socket;
}

Status SiteImpl::start() {
  TM_ASSIGN(Endpoint endpoint, parse_endpoint(options_.listen, true));
  TM_TRY(load_keys(endpoint));
  TM_TRY(groups_.open_all());
  if (allow_ != nullptr) {
    TM_ASSIGN(zap_, ZapHandler::start(context_, *allow_));
  }
  ConnectionMeter meter;
  TM_ASSIGN(Socket socket, listen(endpoint, meter));
  TM_ASSIGN(endpoint_, socket.last_endpoint());
  reads_.start();
  router_ = std::make_unique<SiteRouter>(std::move(socket), std::move(meter), allow_.get(), groups_, reads_, outbox_);
  return Status();
}

Status SiteImpl::serve() {
  groups_.announce(callback_);
  Status status = router_->run();
  groups_.stop_healing();  // nobody hears an answer any more
  groups_.stop_announcing();
  return status;
}

}  // namespace

Result<std::unique_ptr<Site>> Site::open(const SiteOptions& options) {
  TM_TRY(check_descriptors(kSiteDescriptors, "a site"));
  auto site = std::make_unique<SiteImpl>(options);
  if (Status status = site->start(); !status.ok()) return status.within("site");
  return std::unique_ptr<Site>(std::move(site));
}

}  // namespace tidemark

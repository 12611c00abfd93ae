// A source whose disk takes its time: its sites go on hearing from it, and nobody waits who does not have to.
#include <atomic>
#include <catch2/catch.hpp>
#include <thread>

#include "replicator/wire/protocol.h"
#include "replicator/wire/socket.h"
#include "tests/replicator/support.h"

using namespace tidemark;
using namespace tidemark::test;
using namespace std::chrono_literals;

namespace {

// The machine's files; reading a segment waits while it hangs().
class HangingDisk final : public FileSystem {
 public:
  void hang(bool on) { hanging_ = on; }
  [[nodiscard]] bool somebody_waits() const { return waiting_ > 0; }

  Result<std::unique_ptr<File>> open(const std::string& path, Open how) override {
    TM_ASSIGN(std::unique_ptr<File> file, below_.open(path, how));
    if (!path.ends_with(".seg")) return file;
    return std::unique_ptr<File>(std::make_unique<Segment>(*this, std::move(file)));
  }
  Status make_directory(const std::string& path) override { return below_.make_directory(path); }
  Status remove(const std::string& path) override { return below_.remove(path); }
  Status rename(const std::string& from, const std::string& to) override { return below_.rename(from, to); }
  Status make_link(const std::string& path, const std::string& target) override { return below_.make_link(path, target); }
  Result<std::string> read_link(const std::string& path) override { return below_.read_link(path); }
  Result<std::vector<std::string>> list(const std::string& directory) override { return below_.list(directory); }
  Result<bool> exists(const std::string& path) override { return below_.exists(path); }
  Status sync_directory(const std::string& directory) override { return below_.sync_directory(directory); }
  Result<FileSystemSpace> space(const std::string& path) override { return below_.space(path); }

 private:
  class Segment final : public File {
   public:
    Segment(HangingDisk& disk, std::unique_ptr<File> file) : disk_(disk), file_(std::move(file)) {}
    Result<size_t> read(uint64_t at, MutableBytes out) override {
      ++disk_.waiting_;
      while (disk_.hanging_) std::this_thread::sleep_for(5ms);
      --disk_.waiting_;
      return file_->read(at, out);
    }
    Status write(uint64_t at, std::span<const iovec> parts) override { return file_->write(at, parts); }
    Status sync() override { return file_->sync(); }
    Status start_writeback(uint64_t at, uint64_t size) override { return file_->start_writeback(at, size); }
    Status truncate(uint64_t size) override { return file_->truncate(size); }
    Result<uint64_t> size() override { return file_->size(); }

   private:
    HangingDisk& disk_;
    std::unique_ptr<File> file_;
  };

  FileSystem& below_ = posix_file_system();
  std::atomic<bool> hanging_{false};
  std::atomic<int> waiting_{0};
};

// A site of few words: takes everything for durable, and counts the heartbeats.
class CountingSite {
 public:
  explicit CountingSite(const GroupId& group) : group_(group) {
    auto socket = Socket::open(context_, ZMQ_ROUTER);
    REQUIRE(socket.ok());
    socket_ = std::move(*socket);
    REQUIRE(socket_.set(ZMQ_LINGER, 0).ok());
    REQUIRE(socket_.bind("tcp://127.0.0.1:*").ok());
    endpoint_ = *socket_.last_endpoint();
    thread_ = std::thread([this] { serve(); });
  }
  ~CountingSite() {
    stopping_ = true;
    thread_.join();
  }
  [[nodiscard]] const std::string& endpoint() const { return endpoint_; }
  [[nodiscard]] int heartbeats() const { return heartbeats_; }
  [[nodiscard]] uint64_t received() const { return received_; }

 private:
  void serve() {
    while (!stopping_) {
      zmq_pollitem_t item = poll_item(socket_, ZMQ_POLLIN);
      (void)poll_items(std::span(&item, 1), 20ms);
      Message id, message;
      while (*socket_.try_receive(id) && *socket_.try_receive(message)) answer(id, message.bytes());
    }
  }

  void answer(const Message& id, Bytes message) {
    Bytes body;
    auto header = open_message(message, body);
    if (!header.ok()) return;
    std::string text;
    if (header->type == MessageType::kHello) {
      Welcome welcome;
      welcome.role = WireRole::kShip;
      welcome.window_bytes = kWindowBytes;
      welcome.window_frames = kWindowFrames;
      welcome.group_id = group_;
      text = encode_welcome(welcome, 7, 0);
      ack_ = Ack();
    } else if (header->type == MessageType::kData) {
      ack_.received = ack_.durable = decode_data_message(message.subspan(kWireHeaderSize))->last;
      ack_.consumed_bytes += message.size();
      ack_.consumed_frames += 1;
      received_ = ack_.received.value();
    } else if (header->type == MessageType::kHeartbeat) {
      ++heartbeats_;
    } else if (header->type != MessageType::kBegin) {
      return;
    }
    if (text.empty()) text = encode_ack(ack_, 7);
    Message to = Message::copy_of(id.bytes());
    Message out = Message::copy_of(as_bytes(text));
    (void)socket_.try_send(to, true);
    (void)socket_.try_send(out);
  }

  const GroupId group_;
  ZmqContext context_;
  Socket socket_;
  std::string endpoint_;
  Ack ack_;
  std::atomic<int> heartbeats_{0};
  std::atomic<uint64_t> received_{0};
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

}  // namespace

TEST_CASE("while a read of the log hangs, sites hear that the source lives, and commands to its pairs are carried out") {
  Scratch work;
  HangingDisk disk;
  GroupOptions options = small_options();
  options.files = &disk;
  InitOptions init;
  init.name = "shop";
  REQUIRE(Group::init(work / "p", init, options).ok());
  auto opened = Group::open(work / "p", OpenMode::kPrimary, options);
  REQUIRE(opened.ok());
  Group& primary = **opened;
  CountingSite site(primary.identity().id);
  LocalSite other(work / "other");
  auto shipper = start_shipping(primary, {{"away", site.endpoint(), "", ""}, {"other", other.endpoint(), "", ""}});
  fill(primary, 1u << 20, 1);
  REQUIRE(caught_up(primary, "away"));
  REQUIRE(caught_up(primary, "other"));

  disk.hang(true);
  const int before = site.heartbeats();
  const uint64_t had = site.received();
  touch(primary, "file", "content");
  REQUIRE(primary.sync().ok());
  REQUIRE(eventually([&] { return disk.somebody_waits(); }));
  CHECK(eventually([&] { return site.heartbeats() >= before + 3; }));
  CHECK(site.received() == had);  // it hung all the time
  // Nothing of the pairs is locked meanwhile.
  const auto began = std::chrono::steady_clock::now();
  CHECK(shipper->suspend("away").ok());
  CHECK(shipper->list().size() == 2);
  REQUIRE(shipper->create({"late", "tcp://127.0.0.1:1", "", ""}).ok());
  CHECK(shipper->remove("late").ok());
  CHECK(std::chrono::steady_clock::now() - began < 5s);
  CHECK(site.received() == had);
  CHECK(progress(primary, "other").connected);

  disk.hang(false);
  CHECK(eventually([&] { return progress(primary, "away").state == "suspended"; }));
  REQUIRE(shipper->resume("away").ok());
  CHECK(caught_up(primary, "away"));
  CHECK(caught_up(primary, "other"));
  // This site forgets what it had with every session, so it is sent all of it again.
  CHECK(eventually([&] { return site.received() == primary.log().durable().value(); }));
  shipper.reset();
}

// A site or a primary as a process, for tests that stop and kill one.
//   replicator_peer site DIR LISTEN [KEY ALLOW]  first line: the endpoint
//   replicator_peer primary DIR SITE ENDPOINT    opens DIR, ships it, and writes and syncs until it is killed; first line: "up"
//   replicator_peer claim DIR ENDPOINT EPOCH fits|diverged   says at the site that it is the primary of DIR's group in that epoch, with a
//                                                history that may go on from the site's, or is another from record 1 on; lines: what
//                                                the site answers to HELLO and to BEGIN
//   replicator_peer copies DIR COUNT                         makes DIR a site's directory with so many copies of groups, each with a few
//                                                files
//   replicator_peer ship DIR ENDPOINT                        begins to ship to every copy of the site with that directory, and stays; first
//                                                line: how many
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "base/logging.h"
#include "log/read/cursor.h"
#include "replicator/site/site.h"
#include "replicator/source/pair.h"
#include "replicator/source/shipper.h"
#include "replicator/wire/position_case.h"
#include "replicator/wire/protocol.h"
#include "replicator/wire/socket.h"

namespace tidemark {
namespace {

GroupOptions options() {
  GroupOptions made;
  made.index_write_buffer_bytes = 16u << 20;
  return made;
}

int fail(const Status& status) {
  std::fprintf(stderr, "%s\n", status.text().c_str());
  return 1;
}

int run_site(const std::vector<std::string>& arguments) {
  SiteOptions settings;
  settings.directory = arguments[1];
  settings.listen = arguments[2];
  if (arguments.size() == 5) {
    settings.key = arguments[3];
    settings.allow = arguments[4];
  }
  settings.group = options();
  Result<std::unique_ptr<Site>> site = Site::open(settings);
  if (!site.ok()) return fail(site.status());
  std::printf("%s\n", (*site)->endpoint().c_str());
  std::fflush(stdout);
  Status ended = (*site)->serve();
  return ended.ok() ? 0 : fail(ended);
}

int run_primary(const std::string& directory, const std::string& site, const std::string& endpoint) {
  Result<std::unique_ptr<Group>> opened = Group::open(directory, OpenMode::kPrimary, options());
  if (!opened.ok()) return fail(opened.status());
  Group& group = **opened;
  if (Status saved = save_pairs(directory, {{{site, endpoint, "", ""}, {}}}); !saved.ok()) return fail(saved);
  Result<std::unique_ptr<Shipper>> shipper = Shipper::start(group);
  if (!shipper.ok()) return fail(shipper.status());
  std::printf("up\n");
  std::fflush(stdout);
  std::string content(100'000, 'x');
  for (uint64_t i = 0;; ++i) {
    NewNode node;
    node.mode = S_IFREG | 0644;
    std::string name = "n" + std::to_string(getpid()) + "-" + std::to_string(i);
    Result<Attr> made = group.volume().make_node(kRootIno, name, node);
    if (!made.ok()) return fail(made.status());
    content[i % content.size()] = static_cast<char>('a' + i % 26);
    if (Result<Attr> written = group.volume().write(made->ino, 0, as_bytes(content), false); !written.ok()) {
      return fail(written.status());
    }
    if (Status synced = group.sync(); !synced.ok()) return fail(synced);
  }
}

// The next message: its type, and what is worth showing of it in `text`.
Result<MessageType> hear(Socket& socket, Welcome& welcome, uint64_t& session, std::string& text) {
  zmq_pollitem_t item = poll_item(socket, ZMQ_POLLIN);
  TM_TRY(poll_items(std::span(&item, 1), std::chrono::seconds(10)));
  Message message;
  TM_ASSIGN(const bool got, socket.try_receive(message));
  if (!got) return Status(Code::kTimeout, "the site says nothing");
  Bytes body;
  TM_ASSIGN(const WireHeader header, open_message(message.bytes(), body));
  if (header.type == MessageType::kError) {
    TM_ASSIGN(const WireError error, decode_error(body));
    text = "refused " + std::string(code_name(error.status.code())) + " " + error.status.text();
  }
  if (header.type == MessageType::kWelcome) {
    TM_ASSIGN(welcome, decode_welcome(body));
    session = header.session;
    text = "welcome " + std::string(position_case_name(welcome.which));
  }
  if (header.type == MessageType::kAck) text = "begun";
  return header.type;
}

Status claim(const std::string& directory, const std::string& endpoint, uint64_t epoch, const std::string& history) {
  Hello hello;
  {
    TM_ASSIGN(const auto group, Group::open(directory, OpenMode::kRead, options()));
    hello.group_id = group->identity().id;
    hello.group = group->identity().name;
    hello.position = group->log().tail_position();
  }
  hello.role = WireRole::kShip;
  hello.identity = "a claimant";
  hello.epoch = hello.position.epoch = Epoch(epoch);
  hello.position.seq = history == "fits" ? Seq(hello.position.seq.value() + 1'000'000) : Seq(1);
  hello.position.chain ^= 1;
  ZmqContext context;
  TM_ASSIGN(Socket socket, Socket::open(context, ZMQ_DEALER));
  TM_TRY(socket.set(ZMQ_LINGER, 1000));
  TM_TRY(socket.connect(endpoint));
  Message first = Message::own(encode_hello(hello));
  TM_TRY(socket.try_send(first).status());
  Welcome welcome;
  uint64_t session = 0;
  std::string text;
  TM_ASSIGN(const MessageType answer, hear(socket, welcome, session, text));
  std::printf("%s\n", text.c_str());
  if (answer != MessageType::kWelcome) return Status();
  Message second = Message::own(encode_begin(welcome.position, session, 1));
  TM_TRY(socket.try_send(second).status());
  for (text.clear(); text.empty();) TM_TRY(hear(socket, welcome, session, text).status());
  std::printf("%s\n", text.c_str());
  return Status();
}

// A group with a few files, and its copy at the site; the first is removed again.
Status make_copy(const std::string& source, const std::string& copy, const std::string& name) {
  TM_TRY(Group::init(source, {.name = name}, options()));
  TM_ASSIGN(const auto primary, Group::open(source, OpenMode::kPrimary, options()));
  for (int i = 0; i < 20; ++i) {
    TM_ASSIGN(const Attr file, primary->volume().make_node(kRootIno, "file" + std::to_string(i), {.mode = S_IFREG | 0644}));
    TM_TRY(primary->volume().write(file.ino, 0, as_bytes(std::string(20'000, 'x')), false).status());
  }
  TM_TRY(primary->sync());
  TM_TRY(Group::init_replica(copy, {primary->identity().id, name, Role::kReplica}, options()));
  TM_ASSIGN(const auto replica, Group::open(copy, OpenMode::kReplica, options()));
  LogCursor cursor(primary->log(), Seq(1));
  TM_ASSIGN(const LogCursor::Run run, cursor.read(kRunMax, primary->log().durable()));
  TM_TRY(replica->ingest(run.bytes).status());
  TM_TRY(replica->close());
  return primary->close();
}

// A session in which nothing is sent: the copy has all there is.
Result<Socket> begin_to_ship(ZmqContext& context, const std::string& directory, const std::string& endpoint) {
  Hello hello;
  {
    TM_ASSIGN(const auto group, Group::open(directory, OpenMode::kRead, options()));
    hello.group_id = group->identity().id;
    hello.group = group->identity().name;
    hello.position = group->log().tail_position();
  }
  hello.role = WireRole::kShip;
  hello.identity = "a source";
  hello.epoch = hello.position.epoch;
  TM_ASSIGN(Socket socket, Socket::open(context, ZMQ_DEALER));
  TM_TRY(socket.set(ZMQ_LINGER, 0));
  TM_TRY(socket.connect(endpoint));
  Message first = Message::own(encode_hello(hello));
  TM_TRY(socket.try_send(first).status());
  Welcome welcome;
  uint64_t session = 0;
  std::string text;
  TM_ASSIGN(const MessageType answer, hear(socket, welcome, session, text));
  if (answer != MessageType::kWelcome) return Status(Code::kIo, directory + ": " + text);
  Message second = Message::own(encode_begin(welcome.position, session, 1));
  TM_TRY(socket.try_send(second).status());
  for (text.clear(); text.empty();) TM_TRY(hear(socket, welcome, session, text).status());
  if (text != "begun") return Status(Code::kIo, directory + ": " + text);
  return socket;
}

Status ship_to_all(const std::string& directory, const std::string& endpoint) {
  ZmqContext context;
  std::vector<Socket> sockets;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    if (!std::filesystem::exists(entry.path() / "group.json")) continue;
    TM_ASSIGN(Socket socket, begin_to_ship(context, entry.path().string(), endpoint));
    sockets.push_back(std::move(socket));
  }
  std::printf("%zu\n", sockets.size());
  std::fflush(stdout);
  pause();  // until a signal
  return Status();
}

Status make_copies(const std::string& directory, size_t count) {
  std::filesystem::create_directories(directory);
  for (size_t i = 0; i < count; ++i) {
    const std::string name = "group" + std::to_string(i);
    TM_TRY(make_copy(directory + ".source", directory + "/" + name, name));
    std::filesystem::remove_all(directory + ".source");
  }
  return Status();
}

}  // namespace
}  // namespace tidemark

int main(int argc, char** argv) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);  // a test that dies takes it along
  tidemark::log_to_stderr(tidemark::LogLevel::kError);
  std::vector<std::string> arguments(argv + 1, argv + argc);
  if ((arguments.size() == 3 || arguments.size() == 5) && arguments[0] == "site") return tidemark::run_site(arguments);
  if (arguments.size() == 4 && arguments[0] == "primary") {
    return tidemark::run_primary(arguments[1], arguments[2], arguments[3]);
  }
  if (arguments.size() == 3 && arguments[0] == "copies") {
    const tidemark::Status done = tidemark::make_copies(arguments[1], std::stoull(arguments[2]));
    return done.ok() ? 0 : tidemark::fail(done);
  }
  if (arguments.size() == 3 && arguments[0] == "ship") {
    const tidemark::Status done = tidemark::ship_to_all(arguments[1], arguments[2]);
    return done.ok() ? 0 : tidemark::fail(done);
  }
  if (arguments.size() == 5 && arguments[0] == "claim") {
    const tidemark::Status done = tidemark::claim(arguments[1], arguments[2], std::stoull(arguments[3]), arguments[4]);
    return done.ok() ? 0 : tidemark::fail(done);
  }
  return 2;
}

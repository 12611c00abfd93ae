#include "cli/service/control.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>

#include "cli/service/unix_socket.h"
#include "tests/cli/scratch.h"
#include "tests/support/threads.h"

namespace tidemark::cli {
namespace {

constexpr std::chrono::seconds kTimeout{5};

Result<Json> echo(const std::string& op, const Json& request, const ControlPeer& peer) {
  if (op == "fail") return Status(Code::kBusy, "on purpose");
  if (op == "sleep") std::this_thread::sleep_for(std::chrono::milliseconds(300));
  return Json{{"op", op}, {"text", text_field(request, "text")}, {"uid", peer.uid}, {"pid", peer.pid}};
}

}  // namespace

TEST_CASE("requests are answered, with who asks known") {
  TempDirectory work;
  auto server = ControlServer::start(work.path(), echo);
  REQUIRE(server.ok());
  Result<Json> answer = control_call(work.path(), {{"op", "say"}, {"text", "grüße\n"}}, kTimeout);
  REQUIRE(answer.ok());
  CHECK(text_field(*answer, "text") == "grüße\n");
  CHECK(number_field(*answer, "uid") == ::getuid());
  CHECK(number_field(*answer, "pid") == static_cast<uint64_t>(::getpid()));
}

TEST_CASE("the sockets of hundreds of groups are waited for on one thread") {
  TempDirectory work;
  const size_t before = test::own_threads();
  std::vector<std::unique_ptr<ControlServer>> servers;
  for (int i = 0; i < 100; ++i) {
    const std::string directory = work / std::to_string(i);
    std::filesystem::create_directory(directory);
    auto server = ControlServer::start(directory, [i](const std::string&, const Json&, const ControlPeer&) -> Result<Json> {
      return Json{{"number", i}};
    });
    REQUIRE(server.ok());
    servers.push_back(std::move(*server));
  }
  CHECK(test::own_threads() - before == 1);
  for (int i = 0; i < 100; ++i) {
    const auto answer = control_call(work / std::to_string(i), {{"op", "number"}}, kTimeout);
    REQUIRE(answer.ok());
    CHECK(number_field(*answer, "number") == static_cast<uint64_t>(i));
  }
  servers.erase(servers.begin(), servers.begin() + 99);
  CHECK(control_call(work / "99", {{"op", "number"}}, kTimeout).ok());
  CHECK(control_call(work / "98", {{"op", "number"}}, kTimeout).status().code() == Code::kNotFound);
  servers.clear();
  CHECK(test::own_threads() == before);
}

TEST_CASE("failures keep their code and text") {
  TempDirectory work;
  auto server = ControlServer::start(work.path(), echo);
  REQUIRE(server.ok());
  Result<Json> answer = control_call(work.path(), {{"op", "fail"}}, kTimeout);
  REQUIRE(!answer.ok());
  CHECK(answer.status().code() == Code::kBusy);
  CHECK(answer.status().text() == "on purpose");
}

TEST_CASE("only the owner may connect, and the socket goes with the server") {
  TempDirectory work;
  auto server = ControlServer::start(work.path(), echo);
  REQUIRE(server.ok());
  struct stat found {};
  REQUIRE(::stat((work / "control").c_str(), &found) == 0);
  CHECK((found.st_mode & 07777) == 0600);
  server->reset();
  CHECK(!std::filesystem::exists(work / "control"));
  CHECK(control_call(work.path(), {{"op", "say"}}, kTimeout).status().code() == Code::kNotFound);
}

TEST_CASE("a directory's name may be longer than a socket's address") {
  TempDirectory work;
  std::string deep = work.path();
  for (int i = 0; i < 4; ++i) deep += "/" + std::string(100, 'd');
  std::filesystem::create_directories(deep);
  auto server = ControlServer::start(deep, echo);
  REQUIRE(server.ok());
  CHECK(control_call(deep, {{"op", "say"}}, kTimeout).ok());
}

TEST_CASE("a stale socket is replaced") {
  TempDirectory work;
  Result<int> stale = listen_in_directory(work.path(), "control");
  REQUIRE(stale.ok());
  ::close(*stale);
  CHECK(control_call(work.path(), {{"op", "say"}}, kTimeout).status().code() == Code::kNotFound);
  auto server = ControlServer::start(work.path(), echo);
  REQUIRE(server.ok());
  CHECK(control_call(work.path(), {{"op", "say"}}, kTimeout).ok());
}

TEST_CASE("rubbish and too much of it harm nobody") {
  TempDirectory work;
  auto server = ControlServer::start(work.path(), echo);
  REQUIRE(server.ok());
  Result<int> fd = connect_in_directory(work.path(), "control");
  REQUIRE(fd.ok());
  REQUIRE(write_all(*fd, "not json\n[1,2]\n\"text\"\n").ok());
  Result<std::string> line = read_line(*fd, kControlAnswerMax);
  REQUIRE(line.ok());
  CHECK(line->find("\"ok\":false") != std::string::npos);
  ::close(*fd);

  Result<int> flood = connect_in_directory(work.path(), "control");
  REQUIRE(flood.ok());
  Status written = write_all(*flood, std::string(kControlRequestMax * 4, 'x'));  // without an end
  Result<std::string> none = written.ok() ? read_line(*flood, 100) : Result<std::string>(written);
  CHECK(!none.ok());
  ::close(*flood);
  CHECK(control_call(work.path(), {{"op", "say"}}, kTimeout).ok());
}

TEST_CASE("stopping lets the request that is being answered have its answer") {
  TempDirectory work;
  auto server = ControlServer::start(work.path(), echo);
  REQUIRE(server.ok());
  Result<Json> answer = Status(Code::kIo, "not asked");
  std::thread asker([&] { answer = control_call(work.path(), {{"op", "sleep"}}, kTimeout); });
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  server->reset();
  asker.join();
  CHECK(answer.ok());
}

TEST_CASE("several ask at a time") {
  TempDirectory work;
  auto server = ControlServer::start(work.path(), echo);
  REQUIRE(server.ok());
  std::atomic<int> answered{0};
  std::vector<std::thread> askers;
  for (int i = 0; i < 8; ++i) {
    askers.emplace_back([&] { answered += control_call(work.path(), {{"op", "sleep"}}, kTimeout).ok() ? 1 : 0; });
  }
  for (std::thread& asker : askers) asker.join();
  CHECK(answered == 8);
}

}  // namespace tidemark::cli

// Names, addresses, pairs.json, key files and the allow-list.
#include <sys/stat.h>

#include <catch2/catch.hpp>

#include "base/file.h"
#include "replicator/site/warning_budget.h"
#include "replicator/wire/endpoint.h"
#include "replicator/wire/keys.h"
#include "tests/replicator/support.h"
#include "volume/group/sealed_json.h"

using namespace tidemark;
using namespace tidemark::test;

namespace {

void write(const std::string& path, const std::string& content) {
  REQUIRE(write_file_atomically(posix_file_system(), path, content).ok());
}

}  // namespace

TEST_CASE("names of sites and groups") {
  for (const char* good : {"a", "A-b_c.9", ".hidden", "...", "-x"}) CHECK(check_peer_name(good, "site").ok());
  CHECK(check_peer_name(std::string(63, 'x'), "site").ok());
  CHECK(!check_peer_name(std::string(64, 'x'), "site").ok());
  for (const char* bad : {"", ".", "..", "a/b", "a b", "ä", "a\n", "x~new"}) CHECK(!check_peer_name(bad, "site").ok());
  CHECK(!check_peer_name(std::string_view("a\0b", 3), "site").ok());
}

TEST_CASE("endpoints, and which of them need no keys") {
  auto local = [](const char* text) {
    auto parsed = parse_endpoint(text, false);
    INFO(text);
    REQUIRE(parsed.ok());
    return parsed->is_local();
  };
  CHECK(local("tcp://127.0.0.1:5000"));
  CHECK(local("tcp://127.9.8.7:5000"));
  CHECK(local("tcp://[::1]:5000"));
  CHECK(local("tcp://localhost:5000"));
  CHECK(local("ipc:///run/tidemark.sock"));
  CHECK(!local("tcp://10.0.0.1:5000"));
  CHECK(!local("tcp://[fe80::1]:5000"));
  CHECK(!local("tcp://127.0.0.1.example.com:5000"));
  CHECK(!local("tcp://localhost.example.com:5000"));
  CHECK(!local("tcp://0.0.0.0:5000"));
  CHECK(!local("tcp://128.0.0.1:5000"));
  CHECK(parse_endpoint("tcp://localhost:5000", false)->text() == "tcp://127.0.0.1:5000");
  CHECK(parse_endpoint("tcp://[::1]:5000", false)->text() == "tcp://[::1]:5000");
  CHECK(!parse_endpoint("tcp://*:*", true)->is_local());
  CHECK(parse_endpoint("tcp://127.0.0.1:0", true)->text() == "tcp://127.0.0.1:*");
  for (const char* bad : {"", "tcp://", "tcp://host", "tcp://host:", "tcp://host:0", "tcp://host:65536", "tcp://:5000",
                          "tcp://::1:5000", "tcp://a b:1", "tcp://*:1", "tcp://host:12x", "udp://host:1", "ipc://", "host:1",
                          "inproc://x", "tcp://host;eth0:1"}) {
    INFO(bad);
    CHECK(!parse_endpoint(bad, false).ok());
  }
  CHECK(!parse_endpoint("ipc://" + std::string(200, 'x'), false).ok());
}

TEST_CASE("remote sources") {
  CHECK(is_remote("tcp://h:1/g"));
  CHECK(is_remote("ipc:///a/g"));
  CHECK(!is_remote("/tcp://"));
  CHECK(!is_remote("dir"));
  auto tcp = parse_remote("tcp://host:7000/shop");
  REQUIRE(tcp.ok());
  CHECK(tcp->endpoint == "tcp://host:7000");
  CHECK(tcp->group == "shop");
  auto ipc = parse_remote("ipc:///run/t.sock/shop");
  REQUIRE(ipc.ok());
  CHECK(ipc->endpoint == "ipc:///run/t.sock");
  CHECK(ipc->group == "shop");
  for (const char* bad : {"tcp://host:7000", "tcp://host:7000/", "tcp:///shop", "tcp://host/shop", "ipc://shop", "/dir",
                          "tcp://host:7000/..", "tcp://host:7000/a@b"}) {
    INFO(bad);
    CHECK(!parse_remote(bad).ok());
  }
}

TEST_CASE(
    "what an operator wants of a pair and whether its fence is armed are kept; files of earlier versions say neither") {
  Scratch work;
  std::vector<Pair> pairs{
      {{"near", "tcp://127.0.0.1:7000", "", "", PairMode::kSync, PairFence::kData}, {}},
      {{"far", "tcp://127.0.0.1:7001", "", ""}, {}},
  };
  pairs[0].status.state = PairState::kResyncing;
  pairs[0].status.copied = pairs[0].status.armed = true;
  pairs[1].status.state = PairState::kFailed;
  pairs[1].status.wanted = PairWanted::kSuspended;
  pairs[1].status.parked = true;
  REQUIRE(save_pairs(work.path(), pairs).ok());
  const std::vector<Pair> loaded = load_pairs(work.path()).value();
  CHECK(loaded[0].status.armed);
  CHECK(!loaded[0].status.fenced);
  CHECK(loaded[0].status.wanted == PairWanted::kRun);
  CHECK(!loaded[1].status.armed);
  CHECK(loaded[1].status.wanted == PairWanted::kSuspended);

  const auto old = [](const char* fence, const char* state, bool copied) {
    const nlohmann::ordered_json pair = {{"site", "near"}, {"endpoint", "tcp://127.0.0.1:7000"},
                                         {"mode", "sync"}, {"fence", fence},
                                         {"state", state}, {"copied", copied},
                                         {"durable", 7}};
    const nlohmann::ordered_json root = {{"format", 1}, {"pairs", nlohmann::ordered_json::array({pair})}};
    return parse_pairs(seal_json(root), "pairs.json").value().at(0).status;
  };
  CHECK(old("data", "suspended", true).wanted == PairWanted::kSuspended);
  CHECK(!old("data", "suspended", true).armed);
  CHECK(old("data", "duplex", true).wanted == PairWanted::kRun);
  CHECK(old("data", "duplex", true).armed);
  CHECK(!old("data", "duplex", true).fenced);
  CHECK(old("data", "resyncing", true).armed);
  CHECK(old("data", "failure-suspended", true).fenced);
  CHECK(!old("data", "copying", false).armed);
  CHECK(!old("data", "failure-suspended", false).fenced);
  CHECK(!old("never", "duplex", true).armed);
}

TEST_CASE("pairs are kept in pairs.json") {
  Scratch work;
  CHECK(load_pairs(work.path())->empty());
  std::vector<Pair> pairs{
      {{"near", "tcp://127.0.0.1:7000", "", ""}, {}},
      {{"far", "tcp://far:7000", "/k/far.pub", "/k/own", PairMode::kSync, PairFence::kData, 1 << 20}, {}}};
  change_state(pairs[1].status, PairState::kFailed, "lost \xff", 77);
  pairs[1].status.fenced = true;
  pairs[1].status.durable = Seq(12345678901234567);
  REQUIRE(save_pairs(work.path(), pairs).ok());
  auto loaded = load_pairs(work.path());
  REQUIRE(loaded.ok());
  REQUIRE(loaded->size() == 2);
  const PairConfig& far = (*loaded)[1].config;
  CHECK(far.site == "far");
  CHECK(far.endpoint == "tcp://far:7000");
  CHECK(far.server_key == "/k/far.pub");
  CHECK(far.own_key == "/k/own");
  CHECK(far.mode == PairMode::kSync);
  CHECK(far.fence == PairFence::kData);
  CHECK(far.bytes_per_second == 1 << 20);
  const PairStatus& state = (*loaded)[1].status;
  CHECK(state.state == PairState::kFailed);
  CHECK(state.since_ns == 77);
  CHECK(state.cause.starts_with("lost "));
  CHECK(state.fenced);
  CHECK(!state.copied);
  CHECK(state.durable == Seq(12345678901234567));
  CHECK((*loaded)[0].status.state == PairState::kSimplex);
  CHECK((*loaded)[0].config.mode == PairMode::kAsync);
  CHECK(save_pairs(work.path(), {{{"a/b", "tcp://h:1", "", ""}, {}}}).code() == Code::kInvalid);
  CHECK(save_pairs(work.path(), {{{"a", "tcp://h:1", "\xff", "x"}, {}}}).code() == Code::kInvalid);
  CHECK(load_pairs(work.path())->size() == 2);

  auto damaged = [&](const std::string& content) {
    write(work / "pairs.json", content);
    Status status = load_pairs(work.path()).status();
    CHECK(status.code() == Code::kCorrupt);
    return status.text();
  };
  CHECK(damaged("{\n  \"format\": 1,\n  oops\n}").find(":3:") != std::string::npos);
  CHECK(damaged(R"({"format":1,"pairs":[{"site":"a"}]})").find("'endpoint' is missing") != std::string::npos);
  CHECK(damaged(R"({"format":1,"pairs":[{"site":"a","endpoint":7}]})").find("not a string") != std::string::npos);
  CHECK(damaged(R"({"format":1,"pairs":[{"site":"a","endpoint":"tcp://h:1","mode":"x"}]})").find("'mode'") !=
        std::string::npos);
  CHECK(damaged(R"({"format":1,"pairs":[{"site":"a","endpoint":"tcp://h:1"},{"site":"a","endpoint":"tcp://h:1"}]})")
            .find("twice") != std::string::npos);
  for (const char* bad :
       {"", "[]", "7", "{\"format\":2,\"pairs\":[]}", "{\"format\":1}", "{\"format\":1,\"pairs\":[7]}",
        "{\"format\":\"1\",\"pairs\":[]}", R"({"format":1,"pairs":[{"site":"..","endpoint":"tcp://h:1"}]})"}) {
    damaged(bad);
  }
}

TEST_CASE("a pair needs keys for what is not on this machine") {
  Scratch work;
  CHECK(check_pair({"a", "tcp://127.0.0.1:1", "", ""}).ok());
  CHECK(check_pair({"a", "ipc:///x", "", ""}).ok());
  CHECK(check_pair({"a", "tcp://10.0.0.1:1", "", ""}).code() == Code::kNotAuthorised);
  CHECK(check_pair({"all", "tcp://127.0.0.1:1", "", ""}).code() == Code::kInvalid);
  CHECK(check_pair({"a", "tcp://127.0.0.1:*", "", ""}).code() == Code::kInvalid);
  REQUIRE(generate_key(work / "own").ok());
  REQUIRE(generate_key(work / "site").ok());
  CHECK(check_pair({"a", "tcp://10.0.0.1:1", work / "site.pub", work / "own"}).ok());
  CHECK(check_pair({"a", "tcp://10.0.0.1:1", work / "site.pub", ""}).code() == Code::kInvalid);
  CHECK(check_pair({"a", "tcp://10.0.0.1:1", work / "none.pub", work / "own"}).code() == Code::kNotFound);
}

TEST_CASE("key files") {
  Scratch work;
  REQUIRE(generate_key(work / "k").ok());
  CHECK(generate_key(work / "k").code() == Code::kExists);
  struct stat info {};
  REQUIRE(::stat((work / "k").c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0600);
  auto pair = load_key_pair(work / "k");
  REQUIRE(pair.ok());
  CHECK(*load_public_key(work / "k.pub") == pair->public_key);
  CHECK(*load_public_key(work / "k") == pair->public_key);
  CHECK(pair->public_key != pair->secret_key);
  CHECK(load_key_pair(work / "k.pub").status().code() == Code::kCorrupt);
  CHECK(load_key_pair(work / "none").status().code() == Code::kNotFound);
  ::chmod((work / "k").c_str(), 0644);
  CHECK(load_key_pair(work / "k").status().code() == Code::kNotAuthorised);
  REQUIRE(generate_key(work / "l").ok());
  auto other = load_key_pair(work / "l");
  write(work / "mixed", "public = " + pair->public_key + "\nsecret = " + other->secret_key + "\n");
  ::chmod((work / "mixed").c_str(), 0600);
  CHECK(load_key_pair(work / "mixed").status().code() == Code::kCorrupt);
}

TEST_CASE("the allow-list") {
  Scratch work;
  std::vector<std::string> keys;
  for (const char* name : {"a", "b", "c", "d"}) {
    REQUIRE(generate_key(work / name).ok());
    keys.push_back(*load_public_key(work / (std::string(name) + ".pub")));
  }
  write(work / "allow", "# who may do what\n\n" + keys[0] + " append,read groups=* primary\n" + keys[1] +
                            "  read   groups=*  reader  \n" + keys[2] + " prune,read groups=*\n" + keys[3] +
                            " groups=* append read\n");
  auto list = AllowList::load(work / "allow");
  INFO(list.status().text());
  REQUIRE(list.ok());
  CHECK(list->size() == 4);
  CHECK((list->rights(keys[0], "shop").append && list->rights(keys[0], "shop").read));
  CHECK(list->name(keys[0]) == "primary");
  CHECK((!list->rights(keys[1], "shop").append && list->rights(keys[1], "shop").read));
  CHECK(
      (!list->rights(keys[2], "shop").append && list->rights(keys[2], "shop").read && list->rights(keys[2], "shop").prune));
  CHECK((list->rights(keys[3], "shop").append && list->rights(keys[3], "shop").read));
  CHECK(!list->knows(std::string(40, '0')));
  CHECK(!list->rights(std::string(40, '0'), "shop").read);
  CHECK((!list->rights(keys[0], "shop").prune && !list->rights(keys[1], "shop").prune &&
         !list->rights(keys[3], "shop").prune));

  auto refused = [&](const std::string& content, Code code) {
    write(work / "allow", content);
    Status status = AllowList::load(work / "allow").status();
    CHECK(status.code() == code);
    return status.text();
  };
  refused("", Code::kNotAuthorised);
  refused("# nobody\n", Code::kNotAuthorised);
  CHECK(refused("\n" + keys[0] + " write x\n", Code::kCorrupt).find(":2:") != std::string::npos);
  refused("short append\n", Code::kCorrupt);
  // Nobody gets a right by saying nothing, nor does who appends ever prune.
  CHECK(refused(keys[1] + " read groups=*\n\n" + keys[0] + "\n", Code::kCorrupt).find(":3: this key has no right") !=
        std::string::npos);
  CHECK(refused(keys[0] + " primary\n", Code::kCorrupt).find(":1: this key has no right") != std::string::npos);
  CHECK(refused(keys[0] + " append,prune primary\n", Code::kCorrupt).find("cannot prune") != std::string::npos);
  CHECK(refused(keys[0] + " append read prune\n", Code::kCorrupt).find("cannot prune") != std::string::npos);
  refused(keys[0] + " read\n" + keys[0] + " append\n", Code::kCorrupt);  // for no group
  CHECK(AllowList::load(work / "none").status().code() == Code::kNotFound);
}

TEST_CASE("what strangers can have written to the log is bounded") {
  LogBudget budget;
  uint64_t left_out = 0;
  for (uint32_t i = 0; i < LogBudget::kLinesMax; ++i) CHECK(budget.take(1000 + i, left_out));
  for (int i = 0; i < 5000; ++i) CHECK_FALSE(budget.take(2000 + i, left_out));
  CHECK(left_out == 0);
  const int64_t later = 1000 + std::chrono::nanoseconds(LogBudget::kPeriod).count();
  CHECK(budget.take(later, left_out));
  CHECK(left_out == 5000);
  CHECK(budget.take(later, left_out));
  CHECK(left_out == 0);
}

// Reading from a site: the remote tree is the local one, and every failure says what it is.
#include <signal.h>
#include <sys/stat.h>

#include <catch2/catch.hpp>

#include "log/format/record.h"
#include "log/format/record_walker.h"
#include "tests/replicator/support.h"

using namespace tidemark;
using namespace tidemark::test;

namespace {

RemoteOptions quick(int timeout_ms = 5000) {
  RemoteOptions options;
  options.timeout = std::chrono::milliseconds(timeout_ms);
  return options;
}

std::unique_ptr<RemoteGroup> connect(const std::string& endpoint, int timeout_ms = 5000) {
  auto remote = RemoteGroup::connect({endpoint, "shop"}, quick(timeout_ms));
  INFO(remote.status().text());
  REQUIRE(remote.ok());
  return std::move(*remote);
}

void ship(Group& primary, const std::string& endpoint) {
  auto shipper = start_shipping(primary, {{"away", endpoint, "", ""}});
  REQUIRE(caught_up(primary, "away"));
}

}  // namespace

TEST_CASE("a remote tree is the local tree, at every point") {
  Scratch work;
  auto primary = make_primary(work / "p");
  fill(*primary, 6u << 20, 1);
  Seq first = primary->newest();
  fill(*primary, 3u << 20, 2);
  LocalSite site(work / "site");
  ship(*primary, site.endpoint());
  auto remote = connect(site.endpoint());
  for (Seq point : {first, primary->newest(), Seq(1), Seq(20)}) {
    auto here = primary->view(point);
    auto there = remote->view(point);
    REQUIRE(here.ok());
    REQUIRE(there.ok());
    CHECK((*there)->point() == point);
    CHECK(compare_views(**here, **there) == std::vector<std::string>());
  }
  auto latest = remote->view(kLatest);
  REQUIRE(latest.ok());
  CHECK((*latest)->point() == primary->newest());
  // A view outlives what it came from.
  remote.reset();
  CHECK((*latest)->get_attr(kRootIno).ok());
  CHECK((*latest)->list(kRootIno, "", 10).ok());
}

TEST_CASE("many threads read one remote tree") {
  Scratch work;
  auto primary = make_primary(work / "p");
  fill(*primary, 4u << 20, 1);
  LocalSite site(work / "site");
  ship(*primary, site.endpoint());
  auto remote = connect(site.endpoint());
  auto here = primary->view(kLatest);
  auto there = remote->view(kLatest);
  std::vector<std::thread> threads;
  std::atomic<size_t> differences{0};
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] { differences += compare_views(**here, **there).size(); });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(differences == 0);
}

TEST_CASE("a directory of many entries and a file of many pieces arrive whole") {
  Scratch work;
  auto primary = make_primary(work / "p");
  for (int i = 0; i < 5000; ++i) {
    NewNode node;
    node.mode = S_IFREG | 0644;
    REQUIRE(primary->volume().make_node(kRootIno, "entry-with-a-longer-name-" + std::to_string(i), node).ok());
  }
  auto file = primary->volume().lookup(kRootIno, "entry-with-a-longer-name-7");
  REQUIRE(file.ok());
  for (int i = 0; i < 300; ++i) {
    std::string block(4096, static_cast<char>('a' + i % 26));
    REQUIRE(primary->volume().write(file->ino, static_cast<uint64_t>(i) * 3 * 4096, as_bytes(block), false).ok());
  }
  REQUIRE(primary->sync().ok());
  LocalSite site(work / "site");
  ship(*primary, site.endpoint());
  auto remote = connect(site.endpoint());
  auto here = primary->view(kLatest);
  auto there = remote->view(kLatest);
  CHECK(compare_views(**here, **there) == std::vector<std::string>());
  auto some = (*there)->list(kRootIno, "entry-with-a-longer-name-4", 10);
  auto same = (*here)->list(kRootIno, "entry-with-a-longer-name-4", 10);
  REQUIRE(some.ok());
  CHECK(*some == *same);
  auto ranges = (*there)->data_ranges(file->ino, 5000, 900000, 7);
  CHECK(*ranges == *(*here)->data_ranges(file->ino, 5000, 900000, 7));
  std::vector<std::byte> out(100);
  CHECK(*(*there)->read(file->ino, 1u << 30, out) == 0);
  CHECK(*(*there)->read(file->ino, 0, MutableBytes()) == 0);
}

TEST_CASE("where a group stands, its marks, points and records") {
  Scratch work;
  auto primary = make_primary(work / "p");
  for (uint64_t i = 1; i <= 3; ++i) fill(*primary, 1u << 20, i);
  LocalSite site(work / "site");
  ship(*primary, site.endpoint());
  CHECK(*list_remote_groups(site.endpoint(), quick()) == std::vector<std::string>{"shop"});
  auto remote = connect(site.endpoint());
  auto info = remote->info();
  INFO(info.status().text());
  REQUIRE(info.ok());
  CHECK(info->id == primary->identity().id);
  CHECK(info->name == "shop");
  CHECK(info->newest == primary->log().tail_position());
  CHECK(info->durable == primary->log().durable());
  CHECK(info->base == site->find("shop")->base());
  CHECK(info->newest_time_ns > 1'500'000'000'000'000'000);
  CHECK(info->log_bytes > 3u << 20);

  auto marks = remote->list_marks(MarkId(0), 100);
  REQUIRE(marks.ok());
  CHECK(*marks == *primary->list_marks(MarkId(0), 100));
  CHECK(marks->size() == 3);
  CHECK(remote->list_marks((*marks)[0].id, 1)->at(0).name == "filled-2");
  CHECK(remote->list_marks(MarkId(0), 0)->empty());

  CHECK(*remote->resolve("filled-2") == *primary->resolve("filled-2"));
  CHECK(*remote->resolve("seq:5") == Seq(5));
  CHECK(remote->resolve("no-such-mark").status().code() == Code::kNoSuchPoint);
  CHECK(!remote->resolve("no-such-mark").status().text().empty());
  CHECK(remote->resolve(std::string(600, 'x')).status().code() == Code::kNoSuchPoint);

  Position position;
  uint64_t records = 0;
  for (Seq next(1);;) {
    auto run = remote->read_log(next, 200000);
    INFO(run.status().text());
    REQUIRE(run.ok());
    if (run->empty()) break;
    REQUIRE(walk_records(as_bytes(*run), position, [&](const RecordView&) {
              ++records;
              return Status();
            }).ok());
    next = position.seq.next();
  }
  CHECK(position == primary->log().tail_position());
  CHECK(records == position.seq.value());
}

TEST_CASE("failures of reading keep their code and their words") {
  Scratch work;
  auto primary = make_primary(work / "p");
  fill(*primary, 1u << 20, 1);
  auto site = std::make_unique<LocalSite>(work / "site");
  std::string endpoint = site->endpoint();
  ship(*primary, endpoint);
  auto missing = RemoteGroup::connect({endpoint, "other"}, quick());
  CHECK(missing.status().code() == Code::kNotFound);
  CHECK(missing.status().text().find("shop") != std::string::npos);
  CHECK(RemoteGroup::connect({endpoint, "../x"}, quick()).status().code() == Code::kInvalid);
  CHECK(RemoteGroup::connect({"tcp://10.1.2.3:5", "shop"}, quick()).status().code() == Code::kNotAuthorised);

  auto remote = connect(endpoint, 3000);
  CHECK(remote->view(Seq(1'000'000)).status().code() == Code::kNoSuchPoint);
  CHECK(remote->view(Seq(0)).status().code() == Code::kNoSuchPoint);
  auto view = remote->view(kLatest);
  REQUIRE(view.ok());
  CHECK((*view)->get_attr(Ino(999999)).status().code() == Code::kStale);
  CHECK((*view)->lookup(kRootIno, "nothing").status().code() == Code::kNotFound);
  CHECK((*view)->lookup(kRootIno, std::string(300, 'x')).status().code() == Code::kNameTooLong);
  auto dir = (*view)->lookup(kRootIno, "dir1");
  REQUIRE(dir.ok());
  auto empty = (*view)->lookup(dir->ino, "empty");
  REQUIRE(empty.ok());
  CHECK((*view)->lookup(empty->ino, "x").status().code() == Code::kNotDirectory);
  CHECK((*view)->get_xattr(empty->ino, "user.none").status().code() == Code::kNoData);
  CHECK((*view)->read_link(empty->ino).status().code() == Code::kInvalid);

  // The site goes and comes back: a reader notices nothing but the time it took.
  site.reset();
  std::thread back([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
    site = std::make_unique<LocalSite>(work / "site", endpoint);
  });
  CHECK((*view)->read_link((*view)->lookup(dir->ino, "link")->ino).ok());
  back.join();

  // It goes for good.
  site.reset();
  auto began = std::chrono::steady_clock::now();
  Status gone = (*view)->lookup(kRootIno, "dir1").status();
  CHECK((gone.code() == Code::kUnreachable || gone.code() == Code::kTimeout));
  CHECK(gone.text().find(endpoint) != std::string::npos);
  CHECK(std::chrono::steady_clock::now() - began < std::chrono::seconds(5));
  Status refused = RemoteGroup::connect({endpoint, "shop"}, quick()).status();
  CHECK(refused.code() == Code::kUnreachable);
  CHECK(refused.text().find(endpoint) != std::string::npos);
}

TEST_CASE("a site that stops answering is a timeout, not a hang") {
  Scratch work;
  auto primary = make_primary(work / "p");
  fill(*primary, 1u << 20, 1);
  auto site = site_process(work / "site");
  ship(*primary, site->first_line());
  auto remote = connect(site->first_line(), 1500);
  auto view = remote->view(kLatest);
  REQUIRE(view.ok());
  site->signal(SIGSTOP);
  auto began = std::chrono::steady_clock::now();
  Status status = (*view)->lookup(kRootIno, "dir1").status();
  CHECK(status.code() == Code::kTimeout);
  CHECK(status.text().find(site->first_line()) != std::string::npos);
  CHECK(std::chrono::steady_clock::now() - began < std::chrono::seconds(3));
  Status fresh = RemoteGroup::connect({site->first_line(), "shop"}, quick(1500)).status();
  CHECK((fresh.code() == Code::kTimeout || fresh.code() == Code::kUnreachable));
  site->signal(SIGCONT);
  CHECK((*view)->lookup(kRootIno, "dir1").ok());
}

TEST_CASE("reading goes on while records arrive, and does not hold them up") {
  Scratch work;
  auto primary = make_primary(work / "p");
  fill(*primary, 8u << 20, 1);
  LocalSite site(work / "site");
  auto shipper = start_shipping(*primary, {{"away", site.endpoint(), "", ""}});
  REQUIRE(caught_up(*primary, "away"));
  auto remote = connect(site.endpoint());
  auto here = primary->view(kLatest);
  auto there = remote->view((*here)->point());
  std::atomic<bool> stop{false};
  std::atomic<size_t> differences{0}, rounds{0};
  std::vector<std::thread> readers;
  for (int i = 0; i < 4; ++i) {
    readers.emplace_back([&] {
      while (!stop) {
        differences += compare_views(**here, **there).size();
        ++rounds;
      }
    });
  }
  fill(*primary, 16u << 20, 2);
  CHECK(caught_up(*primary, "away"));
  CHECK(progress(*primary, "away").last_error.empty());
  stop = true;
  for (std::thread& reader : readers) reader.join();
  CHECK(differences == 0);
  CHECK(rounds >= 4);
}

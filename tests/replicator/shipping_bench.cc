// How fast a group ships, and what a connected site costs its primary. Figures on stdout; not a test.
#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdio>
#include <numeric>
#include <random>

#include "base/logging.h"
#include "tests/replicator/support.h"

namespace tidemark::test {
namespace {

using Time = std::chrono::steady_clock::time_point;
double since(Time start) { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(); }
constexpr uint64_t kMiB = 1u << 20;

template <class T>
T need(Result<T> result) {
  if (!result.ok()) {
    std::fprintf(stderr, "%s\n", result.status().text().c_str());
    std::exit(1);
  }
  return std::move(*result);
}
void need(const Status& status) {
  if (!status.ok()) {
    std::fprintf(stderr, "%s\n", status.text().c_str());
    std::exit(1);
  }
}

double cpu_seconds(int who) {
  rusage usage{};
  getrusage(who, &usage);
  return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

Ino file(Group& group, const std::string& name) {
  NewNode node;
  node.mode = S_IFREG | 0644;
  return need(group.volume().make_node(kRootIno, name, node)).ino;
}

// Writes `bytes` that do not compress, in 128 KiB pieces, and syncs. Returns MB/s.
double write_bulk(Group& group, const std::string& name, uint64_t bytes) {
  static std::vector<uint64_t> words(kMiB / 8);
  static std::mt19937_64 random(1);
  for (uint64_t& word : words) word = random();
  Ino ino = file(group, name);
  Time start = std::chrono::steady_clock::now();
  constexpr size_t kStep = 128 * 1024;
  for (uint64_t at = 0; at < bytes; at += kStep) {
    words[(at / kStep) % words.size()] = at;
    Bytes piece(reinterpret_cast<std::byte*>(words.data()) + at % kMiB, kStep);
    need(group.volume().write(ino, at, piece, false).status());
  }
  need(group.sync());
  return static_cast<double>(bytes) / since(start) / 1e6;
}

// Small writes, each synced: microseconds each.
double write_small(Group& group, const std::string& name, int count) {
  Ino ino = file(group, name);
  std::string block(4096, 's');
  Time start = std::chrono::steady_clock::now();
  for (int i = 0; i < count; ++i) {
    need(group.volume().write(ino, static_cast<uint64_t>(i) * 4096, as_bytes(block), false).status());
    need(group.sync());
  }
  return since(start) / count * 1e6;
}

void wait_for(Group& group) {
  need(group.watermarks().wait_durable("away", group.log().durable(), std::chrono::minutes(5)));
}

void run(const std::string& base) {
  GroupOptions options;
  InitOptions init;
  init.name = "bench";
  need(Group::init(base + "/p", init, options));
  auto group = need(Group::open(base + "/p", OpenMode::kPrimary, options));
  constexpr uint64_t kBulk = 512 * kMiB;
  std::printf("write 512 MiB, no site:              %7.0f MB/s\n", write_bulk(*group, "a", kBulk));
  std::printf("write 4 KiB + sync, no site:         %7.0f us\n", write_small(*group, "sa", 1000));
  auto site = site_process(base + "/site");
  Time start = std::chrono::steady_clock::now();
  double cpu = cpu_seconds(RUSAGE_SELF);
  auto shipper = start_shipping(*group, {{"away", site->first_line(), "", ""}});
  wait_for(*group);
  double took = since(start);
  std::printf("initial copy of %llu MiB of log:      %7.0f MB/s (shipper's cpu %.2f s of %.2f s)\n",
              static_cast<unsigned long long>(group->log().bytes() / kMiB),
              static_cast<double>(group->log().bytes()) / took / 1e6, cpu_seconds(RUSAGE_SELF) - cpu, took);
  start = std::chrono::steady_clock::now();
  double rate = write_bulk(*group, "b", kBulk);
  wait_for(*group);
  std::printf("write 512 MiB, site connected:       %7.0f MB/s; durable there at %.0f MB/s\n", rate,
              static_cast<double>(kBulk) / since(start) / 1e6);
  std::printf("write 4 KiB + sync, site connected:  %7.0f us\n", write_small(*group, "sb", 1000));
  wait_for(*group);
  std::vector<double> waits;
  Ino ino = file(*group, "sc");
  for (uint64_t i = 0; i < 500; ++i) {
    std::string block(4096, 'w');
    need(group->volume().write(ino, i * 4096, as_bytes(block), false).status());
    need(group->sync());
    start = std::chrono::steady_clock::now();
    wait_for(*group);
    waits.push_back(since(start) * 1e6);
  }
  std::sort(waits.begin(), waits.end());
  std::printf("durable there after durable here:    %7.0f us median, %.0f us at 99 %%\n", waits[250], waits[495]);

  auto remote = need(RemoteGroup::connect({site->first_line(), "bench"}, {}));
  auto view = need(remote->view(kLatest));
  Attr attr = need(view->lookup(kRootIno, "b"));
  std::vector<std::byte> out(4 * kMiB);
  for (size_t size : {kMiB, 4 * kMiB}) {
    start = std::chrono::steady_clock::now();
    for (uint64_t at = 0; at < attr.size; at += size) need(view->read(attr.ino, at, MutableBytes(out).first(size)).status());
    std::printf("remote read, %llu MiB a call:           %7.0f MB/s\n", static_cast<unsigned long long>(size / kMiB),
                static_cast<double>(attr.size) / since(start) / 1e6);
  }
  start = std::chrono::steady_clock::now();
  for (int i = 0; i < 5000; ++i) need(view->lookup(kRootIno, "b").status());
  std::printf("remote lookup:                       %7.0f us\n", since(start) / 5000 * 1e6);
}

}  // namespace
}  // namespace tidemark::test

TEST_CASE("figures of shipping and remote reading") {
  tidemark::log_to_stderr(tidemark::LogLevel::kError);
  tidemark::test::Scratch scratch;
  tidemark::test::run(scratch.path());
}

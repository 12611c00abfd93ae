// Not a test: figures. `restore_measure_test '[measure]'` prints how fast trees are imported, restored and copied by cp -a.
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <functional>

#include <catch2/catch.hpp>

#include "restore/restore.h"
#include "tests/restore/scratch.h"

using namespace tidemark;
using namespace tidemark::test;

namespace {

struct Taken {
  double seconds = 0;
  double cpu_seconds = 0;  // of this process and its children: what a busy machine does not distort
};

double cpu_seconds() {
  double sum = 0;
  for (auto who : {RUSAGE_SELF, RUSAGE_CHILDREN}) {
    rusage used{};
    ::getrusage(who, &used);
    sum += static_cast<double>(used.ru_utime.tv_sec + used.ru_stime.tv_sec);
    sum += static_cast<double>(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
  }
  return sum;
}

Taken timed(const std::function<void()>& what) {
  auto begun = std::chrono::steady_clock::now();
  double cpu = cpu_seconds();
  what();
  return {std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count(), cpu_seconds() - cpu};
}

void print(const char* what, Taken taken, double megabytes, double entries) {
  std::printf("%-34s %7.2f s %6.2f s cpu  %7.0f MB/s  %8.0f entries/s\n", what, taken.seconds, taken.cpu_seconds,
              megabytes / taken.seconds, entries / taken.seconds);
  std::fflush(stdout);
}

void measure(const std::string& what, const std::function<void(const std::string&)>& fill, double megabytes,
             double entries) {
  Scratch scratch;
  std::string source = scratch.path("source");
  ::mkdir(source.c_str(), 0755);
  fill(source);
  ::sync();
  std::printf("%s\n", what.c_str());
  InitOptions init;
  init.name = "measure";
  REQUIRE(Group::init(scratch.path("group"), init).ok());
  auto group = Group::open(scratch.path("group"), OpenMode::kPrimary);
  REQUIRE(group.ok());
  print("  import", timed([&] { REQUIRE(import_directory(source, **group, {}).ok()); }), megabytes, entries);
  auto view = (*group)->view(kLatest);
  REQUIRE(view.ok());
  print("  plan", timed([&] { REQUIRE(plan_restore(**view, {}).ok()); }), megabytes, entries);
  // Each result is removed at once: on a virtual machine memory that was never used costs more than what is measured here.
  std::string target = scratch.path("target");
  auto removed = [&] { REQUIRE(run({"rm", "-rf", target}).exit == 0); };
  for (int round = 0; round < 3; ++round) {
    print("  cp -a, then sync -f", timed([&] {
            REQUIRE(run({"cp", "-a", source, target}).exit == 0);
            REQUIRE(run({"sync", "-f", target}).exit == 0);
          }),
          megabytes, entries);
    removed();
    for (unsigned jobs : {1u, 2u, 4u}) {
      RestoreOptions options;
      options.target = target;
      options.jobs = jobs;
      std::string line = "  restore to a directory, jobs " + std::to_string(jobs);
      print(line.c_str(), timed([&] { REQUIRE(restore_to_directory(**view, options).ok()); }), megabytes, entries);
      removed();
    }
  }
  RestoreOptions options;
  options.target = target;
  print("  restore to a volume", timed([&] { REQUIRE(restore_to_volume(**view, options, "copy").ok()); }), megabytes,
        entries);
}

}  // namespace

TEST_CASE("figures: large files", "[.][measure]") {
  measure(
      "1 GB in 8 files of random bytes",
      [](const std::string& root) {
        std::string bytes = random_bytes(128'000'000, 1);
        for (int i = 0; i < 8; ++i) write_file(root + "/f" + std::to_string(i), bytes);
      },
      8 * 128, 9);
  measure(
      "1 GB in one file that compresses",
      [](const std::string& root) {
        std::string text;
        while (text.size() < 1'000'000'000)
          text += "line " + std::to_string(text.size() * 7919 % 1000003) + " of a log file\n";
        write_file(root + "/log", text);
      },
      1000, 2);
}

TEST_CASE("figures: small files", "[.][measure]") {
  measure(
      "20,000 files of 4,000 bytes in 200 directories",
      [](const std::string& root) {
        for (int d = 0; d < 200; ++d) {
          std::string directory = root + "/d" + std::to_string(d);
          ::mkdir(directory.c_str(), 0755);
          for (int f = 0; f < 100; ++f) {
            write_file(directory + "/f" + std::to_string(f), random_bytes(4000, static_cast<uint64_t>(d * 100 + f)));
          }
        }
      },
      80, 20201);
}

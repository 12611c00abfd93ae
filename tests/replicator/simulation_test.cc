// Random schedules of work, faults and commands, on one thread, under a seed: what replication promises holds in every one.
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <iostream>

#include "base/logging.h"
#include "tests/replicator/sim_world.h"
#include "tests/support/scratch.h"

using namespace tidemark;
using namespace tidemark::test;

namespace {

constexpr size_t kSteps = 180;

uint64_t first_seed() { return Catch::rngSeed() != 0 ? Catch::rngSeed() : 20261121; }

// Where nothing has to reach a disk: what is on one here is simulated, but for the index, which every crash takes away.
std::filesystem::path memory_directory() {
  return ::access("/dev/shm", W_OK) == 0 ? "/dev/shm" : std::filesystem::temp_directory_path();
}

// The topology follows from the seed: a pair, fan-out, a chain, in a mix of modes.
std::string simulate(uint64_t seed, const SimFaults& faults, uint64_t* good_for = nullptr) {
  Scratch scratch(memory_directory());
  SimWorld world(scratch.path(), seed, faults);
  auto mode = [&] { return world.below(2) == 0 ? PairMode::kSync : PairMode::kAsync; };
  auto fence = [&](PairMode with) {
    return with == PairMode::kSync && world.below(2) == 0 ? PairFence::kData : PairFence::kNever;
  };
  SimNode& primary = world.add_node(true);
  SimNode& first = world.add_node(false);
  PairMode to_first = mode();
  world.add_link(primary, first, to_first, fence(to_first));
  uint64_t topology = seed % 3;
  if (topology != 0) {
    SimNode& second = world.add_node(false);
    PairMode to_second = mode();
    world.add_link(topology == 1 ? primary : first, second, to_second, topology == 1 ? fence(to_second) : PairFence::kNever);
  }
  std::string failure = world.run(kSteps);
  if (good_for != nullptr) {
    good_for[0] += world.crashes;
    good_for[1] += world.cuts;
    good_for[2] += world.acknowledged_sync;
    good_for[3] |= world.states_seen;
    good_for[4] += world.prunes;
    good_for[5] += world.differences;
    good_for[6] += world.refused;
    good_for[7] += world.told;
    good_for[8] += world.given_up;
  }
  return failure;
}

}  // namespace

TEST_CASE("a thousand schedules: every copy is a prefix, sync pairs lose nothing, all of it heals") {
  log_to_stderr(std::getenv("SIM_VERBOSE") ? LogLevel::kInfo : LogLevel::kError);
  const uint64_t base = first_seed();
  const char* wanted = std::getenv("SIMULATION_ROUNDS");
  const uint64_t rounds = wanted != nullptr ? std::stoull(wanted) : 1000;
  std::cout << "seeds " << base << " to " << base + rounds - 1 << "\n";
  uint64_t good_for[9] = {};
  for (uint64_t seed = base; seed < base + rounds; ++seed) {
    SimFaults faults;
    faults.mangle = seed % 2 == 0;
    faults.prune = seed % 5 < 2;
    faults.slow = seed % 7 == 0;
    faults.usurp = seed % 11 == 7;
    std::string failure = simulate(seed, faults, good_for);
    INFO("seed " << seed << ": repeat with SIMULATION_ROUNDS=1 and --rng-seed " << seed);
    REQUIRE(failure == "");
  }
  std::cout << good_for[0] << " power failures, " << good_for[1] << " cuts, " << good_for[2]
            << " acknowledgements in duplex, " << good_for[4] << " prunes, " << good_for[5] << " differences, "
            << good_for[6] << " refused, " << good_for[7] << " times superseded, " << good_for[8]
            << " times a copy gave up what its source had lost\n";
  if (rounds < 1000) return;
  CHECK(good_for[0] > rounds);  // else the schedules were too tame to prove anything
  CHECK(good_for[1] > rounds);
  CHECK(good_for[2] > rounds);
  CHECK(good_for[3] == 0b11111110);  // every state was seen
  CHECK(good_for[5] > rounds / 20);
  CHECK(good_for[6] > rounds / 2);
  CHECK(good_for[7] > rounds / 20);
  CHECK(good_for[8] > rounds / 20);
}

TEST_CASE("negative control: a site that acknowledges what its disk does not hold is found out") {
  log_to_stderr(LogLevel::kError);
  SimFaults faults;
  faults.disk_lies = true;
  int found = 0;
  for (uint64_t seed = first_seed(); seed < first_seed() + 60; ++seed) found += simulate(seed, faults) != "";
  CHECK(found > 10);
}

TEST_CASE("negative control: a primary that does not wait for its sync pairs is found out") {
  log_to_stderr(LogLevel::kError);
  SimFaults faults;
  faults.forget_wait = true;
  int found = 0;
  for (uint64_t seed = first_seed(); seed < first_seed() + 60; ++seed) found += simulate(seed, faults) != "";
  CHECK(found > 10);
}

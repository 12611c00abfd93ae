// Rounds of a test under rising seeds, said aloud: a round that fails is the first one when its seed is given with --rng-seed.
#pragma once

#include <catch2/catch.hpp>

#include <cstdint>
#include <iostream>

namespace tidemark::test {

// Calls round(seed) `count` times. Without --rng-seed the same seeds every time.
template <class Round>
void run_rounds(const char* what, uint64_t count, Round&& round) {
  const uint64_t first = Catch::rngSeed() != 0 ? Catch::rngSeed() : 20261120;
  std::cout << what << ": " << count << " rounds, seeds from " << first << "\n";
  for (uint64_t seed = first; seed < first + count; ++seed) {
    INFO("seed " << seed << " (--rng-seed " << seed << " repeats it)");
    round(seed);
  }
}

}  // namespace tidemark::test

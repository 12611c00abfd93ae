// The way in for libFuzzer. With TIDEMARK_FUZZ_SEEDS=DIR the program writes its seeds there and ends.
#include <cstdlib>
#include <fstream>

#include "base/logging.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  tidemark::log_to_stderr(tidemark::LogLevel::kError);
  const char* directory = std::getenv("TIDEMARK_FUZZ_SEEDS");
  if (directory == nullptr) return 0;
  int number = 0;
  for (const std::string& seed : tidemark::fuzz::fuzz_seeds()) {
    std::ofstream file(std::string(directory) + "/seed-" + std::to_string(number++), std::ios::binary);
    file << seed;
    if (!file.flush()) std::exit(1);
  }
  std::exit(0);
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  tidemark::fuzz::fuzz_one({reinterpret_cast<const std::byte*>(data), size});
  return 0;
}

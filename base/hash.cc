#include "base/hash.h"

#include <xxhash.h>

namespace tidemark {

uint64_t hash64(Bytes bytes) { return XXH3_64bits(bytes.data(), bytes.size()); }
uint64_t hash64(Bytes bytes, uint64_t seed) { return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed); }

}  // namespace tidemark

#include "base/digest.h"

#include <sodium.h>

#include "base/check.h"

namespace tidemark {

struct Digester::State {
  crypto_generichash_blake2b_state blake;
};

Digester::Digester() : state_(std::make_unique<State>()) {
  CHECK_INVARIANT(::sodium_init() >= 0);  // chooses the processor's instructions; once is enough, more does no harm
  CHECK_INVARIANT(::crypto_generichash_blake2b_init(&state_->blake, nullptr, 0, sizeof(Digest)) == 0);
}
Digester::~Digester() = default;
Digester::Digester(Digester&&) noexcept = default;
Digester& Digester::operator=(Digester&&) noexcept = default;

void Digester::add(Bytes bytes) {
  CHECK_INVARIANT(::crypto_generichash_blake2b_update(&state_->blake, reinterpret_cast<const unsigned char*>(bytes.data()),
                                                      bytes.size()) == 0);
}

Digest Digester::finish() {
  Digest digest;
  CHECK_INVARIANT(::crypto_generichash_blake2b_final(&state_->blake, reinterpret_cast<unsigned char*>(digest.data()),
                                                     digest.size()) == 0);
  return digest;
}

}  // namespace tidemark

// Views of raw bytes, and the little-endian coding of everything that reaches a disk or a wire.
#pragma once

#include <algorithm>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include "base/check.h"

static_assert(std::endian::native == std::endian::little, "the formats are little-endian; big-endian hosts need swaps here");

namespace tidemark {

using Bytes = std::span<const std::byte>;
using MutableBytes = std::span<std::byte>;

inline Bytes as_bytes(std::string_view text) { return {reinterpret_cast<const std::byte*>(text.data()), text.size()}; }
inline std::string_view as_text(Bytes bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }
inline bool all_zero(Bytes bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; });
}

template <std::integral T>
void store_le(std::byte* to, T value) {
  std::memcpy(to, &value, sizeof value);
}
template <std::integral T>
[[nodiscard]] T load_le(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

// Appends fixed-width fields to a string. Strings carry a 16 or 32 bit length before them.
class Encoder {
 public:
  explicit Encoder(std::string& out) : out_(out) {}
  template <std::integral T>
  Encoder& put(T value) {
    out_.append(reinterpret_cast<const char*>(&value), sizeof value);
    return *this;
  }
  Encoder& put_raw(std::string_view text) {
    out_.append(text);
    return *this;
  }
  Encoder& put_text16(std::string_view text) {
    CHECK_INVARIANT(text.size() <= UINT16_MAX);
    return put(static_cast<uint16_t>(text.size())).put_raw(text);
  }
  Encoder& put_text32(std::string_view text) {
    CHECK_INVARIANT(text.size() <= UINT32_MAX);
    return put(static_cast<uint32_t>(text.size())).put_raw(text);
  }

 private:
  std::string& out_;
};

// Reads fields back. Never reads past the end: after the first short read failed() stays true and every value is zero or
// empty, so a caller may read a whole structure and ask once. Returned views live as long as the bytes.
class Decoder {
 public:
  explicit Decoder(Bytes bytes) : rest_(bytes) {}
  explicit Decoder(std::string_view text) : rest_(as_bytes(text)) {}
  template <std::integral T>
  [[nodiscard]] T get() {
    Bytes taken = get_raw(sizeof(T));
    return taken.size() == sizeof(T) ? load_le<T>(taken.data()) : T{};
  }
  [[nodiscard]] Bytes get_raw(size_t size) {
    if (failed_ || rest_.size() < size) {
      failed_ = true;
      return {};
    }
    Bytes taken = rest_.first(size);
    rest_ = rest_.subspan(size);
    return taken;
  }
  [[nodiscard]] std::string_view get_text16() { return as_text(get_raw(get<uint16_t>())); }
  [[nodiscard]] std::string_view get_text32() { return as_text(get_raw(get<uint32_t>())); }
  [[nodiscard]] Bytes rest() const { return rest_; }
  [[nodiscard]] bool failed() const { return failed_; }
  // True where everything was read and nothing is left over: what a strict format demands at its end.
  [[nodiscard]] bool finished() const { return !failed_ && rest_.empty(); }

 private:
  Bytes rest_;
  bool failed_ = false;
};

}  // namespace tidemark

// Coding of what reaches a disk or a wire, and the sums over it.
#include "base/bytes.h"

#include <catch2/catch.hpp>

#include "base/digest.h"
#include "base/hash.h"

namespace tidemark {
namespace {

std::string hex(const Digest& digest) {
  std::string text;
  for (const std::byte each : digest) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    text += kDigits[std::to_integer<size_t>(each) >> 4];
    text += kDigits[std::to_integer<size_t>(each) & 15];
  }
  return text;
}

}  // namespace

TEST_CASE("fields come back as they were put, little end first") {
  std::string out;
  Encoder(out)
      .put(uint8_t{1})
      .put(uint16_t{0x0302})
      .put(uint64_t{0x0b0a090807060504})
      .put_text16("ab")
      .put_text32("")
      .put(int64_t{-2});
  CHECK(out.substr(0, 11) == std::string("\1\2\3\4\5\6\7\10\11\12\13"));
  Decoder in(out);
  CHECK(in.get<uint8_t>() == 1);
  CHECK(in.get<uint16_t>() == 0x0302);
  CHECK(in.get<uint64_t>() == 0x0b0a090807060504);
  CHECK(in.get_text16() == "ab");
  CHECK(in.get_text32().empty());
  CHECK(!in.finished());
  CHECK(in.get<int64_t>() == -2);
  CHECK(in.finished());
}

TEST_CASE("a decoder that was cut short anywhere fails once and for all, and reads nothing behind the end") {
  std::string out;
  Encoder(out).put_text32("a text").put(uint32_t{7}).put_text16("another");
  for (size_t size = 0; size < out.size(); ++size) {
    Decoder in(std::string_view(out).substr(0, size));
    const std::string_view first = in.get_text32();
    (void)in.get<uint32_t>();
    const std::string_view last = in.get_text16();
    REQUIRE(in.failed());
    REQUIRE(!in.finished());
    REQUIRE((first.empty() || first == "a text"));
    REQUIRE(last.empty());
    REQUIRE(in.get<uint8_t>() == 0);
  }
}

TEST_CASE("a length that says more than there is takes nothing") {
  std::string out;
  Encoder(out).put(UINT32_MAX).put_raw("abc");
  Decoder in(out);
  CHECK(in.get_text32().empty());
  CHECK(in.failed());
}

TEST_CASE("zeros are told from anything else, at every place") {
  CHECK(all_zero({}));
  std::string bytes(100, '\0');
  CHECK(all_zero(as_bytes(bytes)));
  for (char& each : bytes) {
    each = 1;
    REQUIRE(!all_zero(as_bytes(bytes)));
    each = 0;
  }
}

// Values of the reference implementations: xxHash 0.8, RFC 7693 (BLAKE2b with 32 bytes of output).
TEST_CASE("sums and digests are the documented ones") {
  CHECK(hash64({}) == 0x2d06800538d394c2);
  CHECK(hash64(as_bytes("abc")) == 0x78af5f94892f3950);
  CHECK(hash64(as_bytes("abc"), 1) != hash64(as_bytes("abc")));
  Digester nothing;
  CHECK(hex(nothing.finish()) == "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8");
  Digester whole;
  whole.add(as_bytes("abc"));
  CHECK(hex(whole.finish()) == "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319");
  Digester pieces;
  pieces.add(as_bytes("a"));
  pieces.add({});
  pieces.add(as_bytes("bc"));
  CHECK(hex(pieces.finish()) == "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319");
}

}  // namespace tidemark

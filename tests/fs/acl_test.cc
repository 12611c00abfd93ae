#include "fs/rights/acl.h"

#include <catch2/catch.hpp>

#include "base/bytes.h"

using tidemark::Encoder;
using tidemark::fs::Acl;

namespace {

struct Line {
  uint16_t tag, perm;
  uint32_t id = UINT32_MAX;
};

std::string value(std::initializer_list<Line> lines, uint32_t version = 2) {
  std::string bytes;
  Encoder encoder(bytes);
  encoder.put(version);
  for (const Line& line : lines) encoder.put(line.tag).put(line.perm).put(line.id);
  return bytes;
}

const std::string kPlain = value({{1, 7}, {4, 5}, {0x20, 4}});
const std::string kNamed = value({{1, 7}, {2, 6, 1000}, {4, 5}, {0x10, 7}, {0x20, 0}});

Acl parsed(const std::string& bytes) {
  auto acl = Acl::parse(bytes);
  REQUIRE(acl.ok());
  return *acl;
}

}  // namespace

TEST_CASE("An ACL is read and written back as it was") {
  CHECK(parsed(kPlain).format() == kPlain);
  CHECK(parsed(kNamed).format() == kNamed);
}

TEST_CASE("What is no ACL is refused") {
  CHECK_FALSE(Acl::parse("").ok());
  CHECK_FALSE(Acl::parse("abc").ok());
  CHECK_FALSE(Acl::parse(value({{1, 7}, {4, 5}, {0x20, 4}}, 3)).ok());
  CHECK_FALSE(Acl::parse(kPlain.substr(0, kPlain.size() - 1)).ok());
  CHECK_FALSE(Acl::parse(value({{1, 7}, {4, 5}})).ok());                           // nobody else
  CHECK_FALSE(Acl::parse(value({{1, 7}, {1, 7}, {4, 5}, {0x20, 4}})).ok());        // two owners
  CHECK_FALSE(Acl::parse(value({{1, 8}, {4, 5}, {0x20, 4}})).ok());                // no such permission
  CHECK_FALSE(Acl::parse(value({{1, 7}, {2, 6, 1000}, {4, 5}, {0x20, 4}})).ok());  // named without a mask
  CHECK_FALSE(Acl::parse(value({{1, 7}, {3, 6}, {4, 5}, {0x20, 4}})).ok());        // no such tag
}

TEST_CASE("An ACL stands for mode bits") {
  CHECK(parsed(kPlain).is_plain());
  CHECK(parsed(kPlain).apply_to(0102000) == 0102754);
  CHECK_FALSE(parsed(kNamed).is_plain());
  CHECK(parsed(kNamed).apply_to(0) == 0770);  // the mask, not the group
}

TEST_CASE("chmod changes the owner, the mask and the others") {
  Acl named = parsed(kNamed);
  named.change_mode(0641);
  CHECK(named.format() == value({{1, 6}, {2, 6, 1000}, {4, 5}, {0x10, 4}, {0x20, 1}}));
  Acl plain = parsed(kPlain);
  plain.change_mode(0641);
  CHECK(plain.format() == value({{1, 6}, {4, 4}, {0x20, 1}}));
}

TEST_CASE("What is created gets no more than it asks for") {
  CHECK(parsed(kNamed).restricted_to(0100640).format() == value({{1, 6}, {2, 6, 1000}, {4, 5}, {0x10, 4}, {0x20, 0}}));
  CHECK(parsed(kPlain).restricted_to(0777).format() == kPlain);
}

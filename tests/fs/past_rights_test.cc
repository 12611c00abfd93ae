#include "fs/rights/past_rights.h"

#include <sys/stat.h>

#include <catch2/catch.hpp>

using namespace tidemark;
using fs::past_rights;
using fs::SameAcl;

namespace {

Attr node(uint32_t mode, uint32_t uid = 1, uint32_t gid = 2) {
  Attr attr;
  attr.ino = Ino(9);
  attr.mode = mode;
  attr.uid = uid;
  attr.gid = gid;
  attr.nlink = 1;
  attr.parent = S_ISDIR(mode) ? Ino(5) : Ino(0);
  return attr;
}

// What `uid`, in the groups `gids`, may do with a file of that mode, as the kernel decides it.
uint32_t allowed(uint32_t mode, const Attr& attr, uint32_t uid, uint32_t gid) {
  if (uid == attr.uid) return (mode >> 6) & 7;
  if (gid == attr.gid) return (mode >> 3) & 7;
  return mode & 7;
}

}  // namespace

TEST_CASE("Nobody but root can do to the past what he could not do then, or cannot do now") {
  for (const uint32_t then_mode : {0777u, 0755u, 0644u, 0640u, 0604u, 0600u, 0750u, 0771u, 0070u, 0007u}) {
    for (const uint32_t now_mode : {0777u, 0755u, 0644u, 0640u, 0604u, 0600u, 0700u, 0070u, 0000u}) {
      for (const auto& [uid, gid] : {std::pair{1u, 2u}, {1u, 4u}, {3u, 2u}, {3u, 4u}}) {
        const Attr then = node(S_IFREG | then_mode);
        const Attr now = node(S_IFREG | now_mode, uid, gid);
        const uint32_t shown = past_rights(then, &now, SameAcl::kNone).mode;
        for (uint32_t who = 1; who <= 4; ++who) {
          for (uint32_t group = 1; group <= 4; ++group) {
            const uint32_t may = allowed(shown, then, who, group);
            INFO(std::oct << then_mode << " " << now_mode << std::dec << " owner now " << uid << ":" << gid << ", asks "
                          << who << ":" << group);
            CHECK((may & ~allowed(then_mode, then, who, group)) == 0);
            CHECK((may & ~allowed(now_mode, now, who, group)) == 0);
          }
        }
      }
    }
  }
}

TEST_CASE("What has not changed reads in the past as it does now") {
  const Attr file = node(S_IFREG | 0640);
  CHECK(past_rights(file, &file, SameAcl::kNone).mode == (S_IFREG | 0640));
  const auto with_acl = past_rights(file, &file, SameAcl::kSame);
  CHECK(with_acl.mode == (S_IFREG | 0640));
  CHECK(with_acl.shows_acl);
}

TEST_CASE("setuid and setgid are dead in the past; sticky and setgid of directories grant nothing and stay") {
  const Attr program = node(S_IFREG | 06755);
  CHECK(past_rights(program, &program, SameAcl::kNone).mode == (S_IFREG | 0755));
  const Attr directory = node(S_IFDIR | 03777);
  CHECK(past_rights(directory, &directory, SameAcl::kNone).mode == (S_IFDIR | 03777));
}

TEST_CASE("Of what is gone, or was moved as a directory, or has another ACL, only the owner has anything") {
  const Attr file = node(S_IFREG | 0666);
  CHECK(past_rights(file, nullptr, SameAcl::kNone).mode == (S_IFREG | 0600));
  Attr unlinked = file;
  unlinked.nlink = 0;
  CHECK(past_rights(file, &unlinked, SameAcl::kNone).mode == (S_IFREG | 0600));
  const auto other_acl = past_rights(file, &file, SameAcl::kDifferent);
  CHECK(other_acl.mode == (S_IFREG | 0600));
  CHECK_FALSE(other_acl.shows_acl);
  Attr given_away = file;
  given_away.uid = 3;
  CHECK(past_rights(file, &given_away, SameAcl::kSame).mode == S_IFREG);
  const Attr directory = node(S_IFDIR | 0755);
  Attr moved = directory;
  moved.parent = Ino(6);
  CHECK(past_rights(directory, &moved, SameAcl::kNone).mode == (S_IFDIR | 0700));
}

TEST_CASE("Symbolic links have no permissions to lose") {
  const Attr link = node(S_IFLNK | 0777);
  CHECK(past_rights(link, nullptr, SameAcl::kNone).mode == (S_IFLNK | 0777));
}

#include "fs/options.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <set>

#include "fs/errno_map.h"

using namespace tidemark;
using fs::parse_options;

namespace {

bool has(const fs::ParsedOptions& options, const std::string& word) {
  return std::find(options.kernel.begin(), options.kernel.end(), word) != options.kernel.end();
}

fs::ParsedOptions parsed(const std::vector<std::string>& words, bool point, bool root) {
  auto options = parse_options(words, point, root);
  INFO(options.status().text());
  REQUIRE(options.ok());
  return *options;
}

}  // namespace

TEST_CASE("Root mounts as a local filesystem is mounted") {
  auto options = parsed({}, false, true);
  CHECK(options.allow_other);
  CHECK_FALSE(options.sync);
  for (const char* word : {"default_permissions", "rw", "suid", "dev", "exec", "allow_other"}) CHECK(has(options, word));
}

TEST_CASE("Each privilege can be turned off") {
  auto options = parsed({"nosuid,nodev", "noexec", "noallow_other", "ro"}, false, true);
  for (const char* word : {"default_permissions", "ro", "nosuid", "nodev", "noexec"}) CHECK(has(options, word));
  CHECK_FALSE(has(options, "allow_other"));
  CHECK(options.read_only);
}

TEST_CASE("A user mounts in private") {
  auto options = parsed({}, false, false);
  CHECK_FALSE(options.allow_other);
  CHECK(has(options, "nosuid"));
  CHECK(has(options, "nodev"));
  CHECK(parse_options({"suid"}, false, false).status().code() == Code::kPermission);
  CHECK(parsed({"allow_other"}, false, false).allow_other);
}

TEST_CASE("A point is read-only, whoever mounts it") {
  auto options = parsed({}, true, true);
  for (const char* word : {"ro", "nosuid", "nodev", "default_permissions", "allow_other"}) CHECK(has(options, word));
  for (const char* word : {"rw", "suid", "dev"}) CHECK(parse_options({word}, true, true).status().code() == Code::kInvalid);
}

TEST_CASE("What is unknown is named; what mount(8) adds is accepted") {
  auto unknown = parse_options({"sync,frobnicate"}, false, true);
  REQUIRE(unknown.status().code() == Code::kInvalid);
  CHECK(unknown.status().text().find("'frobnicate'") != std::string::npos);
  auto options = parsed({"defaults,_netdev,nofail,x-systemd.automount", "sync"}, false, true);
  CHECK(options.sync);
  CHECK(has(options, "sync"));
}

TEST_CASE("The last of two contradicting options counts") {
  CHECK(parsed({"ro", "rw"}, false, true).read_only == false);
  CHECK(parsed({"sync", "async"}, false, true).sync == false);
}

TEST_CASE("History is open to all, or to root") {
  CHECK_FALSE(parsed({}, false, true).history_closed);
  CHECK(parsed({"history=root"}, false, true).history_closed);
  CHECK_FALSE(parsed({"history=root,history=all"}, false, true).history_closed);
  CHECK(parse_options({"history=nobody"}, false, true).status().code() == Code::kInvalid);
}

TEST_CASE("Marks are for all, for root or for a group") {
  CHECK(parsed({}, false, true).marks == fs::MarkRight::kAll);
  CHECK(parsed({"mark=root"}, false, true).marks == fs::MarkRight::kRoot);
  CHECK(parsed({"mark=root,mark=all"}, false, true).marks == fs::MarkRight::kAll);
  CHECK(parsed({"mark=4712"}, false, true).mark_group == 4712);
  CHECK(parsed({"mark=root,mark=root,mark=0"}, false, true).marks == fs::MarkRight::kGroup);
  CHECK(parse_options({"mark=no such group"}, false, true).status().code() == Code::kInvalid);
  CHECK(parse_options({"mark="}, false, true).status().code() == Code::kInvalid);
}

TEST_CASE("Commas and backslashes survive libfuse's option parser") { CHECK(fs::escape_option("a,b\\c") == "a\\,b\\\\c"); }

TEST_CASE("Every failure is an errno") {
  CHECK(fs::to_errno(Code::kOk) == 0);
  for (int code = 1; code <= static_cast<int>(Code::kLimit); ++code) CHECK(fs::to_errno(static_cast<Code>(code)) > 0);
  CHECK(fs::to_errno(Code::kPoisoned) == EIO);
  CHECK(fs::to_errno(Code::kReadOnly) == EROFS);
  CHECK(fs::to_errno(Code::kNoSuchPoint) == ENOENT);
}

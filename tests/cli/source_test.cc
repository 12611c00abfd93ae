#include "cli/source.h"

#include <catch2/catch.hpp>
#include <filesystem>

#include "tests/cli/scratch.h"
#include "volume/group/group.h"

namespace tidemark::cli {
namespace {

SourceText split(std::string_view text, const std::string& existing = "") {
  return split_source(text, [&](const std::string& path) { return path == existing; });
}

}  // namespace

TEST_CASE("the point is taken off at the last @") {
  CHECK(split("/srv/vol").base == "/srv/vol");
  CHECK(!split("/srv/vol").has_point);
  CHECK(split("/srv/vol@good").base == "/srv/vol");
  CHECK(split("/srv/vol@good").point == "good");
  CHECK(split("/srv/a@b@c").base == "/srv/a@b");
  CHECK(split("/srv/a@b@c").point == "c");
  CHECK(split("vol@2026-11-20T10:00:00+01:00").point == "2026-11-20T10:00:00+01:00");
  CHECK(split("vol@").has_point);
  CHECK(split("tcp://host:7400/vol@-10m").base == "tcp://host:7400/vol");
}

TEST_CASE("an @ before a slash is part of a name, and what exists is a path") {
  CHECK(!split("/srv/a@b/vol").has_point);
  CHECK(split("/srv/a@b", "/srv/a@b").base == "/srv/a@b");
  CHECK(!split("/srv/a@b", "/srv/a@b").has_point);
}

TEST_CASE("the innermost mount that holds a path is found") {
  std::vector<MountedVolume> mounts = {{"/v/a", "/mnt"}, {"/v/b", "/mnt/inner"}, {"/v/c", "/mnt2"}};
  CHECK(find_mount(mounts, "/mnt")->source == "/v/a");
  CHECK(find_mount(mounts, "/mnt/x/y")->source == "/v/a");
  CHECK(find_mount(mounts, "/mnt/inner/x")->source == "/v/b");
  CHECK(find_mount(mounts, "/mnt2")->source == "/v/c");
  CHECK(find_mount(mounts, "/mnt22") == nullptr);
  CHECK(find_mount(mounts, "/") == nullptr);
}

TEST_CASE("paths become absolute as far as they exist") {
  TempDirectory work;
  std::filesystem::create_directory_symlink(work.path(), work / "link");
  CHECK(absolute_path(work / "link") == absolute_path(work.path()));
  CHECK(absolute_path(work / "link/not/there") == absolute_path(work.path()) + "/not/there");
  CHECK(absolute_path(work / "a/../b/") == absolute_path(work.path()) + "/b");
}

TEST_CASE("sources that name nothing or too much are refused") {
  TempDirectory work;
  CHECK(find_source(work / "nothing", "").status().code() == Code::kNotFound);
  CHECK(find_source("", "").status().code() == Code::kInvalid);
  CHECK(find_source("tcp://host", "").status().code() == Code::kInvalid);
  CHECK(find_source("tcp://127.0.0.1:1/vol@a", "b").status().code() == Code::kInvalid);
  CHECK(find_source("tcp://127.0.0.1:1/vol@a", "a").ok());
}

TEST_CASE("a volume whose name holds an @ wins over a point") {
  TempDirectory work;
  for (const char* name : {"vol", "vol@home"}) {
    InitOptions init;
    init.name = "vol";
    REQUIRE(Group::init(work / name, init).ok());
  }
  Result<Source> whole = find_source(work / "vol@home", "");
  REQUIRE(whole.ok());
  CHECK(whole->directory == absolute_path(work / "vol@home"));
  CHECK(whole->point.empty());
  Result<Source> pointed = find_source(work / "vol@home@seq:1", "");
  REQUIRE(pointed.ok());
  CHECK(pointed->directory == absolute_path(work / "vol@home"));
  CHECK(pointed->point == "seq:1");
  Result<Source> other = find_source(work / "vol@away", "");
  REQUIRE(other.ok());
  CHECK(other->directory == absolute_path(work / "vol"));
  CHECK(other->point == "away");
}

}  // namespace tidemark::cli

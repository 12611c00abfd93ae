// The machine's files: what File and FileSystem promise, on a real file system.
#include "base/file.h"

#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <filesystem>

#include "base/pinned.h"
#include "tests/support/scratch.h"

namespace tidemark {
using test::Scratch;
namespace {

FileSystem& files() { return posix_file_system(); }

std::string content(const std::string& path) { return read_file(files(), path).value(); }

}  // namespace

TEST_CASE("a small file is written whole or not at all, and leaves nothing beside it") {
  Scratch work;
  const std::string path = work / "f";
  REQUIRE(write_file_atomically(files(), path, "one").ok());
  REQUIRE(write_file_atomically(files(), path, "another").ok());
  CHECK(content(path) == "another");
  CHECK(files().list(work / "").value() == std::vector<std::string>{"f"});
  struct stat st {};
  REQUIRE(::stat(path.c_str(), &st) == 0);
  CHECK((st.st_mode & 07777) == 0600);
  // Where it cannot be put in place the old content stays.
  REQUIRE(files().make_directory(work / "d").ok());
  CHECK(!write_file_atomically(files(), work / "d", "text").ok());
  CHECK(!write_file_atomically(files(), work / "none/f", "text").ok());
  CHECK(content(path) == "another");
}

TEST_CASE("a file that is larger than its reader expects is refused, not read") {
  Scratch work;
  REQUIRE(write_file_atomically(files(), work / "f", std::string(1000, 'x')).ok());
  CHECK(read_file(files(), work / "f", 1000).value().size() == 1000);
  CHECK(read_file(files(), work / "f", 999).status().code() == Code::kTooLarge);
  CHECK(read_file(files(), work / "none").status().code() == Code::kNotFound);
}

TEST_CASE("a file is read up to its end, written in parts, and has holes where the file system can") {
  Scratch work;
  const auto file = files().open(work / "f", FileSystem::Open::kCreateNew).value();
  CHECK(files().open(work / "f", FileSystem::Open::kCreateNew).status().code() == Code::kExists);
  const std::string a(4096, 'a'), b(4096, 'b'), c(4096, 'c');
  const iovec parts[] = {{const_cast<char*>(a.data()), a.size()},
                         {const_cast<char*>(b.data()), b.size()},
                         {const_cast<char*>(c.data()), c.size()}};
  REQUIRE(file->write(0, parts).ok());
  std::string out(5000, '\0');
  const MutableBytes into{reinterpret_cast<std::byte*>(out.data()), out.size()};
  CHECK(file->read(10'000, into).value() == 12'288 - 10'000);
  CHECK(file->read(20'000, into).value() == 0);
  const Status punched = file->punch(4096, 4096);
  if (punched.ok()) {
    CHECK(file->read(4096, into.first(4096)).value() == 4096);
    CHECK(all_zero(Bytes(into).first(4096)));
    CHECK(file->size().value() == 12'288);
  } else {
    CHECK(punched.code() == Code::kUnsupported);
  }
  REQUIRE(file->truncate(5).ok());
  REQUIRE(file->sync().ok());
  CHECK(content(work / "f") == "aaaaa");
}

TEST_CASE("names come sorted, links are told from files, and a link to nothing is no missing file") {
  Scratch work;
  for (const char* name : {"b", "a", "c"}) REQUIRE(write_file_atomically(files(), work / name, name).ok());
  REQUIRE(files().make_link(work / "l", work / "a").ok());
  CHECK(files().make_link(work / "l", work / "b").code() == Code::kExists);
  CHECK(files().list(work / "").value() == std::vector<std::string>{"a", "b", "c", "l"});
  CHECK(files().read_link(work / "l").value() == work / "a");
  CHECK(files().read_link(work / "a").value().empty());
  CHECK(content(work / "l") == "a");
  REQUIRE(files().remove(work / "l").ok());
  CHECK(content(work / "a") == "a");
  REQUIRE(files().make_link(work / "l", work / "none").ok());
  CHECK(files().open(work / "l", FileSystem::Open::kRead).status().code() == Code::kIo);
  CHECK(files().open(work / "none", FileSystem::Open::kRead).status().code() == Code::kNotFound);
  CHECK(files().remove(work / "none").code() == Code::kNotFound);
}

TEST_CASE("a pinned directory is found by its old path, whatever it is called by now") {
  Scratch work;
  REQUIRE(files().make_directory(work / "old").ok());
  const std::string old = work / "old", moved = work / "moved";
  auto pin = PinnedDirectory::pin(old).value();
  REQUIRE(write_file_atomically(files(), old + "/f", "before").ok());
  std::filesystem::rename(old, moved);  // by somebody who knows nothing of the pin
  CHECK(content(old + "/f") == "before");
  REQUIRE(write_file_atomically(files(), old + "/g", "after").ok());
  CHECK(where_now(old + "/g") == moved + "/g");
  pin.reset();
  CHECK(!files().exists(old + "/g").value());
  CHECK(content(moved + "/g") == "after");
}

TEST_CASE("a failure of a system call has the code that people act on") {
  CHECK(errno_status(ENOSPC, "x").code() == Code::kNoSpace);
  CHECK(errno_status(EDQUOT, "x").code() == Code::kNoSpace);
  CHECK(errno_status(EROFS, "x").code() == Code::kReadOnly);
  const Status other = errno_status(EACCES, "opening /f");
  CHECK(other.code() == Code::kIo);
  CHECK(other.sys_errno() == EACCES);
  CHECK(other.within("reading the list").text().starts_with("reading the list: opening /f"));
  CHECK(other.within("x").sys_errno() == EACCES);
  CHECK(Status().within("x").ok());
}

}  // namespace tidemark

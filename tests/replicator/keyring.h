// Keys for everybody, and a site's list of them.
#pragma once

#include <catch2/catch.hpp>
#include <string>

#include "base/file.h"
#include "replicator/wire/keys.h"
#include "tests/replicator/support.h"

namespace tidemark::test {

struct Keys {
  Keys() {
    for (const char* name : {"site", "writer", "reader", "pruner", "stranger", "other-site"}) {
      REQUIRE(generate_key(work / name).ok());
    }
    allow(line("writer", "append,create,read") + line("reader", "read") + line("pruner", "prune"));
  }
  [[nodiscard]] std::string line(const std::string& who, const std::string& rights, const std::string& groups = "*") const {
    return *load_public_key(work / (who + ".pub")) + " " + rights + " groups=" + groups + " " + who + "\n";
  }
  void allow(const std::string& list) const {
    REQUIRE(write_file_atomically(posix_file_system(), work / "allow", "# test\n" + list).ok());
  }
  SiteOptions options(const std::string& listen = "tcp://127.0.0.1:*") {
    SiteOptions made;
    made.directory = work / "groups";
    made.listen = listen;
    made.key = work / "site";
    made.allow = work / "allow";
    made.group = small_options();
    return made;
  }
  PairConfig pair(const std::string& endpoint, const std::string& who, const std::string& server = "site") {
    return {"away", endpoint, work / (server + ".pub"), work / who};
  }
  RemoteOptions reading(const std::string& who, const std::string& server = "site") {
    RemoteOptions made;
    made.server_key = work / (server + ".pub");
    made.own_key = work / who;
    made.timeout = std::chrono::milliseconds(4000);
    return made;
  }
  Scratch work;
};

}  // namespace tidemark::test

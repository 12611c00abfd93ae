#include "cli/output/record_text.h"

#include <catch2/catch.hpp>

#include "log/format/body.h"

namespace tidemark::cli {
namespace {

RecordView view_of(RecordType type, Ino ino, const std::string& payload) {
  RecordView record;
  record.header.type = type;
  record.header.seq = Seq(7);
  record.header.epoch = Epoch(1);
  record.header.ino = ino;
  record.header.raw_length = record.header.stored_length = static_cast<uint32_t>(payload.size());
  record.payload = as_bytes(payload);
  return record;
}

}  // namespace

TEST_CASE("a record says what it does") {
  std::string payload = encode_link({Ino(1), "new\nname"});
  Json shown = record_json(view_of(RecordType::kLink, Ino(9), payload));
  CHECK(shown["seq"] == 7);
  CHECK(shown["type"] == "link");
  CHECK(shown["ino"] == 9);
  CHECK(shown["detail"]["name"] == "new\nname");
  CHECK(detail_text(shown["detail"]) == "parent=1 name=\"new\\x0aname\"");
}

TEST_CASE("a name that is not UTF-8 still makes valid JSON") {
  std::string payload = encode_link({Ino(1), "\xff"});
  std::string text = json_text(record_json(view_of(RecordType::kLink, Ino(9), payload)));
  CHECK(!Json::parse(text, nullptr, false).is_discarded());
}

TEST_CASE("a payload that does not decode is said to be damaged") {
  std::string payload = "xx";
  Json shown = record_json(view_of(RecordType::kRename, Ino(9), payload));
  CHECK(shown["detail"].contains("damaged"));
}

TEST_CASE("a record concerns its file and the directories whose names it changes") {
  RenameBody rename;
  rename.from_parent = Ino(2);
  rename.from_name = "a";
  rename.to_parent = Ino(3);
  rename.to_name = "b";
  rename.replaced = Ino(4);
  std::string payload = encode_rename(rename);
  RecordView record = view_of(RecordType::kRename, Ino(5), payload);
  for (uint64_t ino : {2u, 3u, 4u, 5u}) CHECK(record_concerns(record, Ino(ino)));
  CHECK(!record_concerns(record, Ino(6)));
  std::string freed = encode_free({Ino(8), Ino(9)});
  CHECK(record_concerns(view_of(RecordType::kFree, Ino(), freed), Ino(9)));
}

}  // namespace tidemark::cli

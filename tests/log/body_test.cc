#include <sys/stat.h>

#include <rapidcheck.h>

#include "base/hash.h"
#include "tests/log/log_fixture.h"

namespace tidemark::test {
namespace {

// Decodes; refuses every shorter form and one that is longer.
template <class Decode>
auto strictly(const std::string& payload, Decode decode) {
  for (size_t size = 0; size < payload.size(); ++size) {
    REQUIRE(decode(as_bytes(payload).first(size)).status().code() == Code::kCorrupt);
  }
  REQUIRE(decode(as_bytes(payload + '\0')).status().code() == Code::kCorrupt);
  return must(decode(as_bytes(payload)));
}

// The encoded form of `body` with `size` bytes at `at` replaced: for what an encoder would never write.
std::string patched(std::string payload, size_t at, std::string_view bytes) {
  return payload.replace(at, bytes.size(), bytes);
}

// How many decoders take it: none may crash on it, or read outside of it.
int accepted_by(Bytes payload) {
  RecordHeader header;
  header.stored_length = static_cast<uint32_t>(payload.size());
  header.raw_length = header.stored_length;
  return decode_genesis(payload).ok() + decode_epoch(payload).ok() + decode_data(header, payload).ok() +
         decode_make_node(payload).ok() + decode_link(payload).ok() + decode_rename(payload).ok() +
         decode_set_attr(payload).ok() + decode_truncate(payload).ok() + decode_punch(payload).ok() +
         decode_clone(payload).ok() + decode_allocate(payload).ok() + decode_xattr(payload).ok() +
         decode_free(payload).ok() + decode_mark(payload).ok() + decode_mark_change(payload).ok();
}

}  // namespace

TEST_CASE("genesis and epoch come back") {
  Genesis genesis;
  genesis.group = test_group();
  genesis.name = "data";
  genesis.root_mode = 01777;
  genesis.uid = 7;
  genesis.gid = 8;
  const std::string payload = encode_genesis(genesis);
  const Genesis back = strictly(payload, decode_genesis);
  CHECK(back.group == genesis.group);
  CHECK(back.name == "data");
  CHECK(back.root_mode == 01777);
  CHECK(back.uid == 7);
  CHECK(back.gid == 8);
  CHECK(group_id_text(back.group) == "0102030405060708090a0b0c0d0e0f10");

  const std::string epoch = encode_epoch({Epoch(4), "site-b", "takeover"});
  const EpochChange change = strictly(epoch, decode_epoch);
  CHECK(change.previous == Epoch(4));
  CHECK(change.site == "site-b");
  CHECK(change.reason == "takeover");
}

TEST_CASE("namespace records come back") {
  MakeNode node;
  node.parent = Ino(1);
  node.name = "link";
  node.mode = S_IFLNK | 0777;
  node.uid = 10;
  node.gid = 20;
  node.symlink_target = "../elsewhere";
  const std::string value(1000, 'v');
  node.xattrs = {{"user.one", value}, {"system.posix_acl_default", std::string_view("\0x", 2)}};
  const std::string payload = encode_make_node(node);
  const MakeNode back = strictly(payload, decode_make_node);
  CHECK(back.parent == Ino(1));
  CHECK(back.name == "link");
  CHECK(back.mode == node.mode);
  CHECK(back.symlink_target == "../elsewhere");
  REQUIRE(back.xattrs.size() == 2);
  CHECK(back.xattrs[0].value == value);
  CHECK(back.xattrs[1].value == std::string_view("\0x", 2));
  MakeNode unnamed;
  unnamed.mode = S_IFREG | 0600;
  const std::string unnamed_payload = encode_make_node(unnamed);
  CHECK(strictly(unnamed_payload, decode_make_node).name.empty());
  CHECK_FALSE(decode_make_node(as_bytes(patched(payload, 8, std::string_view("\0\0\0\0", 4)))).ok());  // no type

  const std::string linked = encode_link({Ino(3), "name"});
  const LinkBody link = strictly(linked, decode_link);
  CHECK(link.parent == Ino(3));
  CHECK(link.name == "name");
  for (const char* bad : {"a/b.", "..  ", "."}) {
    std::string made;
    Encoder(made).put(uint64_t{3}).put_text16(std::string_view(bad));
    const std::string_view text(bad);
    CHECK(decode_link(as_bytes(made)).ok() == (text == "..  "));
  }

  RenameBody rename{Ino(1), "a", Ino(2), "b", false, Ino(9), Ino(11)};
  const std::string renamed = encode_rename(rename);
  const RenameBody moved = strictly(renamed, decode_rename);
  CHECK(moved.from_parent == Ino(1));
  CHECK(moved.to_parent == Ino(2));
  CHECK(moved.from_name == "a");
  CHECK(moved.to_name == "b");
  CHECK(moved.replaced == Ino(9));
  CHECK(moved.whiteout == Ino(11));
  CHECK_FALSE(moved.exchange);
  CHECK_FALSE(decode_rename(as_bytes(patched(renamed, 32, "\2"))).ok());
}

TEST_CASE("attribute records come back") {
  SetAttr attr;
  attr.mask = kSetMode | kSetMtime | kSetSize;
  attr.mode = 04755;
  attr.uid = 1;
  attr.gid = 2;
  attr.atime = {-5, 999'999'999};
  attr.mtime = {1'000'000'000'000, 1};
  attr.size = kFileSizeMax;
  const std::string payload = encode_set_attr(attr);
  const SetAttr back = strictly(payload, decode_set_attr);
  CHECK(back.mask == attr.mask);
  CHECK(back.mode == 04755);
  CHECK(back.atime == attr.atime);
  CHECK(back.mtime == attr.mtime);
  CHECK(back.size == kFileSizeMax);
  CHECK_FALSE(decode_set_attr(as_bytes(patched(payload, 0, "\x80"))).ok());       // a bit nobody knows
  CHECK_FALSE(decode_set_attr(as_bytes(patched(payload, 22, "\xff\xff"))).ok());  // beyond the largest file
  CHECK(file_time(-1) == FileTime{-1, 999'999'999});
  CHECK(file_time(1'500'000'000) == FileTime{1, 500'000'000});

  const std::string xattr_payload = encode_xattr({"user.x", "value"});
  const XattrBody xattr = strictly(xattr_payload, decode_xattr);
  CHECK(xattr.name == "user.x");
  CHECK(xattr.value == "value");
  std::string too_big;
  Encoder(too_big).put_text16("user.x").put_text32(std::string(kXattrValueMax + 1, 'x'));
  CHECK_FALSE(decode_xattr(as_bytes(too_big)).ok());
}

TEST_CASE("block records come back") {
  std::string block(kBlockSize, '\0');
  block.replace(0, 3, "abc");
  TruncateBody cut;
  cut.size = 3;
  cut.last_block = as_bytes(block);
  const std::string payload = encode_truncate(cut);
  const TruncateBody back = strictly(payload, decode_truncate);
  CHECK(back.size == 3);
  CHECK(as_text(back.last_block) == block);
  CHECK(back.last_check == hash64(as_bytes(block)));
  CHECK(back.last_block.data() == as_bytes(payload).data() + kTruncateBlockAt);
  CHECK_FALSE(decode_truncate(as_bytes(patched(payload, kTruncateBlockAt + 3, "x"))).ok());  // not zero behind the cut
  const std::string plain = encode_truncate({4096, {}, 0});
  CHECK(strictly(plain, decode_truncate).last_block.empty());

  const std::string punched = encode_punch({10, 20});
  CHECK(strictly(punched, decode_punch).first_block == 10);
  CHECK(strictly(punched, decode_punch).count == 20);
  CHECK_FALSE(decode_punch(as_bytes(patched(punched, 6, "\xff\xff"))).ok());
  CHECK_FALSE(decode_punch(as_bytes(patched(punched, 8, std::string(8, '\0')))).ok());
  CHECK_FALSE(decode_punch(as_bytes(patched(punched, 8, std::string(8, '\xff')))).ok());

  const std::string allocated = encode_allocate({10, 20, 77});
  const AllocateBody allocate = strictly(allocated, decode_allocate);
  CHECK((allocate.first_block == 10 && allocate.count == 20 && allocate.size_after == 77));
  CHECK_FALSE(decode_allocate(as_bytes(patched(allocated, 6, "\xff\xff"))).ok());
  CHECK_FALSE(decode_allocate(as_bytes(patched(allocated, 8, std::string(8, '\0')))).ok());
  CHECK_FALSE(decode_allocate(as_bytes(patched(allocated, 16, std::string(8, '\xff')))).ok());
  const std::string cloned = encode_clone({Ino(2), 1, 3, kCloneBlocksMax, 77});
  const CloneBody clone = strictly(cloned, decode_clone);
  CHECK(clone.source == Ino(2));
  CHECK(clone.source_block == 1);
  CHECK(clone.target_block == 3);
  CHECK(clone.count == kCloneBlocksMax);
  CHECK(clone.size_after == 77);
  CHECK_FALSE(decode_clone(as_bytes(patched(cloned, 24, "\1\x80"))).ok());
}

TEST_CASE("marks and freed inodes come back") {
  const std::string payload = encode_mark({MarkId(5), "nightly Prüfung", "backup", 1, 2, "all quiet"});
  const MarkBody mark = strictly(payload, decode_mark);
  CHECK(mark.id == MarkId(5));
  CHECK(mark.name == "nightly Prüfung");
  CHECK(mark.application == "backup");
  CHECK(mark.pid == 1);
  CHECK(mark.uid == 2);
  CHECK(mark.note == "all quiet");
  for (std::string_view good : {"a", "ü", "日本", "v1.2-rc", "\xf0\x9f\x98\x80"}) CHECK(valid_mark_name(good));
  for (std::string_view bad : {"", "a@b", "a/b", "a:b", "a\n", "\x7f", "\xc3", "\xc0\x80", "\xed\xa0\x80", "\xc2\x85",
                               "\xf5\x80\x80\x80", "\xff"}) {
    CHECK_FALSE(valid_mark_name(bad));
  }
  CHECK_FALSE(valid_mark_name(std::string(256, 'a')));

  const std::string changed = encode_mark_change({MarkId(5), true});
  CHECK(strictly(changed, decode_mark_change).held);
  const std::string freed = encode_free({Ino(4), Ino(9)});
  CHECK(strictly(freed, decode_free) == std::vector<Ino>{Ino(4), Ino(9)});
  CHECK_FALSE(decode_free(as_bytes(patched(freed, 0, "\xff\xff\xff\xff"))).ok());
}

TEST_CASE("no payload, however hostile, breaks a decoder") {
  CHECK(rc::check("random bytes", [](const std::string& bytes) { RC_ASSERT(accepted_by(as_bytes(bytes)) <= 14); }));
  CHECK(rc::check("damaged make-node", [](uint16_t at, uint8_t with) {
    MakeNode node;
    node.parent = Ino(1);
    node.name = "file";
    node.mode = S_IFREG | 0644;
    node.xattrs = {{"user.a", "1"}, {"user.b", "22"}};
    std::string payload = encode_make_node(node);
    payload[at % payload.size()] = static_cast<char>(with);
    if (auto decoded = decode_make_node(as_bytes(payload)); decoded.ok()) {
      RC_ASSERT(encode_make_node(*decoded) == payload);  // one meaning, one form
    }
  }));
}

}  // namespace tidemark::test

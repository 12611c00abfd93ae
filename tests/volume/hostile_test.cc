// Records whose sums are right and whose content is not: a site refuses them before they enter its log, and stays usable.
#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <iostream>
#include <random>
#include <set>

#include "log/format/body.h"
#include "log/write/writer.h"
#include "tests/support/scratch.h"
#include "tests/volume/random_ops.h"
#include "volume/group/group.h"

namespace tidemark::test {
namespace {

// Records with right headers, sums and chains, whatever they say.
class Forge {
 public:
  explicit Forge(const Position& start) : position_(start), time_ns_(1'700'000'000'000'000'000) {}

  Forge& add(RecordType type, Ino ino, const std::string& payload, uint8_t flags = 0, uint32_t raw_length = 0) {
    RecordHeader header;
    header.type = type;
    header.flags = flags;
    header.volume = 1;
    header.epoch = Epoch(1);
    header.seq = position_.seq.next();
    header.time_ns = time_ns_++;
    header.ino = ino;
    header.stored_length = static_cast<uint32_t>(payload.size());
    header.raw_length = raw_length == 0 ? header.stored_length : raw_length;
    header.payload_check = make_draft(type, 1, ino, payload).payload_check;
    const HeaderBytes head = seal_header(header, position_.chain);
    run += as_text(head);
    run += payload;
    run.append(header.size_in_log() - kRecordHeaderSize - payload.size(), '\0');
    position_ = header.position();
    return *this;
  }
  Forge& node(Ino ino, Ino parent, const std::string& name, uint32_t mode) {
    MakeNode body;
    body.parent = parent;
    body.name = name;
    body.mode = mode;
    if (S_ISLNK(mode)) body.symlink_target = "target";
    return add(RecordType::kMakeNode, ino, encode_make_node(body));
  }
  Forge& blocks(Ino ino, uint64_t first, size_t count) {
    const std::string content(count * kBlockSize, 'b');
    const RecordDraft draft = make_data_draft(1, ino, first, (first + count) * kBlockSize, false, as_bytes(content));
    return add(RecordType::kData, ino, std::string(as_text(draft.payload.bytes())), draft.flags, draft.raw_length);
  }
  Forge& rename(Ino ino, RenameBody body) { return add(RecordType::kRename, ino, encode_rename(body)); }

  std::string run;

 private:
  Position position_;
  int64_t time_ns_;
};

constexpr Ino kDir{2}, kFile{3}, kBelow{4}, kOther{5}, kGone{6};

struct Replica {
  Scratch scratch;
  GroupIdentity identity;
  std::unique_ptr<Group> group;

  Replica() {
    identity.id[0] = std::byte{7};
    identity.name = "shop";
    REQUIRE(Group::init_replica(scratch / "r", identity).ok());
    group = Group::open(scratch / "r", OpenMode::kReplica).value();
  }
  Forge forge() { return Forge(group->position()); }

  // root: dir/ (below/), file with 4 blocks and an xattr, other; an inode without a name; a mark.
  void fill() {
    Forge made = forge();
    made.add(RecordType::kGenesis, kRootIno, encode_genesis({identity.id, identity.name, 0755, 0, 0}));
    made.node(kDir, kRootIno, "dir", S_IFDIR | 0755).node(kFile, kRootIno, "file", S_IFREG | 0644);
    made.node(kBelow, kDir, "below", S_IFDIR | 0755).node(kOther, kRootIno, "other", S_IFREG | 0644);
    made.node(kGone, Ino(), "", S_IFREG | 0600).blocks(kFile, 0, 4);
    made.add(RecordType::kSetXattr, kFile, encode_xattr({"user.a", "1"}));
    made.add(RecordType::kMark, Ino(), encode_mark({MarkId(1), "first", "app", 1, 2, ""}));
    REQUIRE(group->ingest(as_bytes(made.run)).ok());
  }

  void refuses(const std::string& run, const std::string& what) {
    INFO(what);
    const Position before = group->position();
    const auto answer = group->ingest(as_bytes(run));
    CHECK(answer.status().code() == Code::kCorrupt);
    CHECK(group->position() == before);
    CHECK(group->log().tail_position() == before);
  }
  void takes(const std::string& run) {
    const auto answer = group->ingest(as_bytes(run));
    INFO(answer.status().text());
    REQUIRE(answer.ok());
  }
  void reopens() {
    const uint64_t fingerprint = group->index_fingerprint().value();
    REQUIRE(group->close().ok());
    group.reset();
    std::filesystem::remove_all(scratch / "r/index");
    auto again = Group::open(scratch / "r", OpenMode::kReplica);
    INFO(again.status().text());
    REQUIRE(again.ok());
    group = std::move(*again);
    CHECK(group->index_fingerprint().value() == fingerprint);
  }
};

// A name no encoder writes, in a payload otherwise right: the encoded "NAME" of the same length is replaced.
std::string with_name(std::string payload, const std::string& from, const std::string& to) {
  const size_t at = payload.find(from);
  REQUIRE(at != std::string::npos);
  REQUIRE(from.size() == to.size());
  return payload.replace(at, from.size(), to);
}

}  // namespace

TEST_CASE("a site refuses records that contradict its tree, and goes on") {
  Replica site;
  site.refuses(site.forge().node(kDir, kRootIno, "dir", S_IFDIR | 0755).run, "no genesis");
  GroupId strange{};
  site.refuses(site.forge().add(RecordType::kGenesis, kRootIno, encode_genesis({strange, "shop", 0755, 0, 0})).run,
               "the genesis of another group");
  site.fill();

  const auto refuse = [&](const std::string& what, auto&& forge) {
    Forge records = site.forge();
    forge(records);
    site.refuses(records.run, what);
  };
  refuse("a second genesis", [&](Forge& f) {
    f.add(RecordType::kGenesis, kRootIno, encode_genesis({site.identity.id, "shop", 0755, 0, 0}));
  });
  for (const std::string& name : {std::string(".."), std::string("."), std::string("a/b"), std::string("a\0b", 3)}) {
    MakeNode body;
    body.parent = kRootIno;
    body.name = std::string_view("XYZ").substr(0, name.size());
    body.mode = S_IFREG | 0644;
    const std::string placed = std::string(body.name);
    const std::string make = with_name(encode_make_node(body), placed, name);
    const std::string link = with_name(encode_link({kRootIno, placed}), placed, name);
    refuse("make " + name, [&](Forge& f) { f.add(RecordType::kMakeNode, Ino(9), make); });
    refuse("link " + name, [&](Forge& f) { f.add(RecordType::kLink, kFile, link); });
    refuse("rename to " + name, [&](Forge& f) {
      f.add(RecordType::kRename, kFile,
            with_name(encode_rename({kRootIno, "file", kRootIno, placed, false, Ino(), Ino()}), placed, name));
    });
  }
  refuse("an inode number used before", [](Forge& f) { f.node(kFile, kRootIno, "new", S_IFREG | 0644); });
  refuse("the last inode number there is", [](Forge& f) { f.node(Ino(UINT64_MAX), kRootIno, "new", S_IFREG | 0644); });
  refuse("an inode number no mount can show",
         [](Forge& f) { f.node(Ino(uint64_t{1} << 48), kRootIno, "new", S_IFREG | 0644); });
  refuse("a name that exists", [](Forge& f) { f.node(Ino(9), kRootIno, "file", S_IFREG | 0644); });
  refuse("below a file", [](Forge& f) { f.node(Ino(9), kFile, "new", S_IFREG | 0644); });
  refuse("below nothing", [](Forge& f) { f.node(Ino(9), Ino(77), "new", S_IFREG | 0644); });
  refuse("a directory without a name", [](Forge& f) { f.node(Ino(9), Ino(), "", S_IFDIR | 0755); });
  refuse("a second name for a directory", [](Forge& f) { f.add(RecordType::kLink, kDir, encode_link({kRootIno, "hard"})); });
  refuse("a directory below itself", [](Forge& f) {
    f.rename(kDir, {kRootIno, "dir", kBelow, "loop", false, Ino(), Ino()});
  });
  refuse("a directory into itself", [](Forge& f) { f.rename(kDir, {kRootIno, "dir", kDir, "loop", false, Ino(), Ino()}); });
  refuse("a circle by exchange", [](Forge& f) { f.rename(kFile, {kBelow, "file", kRootIno, "dir", true, kDir, Ino()}); });
  refuse("a circle in two steps", [](Forge& f) {
    f.node(Ino(9), kRootIno, "nine", S_IFDIR | 0755);
    f.rename(kDir, {kRootIno, "dir", Ino(9), "dir", false, Ino(), Ino()});
    f.rename(Ino(9), {kRootIno, "nine", kBelow, "nine", false, Ino(), Ino()});
  });
  refuse("a name that is another's", [](Forge& f) {
    f.rename(kFile, {kRootIno, "other", kRootIno, "new", false, Ino(), Ino()});
  });
  refuse("over something it does not name", [](Forge& f) {
    f.rename(kFile, {kRootIno, "file", kRootIno, "other", false, Ino(), Ino()});
  });
  refuse("a file over a directory", [](Forge& f) {
    f.rename(kFile, {kRootIno, "file", kRootIno, "dir", false, kDir, Ino()});
  });
  refuse("a whiteout with a used number", [](Forge& f) {
    f.rename(kFile, {kRootIno, "file", kRootIno, "new", false, Ino(), kDir});
  });
  refuse("taking away a name that is not there", [](Forge& f) {
    f.add(RecordType::kUnlink, kFile, encode_link({kRootIno, "nothing"}));
  });
  refuse("taking away another's name", [](Forge& f) {
    f.add(RecordType::kUnlink, kFile, encode_link({kRootIno, "other"}));
  });
  refuse("the same name twice", [](Forge& f) {
    f.add(RecordType::kUnlink, kFile, encode_link({kRootIno, "file"}))
        .add(RecordType::kUnlink, kFile, encode_link({kRootIno, "file"}));
  });
  refuse("content of a directory", [](Forge& f) { f.blocks(kDir, 0, 1); });
  refuse("content of nothing", [](Forge& f) { f.blocks(Ino(77), 0, 1); });
  refuse("blocks across a chunk", [](Forge& f) { f.blocks(kFile, 24, 16); });
  refuse("a size for a directory", [](Forge& f) {
    SetAttr body;
    body.mask = kSetSize;
    body.size = 5;
    f.add(RecordType::kSetAttr, kDir, encode_set_attr(body));
  });
  refuse("attributes of nothing", [](Forge& f) { f.add(RecordType::kSetAttr, Ino(77), encode_set_attr({})); });
  refuse("cutting a directory", [](Forge& f) { f.add(RecordType::kTruncate, kDir, encode_truncate({0, {}, 0})); });
  refuse("punching a directory", [](Forge& f) { f.add(RecordType::kPunch, kDir, encode_punch({0, 1})); });
  refuse("allocating a directory", [](Forge& f) { f.add(RecordType::kAllocate, kDir, encode_allocate({0, 1, 0})); });
  refuse("cloning from nothing", [](Forge& f) { f.add(RecordType::kClone, kFile, encode_clone({Ino(77), 0, 0, 1, 1})); });
  refuse("an attribute that is not there", [](Forge& f) {
    f.add(RecordType::kRemoveXattr, kFile, encode_xattr({"user.b", ""}));
  });
  refuse("an attribute of nothing", [](Forge& f) { f.add(RecordType::kSetXattr, Ino(77), encode_xattr({"user.b", ""})); });
  refuse("freeing what has a name", [](Forge& f) { f.add(RecordType::kFree, Ino(), encode_free({kFile})); });
  refuse("freeing twice", [](Forge& f) { f.add(RecordType::kFree, Ino(), encode_free({kGone, kGone})); });
  refuse("a mark's number again", [](Forge& f) {
    f.add(RecordType::kMark, Ino(), encode_mark({MarkId(1), "b", "", 0, 0, ""}));
  });
  refuse("a mark's name again", [](Forge& f) {
    f.add(RecordType::kMark, Ino(), encode_mark({MarkId(2), "first", "", 0, 0, ""}));
  });
  refuse("the last mark there is", [](Forge& f) {
    f.add(RecordType::kMark, Ino(), encode_mark({MarkId(UINT64_MAX), "b", "", 0, 0, ""}));
  });
  refuse("a mark nobody made", [](Forge& f) {
    f.add(RecordType::kMarkChange, Ino(), encode_mark_change({MarkId(5), true}));
  });
  refuse("the wrong one after right ones",
         [](Forge& f) { f.blocks(kFile, 4, 1).node(Ino(9), kRootIno, "new", S_IFREG | 0644).blocks(kDir, 0, 1); });
  // Sizes beyond all bounds never pass the decoders.
  SetAttr huge;
  huge.mask = kSetSize;
  huge.size = kFileSizeMax;
  std::string beyond = encode_set_attr(huge);
  beyond.replace(16, 8, 8, '\xff');
  refuse("a size no file has", [&](Forge& f) { f.add(RecordType::kSetAttr, kFile, beyond); });

  // What is right is still taken, in one run with what it depends on.
  Forge good = site.forge();
  good.add(RecordType::kSetAttr, kFile, encode_set_attr(huge)).node(Ino(9), kDir, "new", S_IFDIR | 0755);
  good.rename(kBelow, {kDir, "below", Ino(9), "moved", false, Ino(), Ino()});
  good.rename(kFile, {kRootIno, "file", kRootIno, "other", false, kOther, Ino(12)});
  good.add(RecordType::kFree, Ino(), encode_free({kOther, kGone}))
      .add(RecordType::kRemoveXattr, kFile, encode_xattr({"user.a", ""}));
  good.add(RecordType::kMark, Ino(), encode_mark({MarkId(4), "second", "", 0, 0, ""}));
  good.add(RecordType::kMarkChange, Ino(), encode_mark_change({MarkId(4), true}));
  site.takes(good.run);
  site.reopens();
  site.takes(site.forge().blocks(kFile, 9, 2).run);
}

TEST_CASE("whatever random records a site is sent, it takes them whole or not at all, and opens again") {
  const uint64_t seed = Catch::rngSeed() != 0 ? Catch::rngSeed() : 20261121;
  std::cout << "seed " << seed << "\n";
  std::mt19937_64 random(seed);
  const auto below = [&](uint64_t bound) { return random() % bound; };
  Replica site;
  site.fill();
  int taken = 0, refused = 0;
  uint64_t next_ino = kGone.value() + 1;
  const char* const names[] = {"dir", "file", "other", "below", "a", "b", "c"};
  for (int round = 0; round < 3000; ++round) {
    Forge forge = site.forge();
    uint64_t next = next_ino;
    for (uint64_t steps = 1 + below(3); steps > 0; --steps) {
      const Ino ino(1 + below(next)), other(1 + below(next)), parent(below(2) == 0 ? 1 : 1 + below(next));
      const std::string_view name = names[below(7)], second = names[below(7)];
      switch (below(12)) {
        case 0:
        case 1: {
          constexpr uint32_t kModes[] = {S_IFREG | 0644, S_IFDIR | 0755, S_IFLNK | 0777};
          forge.node(Ino(below(8) == 0 ? below(next) : next++), parent, std::string(name), kModes[below(3)]);
          break;
        }
        case 2: forge.add(RecordType::kLink, ino, encode_link({parent, name})); break;
        case 3: forge.add(RecordType::kUnlink, ino, encode_link({parent, name})); break;
        case 4: {
          const bool exchange = below(3) == 0;
          forge.rename(ino, {parent, name, below(2) == 0 ? kRootIno : Ino(1 + below(next)), second, exchange,
                             exchange || below(2) == 0 ? other : Ino(), !exchange && below(8) == 0 ? Ino(next++) : Ino()});
          break;
        }
        case 5: forge.blocks(ino, below(64), 1 + below(16)); break;
        case 6: forge.add(RecordType::kTruncate, ino, encode_truncate({below(50) * 4096, {}, 0})); break;
        case 7:
          if (below(2) == 0)
            forge.add(RecordType::kAllocate, ino, encode_allocate({below(40), 1 + below(20), below(90'000)}));
          else
            forge.add(RecordType::kPunch, ino, encode_punch({below(40), 1 + below(20)}));
          break;
        case 8:
          forge.add(RecordType::kClone, ino, encode_clone({other, below(40), below(40), 1 + below(60), below(400'000)}));
          break;
        case 9:
          forge.add(below(2) == 0 ? RecordType::kSetXattr : RecordType::kRemoveXattr, ino, encode_xattr({name, ""}));
          break;
        case 10: forge.add(RecordType::kFree, Ino(), encode_free({ino, other})); break;
        default: forge.add(RecordType::kMark, Ino(), encode_mark({MarkId(1 + below(50)), name, "", 0, 0, ""})); break;
      }
    }
    const Position before = site.group->position();
    const auto answer = site.group->ingest(as_bytes(forge.run));
    INFO("round " << round << ": " << answer.status().text());
    ++(answer.ok() ? taken : refused);
    if (answer.ok()) next_ino = next;
    if (!answer.ok()) {
      REQUIRE(answer.status().code() == Code::kCorrupt);
      REQUIRE(site.group->position() == before);
    }
    if (round % 1000 == 999) site.reopens();
  }
  std::cout << taken << " runs taken, " << refused << " refused\n";
  CHECK(taken > 50);
  CHECK(refused > 500);
  // The tree has no circle, and everything in it can be reached and read.
  auto view = site.group->view(kLatest).value();
  std::vector<Ino> pending = {kRootIno};
  std::set<Ino> directories;
  while (!pending.empty()) {
    const Ino directory = pending.back();
    pending.pop_back();
    REQUIRE(directories.insert(directory).second);
    for (const DirEntry& entry : view->list(directory, "", 10'000).value()) {
      const auto attr = view->get_attr(entry.ino);
      REQUIRE(attr.ok());
      if (S_ISDIR(attr->mode)) pending.push_back(entry.ino);
      if (!S_ISREG(attr->mode)) continue;
      std::vector<std::byte> content(std::min<uint64_t>(attr->size, 4u << 20));
      REQUIRE(view->read(entry.ino, 0, content).ok());
    }
  }
}

TEST_CASE("a log that holds a name that leads elsewhere does not open, whoever wrote it") {
  Scratch scratch;
  const std::string directory = scratch / "v";
  REQUIRE(Group::init(directory, {.name = "test"}).ok());
  MakeNode body;
  body.parent = kRootIno;
  body.name = "XY";
  body.mode = S_IFREG | 0644;
  {
    auto log = LogWriter::open(posix_file_system(), system_clock(), directory + "/log", {}, Seq(), nullptr).value();
    const RecordDraft draft = make_draft(RecordType::kMakeNode, 1, Ino(2), with_name(encode_make_node(body), "XY", ".."));
    REQUIRE(log->append({&draft, 1}, Epoch(1)).ok());
    REQUIRE(log->sync(kLatest).ok());
  }
  CHECK(Group::open(directory, OpenMode::kPrimary).status().code() == Code::kCorrupt);
  CHECK(Group::open(directory, OpenMode::kRead).status().code() == Code::kCorrupt);
}

}  // namespace tidemark::test

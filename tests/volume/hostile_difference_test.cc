// A difference whose rows are each in order and together make what no tree is: refused before anything of the copy has changed.
#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <filesystem>

#include "log/read/cursor.h"
#include "tests/support/scratch.h"
#include "tests/volume/model.h"
#include "volume/difference/difference.h"
#include "volume/group/group.h"
#include "volume/index/keys.h"
#include "volume/index/rows.h"
#include "volume/tree/chunk_map.h"

namespace tidemark::test {
namespace {

using Row = std::pair<std::string, std::string>;
using Rows = std::vector<Row>;

GroupOptions small_segments() {
  GroupOptions options;
  options.log.segment_bytes = 16 * 1024;
  options.index_write_buffer_bytes = 1 << 20;
  return options;
}

std::unique_ptr<Group> open_group(const std::string& directory, OpenMode mode) {
  auto group = Group::open(directory, mode, small_segments());
  INFO(group.status().text());
  REQUIRE(group.ok());
  return std::move(group).value();
}

Ino make(Group& group, Ino parent, const std::string& name, uint32_t mode) {
  NewNode node{.mode = mode};
  if (S_ISLNK(mode)) node.symlink_target = "target of " + name;
  auto made = group.volume().make_node(parent, name, node);
  INFO(made.status().text());
  REQUIRE(made.ok());
  return made->ino;
}

void write(Group& group, Ino ino, int blocks) {
  const std::string content(static_cast<size_t>(blocks) * kBlockSize, static_cast<char>('a' + blocks));
  REQUIRE(group.volume().write(ino, 0, as_bytes(content), false).ok());
}

// A source, a copy that lacks what came last, and the difference between them.
struct World {
  Scratch scratch;
  std::unique_ptr<Group> source, copy;
  Ino old_file, old_directory, old_link, file, outer, inner, link, deep;
  DifferenceOffer offer;
  std::vector<std::string> records;
  Rows rows;
  std::optional<std::vector<MarkId>> held;

  World() {
    const std::string directory = scratch / "source";
    REQUIRE(Group::init(directory, {.name = "test"}, small_segments()).ok());
    source = open_group(directory, OpenMode::kPrimary);
    old_directory = make(*source, kRootIno, "old", S_IFDIR | 0755);
    old_file = make(*source, old_directory, "file", S_IFREG | 0644);
    old_link = make(*source, old_directory, "link", S_IFLNK | 0777);
    write(*source, old_file, 5);
    const Ino gone = make(*source, kRootIno, "gone", S_IFREG | 0644);
    REQUIRE(source->volume().unlink(kRootIno, "gone").ok());
    REQUIRE(source->volume().free_inodes({gone}).ok());
    REQUIRE(source->create_mark({.name = "before"}).ok());
    REQUIRE(Group::init_replica(scratch / "copy", source->identity(), small_segments()).ok());
    copy = open_group(scratch / "copy", OpenMode::kReplica);
    LogCursor cursor(source->log(), Seq(1));
    REQUIRE(copy->ingest(cursor.read(1 << 20, kLatest)->bytes).ok());
    REQUIRE(copy->position() == source->position());

    outer = make(*source, kRootIno, "outer", S_IFDIR | 0755);
    inner = make(*source, outer, "inner", S_IFDIR | 0755);
    deep = make(*source, inner, "deep", S_IFDIR | 0755);
    file = make(*source, inner, "file", S_IFREG | 0644);
    link = make(*source, inner, "link", S_IFLNK | 0777);
    write(*source, file, 3);
    write(*source, old_file, 7);
    REQUIRE(source->volume().set_xattr(file, "user.a", "1", Volume::XattrMode::kEither).ok());
    REQUIRE(source->volume().link(file, outer, "second").ok());
    REQUIRE(source->create_mark({.name = "after"}).ok());
    REQUIRE(source->sync().ok());
    const Seq from = copy->position().seq;
    PruneRequest request;
    request.to = source->newest();
    request.tombstones_from = from;
    request.copy_ends = {{from, from}};
    REQUIRE(source->prune(request).ok());
    collect();
  }

  void collect() {
    auto reader = source->read_difference(copy->position());
    INFO(reader.status().text());
    REQUIRE(reader.ok());
    offer = (*reader)->offer();
    (*reader)->begin(Ino(1), Seq());
    for (;;) {
      auto piece = (*reader)->next(1 << 20);
      REQUIRE(piece.ok());
      if (piece->kind == DifferencePiece::Kind::kEnd) break;
      if (piece->kind == DifferencePiece::Kind::kRecords) records.emplace_back(as_text(piece->bytes));
      if (piece->kind != DifferencePiece::Kind::kRows) continue;
      Decoder in(piece->bytes);
      while (!in.finished()) {
        const std::string key(in.get_text16());
        rows.emplace_back(key, in.get_text32());
      }
    }
    held = (*reader)->held_marks();
  }

  Status send(const Rows& sent, const DifferenceOffer& with) {
    auto writer = copy->begin_difference(with);
    if (!writer.ok()) return writer.status();
    for (const std::string& each : records) {
      if ((*writer)->staged() == Seq() || (*writer)->staged() == with.from.seq)
        REQUIRE((*writer)->add_records(as_bytes(each)).ok());
    }
    std::string bytes;
    for (const auto& [key, value] : sent) Encoder(bytes).put_text16(key).put_text32(value);
    Status taken = (*writer)->add_rows(as_bytes(bytes));
    return taken.ok() ? copy->finish_difference(**writer, held) : taken;
  }

  // The inode's row, changed.
  Rows with_attr(Ino ino, const std::function<void(Attr&)>& change) const {
    Rows changed = rows;
    for (auto& [key, value] : changed) {
      if (key[0] != 'I' || Ino(load_be64(key.data() + 1)) != ino) continue;
      Attr attr = decode_inode_row(ino, seq_of(key), value).value();
      change(attr);
      value = encode_inode_row(attr);
      return changed;
    }
    FAIL("the inode has no row");
    return changed;
  }
  Rows with(const std::string& subject, const std::string& value) const {
    Rows changed = rows;
    changed.emplace_back(as_of_key(subject, offer.target.base.seq), value);
    return changed;
  }
  Rows without(const std::string& subject) const {
    Rows changed;
    for (const Row& row : rows) {
      if (!is_as_of(row.first) || subject_of(row.first) != subject) changed.push_back(row);
    }
    REQUIRE(changed.size() + 1 == rows.size());
    return changed;
  }
};

}  // namespace

TEST_CASE("difference: rows that together make no tree are refused, and nothing has changed") {
  World world;
  const auto refused = [&](const char* what, const Rows& rows) {
    const Position before = world.copy->position();
    const Status taken = world.send(rows, world.offer);
    INFO(what << ": " << taken.text());
    CHECK(taken.code() == Code::kCorrupt);
    CHECK(taken.text().find("is not accepted") != std::string::npos);
    CHECK(world.copy->position() == before);
    CHECK(world.copy->log().gaps().empty());
  };
  const auto name = [](Ino ino, uint32_t type) { return encode_name_row({ino, type}); };
  refused("a circle", world.with_attr(world.outer, [&](Attr& attr) { attr.parent = world.deep; }));
  {
    Rows circle = world.with_attr(world.outer, [&](Attr& attr) { attr.parent = world.deep; });
    for (auto& [key, value] : circle) {
      if (key[0] == 'D' && subject_of(key) == name_subject(kRootIno, "outer"))
        key = as_of_key(name_subject(world.deep, "outer"), seq_of(key));
      if (key[0] != 'I') continue;
      const Ino ino(load_be64(key.data() + 1));
      Attr attr = decode_inode_row(ino, seq_of(key), value).value();
      if (ino == kRootIno) --attr.nlink;
      if (ino == world.deep) ++attr.nlink;
      value = encode_inode_row(attr);
    }
    refused("a circle with the right numbers", circle);
  }
  refused("a directory with two names", world.with(name_subject(kRootIno, "again"), name(world.inner, S_IFDIR)));
  refused("a name too few", world.without(name_subject(world.outer, "second")));
  refused("a name too many", world.with(name_subject(kRootIno, "third"), name(world.file, S_IFREG)));
  refused("a name of the past too many", world.with(name_subject(kRootIno, "third"), name(world.old_file, S_IFREG)));
  refused("a name taken away", world.with(name_subject(world.old_directory, "link"), ""));
  refused("a name of nothing", world.with(name_subject(kRootIno, "none"), name(Ino(4711), S_IFREG)));
  refused("a name of something else", world.with(name_subject(kRootIno, "none"), name(world.file, S_IFLNK)));
  refused("a name in a file", world.with(name_subject(world.file, "none"), name(world.file, S_IFREG)));
  refused("a link count", world.with_attr(world.file, [](Attr& attr) { attr.nlink = 7; }));
  refused("a directory's link count", world.with_attr(world.outer, [](Attr& attr) { attr.nlink = 9; }));
  refused("an inode without a name", world.with_attr(world.file, [](Attr& attr) { attr.nlink = 0; }));
  refused("a root that is a file", world.with_attr(kRootIno, [](Attr& attr) { attr.mode = S_IFREG | 0644; }));
  refused("a file that became a device", world.with_attr(world.old_file, [](Attr& attr) { attr.mode = S_IFBLK | 0644; }));
  refused("attributes that are not there", world.with_attr(world.file, [](Attr& attr) { attr.xattr_count = 5; }));
  refused("blocks that are not there", world.with_attr(world.file, [](Attr& attr) { attr.blocks += 1; }));
  Attr attr = world.source->volume().get_attr(world.file).value();
  attr.nlink = 0;
  refused("a number that was not used yet", world.with(inode_subject(world.offer.target.next_ino), encode_inode_row(attr)));
  refused("a number that was used before", world.with(inode_subject(world.old_link.next()), encode_inode_row(attr)));
  refused("an attribute of nothing", world.with(xattr_subject(Ino(4711), "user.a"), encode_xattr_row("x")));
  refused("content of a directory", [&] {
    Rows rows = world.rows;
    for (const auto& [key, value] : world.rows) {
      if (key[0] == 'E') rows.emplace_back(as_of_key(extent_subject(world.outer, 0), seq_of(key)), value);
    }
    return rows;
  }());
  const auto changed = [&](const std::string& key, const std::string& value) {
    Rows rows = world.rows;
    rows.emplace_back(key, value);
    return rows;
  };
  refused("a symbolic link of the past", changed(symlink_key(world.old_link), "elsewhere"));
  refused("a target of a file", changed(symlink_key(world.file), "elsewhere"));
  Mark mark = world.source->find_mark("after").value();
  mark.id = mark.id.prev();
  refused("a mark of the past", changed(mark_key(mark.id), encode_mark_row(mark)));
  Rows twice = world.rows;
  for (auto& [key, value] : twice) {
    if (key[0] != 'K') continue;
    Mark again = decode_mark_row(value).value();
    if (again.name != "after") continue;
    again.name = "before";
    value = encode_mark_row(again);
  }
  refused("a mark's name that is taken", twice);

  const Status taken = world.send(world.rows, world.offer);
  INFO(taken.text());
  REQUIRE(taken.ok());
  CHECK(dump_view(**world.copy->view(kLatest)) == dump_view(**world.source->view(kLatest)));
  CHECK_FALSE(std::filesystem::exists(world.scratch / "copy/index.incoming"));
}

}  // namespace tidemark::test

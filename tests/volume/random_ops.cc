#include "tests/volume/random_ops.h"

#include <sys/stat.h>

#include <catch2/catch.hpp>

namespace tidemark::test {
namespace {

template <class T>
Code code_of(const Result<T>& result) {
  return result.ok() ? Code::kOk : result.status().code();
}
Code code_of(const Status& status) { return status.code(); }

}  // namespace

Ino RandomOps::any() {
  const auto all = model_.all();
  return all[below(all.size())];
}

// Few names, so that they collide; a newline and bytes that are no UTF-8 among them.
std::string RandomOps::name() {
  static const char* const kNames[] = {"a", "b", "c", "d e", "f\n", "\xff\xfe", "long-name-long-name", "z", "aa", "ab"};
  return kNames[below(10)];
}

std::string RandomOps::bytes(uint64_t size) {
  std::string made(size, '\0');
  if (below(3) == 0) {
    std::fill(made.begin(), made.end(), static_cast<char>('a' + below(26)));  // shrinks
  } else {
    for (char& byte : made) byte = static_cast<char>(random_());
  }
  return made;
}

uint64_t RandomOps::offset(Ino) {
  uint64_t at = below(300'000);
  if (below(2) == 0) at = at / kBlockSize * kBlockSize;
  return at;
}

void RandomOps::make() {
  const Ino parent = any();
  const std::string wanted = name();
  NewNode node;
  const uint64_t kind = below(6);
  node.mode = kind == 0 ? S_IFLNK | 0777u : kind <= 2 ? S_IFDIR | 0755u : S_IFREG | 0644u;
  if (kind == 0) node.symlink_target = "to/" + name();
  auto made = volume_.get().make_node(parent, wanted, node);
  const Code code = code_of(made);
  Code expected = model_.make_node(parent, wanted, node.mode, node.symlink_target, made.ok() ? made->ino : Ino(0));
  // A parent that is no directory at all is told apart by the engine.
  if (expected == Code::kNotFound && code == Code::kNotDirectory) expected = code;
  REQUIRE(code_name(code) == code_name(expected));
}

void RandomOps::names_step(uint64_t kind) {
  Volume& volume = volume_;
  const Ino parent = any();
  const std::string wanted = name();
  Code code = Code::kOk, expected = Code::kOk;
  if (kind == 0) {
    const Ino ino = any();
    code = code_of(volume.link(ino, parent, wanted));
    expected = model_.link(ino, parent, wanted);
  } else if (kind == 1) {
    code = code_of(volume.unlink(parent, wanted));
    expected = model_.unlink(parent, wanted);
  } else if (kind == 2) {
    code = code_of(volume.remove_directory(parent, wanted));
    expected = model_.remove_directory(parent, wanted);
  } else if (kind == 3) {
    const Ino to = any();
    const std::string to_name = name();
    const auto mode = static_cast<RenameMode>(below(3));
    code = code_of(volume.rename(parent, wanted, to, to_name, mode, 0, 0));
    expected = model_.rename(parent, wanted, to, to_name, mode);
  } else {
    const Ino ino = any();
    code = code_of(volume.free_inodes({ino, ino}));
    model_.free(ino);
  }
  if (expected == Code::kNotFound && code == Code::kNotDirectory) expected = code;
  INFO("names kind " << kind << " parent " << parent.value() << " name " << wanted);
  REQUIRE(code_name(code) == code_name(expected));
}

void RandomOps::data_step(uint64_t kind) {
  Volume& volume = volume_;
  const Ino ino = any();
  Code code = Code::kOk, expected = Code::kOk;
  const uint64_t at = offset(ino);
  const uint64_t size = below(3) == 0 ? below(200'000) + 1 : below(9'000) + 1;
  if (kind <= 3) {
    const std::string data = bytes(kind == 0 ? (size / kBlockSize + 1) * kBlockSize : size);
    code = code_of(volume.write(ino, at, as_bytes(data), below(2) == 0));
    expected = model_.write(ino, at, data);
  } else if (kind == 4) {
    SetAttr change;
    change.mask = kSetSize;
    change.size = at;
    code = code_of(volume.set_attr(ino, change));
    expected = model_.resize(ino, at);
  } else if (kind == 5) {
    code = code_of(volume.punch(ino, at, size));
    expected = model_.punch(ino, at, size);
  } else if (kind == 6) {
    const Ino target = any();
    const uint64_t target_at = offset(target);
    code = code_of(volume.copy_range(ino, at, target, target_at, size));
    expected = model_.copy_range(ino, at, target, target_at, size);
  } else if (kind == 8) {
    const bool keep_size = below(2) == 0;
    code = code_of(volume.allocate(ino, at, size, keep_size));
    expected = model_.allocate(ino, at, size, keep_size);
  } else if (kind == 7) {
    SetAttr change;
    change.mask = kSetMode;
    change.mode = static_cast<uint32_t>(below(01000));
    code = code_of(volume.set_attr(ino, change));
    expected = model_.set_mode(ino, change.mode);
  } else {
    const std::string key = below(2) == 0 ? "user.k" : "user.l";
    if (below(2) == 0) {
      const std::string value = bytes(below(60));
      code = code_of(volume.set_xattr(ino, key, value, Volume::XattrMode::kEither));
      expected = model_.set_xattr(ino, key, value);
    } else {
      code = code_of(volume.remove_xattr(ino, key));
      expected = model_.remove_xattr(ino, key);
    }
  }
  INFO("data kind " << kind << " ino " << ino.value() << " at " << at << " size " << size);
  REQUIRE(code_name(code) == code_name(expected));
}

void RandomOps::step() {
  const uint64_t kind = below(20);
  if (kind < 5) return make();
  if (kind < 10) return names_step(below(5));
  data_step(below(10));
}

}  // namespace tidemark::test

#include "log/write/durable_note.h"

#include <array>
#include <cstring>

#include "base/bytes.h"
#include "base/hash.h"
#include "log/format/position.h"

namespace tidemark {
namespace {

constexpr std::string_view kMagic = "TIDEDURA";
constexpr uint16_t kVersion = 2;
constexpr size_t kSlotSize = 80;
// Where the check lies in a slot of a version.
constexpr size_t check_at(uint16_t version) { return version == 1 ? 64 : 72; }
constexpr uint64_t kSlotSpacing = 4096;  // the two share no sector
constexpr const char* kBootIdPath = "/proc/sys/kernel/random/boot_id";

std::string note_path(const std::string& directory) { return directory + "/durable"; }

uint64_t boot_hash(FileSystem& files) {
  const auto file = files.open(kBootIdPath, FileSystem::Open::kRead);
  if (!file.ok()) return 0;
  std::array<std::byte, 64> text{};
  const auto got = (*file)->read(0, text);
  return got.ok() && *got > 0 ? hash64(Bytes(text).first(*got)) : 0;
}

std::string encode_slot(const GroupId& group, const Position& position, Seq settled, uint64_t boot) {
  std::string slot;
  Encoder out(slot);
  out.put_raw(kMagic).put(kVersion).put_raw(std::string(6, '\0')).put_raw(as_text(Bytes(group)));
  out.put(position.epoch.value()).put(position.seq.value()).put(position.chain).put(boot);
  out.put(settled.value());
  out.put(hash64(as_bytes(slot)));
  return slot;
}

struct Slot {
  Position position;
  Seq settled;
  uint64_t boot = 0;
};

bool decode_slot(Bytes bytes, const GroupId& group, Slot& slot) {
  if (bytes.size() < check_at(1) + 8 || as_text(bytes.first(kMagic.size())) != kMagic) return false;
  const auto version = load_le<uint16_t>(bytes.data() + 8);
  if (version == 0 || version > kVersion || bytes.size() < check_at(version) + 8) return false;
  if (load_le<uint64_t>(bytes.data() + check_at(version)) != hash64(bytes.first(check_at(version)))) return false;
  if (std::memcmp(bytes.data() + 16, group.data(), group.size()) != 0) return false;
  const auto number = [&](size_t at) { return load_le<uint64_t>(bytes.data() + at); };
  slot = {{Epoch(number(32)), Seq(number(40)), number(48)}, Seq(number(version == 1 ? 40 : 64)), number(56)};
  return true;
}

// Both slots, the sound ones; `newest` gets the place of the newest.
Slot read_slots(File& file, const GroupId& group, uint64_t& newest) {
  Slot found;
  for (uint64_t place = 0; place < 2; ++place) {
    std::array<std::byte, kSlotSize> bytes{};
    Slot slot;
    const auto got = file.read(place * kSlotSpacing, bytes);
    if (!got.ok() || !decode_slot(Bytes(bytes).first(*got), group, slot)) continue;
    if (slot.position.seq < found.position.seq) continue;
    found = slot;
    newest = place;
  }
  return found;
}

}  // namespace

DurableKnowledge read_durable_note(FileSystem& files, const std::string& directory, const GroupId& group) {
  const auto file = files.open(note_path(directory), FileSystem::Open::kRead);
  if (!file.ok()) return {};
  uint64_t place = 0;
  const Slot slot = read_slots(**file, group, place);
  return {slot.position, slot.settled, slot.boot != 0 && slot.boot == boot_hash(files)};
}

DurableNote::DurableNote(FileSystem& files, std::string directory, const GroupId& group)
    : files_(files),
      directory_(std::move(directory)),
      group_(group),
      boot_(boot_hash(files)),
      known_(read_durable_note(files, directory_, group)) {}

Status DurableNote::open() {
  const std::string path = note_path(directory_);
  auto opened = files_.open(path, FileSystem::Open::kReadWrite);
  if (!opened.ok() && opened.status().code() == Code::kNotFound) {
    TM_TRY(write_file_atomically(files_, path, std::string(kSlotSpacing + kSlotSize, '\0')));
    opened = files_.open(path, FileSystem::Open::kReadWrite);
  }
  TM_ASSIGN(file_, std::move(opened));
  uint64_t newest = 1;
  (void)read_slots(*file_, group_, newest);
  next_slot_ = 1 - newest;
  return Status();
}

Status DurableNote::write(const Position& position, Seq settled) {
  if (file_ == nullptr) TM_TRY(open());
  const std::string slot = encode_slot(group_, position, settled, boot_);
  const iovec part{const_cast<char*>(slot.data()), slot.size()};
  TM_TRY(file_->write(next_slot_ * kSlotSpacing, {&part, 1}));
  TM_TRY(file_->sync());
  next_slot_ = 1 - next_slot_;
  known_.position = position;
  known_.settled = settled;
  return Status();
}

Status DurableNote::lower(const Position& position, Seq settled) {
  for (int slot = 0; slot < 2; ++slot) TM_TRY(write(position, settled));
  return Status();
}

}  // namespace tidemark

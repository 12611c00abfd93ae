#include "replicator/site/heard_note.h"

#include <array>

#include "base/hash.h"

namespace tidemark {
namespace {

constexpr std::string_view kMagic = "TIDEHEAR";
constexpr size_t kCheckAt = 24;
constexpr size_t kSize = 32;

std::string note_path(const std::string& directory) { return directory + "/heard"; }

std::string encode(const Heard& heard) {
  std::string text(kMagic);
  Encoder(text).put(heard.time_ns).put(heard.newest.value());
  Encoder(text).put(hash64(as_bytes(text)));
  return text;
}

}  // namespace

Heard read_heard(FileSystem& files, const std::string& directory) {
  const auto file = files.open(note_path(directory), FileSystem::Open::kRead);
  std::array<std::byte, kSize> bytes{};
  if (!file.ok()) return {};
  const auto got = (*file)->read(0, bytes);
  if (!got.ok() || *got != kSize || as_text(Bytes(bytes).first(kMagic.size())) != kMagic) return {};
  if (load_le<uint64_t>(bytes.data() + kCheckAt) != hash64(Bytes(bytes).first(kCheckAt))) return {};
  return {load_le<int64_t>(bytes.data() + 8), Seq(load_le<uint64_t>(bytes.data() + 16))};
}

Status HeardNote::write(const Heard& heard) {
  const std::string text = encode(heard);
  if (file_ == nullptr) {
    const std::string path = note_path(directory_);
    auto opened = files_.open(path, FileSystem::Open::kReadWrite);
    if (opened.status().code() == Code::kNotFound) opened = files_.open(path, FileSystem::Open::kCreateNew);
    TM_ASSIGN(file_, std::move(opened));
  }
  const iovec part{const_cast<char*>(text.data()), text.size()};
  return file_->write(0, {&part, 1});
}

}  // namespace tidemark

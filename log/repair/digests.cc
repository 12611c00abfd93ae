#include "log/repair/digests.h"

#include <algorithm>
#include <cstring>

#include "base/hash.h"
#include "log/format/segment.h"

namespace tidemark {
namespace {

constexpr std::string_view kMagic = "TIDEDIGE";
constexpr size_t kCheckAt = 56;
constexpr size_t kReadStep = size_t{1} << 20;
constexpr uint64_t kTidyLeast = 1'024;  // entries; fewer are not worth writing anew

std::string path_in(const std::string& directory) { return directory + "/digests"; }

bool sound(Bytes entry) { return load_le<uint64_t>(entry.data() + kCheckAt) == hash64(entry.first(kCheckAt)); }

std::string encode_entry(const std::pair<uint64_t, uint64_t>& key, const PartDigest& part) {
  std::string entry;
  Encoder out(entry);
  out.put(key.first).put(key.second).put(part.bytes).put_raw(as_text(Bytes(part.digest)));
  out.put(hash64(as_bytes(entry)));
  return entry;
}

}  // namespace

static_assert(8 + 8 + 8 + sizeof(Digest) + 8 == kDigestEntrySize);

Result<Digest> digest_of(File& file, bool packed, uint64_t bytes, const Patches& patches) {
  Digester digester;
  TM_TRY(add_to_digest(digester, file, packed ? 0 : kSegmentHeaderSize, bytes, patches));
  return digester.finish();
}

Status add_to_digest(Digester& digester, File& file, uint64_t from_byte, uint64_t end, const Patches& patches) {
  Buffer buffer(static_cast<size_t>(std::min<uint64_t>(kReadStep, end - std::min(from_byte, end))));
  for (uint64_t at = from_byte; at < end;) {
    const auto size = static_cast<size_t>(std::min<uint64_t>(kReadStep, end - at));
    TM_ASSIGN(const size_t got, file.read(at, buffer.span().first(size)));
    if (got < size) return Status(Code::kCorrupt, "the file ends before its part does");
    for (auto patch = patches.begin(); patch != patches.end() && patch->first < at + size; ++patch) {
      const uint64_t from = std::max(patch->first, at);
      const uint64_t to = std::min(patch->first + patch->second.size(), at + size);
      if (from < to) std::memcpy(buffer.data() + (from - at), patch->second.data() + (from - patch->first), to - from);
    }
    digester.add(buffer.bytes().first(size));
    at += size;
  }
  return Status();
}

DigestBook::Key DigestBook::key_of(const LogPart& part) {
  return part.pack ? Key(part.pack->first.value(), part.pack->made_for.value()) : Key(part.segment.value(), 0);
}

std::string DigestBook::header() const {
  std::string text;
  Encoder out(text);
  out.put_raw(kMagic).put(kDigestsVersion).put_raw(std::string(6, '\0')).put_raw(as_text(Bytes(group_)));
  out.put_raw(std::string(24, '\0')).put(hash64(as_bytes(text)));
  return text;
}

Result<DigestBook> DigestBook::load(FileSystem& files, const std::string& directory, const GroupId& group) {
  DigestBook book;
  book.group_ = group;
  const auto file = files.open(path_in(directory), FileSystem::Open::kRead);
  if (file.status().code() == Code::kNotFound) return book;
  TM_TRY(file.status());
  TM_ASSIGN(const uint64_t size, (*file)->size());
  SegmentWindow window(**file, size, kReadStep);
  TM_ASSIGN(const Bytes head, window.view(0, kDigestEntrySize));
  if (head.size() < kDigestEntrySize || !sound(head)) return book;  // written anew with the next
  if (as_text(head.first(kMagic.size())) != kMagic || std::memcmp(head.data() + 16, group.data(), group.size()) != 0)
    return book;
  if (load_le<uint16_t>(head.data() + 8) != kDigestsVersion) {
    return Status(Code::kUnsupported, path_in(directory) + " was written by a newer version of tidemark");
  }
  book.written_ = (size - kDigestEntrySize) / kDigestEntrySize;
  for (uint64_t at = kDigestEntrySize; at + kDigestEntrySize <= size; at += kDigestEntrySize) {
    TM_ASSIGN(const Bytes entry, window.view(at, kDigestEntrySize));
    if (entry.size() < kDigestEntrySize || !sound(entry)) continue;
    const Key key(load_le<uint64_t>(entry.data()), load_le<uint64_t>(entry.data() + 8));
    PartDigest part;
    part.bytes = load_le<uint64_t>(entry.data() + 16);
    std::memcpy(part.digest.data(), entry.data() + 24, part.digest.size());
    book.entries_[key] = part;
    if (key.second == 0) book.newest_ = std::max(book.newest_, Seq(key.first));
  }
  return book;
}

std::optional<PartDigest> DigestBook::find(const LogPart& part) const {
  const auto found = entries_.find(key_of(part));
  if (found == entries_.end()) return std::nullopt;
  return found->second;
}

Status DigestBook::add(FileSystem& files, const std::string& directory, const LogPart& part, const PartDigest& digest) {
  const Key key = key_of(part);
  const std::string entry = encode_entry(key, digest);
  if (written_ == 0 && entries_.empty()) {
    TM_TRY(write_file_atomically(files, path_in(directory), header() + entry));
  } else {
    // What an interrupted write left is written over.
    TM_ASSIGN(const auto file, files.open(path_in(directory), FileSystem::Open::kReadWrite));
    const iovec bytes{const_cast<char*>(entry.data()), entry.size()};
    TM_TRY(file->write((written_ + 1) * kDigestEntrySize, {&bytes, 1}));
    TM_TRY(file->sync());
  }
  ++written_;
  entries_[key] = digest;
  if (key.second == 0) newest_ = std::max(newest_, part.segment);
  return Status();
}

Status DigestBook::tidy(FileSystem& files, const std::string& directory, Seq first, const std::vector<PackInfo>& packs) {
  std::map<Key, PartDigest> kept;
  for (auto each = entries_.lower_bound(Key(first.value(), 0)); each != entries_.end(); ++each) {
    if (each->first.second == 0) kept.insert(*each);
  }
  for (const PackInfo& pack : packs) {
    const auto found = entries_.find(key_of({Seq(), pack}));
    if (found != entries_.end()) kept.insert(*found);
  }
  if (written_ < kTidyLeast || written_ < 2 * kept.size()) return Status();
  return replace(files, directory, std::move(kept));
}

Status DigestBook::forget(FileSystem& files, const std::string& directory, Seq from) {
  std::map<Key, PartDigest> kept = entries_;
  if (std::erase_if(kept, [&](const auto& each) { return each.first.second == 0 && each.first.first >= from.value(); }) == 0)
    return Status();
  TM_TRY(replace(files, directory, std::move(kept)));
  newest_ = Seq();
  for (const auto& [key, part] : entries_) {
    if (key.second == 0) newest_ = std::max(newest_, Seq(key.first));
  }
  return Status();
}

Status DigestBook::replace(FileSystem& files, const std::string& directory, std::map<Key, PartDigest> kept) {
  std::string text = header();
  for (const auto& [key, part] : kept) text += encode_entry(key, part);
  TM_TRY(write_file_atomically(files, path_in(directory), text));
  written_ = kept.size();
  entries_ = std::move(kept);
  return Status();
}

}  // namespace tidemark

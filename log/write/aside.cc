#include "log/write/aside.h"

#include <array>
#include <cstring>

#include "base/bytes.h"
#include "base/hash.h"

namespace tidemark {
namespace {

constexpr std::string_view kMagic = "TIDECUTS";
constexpr uint16_t kVersion = 1;
constexpr size_t kHeadSize = 80;
constexpr size_t kCheckAt = 72;

}  // namespace

std::string aside_path(const std::string& directory) { return directory + "/aside"; }

Result<CutNote> read_cut_note(FileSystem& files, const std::string& directory, const GroupId& group) {
  const auto file = files.open(aside_path(directory), FileSystem::Open::kRead);
  if (!file.ok() && file.status().code() == Code::kNotFound) return CutNote();
  if (!file.ok()) return file.status();
  std::array<std::byte, kHeadSize> head{};
  TM_ASSIGN(const size_t got, (*file)->read(0, head));
  const bool ours = got == kHeadSize && as_text(Bytes(head).first(kMagic.size())) == kMagic &&
                    load_le<uint16_t>(head.data() + 8) == kVersion &&
                    std::memcmp(head.data() + 16, group.data(), group.size()) == 0 &&
                    load_le<uint64_t>(head.data() + kCheckAt) == hash64(Bytes(head).first(kCheckAt));
  if (!ours) return CutNote();
  const auto number = [&](size_t at) { return load_le<uint64_t>(head.data() + at); };
  return CutNote{number(32), {Epoch(number(40)), Seq(number(48)), number(56)}};
}

Status put_aside(FileSystem& files, const std::string& directory, const GroupId& group, const Position& after,
                 std::string_view records) {
  TM_ASSIGN(const CutNote before, read_cut_note(files, directory, group));
  std::string content;
  Encoder out(content);
  out.put_raw(kMagic).put(kVersion).put_raw(std::string(6, '\0')).put_raw(as_text(Bytes(group)));
  out.put(before.cuts + 1).put(after.epoch.value()).put(after.seq.value()).put(after.chain);
  out.put(uint64_t{records.size()});
  out.put(hash64(as_bytes(content)));
  content += records;
  return write_file_atomically(files, aside_path(directory), content);
}

}  // namespace tidemark

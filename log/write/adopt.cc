#include "log/write/adopt.h"

#include "base/logging.h"
#include "log/format/segment.h"

namespace tidemark {
namespace {

constexpr uint64_t kProbe = uint64_t{1} << 20;  // as much as any file system's block, and a multiple of it

Status punch_dead(FileSystem& files, const std::string& directory, const GroupId& group, const PackInfo& pack) {
  TM_ASSIGN(const auto open, Pack::open(files, directory, pack, group));
  TM_ASSIGN(const auto file, files.open(records_path(directory, pack), FileSystem::Open::kReadWrite));
  TM_ASSIGN(const uint64_t size, file->size());
  uint64_t needed_to = kSegmentHeaderSize;
  const auto release_up_to = [&](uint64_t at) { return at > needed_to ? file->punch(needed_to, at - needed_to) : Status(); };
  Status released = open->entries([&](const PackEntry& entry) {
    Status done = release_up_to(entry.at);
    needed_to = entry.at + entry.size;
    return done;
  });
  TM_TRY(released);
  TM_TRY(release_up_to(size));
  return file->sync();
}

}  // namespace

// Asked about what lies behind its end, a file system that has holes has nothing to do.
bool can_release(FileSystem& files, const std::string& directory, Seq first) {
  const auto file = files.open(segment_path(directory, first), FileSystem::Open::kReadWrite);
  if (!file.ok()) return false;
  const auto size = (*file)->size();
  return size.ok() && (*file)->punch((*size / kProbe + 1) * kProbe, kProbe).ok();
}

void release_dead(FileSystem& files, const std::string& directory, const GroupId& group, const PackInfo& pack) {
  const Status released = punch_dead(files, directory, group, pack);
  if (released.ok()) return;
  log_warning(directory + ": the unneeded parts of segment " + segment_name(pack.first) +
              " could not be freed: " + released.text());
}

void release_last_adopted(FileSystem& files, const std::string& directory, const Floor& floor) {
  size_t done = 0;
  for (auto pack = floor.packs.rbegin(); pack != floor.packs.rend() && done < kAdoptedInStep; ++pack) {
    if (pack->adopted == 0 || pack->made_for != floor.base.seq) continue;
    ++done;
    release_dead(files, directory, floor.group, *pack);
  }
}

}  // namespace tidemark

#include "volume/history/base_image.h"

#include <algorithm>
#include <set>

#include "log/repair/verify.h"
#include "volume/difference/difference.h"
#include "volume/difference/gap_rows.h"
#include "volume/group/directory.h"
#include "volume/tree/chunk_map.h"

namespace tidemark {
namespace {

constexpr size_t kLoadBatchBytes = size_t{4} << 20;

// Rows that are not as-of: marks up to the base. Their names stay taken for ever.
Status add_marks(Index& index, Seq base, RowFileWriter& image) {
  IndexScan rows = index.scan();
  for (rows.seek("K"); rows.valid() && rows.key()[0] == 'K'; rows.next()) {
    TM_ASSIGN(const Mark mark, decode_mark_row(rows.value()));
    if (mark.seq > base) continue;
    TM_TRY(image.add(rows.key(), rows.value()));
    std::string id;
    append_be64(id, mark.id.value());
    TM_TRY(image.add(mark_name_key(mark.name), id));
    image.header.next_mark = std::max(image.header.next_mark, mark.id.next());
  }
  return rows.status();
}

Status fill_image(Index& index, const BaseImageOrder& order, RowFileWriter& image) {
  BaseRows rows(index, order.rule);
  BaseVisitor visitor;
  visitor.keep = [&](std::string_view key, std::string_view value, bool) -> Status {
    if (order.stop != nullptr && order.stop->load()) return Status(Code::kInterrupted, "pruning was interrupted");
    if (key[0] == 'I' && !value.empty()) {
      ++image.header.inodes;
      const Ino ino(load_be64(key.data() + 1));
      TM_ASSIGN(const Attr attr, decode_inode_row(ino, seq_of(key), value));
      if (attr.nlink == 0) TM_TRY(image.add(unnamed_key(ino), ""));
    }
    return image.add(key, value);
  };
  TM_TRY(rows.walk(visitor));
  image.header.next_ino = std::max(image.header.next_ino, rows.next_ino());
  return add_marks(index, order.rule.base, image);
}

std::string digits(Seq seq) {
  const std::string text = std::to_string(seq.value());
  return std::string(20 - text.size(), '0') + text;
}

}  // namespace

std::string base_image_path(const std::string& directory, Seq base) {
  return base_directory(directory) + "/" + digits(base) + ".base";
}

Result<BaseHeader> write_base_image(FileSystem& files, const std::string& directory, Index& index,
                                    const BaseImageOrder& order) {
  if (Status made = files.make_directory(base_directory(directory)); made.ok()) {
    TM_TRY(files.sync_directory(directory));
  } else if (made.code() != Code::kExists) {
    return made;
  }
  const std::string path = base_image_path(directory, order.rule.base);
  const std::string scratch = path + ".new";
  if (Status removed = files.remove(scratch); !removed.ok() && removed.code() != Code::kNotFound) return removed;
  TM_ASSIGN(const auto writer, RowFileWriter::create(files, scratch));
  RowFileWriter& image = *writer;
  image.header.base = order.base;
  image.header.time_ns = order.time_ns;
  image.header.tombstones_from = order.rule.tombstones_from;
  image.header.group = order.group;
  image.header.next_ino = std::max(Ino(2), order.before.next_ino);
  image.header.next_mark = std::max(MarkId(1), order.before.next_mark);
  TM_TRY(fill_image(index, order, image));
  TM_TRY(image.finish());
  TM_TRY(files.rename(scratch, path));
  TM_TRY(files.sync_directory(base_directory(directory)));
  return image.header;
}

namespace {

Result<std::unique_ptr<RowFileReader>> open_image(FileSystem& files, const std::string& directory, Seq base) {
  TM_ASSIGN(auto image, RowFileReader::open(files, base_image_path(directory, base)));
  if (image->header().base.seq != base) return image->damaged("it is the image of another base");
  return image;
}

// Fills `index` in batches. Returns what is still to be written, so that the position comes with the last rows.
Status load_rows(RowFileReader& rows, Index& index, IndexBatch& batch) {
  return rows.each([&](std::string_view key, std::string_view value) -> Status {
    batch.put(key, value);
    if (batch.bytes() < kLoadBatchBytes) return Status();
    TM_TRY(index.write(batch));
    batch.clear();
    return Status();
  });
}

}  // namespace

Result<BaseHeader> read_base_header(FileSystem& files, const std::string& directory, Seq base) {
  TM_ASSIGN(const auto image, open_image(files, directory, base));
  return image->header();
}

Result<BaseHeader> read_base_image(FileSystem& files, const std::string& directory, Seq base, const RowVisitor& visit) {
  TM_ASSIGN(const auto image, open_image(files, directory, base));
  TM_TRY(image->each(visit));
  return image->header();
}

Status load_base_image(FileSystem& files, const std::string& directory, const Position& base, Index& index) {
  TM_ASSIGN(const auto image, open_image(files, directory, base.seq));
  const BaseHeader& header = image->header();
  if (header.base != base) return image->damaged("it is of another history than the log");
  IndexBatch batch;
  TM_TRY(load_rows(*image, index, batch));
  Meta meta;
  meta.applied = base;
  meta.next_ino = header.next_ino;
  meta.next_mark = header.next_mark;
  meta.inodes = header.inodes;
  meta.group = header.group;
  batch.put(kSweptKey, encode_swept({base.seq, header.tombstones_from}));
  batch.put(kMetaKey, encode_meta(meta));
  return index.write(batch);
}

namespace {

Status verify_gap_rows(FileSystem& files, const std::string& directory, const Gap& gap, LogVerdict& verdict) {
  const auto rows = RowFileReader::open(files, gap_rows_path(directory, gap.to.seq));
  const Status read = rows.ok() ? (*rows)->each(nullptr) : rows.status();
  if (!read.ok() && read.code() != Code::kCorrupt && read.code() != Code::kNotFound) return read;
  if (read.ok() && (*rows)->header().base == gap.to) {
    verdict.bytes += (*rows)->header().bytes;
    return Status();
  }
  if (const auto now = read_floor(files, log_directory(directory));
      now.ok() && std::find(now->gaps.begin(), now->gaps.end(), gap) == now->gaps.end()) {
    return Status();  // pruned meanwhile
  }
  const std::string name = gap_rows_path("", gap.to.seq).substr(1);
  verdict.damage.push_back({name, 0, gap.to.seq, Ino(), RecordFault::kPayloadDamaged});
  return Status();
}

}  // namespace

Status verify_base_image(FileSystem& files, const std::string& directory, LogVerdict& verdict) {
  const auto floor = read_floor(files, log_directory(directory));
  if (!floor.ok()) return Status();  // a damaged floor is the log's to report
  for (const Gap& gap : floor->gaps) {
    if (gap.from.seq != Seq()) TM_TRY(verify_gap_rows(files, directory, gap, verdict));
  }
  if (floor->base.seq == Seq()) return Status();
  const auto header = read_base_image(files, directory, floor->base.seq, nullptr);
  const Code code = header.status().code();
  if (!header.ok() && code != Code::kCorrupt && code != Code::kNotFound) return header.status();
  // Pruned meanwhile: then there is a newer one, and nobody asked for this one.
  if (const auto now = read_floor(files, log_directory(directory)); now.ok() && now->base != floor->base) return Status();
  if (header.ok() && header->base == floor->base) {
    verdict.bytes += header->bytes;
    return Status();
  }
  const std::string name = base_image_path("", floor->base.seq).substr(1);
  verdict.damage.push_back({name, 0, floor->base.seq, Ino(), RecordFault::kPayloadDamaged});
  return Status();
}

Status tidy_base_images(FileSystem& files, const std::string& directory, const Log& log) {
  std::set<std::string> kept;
  if (log.base() != Seq()) kept.insert(base_image_path(directory, log.base()));
  for (const Gap& gap : log.gaps()) kept.insert(gap_rows_path(directory, gap.to.seq));
  TM_ASSIGN(const bool there, files.exists(base_directory(directory)));
  if (!there) return Status();
  TM_ASSIGN(const auto names, files.list(base_directory(directory)));
  bool removed = false;
  for (const std::string& name : names) {
    const std::string path = base_directory(directory) + "/" + name;
    if (kept.contains(path)) continue;
    TM_TRY(files.remove(path));
    removed = true;
  }
  return removed ? files.sync_directory(base_directory(directory)) : Status();
}

std::string encode_swept(const BaseRule& rule) {
  std::string value;
  Encoder(value).put(rule.base.value()).put(rule.tombstones_from.value());
  return value;
}

Result<BaseRule> swept(Index& index) {
  TM_ASSIGN(const auto row, index.get(kSweptKey));
  BaseRule rule;
  if (!row) return rule;
  Decoder in(*row);
  rule.base = Seq(in.get<uint64_t>());
  rule.tombstones_from = Seq(in.get<uint64_t>());
  if (in.finished()) return rule;
  return Status(Code::kCorrupt, "the index holds a damaged row; remove DIR/index to have it rebuilt");
}

Result<LiveWindow> find_needed_records(Index& index, const BaseRule& rule, uint64_t from, uint64_t end, size_t offsets_max) {
  LiveWindow window;
  window.end = end;
  size_t count = 0;
  // Every offset once; then, if there are still too many, the highest segments are left for the next window.
  const auto compact = [&] {
    count = 0;
    for (auto& [segment, offsets] : window.offsets) {
      std::sort(offsets.begin(), offsets.end());
      offsets.erase(std::unique(offsets.begin(), offsets.end()), offsets.end());
      count += offsets.size();
    }
    while (count > offsets_max / 2 && window.offsets.size() > 1) {
      const auto last = std::prev(window.offsets.end());
      count -= last->second.size();
      window.end = last->first;
      window.offsets.erase(last);
    }
  };
  BaseVisitor visitor;
  visitor.keep = [&](std::string_view, std::string_view value, bool) -> Status {
    TM_ASSIGN(const ExtentRow row, decode_extent_row(value));
    for (const ChunkRun& run : row.runs) {
      const Location& at = run.extent.location;
      if (at.segment < from || at.segment >= window.end) continue;
      std::vector<uint32_t>& offsets = window.offsets[at.segment];
      if (!offsets.empty() && offsets.back() == at.offset) continue;
      offsets.push_back(at.offset);
      if (++count > offsets_max) compact();
    }
    return Status();
  };
  BaseRows rows(index, rule);
  TM_TRY(rows.walk_extents(visitor));
  compact();
  return window;
}

}  // namespace tidemark

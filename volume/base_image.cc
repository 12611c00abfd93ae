#include "volume/base_image.h"

#include <algorithm>

#include "base/hash.h"
#include "volume/chunk_map.h"

namespace tidemark {
namespace {

constexpr std::string_view kMagic = "TIDEBASE";
constexpr uint16_t kVersion = 1;
constexpr size_t kHeaderSize = 136;
constexpr size_t kFrameHead = 16;
constexpr size_t kFrameBytes = size_t{128} << 10;  // a frame ends when it has this much
constexpr size_t kFrameMax = size_t{512} << 10;    // longest row included
constexpr size_t kLoadBatchBytes = size_t{4} << 20;

std::string encode_header(const BaseHeader& header) {
  std::string bytes;
  Encoder out(bytes);
  out.put_raw(kMagic).put(kVersion).put(uint16_t{0}).put(uint32_t{0}).put_raw(as_text(header.group));
  out.put(header.base.epoch.value()).put(header.base.seq.value()).put(header.base.chain).put(header.time_ns);
  out.put(header.tombstones_from.value()).put(header.next_ino.value()).put(header.next_mark.value()).put(header.inodes);
  out.put(header.rows).put(header.frames).put(header.bytes);
  out.put(uint64_t{0}).put(hash64(as_bytes(bytes)));
  return bytes;
}

Status damaged(const std::string& path, uint64_t at, std::string_view what) {
  return Status(Code::kCorrupt, "base image " + path + ", byte " + std::to_string(at) + ": " + std::string(what));
}

Result<BaseHeader> decode_header(const std::string& path, Bytes bytes, uint64_t file_bytes) {
  if (bytes.size() != kHeaderSize || as_text(bytes.first(kMagic.size())) != kMagic)
    return damaged(path, 0, "it is no base image");
  const Bytes content = bytes.first(kHeaderSize - sizeof(uint64_t));
  if (load_le<uint64_t>(content.data() + content.size()) != hash64(content))
    return damaged(path, 0, "the header is damaged");
  Decoder in(content.subspan(kMagic.size()));
  if (in.get<uint16_t>() != kVersion) {
    return Status(Code::kUnsupported, "base image " + path + " has a format newer than this program");
  }
  bool blank = in.get<uint16_t>() == 0;
  blank = in.get<uint32_t>() == 0 && blank;
  BaseHeader header;
  const Bytes group = in.get_raw(header.group.size());
  std::copy(group.begin(), group.end(), header.group.begin());
  header.base.epoch = Epoch(in.get<uint64_t>());
  header.base.seq = Seq(in.get<uint64_t>());
  header.base.chain = in.get<uint64_t>();
  header.time_ns = in.get<int64_t>();
  header.tombstones_from = Seq(in.get<uint64_t>());
  header.next_ino = Ino(in.get<uint64_t>());
  header.next_mark = MarkId(in.get<uint64_t>());
  header.inodes = in.get<uint64_t>();
  header.rows = in.get<uint64_t>();
  header.frames = in.get<uint64_t>();
  header.bytes = in.get<uint64_t>();
  blank = in.get<uint64_t>() == 0 && blank;
  if (!blank || !in.finished()) return damaged(path, 0, "the header has unknown fields");
  if (header.bytes != file_bytes) {
    return damaged(path, file_bytes,
                   "it has " + std::to_string(file_bytes) + " bytes, and should have " + std::to_string(header.bytes));
  }
  return header;
}

Result<BaseHeader> read_header(File& file, const std::string& path) {
  std::array<std::byte, kHeaderSize> bytes;
  TM_ASSIGN(const uint64_t size, file.size());
  TM_ASSIGN(const size_t got, file.read(0, bytes));
  return decode_header(path, Bytes(bytes).first(got), size);
}

// A frame's sum covers its number and its head too: none can be missing, doubled or in another's place.
uint64_t frame_check(uint64_t number, Bytes head, Bytes rows) { return hash64(rows, hash64(head, number)); }

class ImageWriter {
 public:
  explicit ImageWriter(std::unique_ptr<File> file) : file_(std::move(file)) {}

  Status add(std::string_view key, std::string_view value) {
    Encoder(rows_).put_text16(key).put_text32(value);
    ++frame_rows_;
    ++header.rows;
    return rows_.size() >= kFrameBytes ? flush() : Status();
  }

  Status finish() {
    TM_TRY(flush());
    header.bytes = at_;
    std::string head = encode_header(header);
    CHECK_INVARIANT(head.size() == kHeaderSize);
    const iovec part{head.data(), head.size()};
    TM_TRY(file_->write(0, {&part, 1}));
    return file_->sync();
  }

  BaseHeader header;

 private:
  Status flush() {
    if (rows_.empty()) return Status();
    std::string head;
    Encoder(head).put(static_cast<uint32_t>(rows_.size())).put(frame_rows_);
    Encoder(head).put(frame_check(header.frames, as_bytes(head), as_bytes(rows_)));
    const std::array<iovec, 2> parts{iovec{head.data(), head.size()}, iovec{rows_.data(), rows_.size()}};
    TM_TRY(file_->write(at_, parts));
    at_ += head.size() + rows_.size();
    ++header.frames;
    rows_.clear();
    frame_rows_ = 0;
    return Status();
  }

  std::unique_ptr<File> file_;
  std::string rows_;
  uint32_t frame_rows_ = 0;
  uint64_t at_ = kHeaderSize;
};

// Rows that are not as-of: marks up to the base. Their names stay taken for ever.
Status add_marks(Index& index, Seq base, ImageWriter& image) {
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

Status fill_image(Index& index, const BaseImageOrder& order, ImageWriter& image) {
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
  TM_ASSIGN(auto file, files.open(scratch, FileSystem::Open::kCreateNew));
  ImageWriter image(std::move(file));
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

Result<BaseHeader> read_base_header(FileSystem& files, const std::string& directory, Seq base) {
  const std::string path = base_image_path(directory, base);
  TM_ASSIGN(auto file, files.open(path, FileSystem::Open::kRead));
  TM_ASSIGN(const BaseHeader header, read_header(*file, path));
  if (header.base.seq != base) return damaged(path, 0, "it is the image of another base");
  return header;
}

Result<BaseHeader> read_base_image(FileSystem& files, const std::string& directory, Seq base,
                                   const std::function<Status(std::string_view key, std::string_view value)>& visit) {
  const std::string path = base_image_path(directory, base);
  TM_ASSIGN(auto file, files.open(path, FileSystem::Open::kRead));
  TM_ASSIGN(const BaseHeader header, read_header(*file, path));
  if (header.base.seq != base) return damaged(path, 0, "it is the image of another base");
  Buffer buffer(kFrameMax);
  uint64_t at = kHeaderSize;
  uint64_t rows = 0;
  for (uint64_t frame = 0; frame < header.frames; ++frame) {
    std::array<std::byte, kFrameHead> head;
    TM_ASSIGN(const size_t got_head, file->read(at, head));
    const auto size = load_le<uint32_t>(head.data());
    if (got_head != head.size() || size > kFrameMax) return damaged(path, at, "a frame is damaged");
    TM_ASSIGN(const size_t got, file->read(at + kFrameHead, buffer.span().first(size)));
    const Bytes content = buffer.bytes().first(got);
    const uint64_t check = frame_check(frame, Bytes(head).first(8), content);
    if (got != size || check != load_le<uint64_t>(head.data() + 8)) return damaged(path, at, "a frame is damaged");
    Decoder in(content);
    for (auto left = load_le<uint32_t>(head.data() + 4); left > 0 && !in.failed(); --left, ++rows) {
      const std::string_view key = in.get_text16();
      const std::string_view value = in.get_text32();
      if (visit && !in.failed()) TM_TRY(visit(key, value));
    }
    if (!in.finished()) return damaged(path, at, "a frame holds no rows");
    at += kFrameHead + size;
  }
  if (at != header.bytes || rows != header.rows) return damaged(path, at, "it does not end where its header says");
  return header;
}

Status load_base_image(FileSystem& files, const std::string& directory, const Position& base, Index& index) {
  IndexBatch batch;
  TM_ASSIGN(const BaseHeader header,
            read_base_image(files, directory, base.seq, [&](std::string_view key, std::string_view value) -> Status {
              batch.put(key, value);
              if (batch.bytes() < kLoadBatchBytes) return Status();
              TM_TRY(index.write(batch));
              batch.clear();
              return Status();
            }));
  if (header.base != base) return damaged(base_image_path(directory, base.seq), 0, "it is of another history than the log");
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

Status verify_base_image(FileSystem& files, const std::string& directory, LogVerdict& verdict) {
  const auto floor = read_floor(files, directory + "/log");
  if (!floor.ok() || floor->base.seq == Seq()) return Status();  // a damaged floor is the log's to report
  const auto header = read_base_image(files, directory, floor->base.seq, nullptr);
  const Code code = header.status().code();
  if (!header.ok() && code != Code::kCorrupt && code != Code::kNotFound) return header.status();
  // Pruned meanwhile: then there is a newer one, and nobody asked for this one.
  if (const auto now = read_floor(files, directory + "/log"); now.ok() && now->base != floor->base) return Status();
  if (header.ok() && header->base == floor->base) {
    verdict.bytes += header->bytes;
    return Status();
  }
  const std::string name = base_image_path("", floor->base.seq).substr(1);
  verdict.damage.push_back({name, 0, floor->base.seq, Ino(), RecordFault::kPayloadDamaged});
  return Status();
}

Status tidy_base_images(FileSystem& files, const std::string& directory, Seq base) {
  TM_ASSIGN(const bool there, files.exists(base_directory(directory)));
  if (!there) return Status();
  TM_ASSIGN(const auto names, files.list(base_directory(directory)));
  bool removed = false;
  for (const std::string& name : names) {
    const std::string path = base_directory(directory) + "/" + name;
    if (base != Seq() && path == base_image_path(directory, base)) continue;
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

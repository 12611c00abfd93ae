#include "volume/index/row_file.h"

#include <algorithm>

#include "base/hash.h"

namespace tidemark {
namespace {

constexpr std::string_view kMagic = "TIDEBASE";
constexpr uint16_t kVersion = 1;
constexpr size_t kHeaderSize = 136;
constexpr size_t kFrameHead = 16;
constexpr size_t kFrameBytes = size_t{128} << 10;  // a frame ends when it has this much
constexpr size_t kFrameMax = size_t{512} << 10;    // longest row included

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
  return Status(Code::kCorrupt, "file of rows " + path + ", byte " + std::to_string(at) + ": " + std::string(what));
}

Result<BaseHeader> decode_header(const std::string& path, Bytes bytes, uint64_t file_bytes) {
  if (bytes.size() != kHeaderSize || as_text(bytes.first(kMagic.size())) != kMagic)
    return damaged(path, 0, "it is not a file of rows");
  const Bytes content = bytes.first(kHeaderSize - sizeof(uint64_t));
  if (load_le<uint64_t>(content.data() + content.size()) != hash64(content))
    return damaged(path, 0, "the header is damaged");
  Decoder in(content.subspan(kMagic.size()));
  if (in.get<uint16_t>() != kVersion) {
    return Status(Code::kUnsupported, "file of rows " + path + " has a format newer than this program");
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

}  // namespace

RowFileWriter::RowFileWriter(std::unique_ptr<File> file) : file_(std::move(file)), at_(kHeaderSize) {}

Result<std::unique_ptr<RowFileWriter>> RowFileWriter::create(FileSystem& files, const std::string& path) {
  TM_ASSIGN(auto file, files.open(path, FileSystem::Open::kCreateNew));
  return std::unique_ptr<RowFileWriter>(new RowFileWriter(std::move(file)));
}

Status RowFileWriter::add(std::string_view key, std::string_view value) {
  Encoder(rows_).put_text16(key).put_text32(value);
  ++frame_rows_;
  ++header.rows;
  return rows_.size() >= kFrameBytes ? flush() : Status();
}

Status RowFileWriter::finish() {
  TM_TRY(flush());
  header.bytes = at_;
  std::string head = encode_header(header);
  CHECK_INVARIANT(head.size() == kHeaderSize);
  const iovec part{head.data(), head.size()};
  TM_TRY(file_->write(0, {&part, 1}));
  return file_->sync();
}

Status RowFileWriter::flush() {
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

Result<std::unique_ptr<RowFileReader>> RowFileReader::open(FileSystem& files, const std::string& path) {
  TM_ASSIGN(auto file, files.open(path, FileSystem::Open::kRead));
  std::unique_ptr<RowFileReader> made(new RowFileReader(std::move(file), path));
  TM_ASSIGN(made->header_, read_header(*made->file_, path));
  made->rewind();
  return made;
}

void RowFileReader::rewind() {
  at_ = kHeaderSize;
  frame_ = rows_ = 0;
}

Status RowFileReader::damaged(std::string_view what) const { return tidemark::damaged(path_, at_, what); }

Result<bool> RowFileReader::next_frame(const RowVisitor& visit) {
  if (frame_ == header_.frames) {
    if (at_ != header_.bytes || rows_ != header_.rows) return damaged("it does not end where its header says");
    return false;
  }
  if (buffer_.size() == 0) buffer_ = Buffer(kFrameMax);
  std::array<std::byte, kFrameHead> head;
  TM_ASSIGN(const size_t got_head, file_->read(at_, head));
  const auto size = load_le<uint32_t>(head.data());
  if (got_head != head.size() || size > kFrameMax) return damaged("a frame is damaged");
  TM_ASSIGN(const size_t got, file_->read(at_ + kFrameHead, buffer_.span().first(size)));
  const Bytes content = buffer_.bytes().first(got);
  const uint64_t check = frame_check(frame_, Bytes(head).first(8), content);
  if (got != size || check != load_le<uint64_t>(head.data() + 8)) return damaged("a frame is damaged");
  Decoder in(content);
  for (auto left = load_le<uint32_t>(head.data() + 4); left > 0 && !in.failed(); --left, ++rows_) {
    const std::string_view key = in.get_text16();
    const std::string_view value = in.get_text32();
    if (visit && !in.failed()) TM_TRY(visit(key, value));
  }
  if (!in.finished()) return damaged("a frame holds no rows");
  at_ += kFrameHead + size;
  ++frame_;
  return true;
}

Status RowFileReader::each(const RowVisitor& visit) {
  for (bool more = true; more;) {
    TM_ASSIGN(more, next_frame(visit));
  }
  return Status();
}

}  // namespace tidemark

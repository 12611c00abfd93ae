// Files of rows: what an index needs to know of everything up to a point (base_image.h), or of what has changed between two
// (difference.h). A header, then frames of rows, each with its sum. docs/LOG_FORMAT.md is the other half of this file.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/buffer.h"
#include "base/file.h"
#include "log/format/body.h"

namespace tidemark {

struct BaseHeader {
  Position base;        // the point whose rows these are
  int64_t time_ns = 0;  // of its record
  Seq tombstones_from;  // what went after this record is there as a tombstone
  Ino next_ino;
  MarkId next_mark;
  uint64_t inodes = 0;
  GroupId group{};
  uint64_t rows = 0;
  uint64_t frames = 0;
  uint64_t bytes = 0;  // of the file
  bool operator==(const BaseHeader&) const = default;
};

using RowVisitor = std::function<Status(std::string_view key, std::string_view value)>;

class RowFileWriter {
 public:
  // kExists.
  static Result<std::unique_ptr<RowFileWriter>> create(FileSystem& files, const std::string& path);
  Status add(std::string_view key, std::string_view value);
  // Writes the header, with `rows`, `frames` and `bytes` as they are. The content is durable on return.
  Status finish();

  BaseHeader header;

 private:
  explicit RowFileWriter(std::unique_ptr<File> file);
  Status flush();

  std::unique_ptr<File> file_;
  std::string rows_;
  uint32_t frame_rows_ = 0;
  uint64_t at_;
};

// Reads frame by frame, checking every byte. kCorrupt names the file and the byte.
class RowFileReader {
 public:
  static Result<std::unique_ptr<RowFileReader>> open(FileSystem& files, const std::string& path);  // kNotFound
  [[nodiscard]] const BaseHeader& header() const { return header_; }
  // The rows of the next frame; false behind the last one. Views live during the call.
  Result<bool> next_frame(const RowVisitor& visit);
  Status each(const RowVisitor& visit);  // all that are left
  void rewind();
  [[nodiscard]] Status damaged(std::string_view what) const;  // at the present byte

 private:
  RowFileReader(std::unique_ptr<File> file, std::string path) : file_(std::move(file)), path_(std::move(path)) {}

  std::unique_ptr<File> file_;
  const std::string path_;
  BaseHeader header_;
  Buffer buffer_;
  uint64_t at_ = 0;
  uint64_t frame_ = 0;
  uint64_t rows_ = 0;
};

}  // namespace tidemark

// Base images: what an index needs to know of everything up to the base, so that it remains a cache: newest base image + the log
// from the base on = the index. DIR/base/NNNNNNNNNNNNNNNNNNNN.base, by the base. docs/LOG_FORMAT.md is the other half of this file.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/file.h"
#include "log/log.h"
#include "log/repair/verify.h"
#include "volume/index/row_file.h"
#include "volume/index/rows.h"
#include "volume/tree/base_rows.h"

namespace tidemark {

inline std::string base_directory(const std::string& directory) { return directory + "/base"; }
std::string base_image_path(const std::string& directory, Seq base);

// Writes the image of `rule.base` of the group in `directory`. Durable on return, under its name. `before`: the header of the image
// before this one; zeros where there is none. `stop`: give up (kInterrupted).
struct BaseImageOrder {
  BaseRule rule;
  Position base;
  int64_t time_ns = 0;
  GroupId group{};
  BaseHeader before;
  const std::atomic<bool>* stop = nullptr;
};
Result<BaseHeader> write_base_image(FileSystem& files, const std::string& directory, Index& index,
                                    const BaseImageOrder& order);

// kNotFound, kCorrupt.
Result<BaseHeader> read_base_header(FileSystem& files, const std::string& directory, Seq base);
// Reads and checks every byte; `visit` gets each row (null: checking only).
Result<BaseHeader> read_base_image(FileSystem& files, const std::string& directory, Seq base, const RowVisitor& visit);
// Fills an empty index; its position comes last, so that an interrupted load shows.
Status load_base_image(FileSystem& files, const std::string& directory, const Position& base, Index& index);

// The part of a verification that is about the base image: adds what is wrong with it to the verdict.
Status verify_base_image(FileSystem& files, const std::string& directory, LogVerdict& verdict);

// Removes every file of the base directory but the image of the log's base and the rows of its gaps.
Status tidy_base_images(FileSystem& files, const std::string& directory, const Log& log);

// Up to where an index has been swept: the rule that was carried out. Zeros: never.
std::string encode_swept(const BaseRule& rule);
Result<BaseRule> swept(Index& index);

// Offsets of the records in segments [from, end) that a tree at the base or later refers to. At most about `offsets_max` at a time.
inline constexpr size_t kLiveOffsetsMax = size_t{16} << 20;
Result<LiveWindow> find_needed_records(Index& index, const BaseRule& rule, uint64_t from, uint64_t end,
                                       size_t offsets_max = kLiveOffsetsMax);

}  // namespace tidemark

// The messages of reading: what a request asks and what its answer holds. docs/PROTOCOL.md is the other half of this file.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "log/format/body.h"
#include "replicator/remote/remote.h"
#include "replicator/wire/protocol.h"
#include "volume/tree/tree_view.h"

namespace tidemark {

// Limits of one answer; a client that wants more asks again.
inline constexpr uint32_t kListEntriesMax = 2048;
inline constexpr uint32_t kRangesMax = 32768;
inline constexpr uint32_t kMarksMax = 1024;
inline constexpr uint32_t kBlockSumsMax = 1024;  // 4 MiB are read for them
inline constexpr size_t kPointTextMax = 512;
inline constexpr size_t kStoppedByMax = 1024;      // bytes of what held a prune back
inline constexpr uint32_t kPrunedMarksMax = 1000;  // marks one PRUNE names
inline constexpr size_t kReadRequestMax = 1024;    // bytes of any request of reading, header included
inline constexpr size_t kReplyBodyMax = kWireMax - kWireHeaderSize;

// Every request of the tree: which tree, which inode, and what the request needs of the rest (zero and "" otherwise).
struct TreeRequest {
  Seq point;
  Ino ino;
  uint64_t at = 0;     // READ, BLOCK_SUMS: byte; DATA_RANGES: from
  uint64_t to = 0;     // DATA_RANGES: to (exclusive)
  uint32_t count = 0;  // READ: bytes; LIST, DATA_RANGES, BLOCK_SUMS: most items wanted
  bool plus = false;   // LIST: with attributes
  std::string name;    // LOOKUP, GET_XATTR; LIST: the name before the first
};
void encode_tree_request(Encoder to, const TreeRequest& request);
Result<TreeRequest> decode_tree_request(Bytes body);

void encode_attr(Encoder& to, const Attr& attr);
Attr decode_attr(Decoder& from);  // ask the decoder whether it failed

// LIST: an entry, with what spares the client one more request per file.
struct ListEntry {
  DirEntry entry;
  bool has_attr = false;
  Attr attr;
};
void encode_list_entry(Encoder& to, const ListEntry& entry);
Result<std::vector<ListEntry>> decode_list(Bytes body);

void encode_ranges(Encoder to, const std::vector<DataRange>& ranges);
Result<std::vector<DataRange>> decode_ranges(Bytes body);

void encode_sums(Encoder to, const std::vector<uint64_t>& sums);
Result<std::vector<uint64_t>> decode_sums(Bytes body);

void encode_texts(Encoder to, const std::vector<std::string>& texts);
Result<std::vector<std::string>> decode_texts(Bytes body);

void encode_mark(Encoder& to, const Mark& mark);
Result<std::vector<Mark>> decode_marks(Bytes body);

void encode_info(Encoder to, const RemoteGroupInfo& info);
Result<RemoteGroupInfo> decode_info(Bytes body);

struct MarksRequest {
  MarkId after;
  uint32_t max = 0;
};
Result<MarksRequest> decode_marks_request(Bytes body);
struct PruneAsked {
  Seq to;
  bool dry_run = false;
};
void encode_prune_request(Encoder to, const PruneAsked& request);
Result<PruneAsked> decode_prune_request(Bytes body);
// The marks are cut to kPrunedMarksMax, the text to kStoppedByMax.
void encode_prune(Encoder to, const RemotePrune& pruned);
Result<RemotePrune> decode_prune(Bytes body);

struct LogRequest {
  Seq next;
  uint32_t bytes_max = 0;
};
Result<LogRequest> decode_log_request(Bytes body);

}  // namespace tidemark

// Pairs: which sites a group is copied to, and how each copy stands.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/status.h"
#include "replicator/source/pair_state.h"
#include "volume/group/group.h"

namespace tidemark {

struct PairConfig {
  std::string site;        // a name, [A-Za-z0-9._-], at most 63
  std::string endpoint;    // tcp://HOST:PORT or ipc://PATH; several lines to the site with commas between (parse_lines)
  std::string server_key;  // file with the site's public key; "" only for loopback and ipc
  std::string own_key;     // file with our key pair; "" only for loopback and ipc
  PairMode mode = PairMode::kAsync;
  PairFence fence = PairFence::kNever;  // of a sync pair
  uint64_t bytes_per_second = 0;        // at most this much is sent; 0: no limit, else at least 64 KiB
};

struct Pair {
  PairConfig config;
  PairStatus status;
};

// DIR/pairs.json, written atomically. load: empty if there is none; kCorrupt names line and field.
Result<std::vector<Pair>> load_pairs(const std::string& directory, FileSystem& files = posix_file_system());
Result<std::vector<Pair>> parse_pairs(std::string_view content, const std::string& path);  // the file's text
Status save_pairs(const std::string& directory, const std::vector<Pair>& pairs, FileSystem& files = posix_file_system());
// Checks names, endpoint, keys and limits: kInvalid, kNotAuthorised (no key for an endpoint that is not loopback or ipc).
Status check_pair(const PairConfig& pair);

// Changes pairs.json of a group that no process holds, under its lock: kBusy names the holder. Nothing is written if `change`
// fails.
Status edit_pairs(const std::string& directory, const std::function<Status(std::vector<Pair>&)>& change);
// Changes to a list of pairs: kExists, kNotFound, kInvalid (the state does not allow it).
Status add_pair(std::vector<Pair>& pairs, const PairConfig& config);
Status remove_pair(std::vector<Pair>& pairs, const std::string& site);
Status suspend_pair(std::vector<Pair>& pairs, const std::string& site, int64_t wall_ns);
Status resume_pair(std::vector<Pair>& pairs, const std::string& site, int64_t wall_ns);

}  // namespace tidemark

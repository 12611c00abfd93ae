// Keys on disk: our own pair, the public key of a site, and who may do what here.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "base/status.h"

namespace tidemark {

inline constexpr size_t kKeyTextSize = 40;  // a CURVE key in Z85

struct KeyPair {
  std::string public_key;  // Z85
  std::string secret_key;
};
// A file made by generate_key(). kNotFound, kCorrupt, kNotAuthorised (others than the owner can read it).
Result<KeyPair> load_key_pair(const std::string& path);
// The public key in a .pub file, or the public half of a pair's file. kNotFound, kCorrupt.
Result<std::string> load_public_key(const std::string& path);

// The public key that belongs to these 32 bytes, as text.
std::string key_text(std::string_view raw);

struct Rights {
  bool append = false;  // ship records to this site, making a replica if need be
  bool read = false;
  bool prune = false;  // let go of history here; never beside append: who writes removes nothing
  std::string name;    // for messages
};

// The allow-list, one key a line:  KEY RIGHTS NAME   where RIGHTS are one or more of "append", "read" and "prune", separated by
// commas or blanks. Empty lines and lines whose first word is "#" or "//" are comments.
class AllowList {
 public:
  // kNotFound, kCorrupt (line and reason), kNotAuthorised (nobody is on it).
  static Result<AllowList> load(const std::string& path);
  // What the owner of this public key may do; none for a stranger.
  [[nodiscard]] Rights rights(const std::string& public_key) const;
  [[nodiscard]] bool knows(const std::string& public_key) const { return keys_.contains(public_key); }
  [[nodiscard]] size_t size() const { return keys_.size(); }

 private:
  std::map<std::string, Rights> keys_;
};

// What a client needs for CURVE; empty strings: none (loopback and ipc only).
struct ClientKeys {
  std::string server_key;  // Z85
  KeyPair own;
  [[nodiscard]] bool present() const { return !server_key.empty(); }
};
// Loads both files, or neither where both names are "". kNotAuthorised where `local` is false and keys are missing; kInvalid
// where only one is given.
Result<ClientKeys> load_client_keys(const std::string& server_key_file, const std::string& own_key_file, bool local,
                                    std::string_view endpoint);

}  // namespace tidemark

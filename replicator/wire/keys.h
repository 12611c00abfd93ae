// Keys on disk: our own pair, the public key of a site, and who may do what here.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/status.h"

namespace tidemark {

inline constexpr size_t kKeyTextSize = 40;  // a CURVE key in Z85

struct KeyPair {
  std::string public_key;  // Z85
  std::string secret_key;
};
// A file made by generate_key(). kNotFound, kCorrupt, kNotAuthorised (others than root or us own it, or can read it).
Result<KeyPair> load_key_pair(const std::string& path);
// The public key in a .pub file, or the public half of a pair's file. kNotFound, kCorrupt, kNotAuthorised (others can change it).
Result<std::string> load_public_key(const std::string& path);

// The public key that belongs to these 32 bytes, as text.
std::string key_text(std::string_view raw);

// What a key may do with a group.
struct Rights {
  bool append = false;  // ship records of a group that is here
  bool create = false;  // make the copy of one that is not; beside append
  bool own = false;     // take a group over from the key that owns it; beside append
  bool read = false;
  bool prune = false;  // let go of history here; never of a key that appends anywhere: who writes removes nothing
  [[nodiscard]] bool any() const { return append || read || prune; }
};

// The allow-list:  KEY RIGHTS groups=PATTERN,… NAME   where RIGHTS are one or more of "append", "create", "own", "read" and "prune",
// separated by commas or blanks, and a PATTERN is a group's name or stands for several as in a shell ("erp-*", "*"). A key may have
// several lines, for other groups; what it may do with a group is all that its lines for that group say. Empty lines and lines whose
// first word is "#" or "//" are comments.
class AllowList {
 public:
  // kNotFound, kCorrupt (line and reason), kAccess (others than root or us can change it), kNotAuthorised (nobody is on it).
  static Result<AllowList> load(const std::string& path);
  // What the owner of this public key may do with a group; nothing, for a stranger.
  [[nodiscard]] Rights rights(const std::string& public_key, const std::string& group) const;
  // With any group at all.
  [[nodiscard]] Rights rights_somewhere(const std::string& public_key) const;
  // Who that is, for messages; "" for a stranger.
  [[nodiscard]] std::string name(const std::string& public_key) const;
  [[nodiscard]] bool knows(const std::string& public_key) const { return keys_.contains(public_key); }
  [[nodiscard]] size_t size() const { return keys_.size(); }

 private:
  struct Line {
    Rights rights;
    std::vector<std::string> groups;  // patterns
    std::string name;
  };
  static bool parse_rights(const std::string& word, Rights& rights);
  static std::string parse_line(const std::vector<std::string>& words, Line& line);
  std::map<std::string, std::vector<Line>> keys_;
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

// Writes a new CURVE key pair to `path` (0600) and the public half to `path`.pub. kExists.
Status generate_key(const std::string& path, FileSystem& files = posix_file_system());

}  // namespace tidemark

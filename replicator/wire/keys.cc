#include "replicator/wire/keys.h"

#include <fcntl.h>
#include <fnmatch.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <sstream>
#include <vector>

#include "base/bytes.h"
#include "base/file.h"
#include "replicator/site/site.h"

namespace tidemark {
namespace {

bool is_key(const std::string& text) {
  std::array<uint8_t, 32> raw{};
  return text.size() == kKeyTextSize && zmq_z85_decode(raw.data(), text.c_str()) != nullptr;
}

// The value of "name = VALUE" in a key file; "" where it is not there.
std::string key_field(const std::string& content, const std::string& name) {
  std::istringstream lines(content);
  std::string line;
  while (std::getline(lines, line)) {
    std::istringstream words(line);
    std::string word, equals, value;
    if (words >> word >> equals >> value && word == name && equals == "=") return value;
  }
  return "";
}

std::string trimmed(const std::string& text) {
  size_t from = text.find_first_not_of(" \t\r\n");
  if (from == std::string::npos) return "";
  return text.substr(from, text.find_last_not_of(" \t\r\n") - from + 1);
}

Status refuse_taken(const std::string& path, FileSystem& files) {
  TM_ASSIGN(const bool taken, files.exists(path));
  return taken ? Status(Code::kExists, path + " already exists; choose another name or remove it") : Status();
}

constexpr size_t kSecurityFileMax = 1u << 20;

// The file's text, if nobody but root and us owns it, or has one of the `forbidden` permissions to it.
Result<std::string> read_guarded(const std::string& path, mode_t forbidden, Code refusal, std::string_view cure) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY);
  if (fd < 0 && errno == ENOENT) return Status(Code::kNotFound, path + " does not exist", errno);
  if (fd < 0) return errno_status(errno, path);
  struct stat info {};
  Status status = ::fstat(fd, &info) == 0 ? Status() : errno_status(errno, path);
  if (status.ok() && !S_ISREG(info.st_mode)) status = Status(Code::kInvalid, path + " is not a regular file");
  if (status.ok() && info.st_uid != 0 && info.st_uid != ::geteuid()) {
    status = Status(refusal, path + " belongs to another user; chown it to root, or to the user that runs this program");
  }
  if (status.ok() && (info.st_mode & forbidden) != 0) status = Status(refusal, path + ": " + std::string(cure));
  if (status.ok() && info.st_size > static_cast<off_t>(kSecurityFileMax)) {
    status = Status(Code::kTooLarge, path + " is larger than 1 MiB");
  }
  std::string text;
  std::array<char, 4096> piece{};
  while (status.ok() && text.size() <= kSecurityFileMax) {
    const ssize_t got = ::read(fd, piece.data(), piece.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) status = errno_status(errno, path);
    if (got <= 0) break;
    text.append(piece.data(), static_cast<size_t>(got));
  }
  ::close(fd);
  if (!status.ok()) return status;
  return text;
}

constexpr mode_t kOthersMayWrite = 022;
constexpr std::string_view kTakeWriting = "others can change this file; chmod go-w it";

bool is_pattern(const std::string& text) {
  static constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-*?[]!";
  return !text.empty() && text.size() <= 255 && text.find_first_not_of(kAlphabet) == std::string::npos;
}

void add(Rights& rights, const Rights& more) {
  rights.append |= more.append;
  rights.create |= more.create;
  rights.own |= more.own;
  rights.read |= more.read;
  rights.prune |= more.prune;
}

}  // namespace

std::string key_text(std::string_view raw) {
  std::array<char, kKeyTextSize + 1> text{};
  if (raw.size() != 32) return "";
  zmq_z85_encode(text.data(), reinterpret_cast<const uint8_t*>(raw.data()), raw.size());
  return text.data();
}

Status generate_key(const std::string& path, FileSystem& files) {
  std::array<char, kKeyTextSize + 1> public_key{};
  std::array<char, kKeyTextSize + 1> secret_key{};
  if (zmq_curve_keypair(public_key.data(), secret_key.data()) != 0) {
    return Status(Code::kUnsupported, "this libzmq is built without CURVE");
  }
  TM_TRY(refuse_taken(path, files));
  TM_TRY(refuse_taken(path + ".pub", files));
  std::string pair = "# Tidemark key pair. Anyone who reads this file can act as its owner; share only the .pub file.\n";
  pair += "public = " + std::string(public_key.data()) + "\nsecret = " + std::string(secret_key.data()) + "\n";
  TM_TRY(write_file_atomically(files, path, pair).within("cannot write the key"));
  return write_file_atomically(files, path + ".pub", std::string(public_key.data()) + "\n")
      .within("cannot write the public key");
}

Result<KeyPair> load_key_pair(const std::string& path) {
  Result<std::string> content =
      read_guarded(path, 077, Code::kNotAuthorised, "others can read or change this key; chmod 600 it");
  if (!content.ok()) return content.status().within("key");
  KeyPair keys{key_field(*content, "public"), key_field(*content, "secret")};
  if (!is_key(keys.public_key) || !is_key(keys.secret_key)) {
    return Status(Code::kCorrupt, path + ": not a key pair made by 'tidemark keygen'");
  }
  std::array<char, kKeyTextSize + 1> derived{};
  if (zmq_curve_public(derived.data(), keys.secret_key.c_str()) != 0 || keys.public_key != derived.data()) {
    return Status(Code::kCorrupt, path + ": the public key does not belong to the secret key");
  }
  return keys;
}

Result<std::string> load_public_key(const std::string& path) {
  Result<std::string> content = read_guarded(path, kOthersMayWrite, Code::kNotAuthorised, kTakeWriting);
  if (!content.ok()) return content.status().within("public key");
  std::string key = trimmed(*content);
  if (!is_key(key)) key = key_field(*content, "public");
  if (!is_key(key)) return Status(Code::kCorrupt, path + ": not a public key (one line of 40 characters)");
  return key;
}

// Rights with commas between, added to `rights`; false: it is something else.
bool AllowList::parse_rights(const std::string& word, Rights& rights) {
  std::istringstream parts(word);
  Rights found;
  for (std::string part; std::getline(parts, part, ',');) {
    if (part == "append") {
      found.append = true;
    } else if (part == "create") {
      found.create = true;
    } else if (part == "own") {
      found.own = true;
    } else if (part == "read") {
      found.read = true;
    } else if (part == "prune") {
      found.prune = true;
    } else {
      return false;
    }
  }
  add(rights, found);
  return true;
}

// What stands behind the key; "" or what is wrong with it.
std::string AllowList::parse_line(const std::vector<std::string>& words, Line& line) {
  static constexpr std::string_view kGroups = "groups=";
  bool grouped = false;
  for (size_t i = 1; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (word.starts_with(kGroups)) {
      grouped = true;
      std::istringstream parts(word.substr(kGroups.size()));
      for (std::string part; std::getline(parts, part, ',');) {
        if (!is_pattern(part)) return "'" + part + "' is not a valid group name or pattern of names";
        line.groups.push_back(part);
      }
    } else if (parse_rights(word, line.rights)) {
    } else if (i + 1 == words.size()) {
      line.name = word;
    } else {
      return "unknown right '" + word + "'; use 'append', 'create', 'own', 'read' or 'prune'";
    }
  }
  const Rights& rights = line.rights;
  if ((rights.create || rights.own) && !rights.append) return "'create' and 'own' require 'append'; add it";
  if (!rights.any()) return "this key has no right; put 'append', 'read' or 'prune' before the name";
  if (rights.append && rights.prune) return "a key that appends cannot prune; give 'prune' to another key";
  if (grouped && line.groups.empty()) return "'groups=' names no group";
  if (line.groups.empty()) {
    return "this line names no groups: put groups=NAME,NAME before the name ('erp-*' matches every name with "
           "that prefix, '*' every group). To make copies of groups that are new here, a key also needs 'create'";
  }
  return "";
}

Result<AllowList> AllowList::load(const std::string& path) {
  Result<std::string> content = read_guarded(path, kOthersMayWrite, Code::kAccess, kTakeWriting);
  if (!content.ok()) return content.status().within("allow-list");
  AllowList list;
  std::istringstream lines(*content);
  std::string text;
  for (size_t number = 1; std::getline(lines, text); ++number) {
    std::istringstream split(text);
    std::vector<std::string> words;
    for (std::string word; split >> word;) words.push_back(word);
    if (words.empty() || words[0] == "#" || words[0] == "//") continue;
    Line line;
    std::string wrong;
    if (!is_key(words[0])) {
      wrong = "'" + words[0].substr(0, 60) + "' is not a public key (40 characters, as in a .pub file)";
    } else {
      wrong = parse_line(words, line);
    }
    if (wrong.empty()) {
      list.keys_[words[0]].push_back(std::move(line));
      const Rights all = list.rights_somewhere(words[0]);
      if (all.append && all.prune) wrong = "this key appends in one line and prunes in another; give 'prune' to another key";
    }
    if (!wrong.empty()) return Status(Code::kCorrupt, path + ":" + std::to_string(number) + ": " + wrong);
  }
  if (list.keys_.empty()) {
    return Status(Code::kNotAuthorised, path + ": nobody is allowed; add a line: KEY append,create,read groups=GROUP NAME");
  }
  return list;
}

Rights AllowList::rights(const std::string& public_key, const std::string& group) const {
  Rights all;
  const auto found = keys_.find(public_key);
  if (found == keys_.end()) return all;
  for (const Line& line : found->second) {
    const bool meant = std::any_of(line.groups.begin(), line.groups.end(), [&](const std::string& pattern) {
      return ::fnmatch(pattern.c_str(), group.c_str(), 0) == 0;
    });
    if (meant) add(all, line.rights);
  }
  return all;
}

Rights AllowList::rights_somewhere(const std::string& public_key) const {
  Rights all;
  const auto found = keys_.find(public_key);
  if (found == keys_.end()) return all;
  for (const Line& line : found->second) add(all, line.rights);
  return all;
}

std::string AllowList::name(const std::string& public_key) const {
  const auto found = keys_.find(public_key);
  return found == keys_.end() ? "" : found->second.front().name;
}

Result<ClientKeys> load_client_keys(const std::string& server_key_file, const std::string& own_key_file, bool local,
                                    std::string_view endpoint) {
  ClientKeys keys;
  if (server_key_file.empty() && own_key_file.empty()) {
    if (local) return keys;
    return Status(Code::kNotAuthorised, std::string(endpoint) +
                                            " is not on this machine: the site's public key and a key pair of our own are "
                                            "required (tidemark keygen)");
  }
  if (server_key_file.empty() || own_key_file.empty()) {
    return Status(Code::kInvalid, "give both the site's public key and our own key pair, or neither");
  }
  TM_ASSIGN(keys.server_key, load_public_key(server_key_file));
  TM_ASSIGN(keys.own, load_key_pair(own_key_file));
  return keys;
}

}  // namespace tidemark

#include "replicator/keys.h"

#include <sys/stat.h>
#include <zmq.h>

#include <array>
#include <cerrno>
#include <sstream>
#include <vector>

#include "base/bytes.h"
#include "base/file.h"
#include "replicator/site.h"

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
  return taken ? Status(Code::kExists, path + " is there already; choose another name or remove it") : Status();
}

// One line of the allow-list into `key` and `rights`; "" or what is wrong with it.
std::string parse_allow_line(const std::vector<std::string>& words, std::string& key, Rights& rights) {
  key = words[0];
  if (!is_key(key)) return "'" + key.substr(0, 60) + "' is not a public key (40 characters, as in a .pub file)";
  for (size_t i = 1; i < words.size(); ++i) {
    std::istringstream parts(words[i]);
    std::string part;
    bool all_rights = true;
    Rights found = rights;
    while (std::getline(parts, part, ',')) {
      if (part == "append")
        found.append = true;
      else if (part == "read")
        found.read = true;
      else if (part == "prune")
        found.prune = true;
      else
        all_rights = false;
    }
    if (all_rights) {
      rights = found;
    } else if (i + 1 == words.size()) {
      rights.name = words[i];
    } else {
      return "'" + words[i] + "' is no right; there are 'append', 'read' and 'prune'";
    }
  }
  if (!rights.append && !rights.read && !rights.prune) {
    return "this key has no right; say which before the name: 'append', 'read', 'prune'";
  }
  if (rights.append && rights.prune) return "a key that appends cannot prune; give 'prune' to another key";
  return "";
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
  std::string pair = "# Tidemark key pair. Whoever reads this file can speak for its owner; give away only the .pub file.\n";
  pair += "public = " + std::string(public_key.data()) + "\nsecret = " + std::string(secret_key.data()) + "\n";
  TM_TRY(write_file_atomically(files, path, pair).within("cannot write the key"));
  return write_file_atomically(files, path + ".pub", std::string(public_key.data()) + "\n")
      .within("cannot write the public key");
}

Result<KeyPair> load_key_pair(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) == 0 && (info.st_mode & 077) != 0) {
    return Status(Code::kNotAuthorised, path + ": others can read this key; chmod 600 it");
  }
  Result<std::string> content = read_file(posix_file_system(), path);
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
  Result<std::string> content = read_file(posix_file_system(), path);
  if (!content.ok()) return content.status().within("public key");
  std::string key = trimmed(*content);
  if (!is_key(key)) key = key_field(*content, "public");
  if (!is_key(key)) return Status(Code::kCorrupt, path + ": not a public key (one line of 40 characters)");
  return key;
}

Result<AllowList> AllowList::load(const std::string& path) {
  Result<std::string> content = read_file(posix_file_system(), path);
  if (!content.ok()) return content.status().within("allow-list");
  AllowList list;
  std::istringstream lines(*content);
  std::string line;
  for (size_t number = 1; std::getline(lines, line); ++number) {
    std::istringstream split(line);
    std::vector<std::string> words;
    for (std::string word; split >> word;) words.push_back(word);
    if (words.empty() || words[0] == "#" || words[0] == "//") continue;
    std::string key;
    Rights rights;
    std::string wrong = parse_allow_line(words, key, rights);
    if (wrong.empty() && list.keys_.contains(key)) wrong = "this key stands twice";
    if (!wrong.empty()) return Status(Code::kCorrupt, path + ":" + std::to_string(number) + ": " + wrong);
    list.keys_.emplace(std::move(key), std::move(rights));
  }
  if (list.keys_.empty()) {
    return Status(Code::kNotAuthorised, path + ": nobody is allowed; add a line: KEY append,read NAME");
  }
  return list;
}

Rights AllowList::rights(const std::string& public_key) const {
  auto found = keys_.find(public_key);
  return found == keys_.end() ? Rights() : found->second;
}

Result<ClientKeys> load_client_keys(const std::string& server_key_file, const std::string& own_key_file, bool local,
                                    std::string_view endpoint) {
  ClientKeys keys;
  if (server_key_file.empty() && own_key_file.empty()) {
    if (local) return keys;
    return Status(Code::kNotAuthorised, std::string(endpoint) +
                                            " is not on this machine: the site's public key and a key pair of our own are "
                                            "needed (tidemark keygen)");
  }
  if (server_key_file.empty() || own_key_file.empty()) {
    return Status(Code::kInvalid, "the site's public key and our own key pair are given together or not at all");
  }
  TM_ASSIGN(keys.server_key, load_public_key(server_key_file));
  TM_ASSIGN(keys.own, load_key_pair(own_key_file));
  return keys;
}

}  // namespace tidemark

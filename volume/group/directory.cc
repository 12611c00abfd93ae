#include "volume/group/directory.h"

#include <sys/random.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include "log/format/record_walker.h"
#include "log/format/segment.h"
#include "log/write/writer.h"
#include "volume/group/sealed_json.h"

namespace tidemark {
namespace {

constexpr int kFormat = 1;
using Json = nlohmann::ordered_json;

std::string identity_path(const std::string& directory) { return directory + "/group.json"; }

Result<GroupId> parse_group_id(const std::string& text) {
  GroupId id{};
  if (text.size() != 2 * id.size()) return Status(Code::kCorrupt, "a group id has 32 hexadecimal digits");
  for (size_t i = 0; i < id.size(); ++i) {
    size_t used = 0;
    const std::string pair = text.substr(2 * i, 2);
    if (pair.find_first_not_of("0123456789abcdef") != std::string::npos) {
      return Status(Code::kCorrupt, "a group id has 32 hexadecimal digits");
    }
    id[i] = static_cast<std::byte>(std::stoi(pair, &used, 16));
  }
  return id;
}

bool is_one_of(const std::string& name, std::initializer_list<std::string_view> names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// True where DIR holds nothing but what an interrupted attempt to make a group leaves behind: no identity, and a log without any
// record but the first, which makes the root.
Result<bool> is_half_made(FileSystem& files, const std::string& directory) {
  TM_ASSIGN(auto names, files.list(directory));
  for (const std::string& name : names) {
    if (!is_one_of(name, {"log", "lock", "group.json.new"})) return false;
  }
  if (std::find(names.begin(), names.end(), "log") == names.end()) return true;
  const std::string log = log_directory(directory);
  auto held = Log::open_read_only(files, log, kLatest);
  if (!held.ok()) return held.status().code() == Code::kNotFound;
  return (*held)->appended() <= Seq(1);
}

Status clear_half_made(FileSystem& files, const std::string& directory) {
  const std::string log = log_directory(directory);
  TM_ASSIGN(const bool has_log, files.exists(log));
  if (!has_log) return Status();
  TM_ASSIGN(auto names, files.list(log));
  for (const std::string& name : names) TM_TRY(files.remove(log + "/" + name));
  return files.sync_directory(log);
}

// The entry of DIR itself must be durable. Who may not read the parent cannot sync it, and did not make DIR either.
Status sync_parent(FileSystem& files, const std::string& directory) {
  const std::string parent = std::filesystem::path(directory).parent_path().string();
  Status synced = files.sync_directory(parent.empty() ? "." : parent);
  return synced.code() == Code::kAccess ? Status() : synced;
}

}  // namespace

Status check_group_name(std::string_view name) {
  constexpr std::string_view kAllowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
  if (name.empty() || name.size() > 63 || name == "." || name == ".." ||
      name.find_first_not_of(kAllowed) != std::string_view::npos) {
    return Status(Code::kInvalid,
                  "'" + std::string(name) +
                      "' is not a valid group name (1 to 63 letters, digits, '.', '_', '-'); choose one with --name");
  }
  return Status();
}

Result<GroupId> random_group_id() {
  GroupId id{};
  if (getrandom(id.data(), id.size(), 0) != static_cast<ssize_t>(id.size())) {
    return errno_status(errno, "asking the kernel for random bytes");
  }
  return id;
}

Status write_identity(const std::string& directory, const GroupIdentity& identity, FileSystem& files) {
  Json content = {{"format", kFormat},
                  {"group", group_id_text(identity.id)},
                  {"name", identity.name},
                  {"role", identity.role == Role::kPrimary ? "primary" : "replica"}};
  if (!identity.unfinished.empty()) content["unfinished"] = identity.unfinished;
  return write_file_atomically(files, identity_path(directory), seal_json(content));
}

Result<std::unique_ptr<DirectoryLock>> make_group_directory(const std::string& directory, const GroupIdentity& identity,
                                                            const GroupOptions& options) {
  FileSystem& files = *options.files;
  TM_TRY(check_group_name(identity.name));
  if (Status made = files.make_directory(directory); !made.ok() && made.code() != Code::kExists) return made;
  TM_ASSIGN(const bool half_made, is_half_made(files, directory));
  if (!half_made) {
    return Status(Code::kNotEmpty, directory + " is not empty; use a new or an empty directory");
  }
  TM_ASSIGN(auto lock, DirectoryLock::take(directory, "being made"));
  TM_TRY(clear_half_made(files, directory));
  const std::string log = log_directory(directory);
  if (Status made = files.make_directory(log); !made.ok() && made.code() != Code::kExists) return made;
  TM_TRY(LogWriter::create(files, log, identity.id));
  TM_TRY(files.sync_directory(directory));
  TM_TRY(sync_parent(files, directory));
  return lock;
}

namespace {

// What record 1 says.
Status read_genesis(FileSystem& files, const std::string& path, GroupIdentity& identity) {
  TM_ASSIGN(const auto file, files.open(path, FileSystem::Open::kRead));
  SegmentWindow window(*file, UINT64_MAX, kWalkStep);
  TM_ASSIGN(const Bytes head, window.view(0, kSegmentHeaderSize));
  SegmentHeader header;
  if (decode_segment_header(head, header) != SegmentFault::kNone)
    return Status(Code::kCorrupt, path + ": its header is damaged");
  RecordWalker walker(window, kSegmentHeaderSize, Position());
  TM_ASSIGN(const RecordWalker::Step step, walker.next());
  if (step != RecordWalker::Step::kRecord) return Status(Code::kCorrupt, path + ": its first record is damaged");
  TM_ASSIGN(const Genesis genesis, decode_genesis(walker.record().payload));
  identity.id = header.group;
  identity.name = genesis.name;
  return Status();
}

}  // namespace

Result<GroupIdentity> rewrite_identity(const std::string& directory, const std::string& name) {
  FileSystem& files = posix_file_system();
  GroupIdentity identity;
  TM_ASSIGN(const Floor floor, read_floor(files, log_directory(directory)));
  Status genesis = read_genesis(files, segment_path(log_directory(directory), Seq(1)), identity);
  if (genesis.code() == Code::kNotFound && floor.base.seq != Seq()) {
    identity.id = floor.group;
    identity.name = name;
    genesis = Status();
  }
  TM_TRY(genesis);
  // A group whose records came from another site is a replica, until it takes over: then its newest segment is its own.
  TM_ASSIGN(const auto segments, list_segments(files, log_directory(directory)));
  for (const Seq segment : segments) {
    TM_ASSIGN(const auto other, files.open(segment_path(log_directory(directory), segment), FileSystem::Open::kRead));
    SegmentHeader header;
    SegmentHeaderBytes bytes{};
    TM_ASSIGN(const size_t got, other->read(0, bytes));
    if (decode_segment_header(Bytes(bytes).first(got), header) != SegmentFault::kNone) continue;
    identity.role = (header.flags & kSegmentReceived) != 0 ? Role::kReplica : Role::kPrimary;
  }
  TM_TRY(check_group_name(identity.name));
  TM_TRY(write_identity(directory, identity, files));
  return identity;
}

Result<GroupIdentity> read_identity(const std::string& directory, FileSystem& files) {
  auto content = read_file(files, identity_path(directory));
  if (!content.ok()) {
    if (content.status().code() != Code::kNotFound) return content.status();
    return Status(Code::kNotFound,
                  directory + " is not a Tidemark volume (create one with: tidemark init " + directory + ")");
  }
  return parse_identity(*content, identity_path(directory));
}

Result<GroupIdentity> parse_identity(std::string_view content, const std::string& path) {
  TM_ASSIGN(const Json parsed, open_sealed_json(content, path));
  const auto text = [&](const char* field) {
    return parsed.contains(field) && parsed[field].is_string() ? parsed[field].get<std::string>() : std::string();
  };
  const Status bad(Code::kCorrupt, path + " is damaged");
  if (!parsed.contains("format")) return bad;
  if (parsed["format"] != kFormat) {
    return Status(Code::kUnsupported, path + ": this version does not know its format");
  }
  GroupIdentity identity;
  identity.name = text("name");
  identity.unfinished = text("unfinished");
  auto id = parse_group_id(text("group"));
  const std::string role = text("role");
  if (!id.ok() || !check_group_name(identity.name).ok() || (role != "primary" && role != "replica")) return bad;
  identity.id = *id;
  identity.role = role == "primary" ? Role::kPrimary : Role::kReplica;
  return identity;
}

}  // namespace tidemark

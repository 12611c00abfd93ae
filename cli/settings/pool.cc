#include "cli/settings/pool.h"

#include <algorithm>
#include <filesystem>

#include "cli/output/output.h"
#include "cli/settings/size.h"

namespace tidemark::cli {
namespace {

// DIR or DIR:SIZE, taken apart.
Result<PoolDirectory> take_apart(const std::string& given) {
  PoolDirectory made{given, 0};
  if (const size_t colon = given.rfind(':'); colon != std::string::npos) {
    const std::string size = given.substr(colon + 1);
    const bool number = !size.empty() && size.find_first_not_of("0123456789") == std::string::npos;
    auto bytes = parse_size(size);
    if (number && !bytes.ok()) return bytes.status().within(given);
    if (bytes.ok()) made = {given.substr(0, colon), *bytes};
  }
  if (made.bytes_max != 0 && made.bytes_max < LogOptions().segment_bytes) {
    return Status(Code::kInvalid, "the limit of a pool directory must be at least one segment, 64MiB: " + given);
  }
  return made;
}

Result<PoolDirectory> find_one(const std::string& given) {
  TM_ASSIGN(PoolDirectory made, take_apart(given));
  std::error_code error;
  const auto canonical = std::filesystem::canonical(made.path, error);
  if (error || !std::filesystem::is_directory(canonical)) {
    return Status(Code::kNotFound, "the pool directory " + made.path + " does not exist; is its disk mounted?");
  }
  made.path = canonical.string();
  return made;
}

}  // namespace

Result<std::vector<PoolDirectory>> parse_pool(const std::vector<std::string>& given) {
  std::vector<PoolDirectory> pool;
  for (const std::string& each : given) {
    TM_ASSIGN(PoolDirectory one, find_one(each));
    for (const PoolDirectory& other : pool) {
      if (other.path == one.path) return Status(Code::kInvalid, "the pool directory " + one.path + " is given twice");
    }
    pool.push_back(std::move(one));
  }
  return pool;
}

Status check_pool_text(const std::string& given) {
  TM_ASSIGN(const PoolDirectory made, take_apart(given));
  if (made.path.starts_with('/')) return Status();
  return Status(Code::kInvalid, "a pool directory must be an absolute path: " + given);
}

Status use_pool(GroupOptions& options, const std::vector<PoolDirectory>& pool) {
  options.log.pool = pool;
  options.log.own_bytes_max = options.log_limit.max_bytes;
  if (options.log_limit.max_bytes == 0) return Status();
  for (const PoolDirectory& each : pool) {
    uint64_t bytes = each.bytes_max;
    if (bytes == 0) {
      TM_ASSIGN(const FileSystemSpace space, posix_file_system().space(each.path));
      bytes = space.total_bytes - std::min(space.total_bytes, options.log.reserve_bytes);
    }
    options.log_limit.max_bytes += bytes;
  }
  return Status();
}

Json pool_json(const std::vector<PoolUse>& pool) {
  Json list = Json::array();
  for (const PoolUse& each : pool) {
    list.push_back({{"directory", each.path},
                    {"bytes_max", each.bytes_max},
                    {"segments", each.segments},
                    {"available_bytes", each.available},
                    {"in_use", each.in_use}});
  }
  return list;
}

void print_pool(const Json& status) {
  for (const Json& each : status.value("pool", Json::array())) {
    std::string line = printable(text_field(each, "directory")) + ": " + human_count(number_field(each, "segments")) +
                       " segments, room for " + human_bytes(number_field(each, "available_bytes"));
    if (flag_field(each, "in_use")) line += "; ALERT: in use, the log has outgrown its own directory";
    print_line("  pool        " + line);
  }
}

}  // namespace tidemark::cli

#include "volume/check/directory_check.h"

#include <chrono>
#include <thread>

#include "base/file.h"
#include "log/format/floor.h"
#include "volume/group/directory.h"
#include "volume/group/sealed_json.h"
#include "volume/index/index.h"
#include "volume/tree/state.h"

namespace tidemark {
namespace {

// The holder of an index in use may replace its files while they are opened here.
constexpr int kTriesMax = 5;
constexpr std::chrono::milliseconds kTryPause{50};

Result<std::vector<Finding>> check_index_once(const std::string& directory, bool in_use) {
  std::vector<Finding> found;
  const std::string path = index_directory(directory);
  TM_ASSIGN(const bool there, posix_file_system().exists(path + "/CURRENT"));
  TM_ASSIGN(const bool made, posix_file_system().exists(path));
  if (!there && !made) return found;  // it will be built when the group is opened
  IndexOptions options;
  options.read_only = true;
  auto index = Index::open(path, options);
  if (!index.ok()) {
    found.push_back({"index", index.status().text(), true});
    return found;
  }
  TM_ASSIGN(const auto damage, (*index)->check_tables(in_use));
  for (const std::string& line : damage) {
    const size_t colon = line.find(": ");
    found.push_back({"index/" + line.substr(0, colon), line.substr(colon + 2), true});
  }
  const TreeState state(std::move(*index));
  if (!state.loaded().ok()) found.push_back({"index", state.loaded().text(), true});
  return found;
}

Status check_index(const std::string& directory, std::vector<Finding>& all) {
  for (int i = 1;; ++i) {
    TM_ASSIGN(const auto holder, lock_holder(directory));
    TM_ASSIGN(auto found, check_index_once(directory, holder.has_value()));
    if (found.empty() || !holder || i == kTriesMax) {
      std::move(found.begin(), found.end(), std::back_inserter(all));
      return Status();
    }
    std::this_thread::sleep_for(kTryPause);
  }
}

Status check_json(const std::string& directory, const std::string& name, std::vector<Finding>& all) {
  auto content = read_file(posix_file_system(), directory + "/" + name);
  if (!content.ok()) return content.status();
  const Status sound =
      name == "group.json" ? parse_identity(*content, name).status() : open_sealed_json(*content, name).status();
  if (!sound.ok()) all.push_back({name, sound.text(), false});
  return Status();
}

}  // namespace

Result<std::vector<Finding>> check_directory(const std::string& directory) {
  std::vector<Finding> all;
  TM_ASSIGN(const auto names, posix_file_system().list(directory));
  for (const std::string& name : names) {
    if (name.ends_with(".json")) TM_TRY(check_json(directory, name, all));
  }
  bool damaged = false;
  if (read_floor(posix_file_system(), log_directory(directory), &damaged).ok() && damaged) {
    all.push_back({std::string(kFloorFile), "one of its two copies is damaged; the other is used", false});
  }
  TM_TRY(check_index(directory, all));
  return all;
}

}  // namespace tidemark

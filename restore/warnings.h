// What could not be kept, told to a person: collected from all threads, one line for each kind of loss, bounded.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "restore/safe_path.h"

namespace tidemark {

inline constexpr size_t kWarningKindsMax = 1000;
inline constexpr size_t kWarningExamplesMax = 5;  // paths named in one line

class Warnings {
 public:
  // `kind` says what is lost ("the owner is not kept: only root may give files away"), `path` where.
  void add(const std::string& kind, std::string_view path) {
    MutexLock lock(mutex_);
    if (kinds_.size() >= kWarningKindsMax && !kinds_.contains(kind)) {
      ++others_;
      return;
    }
    Places& places = kinds_[kind];
    if (++places.count <= kWarningExamplesMax) places.examples.push_back(show_path(path));
  }
  // A file that was left out because it is damaged: each is named, none is summed up.
  void add_damage(std::string_view path, const std::string& what) {
    MutexLock lock(mutex_);
    damaged_.push_back(show_path(path) + ": " + what);
  }
  [[nodiscard]] std::vector<std::string> take_damage() {
    MutexLock lock(mutex_);
    return std::exchange(damaged_, {});
  }
  // One line for each kind, in a fixed order. Leaves nothing behind.
  [[nodiscard]] std::vector<std::string> take() {
    MutexLock lock(mutex_);
    std::vector<std::string> lines;
    for (const auto& [kind, places] : kinds_) {
      std::string line = kind + ": ";
      for (size_t i = 0; i < places.examples.size(); ++i) line += (i == 0 ? "" : ", ") + places.examples[i];
      size_t more = places.count - places.examples.size();
      if (more != 0) line += " and " + std::to_string(more) + " more";
      lines.push_back(std::move(line));
    }
    if (others_ != 0) lines.push_back("and " + std::to_string(others_) + " warnings of other kinds");
    kinds_.clear();
    others_ = 0;
    return lines;
  }

 private:
  struct Places {
    std::vector<std::string> examples;
    size_t count = 0;
  };
  Mutex mutex_;
  std::map<std::string, Places> kinds_ TM_GUARDED_BY(mutex_);
  size_t others_ TM_GUARDED_BY(mutex_) = 0;
  std::vector<std::string> damaged_ TM_GUARDED_BY(mutex_);
};

}  // namespace tidemark

#include "replicator/site/reader_views.h"

#include <algorithm>
#include <utility>

namespace tidemark {

bool ReaderViews::Reader::holds() const {
  return std::any_of(views.begin(), views.end(), [](const View& view) { return view.holds; });
}

std::shared_ptr<TreeView> ReaderViews::known(Reader& reader, Seq point) {
  const auto found =
      std::find_if(reader.views.begin(), reader.views.end(), [&](const View& view) { return view.point == point; });
  if (found == reader.views.end()) return nullptr;
  reader.views.splice(reader.views.begin(), reader.views, found);
  return found->tree;
}

Result<std::shared_ptr<TreeView>> ReaderViews::view(Group& group, const std::string& key, Seq point) {
  bool holds = false;
  {
    MutexLock lock(mutex_);
    Reader& reader = readers_[key];
    reader.left_ns = clock_.steady_ns();
    if (auto tree = known(reader, point); tree != nullptr) return tree;
    holds = !reader.rests;
  }
  TM_ASSIGN(std::shared_ptr<TreeView> made, holds ? group.view(point) : group.passing_view(point));
  std::list<View> surplus;  // ends after the lock
  MutexLock lock(mutex_);
  Reader& reader = readers_[key];
  if (auto tree = known(reader, point); tree != nullptr) return tree;  // another thread was quicker
  reader.views.push_front({point, made, holds});
  if (reader.views.size() > kViewsPerKeyMax) surplus.splice(surplus.begin(), reader.views, std::prev(reader.views.end()));
  return made;
}

void ReaderViews::came(const std::string& key) {
  MutexLock lock(mutex_);
  ++readers_[key].sessions;
}

void ReaderViews::left(const std::string& key) {
  MutexLock lock(mutex_);
  Reader& reader = readers_[key];
  --reader.sessions;
  reader.left_ns = clock_.steady_ns();
}

void ReaderViews::expire() {
  std::list<View> ended;  // after the lock
  MutexLock lock(mutex_);
  const int64_t now = clock_.steady_ns();
  const int64_t passed = counted_ns_ == 0 ? 0 : now - counted_ns_;
  counted_ns_ = now;
  for (auto it = readers_.begin(); it != readers_.end();) {
    Reader& reader = it->second;
    reader.held_ns = reader.holds() ? reader.held_ns + passed : std::max<int64_t>(0, reader.held_ns - passed);
    const bool rested = reader.held_ns == 0 && std::exchange(reader.rests, false);
    if (reader.held_ns >= hold_max_ns_) reader.rests = true;
    const bool gone = reader.sessions == 0 && now - reader.left_ns > std::chrono::nanoseconds(kViewIdleMax).count();
    for (auto view = reader.views.begin(); view != reader.views.end();) {
      const auto next = std::next(view);
      if (gone || rested || (reader.rests && view->holds)) ended.splice(ended.begin(), reader.views, view);
      view = next;
    }
    it = gone && reader.held_ns == 0 ? readers_.erase(it) : std::next(it);
  }
}

void ReaderViews::clear() {
  std::map<std::string, Reader> ended;  // after the lock
  MutexLock lock(mutex_);
  for (auto& [key, reader] : readers_) ended[key].views.swap(reader.views);
}

}  // namespace tidemark

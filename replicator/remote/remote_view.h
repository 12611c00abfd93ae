// The tree at a point of a remote group. What it shows never changes, so attributes that came with a listing are kept (bounded).
#pragma once

#include <memory>
#include <optional>
#include <unordered_map>

#include "base/mutex.h"
#include "replicator/remote/remote_pool.h"
#include "volume/tree/tree_view.h"

namespace tidemark {

class RemoteView final : public TreeView {
 public:
  RemoteView(std::shared_ptr<RemotePool> pool, Seq point) : pool_(std::move(pool)), point_(point) {}

  [[nodiscard]] Seq point() const override { return point_; }
  Result<Attr> get_attr(Ino ino) override;
  Result<Attr> lookup(Ino directory, std::string_view name) override;
  Result<std::vector<DirEntry>> list(Ino directory, std::string_view after, size_t max) override;
  Result<std::string> read_link(Ino ino) override;
  Result<size_t> read(Ino ino, uint64_t at, MutableBytes out) override;
  Result<std::vector<DataRange>> data_ranges(Ino ino, uint64_t from, uint64_t to, size_t max) override;
  Result<std::vector<uint64_t>> block_sums(Ino ino, uint64_t at, size_t count) override;
  Result<std::string> get_xattr(Ino ino, std::string_view name) override;
  Result<std::vector<std::string>> list_xattr(Ino ino) override;

 private:
  Result<Received> ask(MessageType type, TreeRequest request);
  std::string body_of(TreeRequest request) const;
  void remember(const Attr& attr);
  std::optional<Attr> recall(Ino ino);

  const std::shared_ptr<RemotePool> pool_;
  const Seq point_;
  // Two generations instead of a list: when the young one is full it becomes the old one, and the old one goes.
  Mutex mutex_;
  std::unordered_map<Ino, Attr> young_ TM_GUARDED_BY(mutex_);
  std::unordered_map<Ino, Attr> old_ TM_GUARDED_BY(mutex_);
};

}  // namespace tidemark

// A block of memory whose content is not set before somebody fills it.
#pragma once

#include <memory>

#include "base/bytes.h"

namespace tidemark {

class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(size_t size) : data_(std::make_unique_for_overwrite<std::byte[]>(size)), size_(size) {}
  static Buffer copy_of(Bytes bytes) {
    Buffer made(bytes.size());
    if (!bytes.empty()) std::memcpy(made.data(), bytes.data(), bytes.size());
    return made;
  }
  [[nodiscard]] std::byte* data() { return data_.get(); }
  [[nodiscard]] const std::byte* data() const { return data_.get(); }
  [[nodiscard]] size_t size() const { return size_; }
  // Forgets the bytes from `size` on; the memory stays.
  void shrink(size_t size) {
    CHECK_INVARIANT(size <= size_);
    size_ = size;
  }
  [[nodiscard]] Bytes bytes() const { return {data_.get(), size_}; }
  [[nodiscard]] MutableBytes span() { return {data_.get(), size_}; }

 private:
  std::unique_ptr<std::byte[]> data_;
  size_t size_ = 0;
};

}  // namespace tidemark

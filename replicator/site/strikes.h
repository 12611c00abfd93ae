// Who has broken a rule how often. Bounded; whoever goes on is not forgiven because others come.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <unordered_map>

namespace tidemark {

inline constexpr size_t kStrikesKeptMax = 4096;  // peers

class StrikeBook {
 public:
  struct Strikes {
    uint32_t count = 0;
    int fd = -1;  // of the connection, at the first of them, as is the next
    uint64_t connection = 0;
    int64_t newest_ns = 0;
  };
  using IsOpen = std::function<bool(int fd, uint64_t connection)>;

  // One more of this peer's; all of them. Where the book is full those go whose connection is no longer open, else the one whose last
  // offence is the oldest.
  Strikes add(const std::string& routing_id, int fd, uint64_t connection, int64_t now_ns, const IsOpen& is_open);
  void forget(const std::string& routing_id) { peers_.erase(routing_id); }
  [[nodiscard]] size_t size() const { return peers_.size(); }

 private:
  void make_room(const IsOpen& is_open);
  std::unordered_map<std::string, Strikes> peers_;
};

}  // namespace tidemark

// POSIX.1e access control lists in the form the kernel stores them, as far as a filesystem must know them: inheritance at
// creation, chmod, and the mode bits an ACL stands for. The kernel itself enforces them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace tidemark::fs {

inline constexpr std::string_view kAccessAcl = "system.posix_acl_access";
inline constexpr std::string_view kDefaultAcl = "system.posix_acl_default";

class Acl {
 public:
  // kInvalid where `value` is not an ACL the kernel could have made.
  static Result<Acl> parse(std::string_view value);
  [[nodiscard]] std::string format() const;

  // True where plain mode bits say all that this ACL says.
  [[nodiscard]] bool is_plain() const;
  // `mode` with the permission bits this ACL stands for; other bits unchanged.
  [[nodiscard]] uint32_t apply_to(uint32_t mode) const;
  // The ACL after chmod(mode): owner, other, and the mask (or the group, where there is no mask).
  void change_mode(uint32_t mode);
  // The access ACL of what is created with `mode` under this default ACL: nothing beyond what `mode` asks for.
  [[nodiscard]] Acl restricted_to(uint32_t mode) const;

 private:
  struct Entry {
    uint16_t tag = 0;
    uint16_t perm = 0;
    uint32_t id = 0;
  };
  Entry* find(uint16_t tag);
  [[nodiscard]] const Entry* find(uint16_t tag) const { return const_cast<Acl*>(this)->find(tag); }

  std::vector<Entry> entries_;
};

}  // namespace tidemark::fs
